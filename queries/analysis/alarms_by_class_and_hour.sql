-- kind: analysis
-- title: Alarms by class and hour
--
-- Each alarm counts once, in the hour it was raised. Drills and replays are left out.
SELECT
  date_trunc('hour', raised_at) AS hour,
  class,
  count(*) AS alarms,
  count(*) FILTER (WHERE priority = 1) AS priority_1,
  count(*) FILTER (WHERE state IN ('unack', 'rtn_unack')) AS unacknowledged
FROM alarms
WHERE NOT drill AND NOT replay
GROUP BY date_trunc('hour', raised_at), class
ORDER BY hour, class
