-- title: Repeated denials, then an entry
-- kind: rule
-- rule: R06
-- version: 1
-- class: access
-- key: key, window_start, transition
-- time: at
-- lookback: 250s
-- param window: INTERVAL '120 seconds'
-- param denials: 3
-- param typo_within: INTERVAL '30 seconds'
--
-- Each entry (granted, or the door opening) looks back over the window at its own access point. Three denials
-- and the entry fit in 120 s, both ends included; entries in between do not reset the count. The alarm starts
-- with the first of the denials it counts, and further entries on the same denials (a grant and, two seconds
-- later, the door) belong to it: only the first entry after the last denial speaks.
-- Somebody who mistypes a PIN is no intruder: where every denial is InvalidPIN by one reference, nobody else
-- enters, and that within 30 s of the last denial, the priority is 4.
-- It is an exercise only if every record of it is.
-- Denials are rare and entries are not: what is further than the window from a denial that is one too many is left
-- out first. The last denial before an entry that counts is one, and all that the entry counts is near it.
WITH denials AS (
  SELECT
    site, access_point, "time",
    count(*) OVER (
      PARTITION BY site, access_point ORDER BY "time" RANGE BETWEEN $window PRECEDING AND CURRENT ROW
    ) AS denials
  FROM access
  WHERE event = 'denied' AND status IN ('actual', 'exercise')
),
passages AS (
  SELECT
    id, site, access_point, "time", reason, credential_ref, cell, lon, lat, status,
    event = 'denied' AS is_denied,
    input(topic, "partition", "offset", id, CASE WHEN event = 'denied' THEN 'denied' ELSE 'entry' END) AS record
  FROM access a
  WHERE event IN ('denied', 'granted', 'door_open') AND status IN ('actual', 'exercise') AND EXISTS (
    SELECT 1 FROM denials d
    WHERE d.site = a.site AND d.access_point = a.access_point AND d.denials >= $denials
      AND d."time" >= a."time" - $window AND d."time" <= a."time" + $window
  )
),
counted AS (
  SELECT
    *,
    count(CASE WHEN is_denied THEN 1 END) OVER before AS denials,
    count(CASE WHEN is_denied AND reason = 'InvalidPIN' THEN credential_ref END) OVER before AS typos,
    min(CASE WHEN is_denied THEN credential_ref END) OVER before AS least_ref,
    max(CASE WHEN is_denied THEN credential_ref END) OVER before AS greatest_ref,
    min(CASE WHEN is_denied THEN "time" END) OVER before AS first_denied,
    max(CASE WHEN is_denied THEN "time" END) OVER before AS last_denied,
    max(CASE WHEN NOT is_denied THEN "time" END) OVER before AS previous_entry,
    count(CASE WHEN is_denied AND status = 'actual' THEN 1 END) OVER before AS actual_denials
  FROM passages
  WINDOW before AS (
    PARTITION BY site, access_point ORDER BY "time"
    RANGE BETWEEN $window PRECEDING AND INTERVAL '1 millisecond' PRECEDING
  )
),
entries AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY "time", site, access_point ORDER BY id) AS same_instant,
    count(*) OVER (
      PARTITION BY site, access_point, first_denied ORDER BY "time"
      RANGE BETWEEN $window PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS spoken
  FROM counted
  WHERE NOT is_denied AND denials >= $denials AND (previous_entry IS NULL OR previous_entry < last_denied)
),
denied AS (
  SELECT
    e."time", e.site, e.access_point, array_agg(p.record ORDER BY p."time", p.id) AS records,
    -- The place is the access point's, where the denials were; the entry may have been reported by the door.
    last_value(p.cell ORDER BY p."time", p.id) AS cell,
    last_value(p.lon ORDER BY p."time", p.id) AS lon,
    last_value(p.lat ORDER BY p."time", p.id) AS lat
  FROM entries e
  JOIN passages p
    ON p.site = e.site AND p.access_point = e.access_point AND p.is_denied
    AND p."time" >= e."time" - $window AND p."time" < e."time"
  WHERE e.same_instant = 1
  GROUP BY e."time", e.site, e.access_point
)
SELECT
  e.access_point AS key,
  e.first_denied AS window_start,
  e."time" AS at,
  'raise' AS transition,
  CASE
    WHEN e.typos = e.denials AND e.least_ref = e.greatest_ref
      AND coalesce(e.credential_ref, e.least_ref) = e.least_ref
      AND e."time" - e.last_denied <= $typo_within
    THEN 4 ELSE 2
  END AS priority,
  e.site,
  e.access_point AS device,
  d.cell,
  d.lon,
  d.lat,
  array_append(d.records, e.record) AS inputs,
  e.actual_denials = 0 AND e.status = 'exercise' AS drill,
  e.denials AS m_denials
FROM entries e
JOIN denied d ON d."time" = e."time" AND d.site = e.site AND d.access_point = e.access_point
WHERE e.same_instant = 1 AND e.spoken = 0
