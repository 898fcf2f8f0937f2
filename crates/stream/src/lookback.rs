//! Joins, sequences and absences by bounded lookback: when rows come or the watermark moves, the query
//! runs again over the rows that can still matter, and what it gives for the result times in question
//! replaces what was given before. Duplicates and corrections come out right because nothing is patched.
//!
//! Rows are kept once for all scans that let the same ones through ([`Lanes`]). Those that can matter are fewer than
//! those within the lookback: where a part of the query falls apart by [shards](crate::shard), those that [can give no
//! row](crate::possible) are left out, and a query that speaks at once looks only at those in which rows came.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hexwatch_contract::Topic;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::absence::Silences;
use crate::dirty::Dirty;
use crate::feed::{Feed, Passed, Source};
use crate::lanes::Lanes;
use crate::pane::Telling;
use crate::possible::{Known, Outline, Sights};
use crate::reach::Reach;
use crate::rows::{Changes, Emitted, joined, within};
use crate::run::Run;
use crate::shard::{Part, Shard, ShardKey};

/// Result times are completed in steps of this width, in microseconds: a run has a price of its own.
const STEP: i64 = 250_000;
/// What is out of reach is dropped in steps of this width, in microseconds.
const DROP_STEP: i64 = 5_000_000;

/// A query whose rows look back a bounded time.
#[derive(Debug)]
pub(crate) struct LookbackQuery {
    run: Run,
    outline: Outline,
    lanes: Lanes,
    parts: Vec<Apart>,
    telling: Telling,
    reach: Reach,
    /// The column of the result time.
    at: usize,
    emitted: Emitted,
    /// Result times up to here have been given.
    closed: i64,
    /// Result times whose rows may have changed.
    dirty: Dirty,
    /// By what all its rows fall apart, and then its only part is the whole. A query that waits for the watermark does
    /// not ask: time passes for all of them.
    shard_key: Option<ShardKey>,
    /// Rows before this come too late to correct anything.
    frozen: i64,
    dropped: i64,
    /// Rows that did.
    pub(crate) uncorrected: u64,
}

/// A part of the query whose rows fall apart, and which of its shards can give a row.
#[derive(Debug)]
struct Apart {
    sights: Sights,
    /// The shards in which rows came since the last run, with the earliest and the latest time of them.
    came: FxHashMap<Shard, (i64, i64)>,
    /// The shards to look at in a run; `None` for all.
    among: Option<FxHashSet<Shard>>,
}

/// A lookback query in planning.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) run: Run,
    pub(crate) outline: Outline,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) parts: Vec<Part>,
    pub(crate) shard_key: Option<ShardKey>,
    pub(crate) telling: Telling,
    pub(crate) reach: Reach,
    /// The column of the result time.
    pub(crate) at: usize,
}

/// Before every result time, in microseconds.
const START: i64 = i64::MIN / 4;

impl LookbackQuery {
    pub(crate) fn new(plan: Plan) -> Self {
        let span = plan.reach.back.saturating_add(plan.reach.ahead).saturating_add(plan.telling.horizon);
        Self {
            lanes: Lanes::new(plan.feeds, &plan.parts, span),
            parts: plan.parts.into_iter().map(Apart::of).collect(),
            run: plan.run,
            outline: plan.outline,
            shard_key: plan.shard_key.filter(|_| plan.telling.immediate),
            dirty: Dirty::new(plan.reach.back.saturating_add(plan.reach.ahead)),
            telling: plan.telling,
            reach: plan.reach,
            at: plan.at,
            emitted: Emitted::default(),
            closed: START,
            frozen: START,
            dropped: START,
            uncorrected: 0,
        }
    }

    /// The same query before its first row.
    pub(crate) fn renewed(self) -> Self {
        let dirty = Dirty::new(self.span());
        let span = self.span().saturating_add(self.telling.horizon);
        let parts = self.parts.into_iter().map(Apart::renewed);
        Self {
            lanes: self.lanes.renewed(span),
            parts: parts.collect(),
            emitted: Emitted::default(),
            closed: START,
            dirty,
            frozen: START,
            dropped: START,
            uncorrected: 0,
            ..self
        }
    }

    /// How far the rows behind one result can lie apart, in microseconds.
    pub(crate) fn span(&self) -> i64 {
        self.reach.back.saturating_add(self.reach.ahead)
    }

    /// Takes admitted rows.
    pub(crate) fn take(&mut self, topic: Topic, records: &RecordBatch) -> Result<()> {
        for stock in 0..self.lanes.stocks() {
            let Some(passed) = self.lanes.sift(stock, topic, records)? else { continue };
            let rows = passed.rows().num_rows();
            let Some(passed) = passed.between(self.frozen, i64::MAX)? else {
                self.uncorrected += rows as u64;
                continue;
            };
            self.uncorrected += (rows - passed.rows().num_rows()) as u64;
            if passed.shards.is_none() {
                self.touch(passed.earliest, passed.latest);
            }
            for scan in self.lanes.of_stock(stock) {
                if let Some(part) = scan.part {
                    self.parts[part].note(scan.number(), &passed.project(&scan.places)?);
                }
            }
            self.lanes.keep(stock, passed)?;
        }
        Ok(())
    }

