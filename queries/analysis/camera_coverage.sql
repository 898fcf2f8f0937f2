-- kind: analysis
-- title: Camera coverage of public areas (K8)
--
-- The share of each public zone's cells (resolution 12) inside the footprint of a camera that is in service and
-- did not last say that it is blind.
WITH said AS (
  SELECT
    camera, kind,
    row_number() OVER (PARTITION BY camera ORDER BY "time" DESC, "offset" DESC) AS nth
  FROM camera_alert
  WHERE kind IN ('online', 'offline', 'signal_loss', 'tamper_scene_change') AND status = 'actual'
),
healthy AS (
  SELECT d.id, d.footprint
  FROM devices d
  LEFT JOIN said s ON s.camera = d.id AND s.nth = 1
  WHERE d."type" = 'camera' AND d.in_service AND d.footprint IS NOT NULL AND coalesce(s.kind, 'online') = 'online'
),
seen AS (
  SELECT DISTINCT cell FROM (SELECT unnest(h3_polygon_wkt_to_cells(footprint, 12)) AS cell FROM healthy)
),
public AS (
  SELECT zone, name, unnest(h3_polygon_wkt_to_cells(wkt, 12)) AS cell FROM zones WHERE class = 'public'
)
SELECT
  p.zone, p.name,
  count(*) AS cells,
  count(s.cell) AS covered,
  round(count(s.cell) * 1.0 / count(*), 4) AS share
FROM public p
LEFT JOIN seen s ON s.cell = p.cell
GROUP BY p.zone, p.name
ORDER BY share, p.zone
