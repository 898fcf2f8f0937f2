//! The score of one cell in one window, and its parts.

use std::collections::BTreeMap;

use hexwatch_contract::EventTime;
use hexwatch_contract::risk::{Contribution, Hundredths};

use crate::pane::{Pane, TOP};
use crate::terms::Terms;

/// A score with the parts that sum exactly to it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Scored {
    pub(crate) score: Hundredths,
    pub(crate) contrib: Vec<Contribution>,
    pub(crate) n_events: u64,
}

/// Scores the window that ends at `end` and holds `panes`.
pub(crate) fn score(terms: &Terms, panes: &BTreeMap<EventTime, Pane>, end: EventTime) -> Scored {
    let mut contrib = parts(terms, panes, end);
    let sum = contrib.iter().map(|part| part.value * part.weight).sum();
    let score = terms.saturate(sum);
    share_out(score, sum, &mut contrib);
    let n_events = contrib.iter().map(|part| part.n).sum();
    Scored { score, contrib, n_events }
}

/// What each term that has events adds, in the order of the terms; the latest panes first, whose events weigh most.
fn parts(terms: &Terms, panes: &BTreeMap<EventTime, Pane>, end: EventTime) -> Vec<Contribution> {
    let mut parts: BTreeMap<usize, Contribution> = BTreeMap::new();
    for (pane, sums) in panes.range(end - terms.window.size..end).rev() {
        let age = end.since(*pane + terms.window.slide);
        for (index, sum) in sums.by_term() {
            let term = &terms.terms[*index];
            let part = parts.entry(*index).or_insert_with(|| Contribution {
                term: term.name.clone(),
                value: 0.0,
                weight: term.weight,
                share: Hundredths::default(),
                n: 0,
                top_inputs: Vec::new(),
            });
            part.value += sum.value(age, term.half_life);
            part.n += sum.n;
            let wanted = TOP - part.top_inputs.len();
            part.top_inputs.extend(sum.top().take(wanted));
        }
    }
    parts.into_values().collect()
}

/// Splits `score` among its parts in whole hundredths, by largest remainder: the parts sum exactly to it, and
/// none is off by a hundredth or more.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "parts lie within 0..=10,000")]
fn share_out(score: Hundredths, sum: f64, contrib: &mut [Contribution]) {
    if sum <= 0.0 {
        return;
    }
    let mut remainders = Vec::with_capacity(contrib.len());
    let mut left = score.0;
    for (index, part) in contrib.iter_mut().enumerate() {
        let exact = f64::from(score.0) * (part.value * part.weight / sum);
        part.share = Hundredths((exact.floor() as u32).min(left));
        left -= part.share.0;
        remainders.push((exact - exact.floor(), index));
    }
    remainders.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    for (_, index) in remainders.into_iter().cycle().take(left as usize) {
        contrib[index].share.0 += 1;
    }
}
