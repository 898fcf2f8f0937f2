//! How far apart the times behind one result row can lie: difference bounds, closed under paths.

use std::ops::Range;

/// No bound.
pub(super) const FAR: i64 = i64::MAX / 8;

/// A time behind a result row: of a scanned row, or derived from several.
pub(super) type Var = usize;

/// `most(a, b)` is the largest possible `a - b`, in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Distances {
    most: Vec<Vec<i64>>,
    /// Whether two bounds may be joined through this time. Not through one that a result row may do
    /// without, such as the missing side of a `NOT EXISTS`.
    certain: Vec<bool>,
    /// Whether a bound was noted or taken back since all were joined.
    is_open: bool,
}

impl Distances {
    pub(super) fn add(&mut self, certain: bool) -> Var {
        let var = self.most.len();
        for row in &mut self.most {
            row.push(FAR);
        }
        self.most.push(vec![FAR; var + 1]);
        self.most[var][var] = 0;
        self.certain.push(certain);
        var
    }

    pub(super) fn is_certain(&self, var: Var) -> bool {
        self.certain[var]
    }

    pub(super) fn len(&self) -> usize {
        self.most.len()
    }

    /// Takes back what a match with `optional` said of the distances among `kept`: a row of `kept` may
    /// have no such match. From now on `optional` is uncertain.
    pub(super) fn forget_match(&mut self, before: &Self, kept: Range<Var>, optional: Range<Var>) {
        for a in kept.clone() {
            let columns = kept.start..kept.end.min(before.most[a].len());
            self.most[a][columns.clone()].copy_from_slice(&before.most[a][columns]);
        }
        for var in optional {
            self.certain[var] = false;
        }
        self.is_open = true;
    }

    /// Notes that `a - b <= most`.
    pub(super) fn bound(&mut self, a: Var, b: Var, most: i64) {
        if a != b && most < self.most[a][b] {
            self.most[a][b] = most;
            self.is_open = true;
        }
    }

    /// Joins all bounds along paths.
    pub(super) fn close(&mut self) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        for through in (0..self.most.len()).filter(|var| self.certain[*var]) {
            let onward = self.most[through].clone();
            for from in &mut self.most {
                let there = from[through];
                if there < FAR {
                    for (most, onward) in from.iter_mut().zip(&onward) {
                        *most = (*most).min(plus(there, *onward));
                    }
                }
            }
        }
    }

    pub(super) fn most(&self, a: Var, b: Var) -> i64 {
        self.most[a][b]
    }
}

/// Adds bounds; no bound stays none.
pub(super) fn plus(a: i64, b: i64) -> i64 {
    if a >= FAR || b >= FAR { FAR } else { a + b }
}
