//! A part of a query whose rows fall apart by shards, and which of them can give a row.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::lanes::{Lanes, Scan};
use crate::possible::{Columns, Outline};
use crate::shard::{Part, Shard, ShardKey};
use crate::stocks::{Arrival, Stocks};

/// A part of a query whose rows fall apart.
#[derive(Debug)]
pub(crate) struct Apart {
    part: Part,
    /// The stocks that its scans read.
    stocks: Vec<usize>,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    /// The shards that can give a row, of those that were judged.
    possible: FxHashSet<Shard>,
    /// Shards of which more was seen since they were last judged.
    unjudged: FxHashSet<Shard>,
    /// For how long rows of shards that were judged to give no row matter to later ones, in microseconds.
    lasting: i64,
    /// How often its stocks had forgotten something when what is possible was last judged.
    forgotten: u64,
    /// The shards in which rows came since the last run, with the earliest and the latest time of them.
    came: FxHashMap<Shard, (i64, i64)>,
    /// The shards to look at in a run; `None` for all.
    among: Option<FxHashSet<Shard>>,
}

/// Shards in which rows came at about the same time, from the earliest to the latest, in microseconds.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) shards: FxHashSet<Shard>,
}

impl Apart {
    pub(crate) fn of(part: Part) -> Self {
        Self { part, stocks: Vec::new(), state: State::default() }
    }

    /// The same before the first row.
    pub(crate) fn renewed(self) -> Self {
        Self { state: State::default(), ..self }
    }

    /// By what its rows fall apart.
    pub(crate) fn key(&self) -> &ShardKey {
        &self.part.key
    }

    /// Whether the scan with this number is one of its own.
    pub(crate) fn reads(&self, scan: usize) -> bool {
        self.part.scans.contains(&scan)
    }

    /// The shards to look at in a run; `None` for all.
    pub(crate) fn among(&self) -> Option<&FxHashSet<Shard>> {
        self.state.among.as_ref()
    }

    /// Has the stocks of its scans watched for what decides whether it gives rows.
    pub(crate) fn watch(&mut self, lanes: &Lanes, stocks: &mut Stocks) {
        for scan in lanes.scans().filter(|scan| self.part.scans.contains(&scan.number())) {
            if !self.stocks.contains(&scan.stock) {
                self.stocks.push(scan.stock);
            }
        }
        let Outline { words, .. } = &self.part.outline;
        for (number, column) in self.part.outline.looks_at() {
            if let Some(scan) = lanes.scan(number) {
                stocks.get_mut(scan.stock).sights.watch(scan.places[column], words);
            }
        }
    }

    /// Takes note of rows that came. What comes in a shard of which nothing is possible changes nothing, and where it
    /// makes something possible it is news.
    pub(crate) fn note(&mut self, arrival: &Arrival) {
        let State { possible, unjudged, came, .. } = &mut self.state;
        let Some(passed) = arrival.passed.as_ref().filter(|_| self.stocks.contains(&arrival.stock)) else {
            return;
        };
        let Some(shards) = &passed.shards else { return };
        unjudged.extend(arrival.news.iter().filter(|shard| !possible.contains(shard)));
        for group in shards.groups() {
            let shard = group[0].0;
            if possible.contains(&shard) || unjudged.contains(&shard) {
                let times = || group.iter().map(|(_, row)| passed.time(*row));
                let (first, last) = (times().min().unwrap_or(i64::MAX), times().max().unwrap_or(i64::MIN));
                let came = came.entry(shard).or_insert((first, last));
                *came = (came.0.min(first), came.1.max(last));
            }
        }
    }

    /// Chooses the shards of the next run: of those that can give a row all, or those alone in which rows came. Returns
    /// the earliest and the latest time of the rows that came in them; what came in others gives nothing, with those
    /// rows as without them.
    pub(crate) fn choose(&mut self, only_came: bool, lanes: &Lanes, stocks: &Stocks) -> Option<(i64, i64)> {
        let came = self.take_came(lanes, stocks);
        self.state.among = if only_came {
            Some(came.keys().copied().collect())
        } else {
            self.is_rare(stocks).then(|| self.state.possible.clone())
        };
        came.into_values().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// The same of the shards alone in which rows came: those whose earliest lie within one `width`, in microseconds,
    /// together.
    pub(crate) fn stretches(&mut self, width: i64, lanes: &Lanes, stocks: &Stocks) -> Vec<Stretch> {
        let mut stretches: BTreeMap<i64, Stretch> = BTreeMap::new();
        for (shard, (first, last)) in self.take_came(lanes, stocks) {
            let none = || Stretch { from: first, to: last, shards: FxHashSet::default() };
            let stretch = stretches.entry(first.div_euclid(width.max(1))).or_insert_with(none);
            (stretch.from, stretch.to) = (stretch.from.min(first), stretch.to.max(last));
            stretch.shards.insert(shard);
        }
        stretches.into_values().collect()
    }

    /// Looks at these shards alone.
    pub(crate) fn look_among(&mut self, shards: FxHashSet<Shard>) {
        self.state.among = Some(shards);
    }

    /// The shards that can give a row and in which rows came, with the earliest and the latest time of those.
    fn take_came(&mut self, lanes: &Lanes, stocks: &Stocks) -> FxHashMap<Shard, (i64, i64)> {
        self.judge(lanes, stocks);
        let mut came = std::mem::take(&mut self.state.came);
        came.retain(|shard, _| self.state.possible.contains(shard));
        came
    }

    /// Whether so few shards can give a row that looking for them is worth it.
    fn is_rare(&self, stocks: &Stocks) -> bool {
        let possible = self.state.possible.len();
        let seen = self.stocks.iter().map(|stock| stocks.get(*stock).sights.shards()).max();
        possible < 8 || possible * 2 < seen.unwrap_or(0)
    }

    fn judge(&mut self, lanes: &Lanes, stocks: &Stocks) {
        let forgotten = self.stocks.iter().map(|stock| stocks.get(*stock).sights.forgotten()).sum();
        if forgotten != self.state.forgotten {
            self.state.forgotten = forgotten;
            // Less is known to have been there: what could give a row may not any more, and nothing else changes.
            let before = std::mem::take(&mut self.state.possible);
            self.state.unjudged.extend(before);
        }
        for shard in std::mem::take(&mut self.state.unjudged) {
            let scanned =
                |number, _| lanes.scan(number).and_then(|scan: &Scan| self.seen(shard, scan, stocks));
            if self.part.outline.may_give(&scanned) {
                self.state.possible.insert(shard);
            } else {
                self.state.lasting = self.state.lasting.max(self.part.outline.lasting(&scanned));
            }
        }
    }

    /// Whether the rows of `shard` may be needed however old they are, as far as they were judged.
    pub(crate) fn needs(&self, shard: Shard) -> bool {
        self.state.possible.contains(&shard)
    }

    /// For how long the rows of others matter, in microseconds.
    pub(crate) fn lasting(&self) -> i64 {
        self.state.lasting
    }

    /// Whether one of its scans reads a stock.
    pub(crate) fn reads_stock(&self, stock: usize) -> bool {
        self.stocks.contains(&stock)
    }

    fn seen(&self, shard: Shard, scan: &Scan, stocks: &Stocks) -> Columns {
        stocks.get(scan.stock).sights.of(shard, &scan.places, &self.part.outline.words)
    }
}
