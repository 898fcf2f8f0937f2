-- title: Gas
-- kind: rule
-- rule: R13
-- version: 1
-- class: gas
-- key: key, window_start, transition
-- time: at
-- emit: immediate
-- lookback: 30m
-- param slope: 0.5
-- param points: 5
-- param floor: 3.0
-- param rising_for: INTERVAL '3 minutes'
-- param alarm: 10.0
-- param alarm_for: INTERVAL '10 seconds'
-- param critical: 20.0
--
-- Every reading of combustible gas in %LEL looks back from itself. Prealarm (priority 2): the least-squares slope
-- over the trailing 5 min is above 0.5 %LEL/min, over five readings or more, at every evaluation for 3 min, and the
-- value is above 3. Alarm (1): at or above 10 in every reading for 10 s, so in two at least. Critical (1): one
-- reading at or above 20. A device that says `alarm` and gives no value is taken at its word (1).
-- A run of readings starts where the one before (within 5 min) did not qualify; a run whose start lies more than
-- 4 min back is long enough for either condition.
-- One alarm as long as hits follow within 5 min of each other. Its start is floored to 5 min: two starts are
-- further apart than that, so the floor keeps them apart, and the identity does not hang on which of the
-- first readings arrives first. An escalation in a longer episode than 10 min finds its alarm by its key.
WITH readings AS (
  SELECT
    i.id, i.site, i.device, i.cell, i.lon, i.lat, i."time", i.status, i.result, i.result IS NULL AS says_so,
    date_part('epoch', i."time") / 60.0 AS minute,
    input(i.topic, i."partition", i."offset", i.id, 'reading') AS record
  FROM iot i
  LEFT JOIN devices d ON d.id = i.device
  WHERE coalesce(i.property, d."type") IN ('ch4', 'lpg')
    -- What is no gas reading is left out before anything is kept.
    AND (i.property IS NULL OR i.property IN ('ch4', 'lpg'))
    AND coalesce(i.unit, '%LEL') IN ('%LEL', '%{LEL}')
    AND coalesce(i.quality, 'good') <> 'bad'
    AND (i.result IS NOT NULL OR i.state = 'alarm')
    AND i.status IN ('actual', 'exercise')
),
sloped AS (
  SELECT
    *,
    regr_slope(result, minute) OVER trailing AS slope,
    count(result) OVER trailing AS points
  FROM readings
  WINDOW trailing AS (
    PARTITION BY site, device ORDER BY "time" RANGE BETWEEN INTERVAL '5 minutes' PRECEDING AND CURRENT ROW
  )
),
judged AS (
  -- The margin keeps the rounding of the slope from crossing the limit.
  SELECT *, points >= $points AND slope > $slope + 1e-7 AS rising, coalesce(result >= $alarm, false) AS high
  FROM sloped
),
compared AS (
  SELECT
    *,
    max(CASE WHEN rising THEN "time" END) OVER before AS last_rising,
    max(CASE WHEN NOT rising THEN "time" END) OVER before AS last_flat,
    max(CASE WHEN high THEN "time" END) OVER before AS last_high,
    max(CASE WHEN NOT high THEN "time" END) OVER before AS last_low
  FROM judged
  WINDOW before AS (
    PARTITION BY site, device ORDER BY "time"
    RANGE BETWEEN INTERVAL '5 minutes' PRECEDING AND INTERVAL '1 millisecond' PRECEDING
  )
),
runs AS (
  SELECT
    *,
    max(CASE WHEN rising AND (last_rising IS NULL OR last_flat > last_rising) THEN "time" END) OVER recent
      AS rising_since,
    max(CASE WHEN high AND (last_high IS NULL OR last_low > last_high) THEN "time" END) OVER recent AS high_since
  FROM compared
  WINDOW recent AS (
    PARTITION BY site, device ORDER BY "time" RANGE BETWEEN INTERVAL '4 minutes' PRECEDING AND CURRENT ROW
  )
),
levels AS (
  SELECT
    *,
    CASE
      WHEN result >= $critical THEN 'critical'
      WHEN says_so THEN 'alarm'
      WHEN high AND (high_since IS NULL OR "time" - high_since >= $alarm_for) THEN 'alarm'
      WHEN rising AND result > $floor AND (rising_since IS NULL OR "time" - rising_since >= $rising_for)
        THEN 'prealarm'
    END AS level
  FROM runs
),
hits AS (
  SELECT
    *,
    max("time") OVER (
      PARTITION BY site, device ORDER BY "time"
      RANGE BETWEEN INTERVAL '5 minutes' PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS previous_hit,
    row_number() OVER (PARTITION BY site, device, "time" ORDER BY level = 'prealarm', id) AS same_instant
  FROM levels
  WHERE level IS NOT NULL
),
episodes AS (
  SELECT
    *,
    max(CASE WHEN previous_hit IS NULL THEN "time" END) OVER (
      PARTITION BY site, device ORDER BY "time" RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW
    ) AS started_at,
    max(CASE WHEN level <> 'prealarm' THEN "time" END) OVER (
      PARTITION BY site, device ORDER BY "time"
      RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS previous_urgent
  FROM hits
  WHERE same_instant = 1
)
SELECT
  device AS key,
  arrow_cast(date_bin(INTERVAL '5 minutes', coalesce(started_at, "time")), 'Timestamp(us, "UTC")') AS window_start,
  "time" AS at,
  CASE WHEN previous_hit IS NULL THEN 'raise' ELSE 'escalate' END AS transition,
  CASE WHEN level = 'prealarm' THEN 2 ELSE 1 END AS priority,
  site, device, cell, lon, lat,
  make_array(record) AS inputs,
  status = 'exercise' AS drill,
  level AS m_level,
  result AS m_value,
  slope AS m_slope
FROM episodes
WHERE previous_hit IS NULL
  OR (level <> 'prealarm' AND (previous_urgent IS NULL OR previous_urgent < started_at))
