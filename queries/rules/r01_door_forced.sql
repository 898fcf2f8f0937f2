-- title: Door forced
-- kind: rule
-- rule: R01
-- version: 1
-- class: access
-- key: key, window_start, transition
-- time: at
-- lookback: 30s
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
-- Openings, and the passages that excuse them; a passage at an access point of several doors stands at each of them.
movements AS (
  SELECT
    a.id, a.site, coalesce(w.door, a.device) AS door, a.access_point, a."time", a.event, a.status, a.cell, a.lon, a.lat,
    a.topic, a."partition", a."offset", a.event NOT IN ('door_forced', 'door_open') AS is_passage
  FROM access a
  LEFT JOIN wiring w
    ON w.point = a.access_point AND (a.event NOT IN ('door_forced', 'door_open') OR a.device = a.access_point)
  WHERE a.event IN ('granted', 'rex', 'taken')
    OR (a.event IN ('door_forced', 'door_open') AND a.status IN ('actual', 'exercise'))
),
-- Counted in one pass: at a busy gate a join would hold each opening against each passage that is kept. Sorted by what
-- differs first: sites hardly do.
counted AS (
  SELECT
    *,
    count(CASE WHEN is_passage THEN 1 END) OVER (
      PARTITION BY door, site ORDER BY "time" RANGE BETWEEN $before PRECEDING AND $after FOLLOWING
    ) AS through_door,
    count(CASE WHEN is_passage THEN 1 END) OVER (
      PARTITION BY access_point, site ORDER BY "time" RANGE BETWEEN $before PRECEDING AND $after FOLLOWING
    ) AS at_point
  FROM movements
),
unexcused AS (
  SELECT
    id, site, door, "time", event, status, cell, lon, lat, "time" + $after AS known_at,
    input(topic, "partition", "offset", id, event) AS record
  FROM counted
  WHERE NOT is_passage AND (
    event = 'door_forced'
    OR ((door IS NULL OR through_door = 0) AND (access_point IS NULL OR at_point = 0))
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
    r.site, r.door, r.cell, r.lon, r.lat, r."time" AS opened_at, r.known_at, r.event, r.status = 'exercise' AS drill,
    c."time" AS seen_at, c.id, c.score, c.status,
    input(c.topic, c."partition", c."offset", c.id, 'human') AS record
  FROM raised r
  JOIN camera_alert c
    ON c.site = r.site AND c.cell = r.cell
    AND c."time" >= r."time" - $seen_within AND c."time" <= r."time" + $seen_within
  WHERE r.door IS NOT NULL AND c.object_class = 'human' AND c.score >= $min_score AND coalesce(c."count", 1) > 0
    AND c.status IN ('actual', 'exercise')
),
seen AS (
  SELECT
    *,
    count(*) OVER (
      PARTITION BY site, door, opened_at ORDER BY seen_at
      RANGE BETWEEN INTERVAL '30 seconds' PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS seen_before,
    rank() OVER (PARTITION BY seen_at, site, door, opened_at ORDER BY id) AS same_instant
  FROM humans
)
SELECT
  door AS key, "time" AS window_start, known_at AS at, 'raise' AS transition, 2 AS priority,
  site, door AS device, cell, lon, lat, make_array(record) AS inputs,
  status = 'exercise' AS drill, event AS m_event, CAST(NULL AS DOUBLE) AS m_score
FROM raised
UNION ALL
SELECT
  door AS key, opened_at AS window_start, greatest(known_at, seen_at) AS at, 'escalate' AS transition, 1 AS priority,
  site, door AS device, cell, lon, lat, make_array(record) AS inputs,
  drill AND status = 'exercise' AS drill, event AS m_event, score AS m_score
FROM seen
WHERE seen_before = 0 AND same_instant = 1
