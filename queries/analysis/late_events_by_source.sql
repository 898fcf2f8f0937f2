-- kind: analysis
-- title: Records that came too late, by source
--
-- How far behind the watermark of their partition they were. A source that is always late needs a gateway that
-- sends sooner, or a longer lateness for its topic.
SELECT
  topic, site, source,
  count(*) AS records,
  count(DISTINCT device) AS devices,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY date_part('epoch', watermark) - date_part('epoch', "time")) AS behind_p50_s,
  max(date_part('epoch', watermark) - date_part('epoch', "time")) AS behind_max_s
FROM late_events
GROUP BY topic, site, source
ORDER BY records DESC, topic, site, source
