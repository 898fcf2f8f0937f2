-- title: Panic button
-- kind: rule
-- rule: R10
-- version: 1
-- class: panic
-- key: key, window_start, transition
-- time: at
-- emit: immediate
--
-- Every press is an alarm of its own, at once, whatever the button's state: the key is the record's own
-- source and id, so that the same press, sent again, is the same alarm, and two presses never share one.
-- A cancel is something that an operator must confirm, so it raises nothing and ends nothing. A test is no
-- press, whether the button says so (kind) or the record does (status).
SELECT
  source || '/' || id AS key,
  "time" AS window_start,
  "time" AS at,
  'raise' AS transition,
  1 AS priority,
  site,
  coalesce(button, device) AS device,
  cell,
  lon,
  lat,
  make_array(input(topic, "partition", "offset", id, 'press')) AS inputs,
  CASE WHEN kind = 'medical' THEN 'medical' ELSE 'panic' END AS class,
  status = 'exercise' AS drill,
  kind AS m_kind,
  press_seq AS m_press_seq,
  oddity AS m_oddity
FROM panic
WHERE kind NOT IN ('test', 'cancel') AND status <> 'test'
