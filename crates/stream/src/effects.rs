//! What a step did.

use std::sync::Arc;

use arrow::array::RecordBatch;
use hexwatch_contract::alarm::RuleHit;
use hexwatch_contract::{Account, EventBatch, EventTime, Topic};
use hexwatch_sql::Output;

/// What a step did. The caller hands it on; nothing in it is kept by the engine.
#[derive(Debug, Default)]
pub struct Effects {
    /// Rows that count, on time or correcting, for the event tables.
    pub admitted: Vec<EventBatch>,
    /// Rows too late to correct anything, for `late_events`.
    pub late: Vec<EventBatch>,
    /// Rows that count, and are not `admitted` by this step: those read again after a restart were before it, those that
    /// wait meanwhile will be. What they say of devices is known from now on: rules may have told of the ones already,
    /// and late rows lie before the others.
    pub known: Vec<EventBatch>,
    /// What the chunks taken add to the accounts; read again after a restart they add nothing.
    pub accounts: Vec<(Topic, Account)>,
    /// What rules found.
    pub hits: Vec<RuleHit>,
    /// What rules that look at single rows found in rows that wait. They come among `hits` later, but for those of
    /// records that turn out to have come before: whoever knows their alarms has nothing to learn of them.
    pub hits_ahead: Vec<RuleHit>,
    /// Hits given before that no longer hold, because a late row took away what they stood on.
    pub withdrawn_hits: Vec<RuleHit>,
    /// Hits given before a restart that can still be corrected. They are not to be told again.
    pub recalled: Vec<RuleHit>,
    /// What views gave.
    pub rows: Vec<ViewRows>,
    /// What views had given before a restart to a topic. It is told again only where something else was told since.
    pub rebuilt: Vec<Rebuilt>,
    /// Up to here every query has given, where that has moved.
    pub watermark: Option<EventTime>,
    /// The merged watermark, where it moved. Up to here the queries have given whose rows wait for nothing; the others
    /// may still be at it.
    pub filtered: Option<EventTime>,
    /// Whether the hits follow from rows beyond the point to which everything is being brought: those rows are in no
    /// checkpoint of that point, and a restart there finds the hits again.
    pub is_beyond: bool,
}

impl Effects {
    /// Adds what a later step did.
    pub fn extend(&mut self, later: Self) {
        self.admitted.extend(later.admitted);
        self.late.extend(later.late);
        self.known.extend(later.known);
        self.accounts.extend(later.accounts);
        self.hits.extend(later.hits);
        self.hits_ahead.extend(later.hits_ahead);
        self.withdrawn_hits.extend(later.withdrawn_hits);
        self.recalled.extend(later.recalled);
        self.rows.extend(later.rows);
        self.rebuilt.extend(later.rebuilt);
        self.watermark = later.watermark.or(self.watermark);
        self.filtered = later.filtered.or(self.filtered);
        self.is_beyond |= later.is_beyond;
    }
}

/// Rows of a view. A corrected row comes again with the same key, and the last one counts.
#[derive(Clone, Debug)]
pub struct ViewRows {
    /// The view's name.
    pub view: Arc<str>,
    /// Where they go.
    pub output: Output,
    /// New and corrected rows.
    pub records: RecordBatch,
    /// Rows given before whose key has no row any more.
    pub withdrawn: RecordBatch,
}

/// What a view had given before a restart, as far as it can still be corrected.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// The view's name.
    pub view: Arc<str>,
    /// Rows whose result time lies before this may be lacking: nothing changes them any more.
    pub from: EventTime,
    /// Its rows.
    pub records: Vec<RecordBatch>,
}
