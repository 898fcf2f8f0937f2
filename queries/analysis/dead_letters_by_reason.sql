-- kind: analysis
-- title: Records that could not be read, by reason
--
-- The newest message of each reason says what to mend at the source.
SELECT
  topic, stage, error_code, field,
  count(*) AS records,
  max(refused_at) AS last_at,
  last_value(message ORDER BY refused_at, "offset") AS last_message
FROM dead_letters
GROUP BY topic, stage, error_code, field
ORDER BY records DESC, topic, stage, error_code, field
