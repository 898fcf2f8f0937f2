-- title: Events per cell in 10 s
-- kind: view
-- output: topic
-- key: cell, window_start
-- time: window_end
--
-- The heat job: everything that is reported, by res-11 cell. Rows without a place are left out.
SELECT
  h3_cell_to_parent(cell, 11) AS cell,
  date_bin(INTERVAL '10 seconds', "time") AS window_start,
  date_bin(INTERVAL '10 seconds', "time") + INTERVAL '10 seconds' AS window_end,
  count(*) AS events
FROM (
  SELECT cell, "time" FROM access
  UNION ALL SELECT cell, "time" FROM camera_alert
  UNION ALL SELECT cell, "time" FROM iot
  UNION ALL SELECT cell, "time" FROM panic
  UNION ALL SELECT cell, "time" FROM patrol
  UNION ALL SELECT cell, "time" FROM dispatch
)
WHERE cell IS NOT NULL
GROUP BY h3_cell_to_parent(cell, 11), date_bin(INTERVAL '10 seconds', "time")