    /// Notes that the silences at `times` came, went or moved.
    pub(crate) fn touch_silences(&mut self, topic: Topic, times: &[i64]) {
        if self.lanes.read(Source::Absence(topic)) {
            let frozen = self.frozen;
            for time in times.iter().filter(|time| **time >= frozen) {
                self.touch(*time, *time);
            }
        }
    }

    /// Rows within `[from, to]` can change the results that see them.
    fn touch(&mut self, from: i64, to: i64) {
        let from = from.saturating_sub(self.reach.ahead);
        let seen_until = to.saturating_add(self.reach.back);
        let to = if self.telling.immediate { seen_until } else { seen_until.min(self.closed) };
        if from <= to {
            self.dirty.add(from, to);
        }
    }

    /// Gives what `watermark` completes, and what late rows correct. Silences are seen up to `known`.
    pub(crate) fn advance(
        &mut self,
        watermark: i64,
        silences: &BTreeMap<Topic, Silences>,
        known: i64,
    ) -> Result<Option<Changes>> {
        let only_came = self.shard_key.is_some();
        for index in 0..self.parts.len() {
            if let Some((from, to)) = self.parts[index].choose(only_came) {
                self.touch(from, to);
            }
        }
        if !self.telling.immediate {
            let complete = watermark.div_euclid(STEP) * STEP;
            if complete > self.closed {
                self.dirty.add(self.closed + 1, complete);
                self.closed = complete;
            }
        }
        let ranges = self.dirty.take();
        let told = self.evaluate(&ranges, silences, known)?;
        self.drop_before(watermark);
        Ok(told.filter(|told| !told.is_empty()))
    }

    /// Looks anew at the result times in `ranges`.
    fn evaluate(
        &mut self,
        ranges: &[(i64, i64)],
        silences: &BTreeMap<Topic, Silences>,
        known: i64,
    ) -> Result<Option<Changes>> {
        let mut batches = Vec::new();
        let mut may_give = false;
        for range in ranges {
            if self.fill(*range, silences, known)? {
                may_give = true;
                for batch in self.run.collect()? {
                    // What lies outside the range did not have all its rows to look at.
                    batches.push(within(&batch, self.at, *range)?);
                }
            }
        }
        self.lanes.empty_slots();
        if !may_give && !ranges.iter().any(|(from, to)| self.emitted.any(*from, *to)) {
            return Ok(None);
        }
        let rows = joined(&self.run.plan().schema(), &batches)?;
        let shards = self.shard_key.as_ref().map(|key| key.of_given(&rows)).transpose()?;
        let looked_at = self.parts.first().and_then(|part| part.among.as_ref());
        let among = shards.as_deref().zip(looked_at);
        Ok(Some(self.emitted.replace(&rows, self.at, &self.telling.key, ranges, among)?))
    }

    /// Fills the slots for results within `[from, to]`; returns whether there can be any.
    fn fill(&self, (from, to): (i64, i64), silences: &BTreeMap<Topic, Silences>, known: i64) -> Result<bool> {
        let (back, ahead) = (from.saturating_sub(self.reach.back), to.saturating_add(self.reach.ahead));
        let among = |part: usize| self.parts[part].among.as_ref();
        let silent = |topic: Topic| -> Result<Option<RecordBatch>> {
            Ok(silences.get(&topic).map(|silences| silences.between(back, ahead.min(known))).transpose()?)
        };
        let filled = self.lanes.fill((back, ahead), among, silent)?;
        let scanned = |number, width| filled.contains(&number).then(|| vec![Known::ANYTHING; width]);
        Ok(!filled.is_empty() && self.outline.may_give(&scanned))
    }

    fn drop_before(&mut self, watermark: i64) {
        self.frozen = self.frozen.max(watermark.saturating_sub(self.telling.horizon));
        if self.frozen.saturating_sub(self.dropped) < DROP_STEP {
            return;
        }
        self.dropped = self.frozen;
        let first = self.frozen.saturating_sub(self.reach.ahead);
        self.emitted.drop_before(first);
        let floor = first.saturating_sub(self.reach.back);
        self.lanes.drop_before(floor);
        self.parts.iter_mut().for_each(|part| part.sights.forget_before(floor));
    }
}

impl Apart {
    fn of(part: Part) -> Self {
        let sights = Sights::new(part.outline, part.scans);
        Self { sights, came: FxHashMap::default(), among: None }
    }

    fn renewed(self) -> Self {
        Self { sights: self.sights.renewed(), came: FxHashMap::default(), among: None }
    }

    /// Takes note of rows of the scan with this number.
    fn note(&mut self, scan: usize, passed: &Passed) {
        let Some(shards) = &passed.shards else { return };
        self.sights.note(scan, shards, passed.rows(), passed.latest);
        for group in shards.groups() {
            let times = || group.iter().map(|(_, row)| passed.time(*row));
            let (first, last) = (times().min().unwrap_or(i64::MAX), times().max().unwrap_or(i64::MIN));
            let came = self.came.entry(group[0].0).or_insert((first, last));
            *came = (came.0.min(first), came.1.max(last));
        }
    }

