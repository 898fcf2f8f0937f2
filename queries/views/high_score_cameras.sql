-- title: What cameras are sure of
-- kind: view
-- key: site, camera, id
-- time: time
SELECT site, camera, id, kind, object_class, score, cell, "time"
FROM camera_alert
WHERE score >= 0.9 AND status = 'actual'
