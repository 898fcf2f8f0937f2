-- kind: analysis
-- title: Hot cells, and what makes them hot
--
-- The newest score of each cell that stands high or critical, one row for each term. The shares of a cell sum
-- exactly to its score.
WITH newest AS (
  SELECT cell, max(window_end) AS window_end FROM risk_cells GROUP BY cell
),
terms AS (
  SELECT r.cell, r.window_end, r.score, r.level, r.coverage, unnest(r.contrib) AS part
  FROM risk_cells r
  JOIN newest n ON n.cell = r.cell AND n.window_end = r.window_end
  WHERE r.level IN ('high', 'critical')
)
SELECT
  cell, window_end, score, level, coverage,
  part['term'] AS term, part['share'] AS share, part['n'] AS n_events
FROM terms
ORDER BY score DESC, cell, share DESC, term
