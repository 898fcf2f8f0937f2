-- title: Duress code at a reader
-- kind: rule
-- rule: R10
-- version: 1
-- class: panic
-- key: key, window_start, transition
-- time: at
-- emit: immediate
--
-- Somebody opens a door under threat and says so with a second code: to the plan this is a press (R10), and it
-- is told like one. The reader's name stands for the button's.
SELECT
  source || '/' || id AS key,
  "time" AS window_start,
  "time" AS at,
  'raise' AS transition,
  1 AS priority,
  site,
  coalesce(access_point, device) AS device,
  cell,
  lon,
  lat,
  make_array(input(topic, "partition", "offset", id, 'duress')) AS inputs,
  status = 'exercise' AS drill,
  'duress' AS m_kind
FROM access
WHERE event = 'duress' AND status <> 'test'
