-- kind: analysis
-- title: Where doors deny most
--
-- Denials by cell, with the most frequent reason. How many persons it concerns is told from five on.
WITH denials AS (
  SELECT cell, coalesce(reason, 'none given') AS reason, credential_ref
  FROM access
  WHERE event = 'denied' AND status = 'actual' AND cell IS NOT NULL
),
reasons AS (
  SELECT cell, reason, row_number() OVER (PARTITION BY cell ORDER BY count(*) DESC, reason) AS nth
  FROM denials
  GROUP BY cell, reason
)
SELECT
  d.cell,
  count(*) AS denials,
  r.reason AS first_reason,
  CASE WHEN count(DISTINCT d.credential_ref) >= 5 THEN count(DISTINCT d.credential_ref) END AS persons
FROM denials d
JOIN reasons r ON r.cell = d.cell AND r.nth = 1
GROUP BY d.cell, r.reason
ORDER BY denials DESC, d.cell
