-- title: Fire confirmed by a second source
-- kind: rule
-- rule: R15
-- version: 1
-- class: fire
-- key: key, window_start, transition
-- time: at
-- emit: immediate
-- lookback: 130m
-- param heat: 57.0
-- param heat_rise: 8.0
-- param silence: INTERVAL '30 minutes'
-- param settled: INTERVAL '5 minutes'
-- param within: INTERVAL '180 seconds'
-- param min_score: 0.8
--
-- Two sources that do not depend on each other confirm a fire (GB 50116 4.1.6): a detector, and within 180 s, in
-- either order and also after a reset, another detector in its cell or a neighbour, a camera that sees flame or
-- smoke with a score of 0.8, or a manual button. Floors are ignored. A camera or a button alone is not R15.
-- The alarm that started first is the one that is confirmed, at priority 1. A detector whose neighbour had
-- started earlier says so (linked_key, linked_start in epoch ms): its alarm is linked to that one.
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
    ) AS episode,
    max(CASE WHEN is_start THEN "time" END) OVER (
      PARTITION BY site, device, sense ORDER BY "time" RANGE BETWEEN $silence PRECEDING AND CURRENT ROW
    ) AS started_at
  FROM starts
),
detected AS (
  SELECT id, site, device, cell, lon, lat, "time", status, sense, record,
    coalesce(episode, "time") AS episode, coalesce(started_at, "time") AS started_at
  FROM episodes
  WHERE is_active
),
evidence AS (
  SELECT id, site, device, cell, "time", status, record, 'detector' AS source, episode, started_at FROM detected
  UNION ALL
  SELECT id, site, camera AS device, cell, "time", status,
    input(topic, "partition", "offset", id, kind) AS record, 'camera' AS source, NULL AS episode, NULL AS started_at
  FROM camera_alert
  WHERE kind IN ('flame', 'smoke') AND score >= $min_score AND status IN ('actual', 'exercise')
  UNION ALL
  SELECT id, site, button AS device, cell, "time", status,
    input(topic, "partition", "offset", id, 'button') AS record, 'button' AS source, NULL AS episode, NULL AS started_at
  FROM panic
  WHERE kind = 'fire_manual' AND status <> 'test'
  UNION ALL
  SELECT i.id, i.site, i.device, i.cell, i."time", i.status,
    input(i.topic, i."partition", i."offset", i.id, 'button') AS record, 'button' AS source, NULL AS episode,
    NULL AS started_at
  FROM iot i
  LEFT JOIN devices d ON d.id = i.device
  WHERE coalesce(i.property, d."type") = 'button' AND i.state = 'alarm'
    AND (i.property IS NULL OR i.property = 'button') AND i.status IN ('actual', 'exercise')
),
pairs AS (
  SELECT
    d.site, d.device, d.cell, d.lon, d.lat, d.sense, d.episode, d.record, d.status,
    greatest(d."time", e."time") AS at,
    d.id, e.id AS other_id, e.source, e.device AS other, e.record AS other_record, e.status AS other_status,
    coalesce(e.started_at < d.started_at OR (e.started_at = d.started_at AND e.device < d.device), false)
      AS other_is_earlier,
    e.episode AS other_episode
  FROM detected d
  JOIN evidence e
    ON e.site = d.site AND e."time" >= d."time" - $within AND e."time" <= d."time" + $within
  WHERE e.device <> d.device AND h3_grid_distance(d.cell, e.cell) <= 1
),
ordered AS (
  SELECT
    *,
    max(episode) OVER (
      PARTITION BY site, device, sense ORDER BY at
      RANGE BETWEEN INTERVAL '30 minutes' PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS told_episode,
    row_number() OVER (
      PARTITION BY at, site, device, sense ORDER BY other_is_earlier DESC, other_episode, source DESC, other_id, id
    ) AS same_instant
  FROM pairs
)
SELECT
  device AS key,
  episode AS window_start,
  at,
  'confirm' AS transition,
  CASE WHEN other_is_earlier THEN 2 ELSE 1 END AS priority,
  site, device, cell, lon, lat,
  make_array(record, other_record) AS inputs,
  'dual' AS confirm_level,
  status = 'exercise' AND other_status = 'exercise' AS drill,
  sense AS m_sense,
  source AS m_source,
  other AS m_confirmed_by,
  CASE WHEN other_is_earlier THEN other END AS m_linked_key,
  CASE WHEN other_is_earlier THEN arrow_cast(other_episode, 'Int64') / 1000 END AS m_linked_start
FROM ordered
WHERE same_instant = 1 AND (told_episode IS NULL OR told_episode < episode)
