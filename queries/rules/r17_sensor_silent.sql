-- title: A sensor is silent
-- kind: rule
-- rule: R17
-- version: 1
-- class: equipment
-- key: key, window_start, transition
-- time: at
-- lookback: 2m
-- param together: INTERVAL '30 seconds'
--
-- `absence('iot')` says when a registered device has been silent for three of its intervals (90 s at least), and
-- when it is heard again; a device without an expected interval is never silent. Priority 3; 2 where it is the
-- only in-service device of its type in its cell at resolution 11, since nothing else watches there then.
-- Devices of one gateway that fall silent within 30 s of each other are one alarm, keyed by the gateway. Whether
-- there are others is known 30 s later, so devices behind a gateway wait that long. A gateway counts among its
-- own devices. Links may stand on either side.
-- A device that is heard again returns its own alarm, and its gateway's: something talks through it.
WITH watched AS (
  SELECT
    "type", site, h3_cell_to_parent(h3_latlng_to_cell(lat, lon, 12), 11) AS cell, count(*) AS devices
  FROM devices
  WHERE in_service
  GROUP BY "type", site, h3_cell_to_parent(h3_latlng_to_cell(lat, lon, 12), 11)
),
gateways AS (
  SELECT id AS gateway, site, id AS device FROM devices WHERE "type" = 'gateway'
  UNION
  SELECT id AS gateway, site, unnest(links) AS device FROM devices WHERE "type" = 'gateway'
  UNION
  SELECT g.id AS gateway, l.site, l.device
  FROM (SELECT id AS device, site, unnest(links) AS linked FROM devices) l
  JOIN devices g ON g.id = l.linked AND g."type" = 'gateway'
),
turns AS (
  SELECT
    s.site, s.device, s.kind, s.lon, s.lat, s.cell, s.silence_s, s.last_seen, s."at" AS turned_at, s.state,
    g.gateway, coalesce(w.devices = 1, false) AS is_alone
  FROM absence('iot') s
  LEFT JOIN gateways g ON g.device = s.device AND g.site = s.site
  LEFT JOIN watched w ON w."type" = s.kind AND w.site = s.site AND w.cell = h3_cell_to_parent(s.cell, 11)
),
behind_gateways AS (
  SELECT
    *,
    count(*) OVER (
      PARTITION BY site, gateway ORDER BY turned_at
      RANGE BETWEEN $together PRECEDING AND INTERVAL '1 millisecond' PRECEDING
    ) AS before,
    count(*) OVER together AS silent,
    max(CASE WHEN is_alone THEN 1 ELSE 0 END) OVER together AS any_alone,
    row_number() OVER (PARTITION BY turned_at, site, gateway ORDER BY device) AS same_instant
  FROM turns
  WHERE gateway IS NOT NULL AND state = 'silent'
  WINDOW together AS (
    PARTITION BY site, gateway ORDER BY turned_at RANGE BETWEEN CURRENT ROW AND $together FOLLOWING
  )
)
SELECT
  device AS key, last_seen AS window_start, turned_at AS at, 'raise' AS transition,
  CASE WHEN is_alone THEN 2 ELSE 3 END AS priority,
  site, device, cell, lon, lat, kind AS m_type, silence_s AS m_silence_s, 1 AS m_devices
FROM turns
WHERE gateway IS NULL AND state = 'silent'
UNION ALL
SELECT
  CASE WHEN silent > 1 THEN gateway ELSE device END AS key, last_seen AS window_start, turned_at + $together AS at,
  'raise' AS transition,
  CASE WHEN any_alone = 1 THEN 2 ELSE 3 END AS priority,
  site, CASE WHEN silent > 1 THEN gateway ELSE device END AS device, cell, lon, lat,
  CASE WHEN silent > 1 THEN 'gateway' ELSE kind END AS m_type, silence_s AS m_silence_s, silent AS m_devices
FROM behind_gateways
WHERE before = 0 AND same_instant = 1
UNION ALL
SELECT
  device AS key, last_seen AS window_start, turned_at + $together AS at, 'return' AS transition, 3 AS priority,
  site, device, cell, lon, lat, kind AS m_type, silence_s AS m_silence_s, 1 AS m_devices
FROM turns
WHERE state = 'returned'
UNION ALL
SELECT
  gateway AS key, last_seen AS window_start, turned_at + $together AS at, 'return' AS transition, 3 AS priority,
  site, gateway AS device, cell, lon, lat, 'gateway' AS m_type, silence_s AS m_silence_s, 1 AS m_devices
FROM turns
WHERE state = 'returned' AND gateway <> device
