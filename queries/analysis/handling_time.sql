-- kind: analysis
-- title: Handling time by class, p50 and p90
--
-- From the raise to the first acknowledgement, and to the first time the alarm was over and acknowledged, in
-- seconds. An alarm nobody handled yet counts in `alarms` and in no percentile.
WITH handled AS (
  SELECT
    alarm_id,
    class,
    min(changed_at) FILTER (WHERE transition = 'raise') AS raised,
    min(changed_at) FILTER (WHERE transition = 'ack') AS acknowledged,
    min(changed_at) FILTER (WHERE state = 'normal') AS over
  FROM alarm_changes
  WHERE NOT drill AND NOT replay
  GROUP BY alarm_id, class
)
SELECT
  class,
  count(*) AS alarms,
  count(acknowledged) AS acknowledged,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY date_part('epoch', acknowledged) - date_part('epoch', raised)) AS ack_p50_s,
  percentile_cont(0.9) WITHIN GROUP (ORDER BY date_part('epoch', acknowledged) - date_part('epoch', raised)) AS ack_p90_s,
  count(over) AS handled,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY date_part('epoch', over) - date_part('epoch', raised)) AS handled_p50_s,
  percentile_cont(0.9) WITHIN GROUP (ORDER BY date_part('epoch', over) - date_part('epoch', raised)) AS handled_p90_s
FROM handled
GROUP BY class
ORDER BY class
