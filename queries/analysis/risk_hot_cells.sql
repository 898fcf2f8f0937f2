-- kind: analysis
-- title: Hot cells, and what makes them hot
--
-- The newest score of each cell that stands high or critical, one row for each term. The shares of a cell sum
-- exactly to its score.
WITH newest AS (
  SELECT cell, max(window_end) AS window_end FROM risk_cells GROUP BY cell
),
scores AS (
  SELECT r.*, row_number() OVER (PARTITION BY r.cell ORDER BY r.rev DESC) AS nth
  FROM newest n
  JOIN risk_cells r ON r.cell = n.cell AND r.window_end = n.window_end
),
terms AS (
  SELECT cell, window_end, score, level, coverage, unnest(contrib) AS part
  FROM scores
  WHERE nth = 1 AND level IN ('high', 'critical')
)
SELECT
  cell, window_end, score, level, coverage,
  part['term'] AS term, part['share'] AS share, part['n'] AS n_events
FROM terms
ORDER BY score DESC, cell, share DESC, term
