-- title: Smoke or heat at one detector
-- kind: rule
-- rule: R15
-- version: 1
-- class: fire
-- key: key, window_start, transition
-- time: at
-- emit: immediate
-- lookback: 92m
-- param heat: 57.0
-- param heat_rise: 8.0
-- param silence: INTERVAL '30 minutes'
-- param settled: INTERVAL '5 minutes'
--
-- One detector alone is a prealarm (priority 2), raised at once with its first report, one alarm an episode.
-- Its reset is the alarm's return; an episode that began more than 30 min ago finds its alarm by its key.
-- A detector speaks by its state (prealarm or alarm), a heat detector also by its value (57 Cel) or its rise
-- (8 Cel within a minute). It is reset by `normal`; a heat detector without a state is reset by a value that is
-- neither. Fault, test and disabled reset nothing. An episode lasts until the reset, or until 30 min pass with
-- neither. Its start is named by the reset before it, or by a quiet report within 5 min before it, or else by its own
-- time floored to 30 min, so that the identity does not hang on which of the first reports arrives first. Smoke and
-- heat of one device are episodes of their own.
-- Resets are looked for where something is to be reset, and names where something starts: what a detector says while
-- all is quiet matters for 6 min, and is not kept for longer.
WITH reports AS (
  SELECT
    i.id, i.source, i.site, i.device, i.cell, i.lon, i.lat, i."time", i.status, i.state, i.result,
    CASE WHEN coalesce(i.property, d."type") IN ('smoke_obscuration', 'smoke') THEN 'smoke' ELSE 'heat' END AS sense,
    i.result - min(i.result) OVER (
      PARTITION BY i.site, i.device, i.property ORDER BY i."time"
      RANGE BETWEEN INTERVAL '1 minute' PRECEDING AND CURRENT ROW
    ) AS rise,
    input(i.topic, i."partition", i."offset", i.id, coalesce(i.state, 'heat')) AS record
  FROM iot i
  LEFT JOIN devices d ON d.id = i.device
  WHERE coalesce(i.property, d."type") IN ('smoke_obscuration', 'smoke', 'temperature', 'heat')
    -- What no detector can mean is left out before anything is kept.
    AND (i.property IS NULL OR i.property IN ('smoke_obscuration', 'smoke', 'temperature', 'heat'))
    AND (i.state IS NOT NULL OR i.result IS NOT NULL)
    AND coalesce(i.quality, 'good') <> 'bad'
    AND i.status IN ('actual', 'exercise')
),
judged AS (
  SELECT
    *,
    coalesce(state IN ('prealarm', 'alarm'), false)
      OR (sense = 'heat' AND coalesce(result >= $heat OR rise >= $heat_rise, false)) AS is_active,
    CASE WHEN state IS NULL THEN sense = 'heat' AND result IS NOT NULL ELSE state = 'normal' END AS is_quiet
  FROM reports
),
ranked AS (
  SELECT *, CASE WHEN is_active THEN '0' ELSE '1' END || id || '/' || source AS rank FROM judged
),
marked AS (
  SELECT
    *,
    -- Of reports of one instant one counts: an active one before a quiet one, then by what names it. A row_number by
    -- instant would do, with a partition for each row.
    min(rank) OVER (
      PARTITION BY site, device, sense ORDER BY "time" RANGE BETWEEN CURRENT ROW AND CURRENT ROW
    ) AS first_of_instant
  FROM ranked
  WHERE is_active OR is_quiet
),
followed AS (
  SELECT
    *,
    max(CASE WHEN is_active THEN "time" END) OVER (
      PARTITION BY site, device, sense ORDER BY "time"
      RANGE BETWEEN $silence PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS last_active,
    max(CASE WHEN NOT is_active THEN "time" END) OVER (
      PARTITION BY site, device, sense ORDER BY "time"
      RANGE BETWEEN $settled PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS quiet_before
  FROM marked
  WHERE rank = first_of_instant
),
compared AS (
  SELECT
    *,
    max(CASE WHEN NOT is_active AND last_active IS NOT NULL THEN "time" END) OVER (
      PARTITION BY site, device, sense ORDER BY "time"
      RANGE BETWEEN $silence PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS last_reset
  FROM followed
),
starts AS (
  SELECT
    *,
    is_active AND (last_active IS NULL OR last_reset > last_active) AS is_start,
    coalesce(
      CASE WHEN last_active IS NOT NULL THEN last_reset END,
      quiet_before,
      arrow_cast(date_bin(INTERVAL '30 minutes', "time"), 'Timestamp(us, "UTC")')
    ) AS started_from
  FROM compared
),
episodes AS (
  SELECT
    *,
    max(CASE WHEN is_start THEN started_from END) OVER (
      PARTITION BY site, device, sense ORDER BY "time" RANGE BETWEEN $silence PRECEDING AND CURRENT ROW
    ) AS episode
  FROM starts
)
SELECT
  device AS key,
  coalesce(episode, "time") AS window_start,
  "time" AS at,
  CASE WHEN is_active THEN 'raise' ELSE 'return' END AS transition,
  2 AS priority,
  site, device, cell, lon, lat,
  make_array(record) AS inputs,
  status = 'exercise' AS drill,
  sense AS m_sense,
  state AS m_state,
  result AS m_value
FROM episodes
WHERE is_start OR (is_quiet AND NOT is_active AND last_active IS NOT NULL AND (last_reset IS NULL OR last_reset < last_active))
