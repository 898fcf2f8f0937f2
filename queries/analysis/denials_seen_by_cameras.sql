-- kind: analysis
-- title: Denials with a person on camera next to them
-- param within: INTERVAL '60 seconds'
-- param min_score: 0.6
--
-- A denial, and what a camera in the same or a neighbouring cell reported of a human within a minute of it.
SELECT
  d."time" AS denied_at, d.access_point, d.reason, d.cell,
  c.camera, c.kind, c."time" AS seen_at,
  date_part('epoch', c."time") - date_part('epoch', d."time") AS seconds_after
FROM access d
JOIN camera_alert c
  ON c.site = d.site AND c."time" BETWEEN d."time" - $within AND d."time" + $within
WHERE d.event = 'denied' AND d.status = 'actual' AND c.status = 'actual'
  AND c.object_class = 'human' AND c.score >= $min_score
  AND h3_grid_distance(d.cell, c.cell) <= 1
ORDER BY denied_at, d.access_point, seen_at, c.camera
