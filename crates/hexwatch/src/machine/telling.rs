//! Which rows of views are still to be told to Kafka. A window of a hundred thousand cells closes at once, and each row has
//! a key, a note and a text: it is told a piece at a time, so that no alarm waits for all of it.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use hexwatch_contract::EventTime;
use hexwatch_stream::{Output, ViewRows};

use super::Machine;
use super::effect::Effect;

/// So many rows of views are told of at once: some milliseconds' work, which a press for help may have to wait for.
pub const ROWS_AT_ONCE: usize = 4_096;

/// What is to be told, in its order: the last row of a key counts.
#[derive(Default)]
pub(super) struct Telling {
    owed: VecDeque<Owed>,
    /// How many rows that are.
    rows: usize,
}

/// What is owed to Kafka of one view.
pub(super) enum Owed {
    /// Rows, that are complete up to a time.
    Rows(ViewRows, EventTime),
    /// Keys of rows that were told before a restart, and do not hold.
    Gone(Arc<str>, Vec<String>),
}

impl Owed {
    fn rows(&self) -> usize {
        match self {
            Self::Rows(rows, _) => rows.records.num_rows() + rows.withdrawn.num_rows(),
            Self::Gone(_, keys) => keys.len(),
        }
    }

    /// The first `most` rows, and the others.
    fn split(self, most: usize) -> (Self, Self) {
        match self {
            Self::Rows(rows, given) => {
                // Which rows are gone comes first, as it does where they are told at once.
                let (gone, gone_later) = halves(&rows.withdrawn, most);
                let (now, later) = halves(&rows.records, most - gone.num_rows());
                let part = |records, withdrawn| {
                    let view = Arc::clone(&rows.view);
                    Self::Rows(ViewRows { view, output: Output::Topic, records, withdrawn }, given)
                };
                (part(now, gone), part(later, gone_later))
            }
            Self::Gone(view, mut keys) => {
                let later = keys.split_off(most);
                (Self::Gone(Arc::clone(&view), keys), Self::Gone(view, later))
            }
        }
    }
}

fn halves(rows: &RecordBatch, at: usize) -> (RecordBatch, RecordBatch) {
    let at = at.min(rows.num_rows());
    (rows.slice(0, at), rows.slice(at, rows.num_rows() - at))
}

impl Telling {
    pub(super) fn push(&mut self, owed: Owed) {
        self.rows += owed.rows();
        self.owed.push_back(owed);
    }

    /// How many rows wait.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The next `most` rows, or as many as there are.
    pub(super) fn take(&mut self, most: usize) -> Vec<Owed> {
        let (mut taken, mut room) = (Vec::new(), most);
        while room > 0
            && let Some(owed) = self.owed.pop_front()
        {
            let rows = owed.rows();
            let now = if rows > room {
                let (now, later) = owed.split(room);
                self.owed.push_front(later);
                now
            } else {
                owed
            };
            self.rows -= now.rows();
            room -= now.rows();
            taken.push(now);
        }
        taken
    }
}

impl Machine {
    /// This machine, which tells of so many rows of views at once.
    #[must_use]
    pub fn telling_of(self, rows_at_once: usize) -> Self {
        Self { rows_at_once, ..self }
    }

    /// Whether rows of views are still to be told. Before that nothing is committed.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.telling.rows() > 0
    }

    /// Goes on with that for some milliseconds.
    pub fn tell_on(&mut self) -> Result<Vec<Effect>> {
        self.tell_of(self.rows_at_once)
    }

    /// Tells Kafka of the next `most` rows.
    pub(super) fn tell_of(&mut self, most: usize) -> Result<Vec<Effect>> {
        let mut effects = Vec::new();
        for owed in self.telling.take(most) {
            match owed {
                Owed::Rows(rows, given) => effects.extend(self.publish(rows, given)?),
                Owed::Gone(view, keys) => effects.push(Effect::Withdraw(view, keys)),
            }
        }
        Ok(effects)
    }

    /// Tells Kafka of rows, which are noted first where they may have to be taken back.
    fn publish(&self, rows: ViewRows, given: EventTime) -> Result<Vec<Effect>> {
        let mut effects = Vec::new();
        if !self.growing.contains(&rows.view) {
            let shape = self.shapes.get(&rows.view).cloned().unwrap_or_default();
            effects.push(Effect::Note(self.generation, shape.told(&rows, given)?));
        }
        effects.push(Effect::Publish(rows));
        Ok(effects)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray as _, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn rows(numbers: std::ops::Range<i64>) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    fn numbers(rows: &RecordBatch) -> Vec<i64> {
        rows["n"].as_primitive::<Int64Type>().values().to_vec()
    }

    /// What is told, one after the other: `-` before what is gone.
    fn told(owed: &[Owed]) -> Vec<String> {
        let texts = |owed: &Owed| match owed {
            Owed::Rows(rows, given) => {
                assert_eq!((&*rows.view, *given), ("v", EventTime::from_millis(7)));
                let gone = numbers(&rows.withdrawn).into_iter().map(|number| format!("-{number}"));
                gone.chain(numbers(&rows.records).iter().map(ToString::to_string)).collect::<Vec<_>>()
            }
            Owed::Gone(_, keys) => keys.iter().map(|key| format!("-{key}")).collect(),
        };
        owed.iter().flat_map(texts).collect()
    }

    fn telling() -> Telling {
        let mut telling = Telling::default();
        let view =
            |records, withdrawn| ViewRows { view: "v".into(), output: Output::Topic, records, withdrawn };
        telling.push(Owed::Rows(view(rows(10..15), rows(0..3)), EventTime::from_millis(7)));
        telling.push(Owed::Gone("v".into(), ["a", "b", "c"].map(str::to_owned).to_vec()));
        telling.push(Owed::Rows(view(rows(20..21), rows(0..0)), EventTime::from_millis(7)));
        telling
    }

    #[test]
    fn pieces_are_what_is_told_at_once_in_its_order() {
        let whole = told(&telling().take(usize::MAX));
        assert_eq!(whole.join(" "), "-0 -1 -2 10 11 12 13 14 -a -b -c 20");
        for most in 1..=whole.len() {
            let (mut telling, mut pieces) = (telling(), Vec::new());
            while telling.rows() > 0 {
                let before = telling.rows();
                let piece = told(&telling.take(most));
                assert_eq!((piece.len(), before - telling.rows()), (most.min(before), most.min(before)));
                pieces.extend(piece);
            }
            assert_eq!(pieces, whole, "{most} at a time");
            assert!(telling.take(most).is_empty());
        }
    }
}
