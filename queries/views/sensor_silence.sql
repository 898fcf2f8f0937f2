-- title: Sensors that fell silent, and when they were heard again
-- kind: view
-- key: device, last_seen, state
-- time: at
--
-- A sensor is silent after three of its expected intervals, but not before 90 s.
SELECT site, device, kind, cell, last_seen, silence_s, state, "at"
FROM absence('iot')
