-- kind: analysis
-- title: Police response by leg (K2)
-- param within: 300
--
-- Seconds from the raise of a police-class alarm to the first unit's leg. A leg that was not reported, or is
-- out of order, is not measured: it is no part of a percentile, and it never counts as a pass.
WITH legs AS (
  SELECT
    a.alarm_id,
    date_part('epoch', a.raised_at) AS raised,
    date_part('epoch', min(coalesce(d.at, d."time")) FILTER (WHERE d.leg = 'acknowledged')) AS acknowledged,
    date_part('epoch', min(coalesce(d.at, d."time")) FILTER (WHERE d.leg = 'enroute')) AS enroute,
    date_part('epoch', min(coalesce(d.at, d."time")) FILTER (WHERE d.leg = 'arrived')) AS arrived
  FROM alarms a
  LEFT JOIN dispatch d ON d.alarm_id = a.alarm_id AND d.agency = 'police' AND d.status = 'actual'
  WHERE a.class IN ('panic', 'intrusion', 'perimeter') AND NOT a.drill AND NOT a.replay
  GROUP BY a.alarm_id, a.raised_at
),
measured AS (
  SELECT 1 AS nth, 'acknowledged' AS leg, CASE WHEN acknowledged >= raised THEN acknowledged - raised END AS seconds
  FROM legs
  UNION ALL
  SELECT 2, 'enroute', CASE WHEN enroute >= greatest(raised, acknowledged) THEN enroute - raised END
  FROM legs
  UNION ALL
  SELECT 3, 'arrived', CASE WHEN arrived >= greatest(raised, acknowledged, enroute) THEN arrived - raised END
  FROM legs
)
SELECT
  leg,
  count(*) AS alarms,
  count(seconds) AS measured,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50_s,
  percentile_cont(0.9) WITHIN GROUP (ORDER BY seconds) AS p90_s,
  round(count(*) FILTER (WHERE seconds <= $within) * 1.0 / count(*), 4) AS share_within,
  round(count(*) FILTER (WHERE seconds IS NULL) * 1.0 / count(*), 4) AS share_not_measured
FROM measured
GROUP BY nth, leg
ORDER BY nth
