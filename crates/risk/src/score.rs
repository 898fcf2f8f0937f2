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
    let start = end - terms.window.size;
    let mut contrib: Vec<Contribution> = Vec::new();
    for (index, term) in terms.terms.iter().enumerate() {
        let sums = panes.range(start..end).filter_map(|(pane, sums)| Some((*pane, sums.get(&index)?)));
        let (mut value, mut n, mut top_inputs) = (0.0, 0, Vec::new());
        for (pane, sum) in sums.rev() {
            value += sum.value(end.since(pane + terms.window.slide), term.half_life);
            n += sum.n;
            let wanted = TOP - top_inputs.len();
            top_inputs.extend(sum.top().take(wanted).cloned());
        }
        if n > 0 {
            let share = Hundredths::default();
            contrib.push(Contribution {
                term: term.name.clone(),
                value,
                weight: term.weight,
                share,
                n,
                top_inputs,
            });
        }
    }
    let sum = contrib.iter().map(|part| part.value * part.weight).sum();
    let score = terms.saturate(sum);
    share_out(score, sum, &mut contrib);
    let n_events = contrib.iter().map(|part| part.n).sum();
    Scored { score, contrib, n_events }
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
