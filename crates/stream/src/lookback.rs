//! Joins, sequences and absences by bounded lookback: when rows come or the watermark moves, the query
//! runs again over the rows that can still matter, and what it gives for the result times in question
//! replaces what was given before. Duplicates and corrections come out right because nothing is patched.
//!
//! Rows are kept once for all scans of a group that let the same ones through ([`Stocks`]). Those that can matter are fewer
//! than those within the lookback: where a part of the query falls apart by [shards](crate::shard), those that [can give no
//! row](crate::possible) are left out, and a query that speaks at once looks only at those in which rows came.

use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use hexwatch_contract::Topic;

use crate::apart::Apart;
use crate::dirty::Dirty;
use crate::feed::{Feed, Source};
use crate::lanes::Lanes;
use crate::pane::Telling;
use crate::possible::{Known, Outline};
use crate::query::Grounds;
use crate::reach::Reach;
use crate::rows::{Changes, Emitted, joined, within};
use crate::run::Run;
use crate::shard::{Part, ShardKey};
use crate::stocks::{Arrival, Stocks, Terms};

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
        let parts: Vec<Apart> = plan.parts.into_iter().map(Apart::of).collect();
        Self {
            lanes: Lanes::new(plan.feeds, &parts),
            parts,
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
        let parts = self.parts.into_iter().map(Apart::renewed);
        Self {
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

    /// Chooses the stocks in which its rows are kept, for a query that declares this `lateness`.
    pub(crate) fn choose_stocks(&mut self, stocks: &mut Stocks, lateness: Option<Duration>) {
        let terms = Terms { lateness, horizon: self.telling.horizon, span: self.span() };
        self.lanes.choose_stocks(stocks, &self.parts, terms);
    }

    /// Finds its columns in them, and has them watched for what it looks for.
    pub(crate) fn find_places(&mut self, stocks: &mut Stocks) {
        self.lanes.find_places(stocks);
        self.parts.iter_mut().for_each(|part| part.watch(&self.lanes, stocks));
    }

    pub(crate) fn parts(&self) -> &[Apart] {
        &self.parts
    }

    /// Takes note of rows that came into a stock, which may be another query's.
    pub(crate) fn note(&mut self, arrival: &Arrival) {
        if !self.lanes.read_stock(arrival.stock) {
            return;
        }
        self.uncorrected += arrival.too_late;
        if let Some(passed) = arrival.passed.as_ref().filter(|passed| passed.shards.is_none()) {
            self.touch(passed.earliest, passed.latest);
        }
        self.parts.iter_mut().for_each(|part| part.note(arrival));
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

    /// Gives what `watermark` completes, and what late rows correct.
    pub(crate) fn advance(&mut self, watermark: i64, grounds: Grounds<'_>) -> Result<Option<Changes>> {
        let only_came = self.shard_key.is_some();
        for index in 0..self.parts.len() {
            if let Some((from, to)) = self.parts[index].choose(only_came, &self.lanes, grounds.stocks) {
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
        let told = self.evaluate(&ranges, grounds)?;
        self.drop_before(watermark);
        Ok(told.filter(|told| !told.is_empty()))
    }

    /// Looks anew at the result times in `ranges`.
    fn evaluate(&mut self, ranges: &[(i64, i64)], grounds: Grounds<'_>) -> Result<Option<Changes>> {
        let mut batches = Vec::new();
        let mut may_give = false;
        for range in ranges {
            if self.fill(*range, grounds)? {
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
        let looked_at = self.parts.first().and_then(Apart::among);
        let among = shards.as_deref().zip(looked_at);
        Ok(Some(self.emitted.replace(&rows, self.at, &self.telling.key, ranges, among)?))
    }

    /// Fills the slots for results within `[from, to]`; returns whether there can be any.
    fn fill(&self, (from, to): (i64, i64), grounds: Grounds<'_>) -> Result<bool> {
        let (back, ahead) = (from.saturating_sub(self.reach.back), to.saturating_add(self.reach.ahead));
        let among = |part: usize| self.parts[part].among();
        let until = ahead.min(grounds.known.micros());
        let silent = |topic: Topic| -> Result<Option<RecordBatch>> {
            let silences = grounds.silences.get(&topic);
            Ok(silences.map(|silences| silences.between(back, until)).transpose()?)
        };
        let filled = self.lanes.fill(grounds.stocks, (back, ahead), among, silent)?;
        let scanned = |number, width| filled.contains(&number).then(|| vec![Known::ANYTHING; width]);
        Ok(!filled.is_empty() && self.outline.may_give(&scanned))
    }

    fn drop_before(&mut self, watermark: i64) {
        self.frozen = self.frozen.max(watermark.saturating_sub(self.telling.horizon));
        if self.frozen.saturating_sub(self.dropped) < DROP_STEP {
            return;
        }
        self.dropped = self.frozen;
        self.emitted.drop_before(self.frozen.saturating_sub(self.reach.ahead));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure")]

    use std::collections::BTreeMap;
    use std::path::Path;

    use arrow::array::AsArray;
    use arrow::json::ReaderBuilder;
    use hexwatch_contract::{EventTime, catalog, event};
    use hexwatch_sql::QueryFile;
    use serde_json::{Value, json};

    use super::*;
    use crate::planner::Planner;
    use crate::query::Operator;
    use crate::spec::Spec;

    const MINUTE: i64 = 60_000_000;

    /// The files of rules, with what they keep.
    fn rules(names: &[&str]) -> (Vec<LookbackQuery>, Stocks) {
        let mut queries: Vec<LookbackQuery> = names.iter().map(|name| planned(name)).collect();
        let stocks = Stocks::of(queries.iter_mut().map(|query| (query, None)));
        (queries, stocks)
    }

    fn planned(name: &str) -> LookbackQuery {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../queries/rules/{name}.sql"));
        planned_of(name, &std::fs::read_to_string(path).unwrap())
    }

    fn planned_of(name: &str, text: &str) -> LookbackQuery {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let devices = RecordBatch::new_empty(catalog::devices());
        let planner = Planner {
            runtime: std::sync::Arc::new(runtime),
            reference: BTreeMap::from([("devices".to_owned(), devices)]),
            horizon: 10 * MINUTE,
        };
        let spec = Spec::of(&QueryFile::parse(&format!("{name}.sql"), text).unwrap()).unwrap();
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

    fn take(query: &mut LookbackQuery, stocks: &mut Stocks, topic: Topic, records: &RecordBatch) {
        for arrival in stocks.take(topic, records).unwrap() {
            query.note(&arrival);
        }
    }

    /// How many rows its feeds would look at.
    fn looked_at(query: &mut LookbackQuery, stocks: &Stocks) -> usize {
        for part in &mut query.parts {
            part.choose(false, &query.lanes, stocks);
        }
        let among = |part: usize| query.parts[part].among();
        query.lanes.fill(stocks, (i64::MIN / 8, i64::MAX / 8), among, |_| Ok(None)).unwrap();
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
            let (mut queries, mut stocks) = rules(&[name]);
            let query = &mut queries[0];
            for minute in 0..8 {
                let device = format!("d{}", minute % 4);
                take(query, &mut stocks, topic, &row(topic, &device, minute, &ordinary));
            }
            assert_eq!(looked_at(query, &stocks), 0, "{name}");
            assert!(query.dirty.take().is_empty(), "{name}: nothing can have changed");
            take(query, &mut stocks, topic, &row(topic, "d1", 9, &other));
            let (looked_at, own) = (looked_at(query, &stocks), 3 * query.lanes.scans().count());
            assert!((1..=own).contains(&looked_at), "{name}: {looked_at} rows of {own} of its own");
        }
    }

    #[test]
    fn scans_that_let_the_same_rows_through_share_them() {
        let smoke = ["r15_smoke", "r15_smoke_confirmed", "r15_smoke_not_reset"];
        for (names, count) in
            [(&smoke[..1], 1), (&smoke[1..2], 4), (&smoke[..], 4), (&["r07_denied_loitering"][..], 7)]
        {
            let (queries, stocks) = rules(names);
            let scans: usize = queries.iter().map(|query| query.lanes.scans().count()).sum();
            assert_eq!(stocks.count(), count, "{names:?}: {scans} scans");
        }
    }

    #[test]
    fn what_was_said_while_all_was_ordinary_is_kept_for_as_long_as_it_can_matter() {
        let smoke = |state: &str| json!({ "property": "smoke_obscuration", "state": state, "result": 0.1 });
        let gas = |result: f64| json!({ "property": "ch4", "result": result, "unit": "%LEL" });
        for (names, ordinary, other, minutes, all) in [
            // A rise of one minute, and a quiet report of the five before an alarm.
            (
                &["r15_smoke", "r15_smoke_confirmed", "r15_smoke_not_reset"][..],
                smoke("normal"),
                smoke("alarm"),
                6,
                60,
            ),
            // A slope of five minutes, compared with those of five more, and where its run began in four.
            (&["r13_gas"][..], gas(1.0), gas(21.0), 14, 40),
        ] {
            let (mut queries, mut stocks) = rules(names);
            for minute in 0..60 {
                for device in ["calm", "rare"] {
                    let body = if (device, minute) == ("rare", 20) { &other } else { &ordinary };
                    for arrival in stocks.take(Topic::Iot, &row(Topic::Iot, device, minute, body)).unwrap() {
                        for query in &mut queries {
                            query.note(&arrival);
                        }
                    }
                }
            }
            let (silences, known) = (BTreeMap::new(), EventTime::MIN);
            for query in &mut queries {
                query.advance(60 * MINUTE, Grounds { stocks: &stocks, silences: &silences, known }).unwrap();
                for part in query.parts().iter().filter(|part| part.reads_stock(0)) {
                    assert_eq!(part.lasting(), minutes * MINUTE, "{names:?}");
                }
            }
            let parts: Vec<_> = queries.iter().flat_map(LookbackQuery::parts).collect();
            stocks.drop_before(|_| 60 * MINUTE, &parts).unwrap();
            let kept = stocks.get(0).rows(0, 60 * MINUTE, None).unwrap();
            let of = |device: &str| {
                let devices =
                    kept.iter().map(|rows| rows.column_by_name("device").unwrap().as_string::<i32>());
                devices.flatten().filter(|own| *own == Some(device)).count()
            };
            assert_eq!(of("rare"), all, "{names:?}: whatever may hang on what was rare");
            // Of ten minutes everything is corrected, and rows are let go of by the batch.
            let needed = usize::try_from(10 + minutes).unwrap();
            assert!((needed..needed + 10).contains(&of("calm")), "{names:?}: {}", of("calm"));
        }
    }

    #[test]
    fn of_a_window_that_looks_ahead_nothing_is_let_go_of() {
        let text = r#"-- title: Quiet before an alarm
-- kind: view
-- key: device, at
-- time: at
-- lookback: 10m
SELECT device, "time" AS at, alarm FROM (
  SELECT device, "time", state, max(CASE WHEN state = 'alarm' THEN "time" END) OVER (
    PARTITION BY device ORDER BY "time" RANGE BETWEEN CURRENT ROW AND INTERVAL '2 minutes' FOLLOWING
  ) AS alarm FROM iot
) WHERE state = 'normal' AND alarm IS NOT NULL
"#;
        let mut query = planned_of("ahead", text);
        let mut stocks = Stocks::of(std::iter::once((&mut query, None)));
        take(&mut query, &mut stocks, Topic::Iot, &row(Topic::Iot, "d", 1, &json!({ "state": "normal" })));
        assert_eq!(looked_at(&mut query, &stocks), 0, "nothing is possible yet");
        assert_eq!(query.parts()[0].lasting(), crate::possible::FAR);
    }
}
