//! What happened in one cell in one pane, small enough to keep, exact enough to add up in any order. There are millions: of
//! a hundred thousand busy cells each has one for every slide of the time that still counts or is corrected.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::Input;

/// How many inputs a contribution names.
pub(crate) const TOP: usize = 5;

/// One fresh event, in the integers that masses are added in: integer sums do not depend on the order.
const ONE: f64 = 4_294_967_296.0;

/// What many inputs have in common: their Kafka topic, and what they are to the score.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Source {
    topic: String,
    role: String,
}

/// The sources of a term's inputs: one, as a rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Vec<Arc<Source>>);

impl Sources {
    fn of(&mut self, topic: String, role: String) -> Arc<Source> {
        let known = self.0.iter().find(|source| source.topic == topic && source.role == role);
        known.cloned().unwrap_or_else(|| {
            let source = Arc::new(Source { topic, role });
            self.0.push(Arc::clone(&source));
            source
        })
    }
}

/// An input, without what it shares with others.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    time: EventTime,
    source: Arc<Source>,
    partition: i32,
    offset: i64,
    id: Box<str>,
}

impl Kept {
    pub(crate) fn of(time: EventTime, input: Input, sources: &mut Sources) -> Self {
        let Input { topic, partition, offset, id, role } = input;
        Self { time, source: sources.of(topic, role), partition, offset, id: id.into() }
    }

    /// The latest come first, and of one time those that an [`Input`]'s order puts first.
    fn rank(&self) -> (Reverse<EventTime>, &str, i32, i64, &str, &str) {
        let Source { topic, role } = &*self.source;
        (Reverse(self.time), topic, self.partition, self.offset, &self.id, role)
    }

    fn input(&self) -> Input {
        Input {
            topic: self.source.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            id: self.id.to_string(),
            role: self.source.role.clone(),
        }
    }
}

/// The events of one term in one pane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    /// The decayed number of events at the pane's end, in units of 1/[`ONE`].
    mass: u64,
    pub(crate) n: u64,
    /// The latest, which weigh most, latest first.
    top: Vec<Kept>,
}

/// The events of one cell in one pane, by term.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pane(Vec<(usize, Sum)>);

impl Pane {
    /// The events of each term that has some.
    pub(crate) fn by_term(&self) -> &[(usize, Sum)] {
        &self.0
    }

    /// The events of `term`, to add some.
    pub(crate) fn of_term(&mut self, term: usize) -> &mut Sum {
        let place = self.0.binary_search_by_key(&term, |(term, _)| *term).unwrap_or_else(|place| {
            // One or two terms are all that most panes ever have.
            self.0.reserve_exact(1);
            self.0.insert(place, (term, Sum::default()));
            place
        });
        &mut self.0[place].1
    }
}

impl Sum {
    /// Adds an event that lies `age` before the pane's end.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=2^32")]
    pub(crate) fn add(&mut self, age: Duration, half_life: Duration, input: Kept) {
        self.mass = self.mass.saturating_add((decay(age, half_life) * ONE).round() as u64);
        self.n += 1;
        let place = self.top.partition_point(|known| known.rank() < input.rank());
        if place < TOP {
            self.top.truncate(TOP - 1);
            self.top.reserve_exact(1);
            self.top.insert(place, input);
        }
    }

    /// The decayed number of events, `age` after the pane's end.
    pub(crate) fn value(&self, age: Duration, half_life: Duration) -> f64 {
        self.mass as f64 / ONE * decay(age, half_life)
    }

    /// The inputs that weigh most, heaviest first.
    pub(crate) fn top(&self) -> impl Iterator<Item = Input> {
        self.top.iter().map(Kept::input)
    }
}

/// What is left of one event after `age`.
fn decay(age: Duration, half_life: Duration) -> f64 {
    (-age.as_secs_f64() / half_life.as_secs_f64()).exp2()
}
