//! For how long rows that give nothing matter to others: what is older may be forgotten, although a query may look back
//! further, because it does so from rows that are rare.
//!
//! The rows of a shard up to some moment are known, and none of them gives a row. Take one of them away, and ask which
//! later row could tell. It is seen by a window function of later rows within its frame; what that changes in an
//! ordinary row is seen by the next window function again, but only where it hands on a value of ordinary rows at all:
//! `max(CASE WHEN is_active THEN time END)` is blind to them. So frames add up over the functions that see ordinary rows,
//! and over no others; a row older than their sum changes nothing that comes.
//!
//! No function may look ahead: then an ordinary row of the past has ordinary rows about it alone, and what is known of
//! it holds whatever is still to come.

use datafusion::common::JoinType;

use super::{Columns, Function, Node, Windowed, either, joined};
use crate::possible::Known;

/// No bound, in microseconds; sums of a few do not overflow.
pub(crate) const FAR: i64 = i64::MAX / 64;

impl Node {
    /// What is known of the ordinary rows that it gives, as [`Node::gives`] says, and for how long, in microseconds, an
    /// ordinary row matters to later rows that it gives.
    pub(super) fn lasting(&self, scanned: &dyn Fn(usize, usize) -> Columns) -> (Columns, i64) {
        match self {
            Self::Scan { .. } | Self::Fixed(_) => (self.gives(scanned), 0),
            Self::Unknown(_) => (self.gives(scanned), FAR),
            Self::Unfollowed(input, columns) => {
                let (rows, lasting) = input.lasting(scanned);
                (rows.map(|_| vec![Known::ANYTHING; *columns]), lasting)
            }
            Self::Filter(input, predicate) => {
                let (rows, lasting) = input.lasting(scanned);
                (rows.filter(|columns| predicate.over(columns).may_be_true()), lasting)
            }
            Self::Project(input, exprs) => {
                let (rows, lasting) = input.lasting(scanned);
                (rows.map(|columns| exprs.iter().map(|expr| expr.over(&columns)).collect()), lasting)
            }
            Self::Window(input, functions) => {
                let (rows, lasting) = input.lasting(scanned);
                let Some(mut columns) = rows else { return (None, lasting) };
                // Of one that looks ahead it does not help that it is blind: what comes may be what it looks for.
                let frame = |windowed: &Windowed| match windowed.back {
                    Some(back) if windowed.function.sees(&columns) => back,
                    Some(_) => 0,
                    None => FAR,
                };
                let frame = functions.iter().map(frame).max().unwrap_or(0);
                let more: Vec<Known> =
                    functions.iter().map(|windowed| windowed.function.over(&columns)).collect();
                columns.extend(more);
                (Some(columns), far(lasting, frame))
            }
            Self::Group { input, .. } => {
                let (rows, lasting) = input.lasting(scanned);
                let lasting = if rows.is_some() { FAR } else { lasting };
                (self.gives(scanned), lasting)
            }
            Self::Join { kind, left, right, condition, lag } => {
                let (left_rows, left_lasting) = left.lasting(scanned);
                let (right_rows, right_lasting) = right.lasting(scanned);
                let lasting = match (left.is_live(), right.is_live()) {
                    (false, false) => 0,
                    (true, false) if hands_on_left(*kind) => left_lasting,
                    (false, true) if matches!(kind, JoinType::Inner | JoinType::Right) => right_lasting,
                    // Whatever the right side has, its left rows are all that it can give.
                    (true, true) if *kind == JoinType::LeftAnti => {
                        left_lasting.max(far(right_lasting, lag.unwrap_or(FAR)))
                    }
                    _ => FAR,
                };
                let widths = (left.columns(), right.columns());
                (joined(*kind, left_rows, right_rows, widths, condition.as_ref()), lasting)
            }
            Self::Union(inputs) => {
                let inputs: Vec<_> = inputs.iter().map(|input| input.lasting(scanned)).collect();
                let lasting = inputs.iter().map(|(_, lasting)| *lasting).max().unwrap_or(0);
                (inputs.into_iter().filter_map(|(rows, _)| rows).reduce(either), lasting)
            }
        }
    }

    /// The column with the time of the live row that a row is, where it is one.
    pub(super) fn time(&self) -> Option<usize> {
        match self {
            Self::Scan { time, .. } => *time,
            Self::Filter(input, _) | Self::Window(input, _) => input.time(),
            Self::Project(input, exprs) => {
                let time = input.time()?;
                exprs.iter().position(|expr| expr.is_column(time))
            }
            Self::Join { kind, left, right, .. } => match (left.is_live(), right.is_live()) {
                (true, false) if hands_on_left(*kind) => left.time(),
                (true, true) if *kind == JoinType::LeftAnti => left.time(),
                (false, true) if matches!(kind, JoinType::Inner | JoinType::Right) => {
                    right.time().map(|time| left.columns() + time)
                }
                _ => None,
            },
            Self::Union(inputs) => {
                let times: Vec<_> = inputs.iter().map(Self::time).collect();
                times
                    .first()
                    .copied()
                    .flatten()
                    .filter(|first| times.iter().all(|time| *time == Some(*first)))
            }
            Self::Fixed(_) | Self::Unknown(_) | Self::Unfollowed(..) | Self::Group { .. } => None,
        }
    }

    /// Whether its rows hang on what comes in.
    fn is_live(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Scan { .. } | Self::Unknown(_) => true,
            Self::Unfollowed(input, _)
            | Self::Filter(input, _)
            | Self::Project(input, _)
            | Self::Window(input, _)
            | Self::Group { input, .. } => input.is_live(),
            Self::Join { left, right, .. } => left.is_live() || right.is_live(),
            Self::Union(inputs) => inputs.iter().any(Self::is_live),
        }
    }
}

impl Function {
    /// Whether what it gives may hang on rows of which `columns` is known.
    fn sees(&self, columns: &[Known]) -> bool {
        match self {
            Self::Count(arguments) => arguments.iter().all(|argument| argument.over(columns).is_value()),
            Self::Extreme(argument) => argument.over(columns).is_value(),
            Self::Member(_) | Self::Ordinal | Self::Unfollowed => true,
        }
    }
}

/// Whether each row that the join gives is one of its left rows, with what the right side has for it.
fn hands_on_left(kind: JoinType) -> bool {
    matches!(
        kind,
        JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
    )
}

fn far(lasting: i64, more: i64) -> i64 {
    lasting.saturating_add(more).min(FAR)
}
