//! A query that runs: one of the shapes, and how its results are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hexwatch_contract::{EventTime, Topic};
use hexwatch_sql::Output;

use crate::absence::Silences;
use crate::apart::Apart;
use crate::feed::Source;
use crate::filter::FilterQuery;
use crate::hit::Rule;
use crate::lookback::LookbackQuery;
use crate::pane::PaneQuery;
use crate::rows::Changes;
use crate::stocks::{Arrival, Stocks};

/// As what a query's rows are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    View(Output),
    Rule(Rule),
}

#[derive(Debug)]
pub(crate) enum Operator {
    Filter(FilterQuery),
    Panes(Box<PaneQuery>),
    Lookback(Box<LookbackQuery>),
}

/// What the results of a query rest on beside what it keeps itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grounds<'a> {
    pub(crate) stocks: &'a Stocks,
    pub(crate) silences: &'a BTreeMap<Topic, Silences>,
    /// Silences are seen up to here.
    pub(crate) known: EventTime,
    /// The time of the earliest row that waits outside to correct something.
    pub(crate) held: Option<EventTime>,
}

/// A planned query with its state.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) name: Arc<str>,
    pub(crate) told: Told,
    pub(crate) lateness: Option<Duration>,
    /// Whether its rows are told before the watermark has passed them.
    pub(crate) immediate: bool,
    /// Whether a row of it that was given stays, and never says again what it said before.
    pub(crate) only_grows: bool,
    pub(crate) sources: BTreeSet<Source>,
    pub(crate) operator: Operator,
}

impl Query {
    /// The same query before its first row.
    pub(crate) fn renewed(self) -> Self {
        let operator = match self.operator {
            Operator::Filter(query) => Operator::Filter(query.renewed()),
            Operator::Panes(query) => Operator::Panes(Box::new(query.renewed())),
            Operator::Lookback(query) => Operator::Lookback(Box::new(query.renewed())),
        };
        Self { operator, ..self }
    }

    /// Takes admitted rows of `topic`.
    pub(crate) fn take(&mut self, topic: Topic, records: &RecordBatch) -> Result<()> {
        if !self.sources.contains(&Source::Events(topic)) {
            return Ok(());
        }
        match &mut self.operator {
            Operator::Filter(query) => query.take(topic, records),
            Operator::Panes(query) => query.take(topic, records),
            // Its rows are kept in the stocks of its group.
            Operator::Lookback(_) => Ok(()),
        }
    }

    /// Whether what it needs of the past are the rows that its group keeps.
    pub(crate) fn looks_back(&self) -> bool {
        matches!(self.operator, Operator::Lookback(_))
    }

    /// Whether its rows are given as they come, whatever else is known.
    pub(crate) fn waits_for_nothing(&self) -> bool {
        matches!(self.operator, Operator::Filter(_))
    }

    /// Whether it is a rule whose finds follow from one row each.
    pub(crate) fn is_rule_of_single_rows(&self) -> bool {
        self.waits_for_nothing() && matches!(self.told, Told::Rule(_))
    }

    /// The parts of it whose rows fall apart, where rows are kept for them.
    pub(crate) fn parts(&self) -> &[Apart] {
        match &self.operator {
            Operator::Lookback(query) => query.parts(),
            Operator::Filter(_) | Operator::Panes(_) => &[],
        }
    }

    /// Takes note of rows that came into a stock of its group.
    pub(crate) fn note(&mut self, arrival: &Arrival) {
        if let Operator::Lookback(query) = &mut self.operator {
            query.note(arrival);
        }
    }

    /// Takes note that silences of `topic` changed at `times`.
    pub(crate) fn touch_silences(&mut self, topic: Topic, times: &[i64]) {
        if let Operator::Lookback(query) = &mut self.operator {
            query.touch_silences(topic, times);
        }
    }

    /// Gives what `watermark` completes and what came meanwhile changed.
    pub(crate) fn advance(&mut self, watermark: EventTime, grounds: Grounds<'_>) -> Result<Option<Changes>> {
        match &mut self.operator {
            Operator::Filter(query) => query.advance(),
            Operator::Panes(query) => query.advance(watermark.micros()),
            Operator::Lookback(query) => query.advance(watermark.micros(), grounds),
        }
    }

    /// Gives what the rows correct that came since, and nothing beyond what was given.
    pub(crate) fn correct(&mut self, grounds: Grounds<'_>) -> Result<Option<Changes>> {
        match &mut self.operator {
            Operator::Filter(_) | Operator::Panes(_) => Ok(None),
            Operator::Lookback(query) => query.correct(grounds),
        }
    }

    /// How many rows its runs have looked at; 0 where it keeps none.
    pub(crate) fn looked_at(&self) -> u64 {
        match &self.operator {
            Operator::Filter(_) | Operator::Panes(_) => 0,
            Operator::Lookback(query) => query.looked_at,
        }
    }

    /// How far before its result time a row may look, beyond the correction horizon, in microseconds.
    pub(crate) fn span(&self) -> i64 {
        match &self.operator {
            Operator::Filter(_) => 0,
            Operator::Panes(query) => query.span(),
            Operator::Lookback(query) => query.span(),
        }
    }

    /// Rows admitted on time that came after everything they could change was settled: their partition
    /// had been idle for longer than the correction horizon.
    pub(crate) fn uncorrected(&self) -> u64 {
        match &self.operator {
            Operator::Filter(_) => 0,
            Operator::Panes(query) => query.uncorrected,
            Operator::Lookback(query) => query.uncorrected,
        }
    }
}
