-- kind: analysis
-- title: Visitors by day and entrance
-- param grace: INTERVAL '15 minutes'
--
-- Entries and exits of visitors, and how many came out later than their visit and the grace allow. How many
-- persons they were is told from five on.
SELECT
  date_trunc('day', "time") AS day,
  site,
  access_point,
  count(*) FILTER (WHERE direction = 'in' AND event <> 'denied') AS entries,
  count(*) FILTER (WHERE direction = 'out' AND event <> 'denied') AS exits,
  count(*) FILTER (WHERE direction = 'out' AND "time" > visit_until + $grace) AS late_exits,
  count(*) FILTER (WHERE event = 'denied') AS denials,
  CASE WHEN count(DISTINCT credential_ref) >= 5 THEN count(DISTINCT credential_ref) END AS persons
FROM access
WHERE credential_class = 'visitor' AND status = 'actual' AND event IN ('granted', 'taken', 'denied')
GROUP BY date_trunc('day', "time"), site, access_point
ORDER BY day, site, access_point
