-- title: Who was seen when a door said no
-- kind: view
-- key: denied_id, seen_id
-- time: at
--
-- Each denial with every human that a camera in the same cell sees within 30 s of it, in either order.
-- With `site` and `cell` in its rows they fall apart by cell: for a late record the engine looks at its own cell alone.
SELECT
  a.site,
  a.cell,
  a.device AS door,
  a.id AS denied_id,
  a."time" AS denied_at,
  c.camera,
  c.id AS seen_id,
  c."time" AS seen_at,
  c.score,
  greatest(a."time", c."time") AS at
FROM access a
JOIN camera_alert c
  ON c.site = a.site AND c.cell = a.cell
  AND c."time" BETWEEN a."time" - INTERVAL '30 seconds' AND a."time" + INTERVAL '30 seconds'
WHERE a.event = 'denied' AND c.object_class = 'human'
