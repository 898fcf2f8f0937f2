-- kind: analysis
-- title: How long sensors were silent
-- param missed: 3
--
-- A sensor is silent once it missed $missed of its expected signs of life, over the whole time for which there are
-- records. One that was never heard was silent throughout: unknown is not healthy.
WITH span AS (
  SELECT min("time") AS since, max("time") AS until FROM iot
),
heard AS (
  SELECT device, "time", lag("time") OVER (PARTITION BY device ORDER BY "time") AS before
  FROM iot
),
gaps AS (
  SELECT
    d.id, d."type", d.expected_heartbeat_s, h."time",
    date_part('epoch', coalesce(h."time", s.until)) - date_part('epoch', coalesce(h.before, s.since)) AS gap
  FROM devices d
  CROSS JOIN span s
  LEFT JOIN heard h ON h.device = d.id
  WHERE d.in_service AND d.expected_heartbeat_s IS NOT NULL
  UNION ALL
  SELECT
    d.id, d."type", d.expected_heartbeat_s, NULL,
    date_part('epoch', s.until) - date_part('epoch', max(h."time"))
  FROM devices d
  CROSS JOIN span s
  JOIN heard h ON h.device = d.id
  WHERE d.in_service AND d.expected_heartbeat_s IS NOT NULL
  GROUP BY d.id, d."type", d.expected_heartbeat_s, s.until
),
summed AS (
  SELECT
    id, "type", count("time") AS signs, max("time") AS last_heard,
    sum(CASE WHEN gap > $missed * expected_heartbeat_s THEN gap ELSE 0 END) AS silent_s
  FROM gaps
  GROUP BY id, "type"
)
SELECT
  u.id AS device, u."type", u.signs, u.last_heard,
  CASE WHEN u.signs = 0 THEN date_part('epoch', s.until) - date_part('epoch', s.since) ELSE u.silent_s END AS silent_s,
  CASE
    WHEN u.signs = 0 THEN 0.0
    ELSE round(1.0 - u.silent_s / nullif(date_part('epoch', s.until) - date_part('epoch', s.since), 0), 4)
  END AS uptime
FROM summed u
CROSS JOIN span s
ORDER BY uptime, device
