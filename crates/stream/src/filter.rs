//! Filters and projections: each row on its own, given as it comes.

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hexwatch_contract::Topic;

use crate::feed::{Feed, Source};
use crate::rows::{Changes, joined};
use crate::run::Run;

/// A query whose rows do not depend on each other.
#[derive(Debug)]
pub(crate) struct FilterQuery {
    run: Run,
    feeds: Vec<Feed>,
    found: Vec<RecordBatch>,
}

impl FilterQuery {
    pub(crate) fn new(run: Run, feeds: Vec<Feed>) -> Self {
        Self { run, feeds, found: Vec::new() }
    }

    /// The same query before its first row.
    pub(crate) fn renewed(self) -> Self {
        Self { found: Vec::new(), ..self }
    }

    /// Takes admitted rows.
    pub(crate) fn take(&mut self, topic: Topic, records: &RecordBatch) -> Result<()> {
        let mut any = false;
        for feed in &self.feeds {
            let passed = if feed.source == Source::Events(topic) { feed.pass(records)? } else { None };
            any |= passed.is_some();
            feed.slot.fill(passed.map(|passed| passed.rows().clone()).into_iter().collect());
        }
        if any {
            self.found.extend(self.run.collect()?);
        }
        Ok(())
    }

    /// Gives what was found since.
    pub(crate) fn advance(&mut self) -> Result<Option<Changes>> {
        if self.found.is_empty() {
            return Ok(None);
        }
        let rows = joined(&self.run.plan().schema(), &std::mem::take(&mut self.found))?;
        Ok(Some(Changes::of(rows)))
    }
}