    /// Chooses the shards of the next run: of those that can give a row all, or those alone in which rows came. Returns
    /// the earliest and the latest time of the rows that came in them; what came in others gives nothing, with those
    /// rows as without them.
    fn choose(&mut self, only_came: bool) -> Option<(i64, i64)> {
        let possible = self.sights.possible();
        let mut came = std::mem::take(&mut self.came);
        came.retain(|shard, _| possible.is_none_or(|possible| possible.contains(shard)));
        self.among = if only_came { Some(came.keys().copied().collect()) } else { possible.cloned() };
        came.into_values().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure")]

    use std::path::Path;

    use arrow::json::ReaderBuilder;
    use hexwatch_contract::{catalog, event};
    use hexwatch_sql::QueryFile;
    use serde_json::{Value, json};

    use super::*;
    use crate::planner::Planner;
    use crate::query::Operator;
    use crate::spec::Spec;

    const MINUTE: i64 = 60_000_000;

    fn rule(name: &str) -> LookbackQuery {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../queries/rules/{name}.sql"));
        let text = std::fs::read_to_string(path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let devices = RecordBatch::new_empty(catalog::devices());
        let planner = Planner {
            runtime: std::sync::Arc::new(runtime),
            reference: BTreeMap::from([("devices".to_owned(), devices)]),
            horizon: 10 * MINUTE,
        };
        let spec = Spec::of(&QueryFile::parse(&format!("{name}.sql"), &text).unwrap()).unwrap();
        match planner.plan(&spec).ok().unwrap().operator {
            Operator::Lookback(query) => *query,
            other => panic!("{name} does not look back: {other:?}"),
        }
    }

    fn row(topic: Topic, device: &str, minute: i64, body: &Value) -> RecordBatch {
        let mut row = json!({
            "id": format!("{device}{minute}"), "source": "", "time": minute * MINUTE / 1000, "site": "s",
            "device": device, "status": "actual", "time_quality": "good", "topic": topic.name(), "partition": 0,
            "offset": minute, "ingested_at": 0, "cell": 1,
        });
        row[event::entity(topic)] = device.into();
        row["time"] = format!("1970-01-01T00:{minute:02}:00Z").into();
        row["ingested_at"] = row["time"].clone();
        row.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let mut decoder = ReaderBuilder::new(event::schema(topic)).build_decoder().unwrap();
        decoder.serialize(&[row]).unwrap();
        decoder.flush().unwrap().unwrap()
    }

    /// How many rows its feeds would look at.
    fn looked_at(query: &mut LookbackQuery) -> usize {
        for part in &mut query.parts {
            part.choose(false);
        }
        let among = |part: usize| query.parts[part].among.as_ref();
        query.lanes.fill((i64::MIN / 8, i64::MAX / 8), among, |_| Ok(None)).unwrap();
        query.lanes.rows_in_slots()
    }

    #[test]
    fn a_device_that_says_what_is_ordinary_is_not_looked_at_until_it_says_something_else() {
        let smoke = |state: &str| json!({ "property": "smoke_obscuration", "state": state, "result": 0.1 });
        let gas = |result: f64| json!({ "property": "ch4", "result": result, "unit": "%LEL" });
        let (denied, granted) = (json!({ "event": "denied" }), json!({ "event": "granted" }));
        for (name, topic, ordinary, other) in [
            ("r15_smoke", Topic::Iot, smoke("normal"), smoke("alarm")),
            ("r15_smoke_confirmed", Topic::Iot, smoke("normal"), smoke("prealarm")),
            ("r15_smoke_not_reset", Topic::Iot, smoke("normal"), smoke("alarm")),
            ("r13_gas", Topic::Iot, gas(1.0), gas(21.0)),
            ("r06_denied_then_entry", Topic::Access, granted, denied),
        ] {
            let mut query = rule(name);
            for minute in 0..8 {
                query.take(topic, &row(topic, &format!("d{}", minute % 4), minute, &ordinary)).unwrap();
            }
            assert_eq!(looked_at(&mut query), 0, "{name}");
            assert!(query.dirty.take().is_empty(), "{name}: nothing can have changed");
            query.take(topic, &row(topic, "d1", 9, &other)).unwrap();
            let (looked_at, own) = (looked_at(&mut query), 3 * query.lanes.scans());
            assert!((1..=own).contains(&looked_at), "{name}: {looked_at} rows of {own} of its own");
        }
    }

    #[test]
    fn scans_that_let_the_same_rows_through_share_them() {
        for (name, stocks) in [("r15_smoke", 1), ("r15_smoke_confirmed", 4), ("r07_denied_loitering", 7)] {
            let query = rule(name);
            assert_eq!(query.lanes.stocks(), stocks, "{name}: {} scans", query.lanes.scans());
        }
    }
}
