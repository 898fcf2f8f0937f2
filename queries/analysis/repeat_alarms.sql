-- kind: analysis
-- title: Alarms that come again and again
-- param times: 3
--
-- The same rule at the same place, $times or more on one day. Candidates for a repair, or for another threshold.
SELECT
  date_trunc('day', raised_at) AS day,
  site, rule, "key",
  count(*) AS alarms,
  count(*) FILTER (WHERE confirm_level = 'human') AS confirmed,
  min(raised_at) AS first_at,
  max(raised_at) AS last_at
FROM alarms
WHERE NOT drill AND NOT replay
GROUP BY date_trunc('day', raised_at), site, rule, "key"
HAVING count(*) >= $times
ORDER BY alarms DESC, day, rule, "key"
