-- kind: analysis
-- title: Hot cells, and what makes them hot
--
-- The newest score of each cell that stands high or critical, one row for each term. The shares of a cell sum
-- exactly to its score.
WITH newest AS (
  SELECT *, row_number() OVER (PARTITION BY cell ORDER BY window_end DESC, rev DESC) AS nth
  FROM risk_cells
),
terms AS (
  SELECT cell, window_end, score, level, coverage, unnest(contrib) AS part
  FROM newest
  WHERE nth = 1 AND level IN ('high', 'critical')
)
SELECT
  cell, window_end, score, level, coverage,
  part['term'] AS term, part['share'] AS share, part['n'] AS n_events
FROM terms
ORDER BY score DESC, cell, share DESC, term
