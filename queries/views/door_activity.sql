-- title: What a door does in 5 min
-- kind: view
-- key: site, device, window_start
-- time: window_end
--
-- Every minute, for each door or reader, the last five minutes.
SELECT
  site,
  device,
  window_start,
  window_end,
  count(*) AS events,
  count(*) FILTER (WHERE event = 'granted') AS granted,
  count(*) FILTER (WHERE event = 'denied') AS denied,
  max("time") AS last_at
FROM hop('access', INTERVAL '1 minute', INTERVAL '5 minutes')
WHERE status = 'actual'
GROUP BY site, device, window_start, window_end
