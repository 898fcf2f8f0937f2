-- title: Door forced
-- kind: rule
-- rule: R01
-- version: 1
-- class: access
-- key: key, window_start, transition
-- time: at
-- lookback: 45s
-- param before: INTERVAL '5 seconds'
-- param after: INTERVAL '2 seconds'
-- param seen_within: INTERVAL '15 seconds'
-- param min_score: 0.6
--
-- A door that reports itself forced, or opens with no grant, request to exit or taken passage in the 5 s before
-- and the 2 s after (both ends included). The key is the door: the record's own device, or the door that the
-- registry links to its access point. A passage at any access point linked to that door excuses it; links may
-- stand on either side. A forced door often reports both facts, so what follows within the window of 7 s at
-- the same door belongs to the first. Either way the alarm is known when those 2 s are over.
-- Priority 2; 1 as soon as a camera in the door's cell sees a human within 15 s before or after. The raise does
-- not wait for the camera: that is an escalation of its own.
WITH wiring AS (
  SELECT site, unnest(links) AS point, id AS door FROM devices WHERE "type" = 'door'
  UNION
  SELECT p.site, p.point, d.id AS door
  FROM (SELECT site, id AS point, unnest(links) AS linked FROM devices WHERE "type" = 'access_point') p
  JOIN devices d ON d.id = p.linked AND d."type" = 'door'
),
openings AS (
  SELECT
    a.id, a.site, coalesce(w.door, a.device) AS door, a.access_point, a."time", a.event, a.status, a.cell, a.lon, a.lat,
    a."time" + $after AS known_at,
    input(a.topic, a."partition", a."offset", a.id, a.event) AS record
  FROM access a
  LEFT JOIN wiring w ON w.point = a.access_point AND a.device = a.access_point
  WHERE a.event IN ('door_forced', 'door_open') AND a.status IN ('actual', 'exercise')
),
passages AS (
  SELECT a.site, coalesce(w.door, a.device) AS door, a.access_point, a."time"
  FROM access a
  LEFT JOIN wiring w ON w.point = a.access_point
  WHERE a.event IN ('granted', 'rex', 'taken')
),
unexcused AS (
  SELECT * FROM openings o
  WHERE o.event = 'door_forced' OR (
    NOT EXISTS (
      SELECT 1 FROM passages p
      WHERE p.site = o.site AND p.door = o.door
        AND p."time" >= o."time" - $before AND p."time" <= o."time" + $after
    )
    AND NOT EXISTS (
      SELECT 1 FROM passages p
      WHERE p.site = o.site AND p.access_point = o.access_point
        AND p."time" >= o."time" - $before AND p."time" <= o."time" + $after
    )
  )
),
forced AS (
  SELECT
    *,
    count(*) OVER (
      PARTITION BY site, door ORDER BY "time"
      RANGE BETWEEN INTERVAL '7 seconds' PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS just_before,
    row_number() OVER (PARTITION BY "time", site, door ORDER BY event, id) AS same_instant
  FROM unexcused
),
raised AS (
  SELECT * FROM forced WHERE just_before = 0 AND same_instant = 1
),
humans AS (
  SELECT
    r.site, r.door, r."time" AS opened_at, c."time" AS seen_at, c.id, c.score, c.status,
    input(c.topic, c."partition", c."offset", c.id, 'human') AS record
  FROM raised r
  JOIN camera_alert c
    ON c.site = r.site AND c.cell = r.cell
    AND c."time" >= r."time" - $seen_within AND c."time" <= r."time" + $seen_within
  WHERE c.object_class = 'human' AND c.score >= $min_score AND coalesce(c."count", 1) > 0
    AND c.status IN ('actual', 'exercise')
),
seen AS (
  SELECT * FROM humans h
  WHERE NOT EXISTS (
    SELECT 1 FROM humans earlier
    WHERE earlier.site = h.site AND earlier.door = h.door AND earlier.opened_at = h.opened_at
      AND earlier.seen_at <= h.seen_at AND (earlier.seen_at < h.seen_at OR earlier.id < h.id)
  )
)
SELECT
  door AS key, "time" AS window_start, known_at AS at, 'raise' AS transition, 2 AS priority,
  site, door AS device, cell, lon, lat, make_array(record) AS inputs,
  status = 'exercise' AS drill, event AS m_event, CAST(NULL AS DOUBLE) AS m_score
FROM raised
UNION ALL
SELECT
  r.door AS key, r."time" AS window_start, greatest(r.known_at, s.seen_at) AS at, 'escalate' AS transition,
  1 AS priority, r.site, r.door AS device, r.cell, r.lon, r.lat, make_array(s.record) AS inputs,
  r.status = 'exercise' AND s.status = 'exercise' AS drill, r.event AS m_event, s.score AS m_score
FROM raised r
JOIN seen s ON s.site = r.site AND s.door = r.door AND s.opened_at = r."time"
