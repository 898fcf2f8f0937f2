-- title: Denied, and somebody loiters there
-- kind: rule
-- rule: R07
-- version: 1
-- class: intrusion
-- key: key, window_start, transition
-- time: at
-- lookback: 240s
-- param within: INTERVAL '30 seconds'
-- param retry: INTERVAL '60 seconds'
-- param min_score: 0.6
--
-- A denial and a loitering human within 30 s of each other, in either order, in the same cell or a neighbouring
-- one: raised as soon as both are known. The key is the cell of the denial, the alarm starts with the denial.
-- The same reference denied again at the same point within the minute, while somebody still loiters, is the same
-- story. If that reference is granted there within 60 s of the denial it was a resident with a bad card: the
-- alarm is rejected, and never before it was raised.
WITH matches AS (
  SELECT
    d.site, d.access_point, coalesce(d.credential_ref, '') AS reference, d."time" AS denied_at, d.id,
    d.cell, d.lon, d.lat, d.status, c."time" AS loitered_at, c.id AS loitering_id, c.camera, c.score, c.status AS camera_status,
    greatest(d."time", c."time") AS matched_at,
    input(d.topic, d."partition", d."offset", d.id, 'denied') AS denial,
    input(c.topic, c."partition", c."offset", c.id, 'loitering') AS loitering
  FROM access d
  JOIN camera_alert c
    ON c.site = d.site AND c."time" >= d."time" - $within AND c."time" <= d."time" + $within
  WHERE d.event = 'denied' AND d.status IN ('actual', 'exercise')
    AND c.kind = 'loitering' AND c.object_class = 'human' AND c.score >= $min_score
    AND c.status IN ('actual', 'exercise')
    AND h3_grid_distance(d.cell, c.cell) <= 1
),
first_matches AS (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY matched_at, site, access_point, reference ORDER BY denied_at, id, loitering_id
    ) AS same_instant
  FROM matches m
  WHERE NOT EXISTS (
    SELECT 1 FROM matches earlier
    WHERE earlier.site = m.site AND earlier.access_point = m.access_point AND earlier.reference = m.reference
      AND earlier.denied_at = m.denied_at AND earlier.loitered_at < m.loitered_at
  )
),
told AS (
  SELECT
    *,
    count(*) OVER (
      PARTITION BY site, access_point, reference ORDER BY matched_at
      RANGE BETWEEN $retry PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS told_before
  FROM first_matches
  WHERE same_instant = 1
),
raised AS (
  SELECT * FROM told WHERE told_before = 0
),
grants AS (
  SELECT
    r.site, r.access_point, r.reference, r.denied_at, r.matched_at, g."time" AS granted_at, g.id,
    input(g.topic, g."partition", g."offset", g.id, 'granted') AS record
  FROM raised r
  JOIN access g
    ON g.site = r.site AND g.access_point = r.access_point AND g.credential_ref = r.reference
    AND g."time" > r.denied_at AND g."time" <= r.denied_at + $retry
  WHERE g.event = 'granted' AND g.status IN ('actual', 'exercise')
),
rejected AS (
  SELECT *
  FROM grants g
  WHERE NOT EXISTS (
    SELECT 1 FROM grants earlier
    WHERE earlier.site = g.site AND earlier.access_point = g.access_point AND earlier.reference = g.reference
      AND earlier.denied_at = g.denied_at AND earlier.matched_at = g.matched_at
      AND earlier.granted_at <= g.granted_at
      AND (earlier.granted_at < g.granted_at OR earlier.id < g.id)
  )
)
SELECT
  h3_h3_to_string(cell) AS key, denied_at AS window_start, matched_at AS at, 'raise' AS transition, 2 AS priority,
  site, access_point AS device, cell, lon, lat, make_array(denial, loitering) AS inputs,
  status = 'exercise' AND camera_status = 'exercise' AS drill, camera AS m_camera, score AS m_score
FROM raised
UNION ALL
SELECT
  h3_h3_to_string(r.cell) AS key, r.denied_at AS window_start, greatest(j.matched_at, j.granted_at) AS at,
  'reject' AS transition, 2 AS priority,
  r.site, r.access_point AS device, r.cell, r.lon, r.lat, make_array(j.record) AS inputs,
  r.status = 'exercise' AND r.camera_status = 'exercise' AS drill, r.camera AS m_camera, r.score AS m_score
FROM raised r
JOIN rejected j
  ON j.site = r.site AND j.access_point = r.access_point AND j.reference = r.reference
  AND j.denied_at = r.denied_at AND j.matched_at = r.matched_at
