//! From rows to rows of `risk_cells`, window by window.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use hexwatch_contract::alarm::Input;
use hexwatch_contract::cell::RISK_RESOLUTION;
use hexwatch_contract::risk::{CellRisk, GridShare, Hundredths, Level};
use hexwatch_contract::{Cell, EventTime};

use crate::coverage::Sensor;
use crate::pane::{Kept, Pane, Sources};
use crate::score::{Scored, score};
use crate::terms::Terms;

/// What the scorer must know of the ground.
pub trait Ground: Send + Sync {
    /// The cell at resolution 11 that `cell`, at 11 or 12, lies in.
    fn risk_cell(&self, cell: Cell) -> Cell;
    /// The grids that a cell at resolution 11 lies in; their shares sum to 1.
    fn grids(&self, cell: Cell) -> Vec<GridShare>;
}

/// What was said last about a window, to tell whether there is anything new to say.
#[derive(Clone, PartialEq, Debug)]
struct Said {
    score: Option<Hundredths>,
    level: Level,
    coverage: f64,
    n_events: u64,
    shares: Vec<Hundredths>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Whether it is the site's own, and is spoken of even where nothing happens.
    is_watched: bool,
    panes: BTreeMap<EventTime, Pane>,
    sensors: BTreeSet<String>,
    /// What was said about each window, by its end, with the number of its correction.
    said: BTreeMap<EventTime, (Said, u32)>,
    /// The end of the last window that holds one of the panes, or the first that does not any more: up to there each may
    /// have something new to say.
    speaks_until: Option<EventTime>,
}

/// Windows of cells that were closed.
#[derive(Debug)]
pub struct Closed {
    /// The cells that have something new to say, in the order of windows and cells.
    pub rows: Vec<CellRisk>,
    /// Up to here every window is closed.
    pub complete: EventTime,
    /// Whether that is as far as was asked for.
    pub is_all: bool,
}

/// Scores cells over sliding windows of event time.
///
/// The result depends on the rows alone, not on their order: a row that comes before the watermark passes is
/// as good as one in order, a later one corrects the windows it lies in (`rev`). A restart feeds the rows of
/// the last [`Scorer::horizon`] again, and says how often each window was corrected ([`Scorer::resume`]).
pub struct Scorer {
    terms: Terms,
    /// By term.
    sources: Vec<Sources>,
    correction: Duration,
    ground: Box<dyn Ground>,
    watermark: EventTime,
    first: EventTime,
    last: EventTime,
    cells: HashMap<Cell, Ledger>,
    sensors: HashMap<String, Sensor>,
    /// Windows, by their end, in which a cell has, or may have, something new to say. Of those that follow one another
    /// the first stands here: each brings the next.
    due: BTreeSet<(EventTime, Cell)>,
    /// Up to here what is final was forgotten.
    cleared: EventTime,
}

impl Scorer {
    /// A scorer that has seen nothing. Rows may come until `correction` behind the watermark.
    #[must_use]
    pub fn new(terms: Terms, correction: Duration, ground: impl Ground + 'static) -> Self {
        Self {
            sources: vec![Sources::default(); terms.terms.len()],
            terms,
            correction,
            ground: Box::new(ground),
            watermark: EventTime::MIN,
            first: EventTime::MAX,
            last: EventTime::MIN,
            cells: HashMap::new(),
            sensors: HashMap::new(),
            due: BTreeSet::new(),
            cleared: EventTime::MIN,
        }
    }

    /// How far behind the watermark rows still matter: what a restart must feed again.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        let patience = self.sensors.values().map(|sensor| sensor.patience).max().unwrap_or_default();
        self.correction + self.terms.window.size.max(patience) + self.terms.window.slide
    }

    /// How far behind the watermark rows may come.
    #[must_use]
    pub fn correction(&self) -> Duration {
        self.correction
    }

    /// For how long after its end something may still be said of a window.
    #[must_use]
    pub fn corrected_for(&self) -> Duration {
        self.correction + self.terms.window.size + self.terms.window.slide
    }

    /// The cells that are spoken of even where nothing happens: the site's own, and those of its sensors.
    pub fn own_cells(&self) -> impl Iterator<Item = Cell> {
        let own = self.cells.iter().filter(|(_, ledger)| ledger.is_watched || !ledger.sensors.is_empty());
        own.map(|(cell, _)| *cell)
    }

    /// Registers a cell of the site, at resolution 11: it is said to be calm where nothing happens, so that calm and
    /// unknown are never mistaken for each other.
    pub fn watch(&mut self, cell: Cell) {
        self.cells.entry(cell).or_default().is_watched = true;
        if self.first < EventTime::MAX {
            self.due.insert((self.pane_end(self.first), cell));
        }
    }

    /// Registers an in-service sensor in `cell`, expected to be heard every `expected`.
    pub fn sensor(&mut self, device: &str, cell: Cell, expected: Duration) {
        let cell = self.ground.risk_cell(cell);
        self.sensors.insert(device.to_owned(), Sensor::new(cell, expected));
        self.cells.entry(cell).or_default().sensors.insert(device.to_owned());
        if self.first < EventTime::MAX {
            self.due.insert((self.pane_end(self.first), cell));
        }
    }

    /// Takes a sign of life of `device` at `time`; whoever is not registered as a sensor does not matter.
    pub fn heard(&mut self, device: &str, time: EventTime) {
        self.see(time);
        let (pane, pane_end) = (time.floor_to(self.terms.window.slide), self.pane_end(time));
        let Some(sensor) = self.sensors.get_mut(device) else { return };
        if sensor.hear(pane, time) {
            let (cell, silent_at) = (sensor.cell, time + sensor.patience);
            self.due.insert((pane_end, cell));
            self.due.insert((self.first_end_from(silent_at), cell));
        }
    }

    /// How many registered sensors are silent as of the watermark; none before there is one.
    #[must_use]
    pub fn silent(&self) -> usize {
        if self.watermark == EventTime::MIN {
            return 0;
        }
        self.sensors.values().filter(|sensor| !sensor.is_heard_at(self.watermark)).count()
    }

    /// Takes a row of term number `term` (its place in [`Terms::terms`]) in `cell`, at resolution 11 or 12.
    /// A term that weighs nothing changes nothing.
    pub fn add(&mut self, term: usize, cell: Cell, time: EventTime, input: Input) {
        let Some(half_life) =
            self.terms.terms.get(term).filter(|term| term.weight > 0.0).map(|term| term.half_life)
        else {
            return;
        };
        let (size, slide) = (self.terms.window.size, self.terms.window.slide);
        let (pane, pane_end) = (time.floor_to(slide), self.pane_end(time));
        if pane + size <= self.forgotten() {
            return;
        }
        self.see(time);
        let cell = self.ground.risk_cell(cell);
        let ledger = self.cells.entry(cell).or_default();
        let is_new = !ledger.panes.contains_key(&pane);
        let sums = ledger.panes.entry(pane).or_default();
        let input = Kept::of(time, input, &mut self.sources[term]);
        sums.of_term(term).add(pane_end.since(time), half_life, input);
        ledger.speaks_until = ledger.speaks_until.max(Some(pane_end + size));
        // Every window that holds the pane, and the first one that does not any more, but for those that are final.
        let end = if pane_end > self.forgotten() { pane_end } else { self.pane_end(self.forgotten()) };
        if is_new || end <= self.watermark {
            self.due.insert((end, cell));
        }
    }

    /// Notes that records reach from and to `time`.
    fn see(&mut self, time: EventTime) {
        self.last = self.last.max(time);
        if time < self.first {
            // The first record is when the sensors' silence begins to matter.
            self.first = time;
            let end = self.pane_end(time);
            self.due.extend(self.sensors.values().map(|sensor| (end, sensor.cell)));
            let watched = self.cells.iter().filter(|(_, ledger)| ledger.is_watched);
            self.due.extend(watched.map(|(cell, _)| (end, *cell)));
        }
    }

    /// Closes the windows that end at or before `watermark`; gives the cells that have something new to say, in
    /// the order of windows and cells. [`EventTime::MAX`] stands for the end of the input: then the windows up to
    /// the last record's pane are closed, since nothing is known of the time after it.
    pub fn advance(&mut self, watermark: EventTime) -> Vec<CellRisk> {
        let mut budget = usize::MAX;
        self.advance_by(watermark, &mut budget).rows
    }

    /// The same for as many windows of cells as `budget` has left, which is spent on them. Until all are closed this has
    /// to be called again with the same watermark, and no row may come in between.
    pub fn advance_by(&mut self, watermark: EventTime, budget: &mut usize) -> Closed {
        let reached = if watermark == EventTime::MAX { self.pane_end(self.last) } else { watermark };
        let slide = self.terms.window.slide;
        self.watermark = self.watermark.max(reached);
        let mut rows = Vec::new();
        while let Some((end, cell)) = self.due.first().copied().filter(|due| due.0 <= self.watermark) {
            if *budget == 0 {
                return Closed { rows, complete: end - slide, is_all: false };
            }
            *budget -= 1;
            self.due.pop_first();
            rows.extend(self.close(end, cell));
        }
        // It looks at every cell, and the watermark moves many times within a slide.
        let cleared = self.forgotten().floor_to(slide);
        if cleared > self.cleared {
            self.cleared = cleared;
            self.forget();
        }
        Closed { rows, complete: watermark, is_all: true }
    }

    /// Takes up a window that was last spoken of as correction `rev` before a restart, after [`Scorer::advance`] has
    /// gone as far as then: whoever reads rows takes the one with the largest `rev` for the last.
    pub fn resume(&mut self, cell: Cell, end: EventTime, rev: u32) {
        let Some(ledger) = self.cells.get_mut(&cell) else { return };
        // Where it says what the window before says, it is not said anew.
        let stands = ledger.said.range(..=end).next_back().map(|(_, (said, _))| said.clone());
        ledger.said.extend(stands.map(|said| (end, (said, rev))));
    }

    fn close(&mut self, end: EventTime, cell: Cell) -> Option<CellRisk> {
        let ledger = self.cells.get_mut(&cell)?;
        let next = end + self.terms.window.slide;
        if ledger.speaks_until >= Some(next) {
            self.due.insert((next, cell));
        }
        let Scored { score, contrib, n_events } = score(&self.terms, &ledger.panes, end);
        let heard = ledger.sensors.iter().filter_map(|device| self.sensors.get(device));
        let heard = heard.filter(|sensor| sensor.is_heard_at(end)).count();
        let coverage =
            if ledger.sensors.is_empty() { 1.0 } else { heard as f64 / ledger.sensors.len() as f64 };
        let level = self.terms.level(score, coverage);
        let shares = contrib.iter().map(|part| part.share).collect();
        let score = (level != Level::Unknown).then_some(score);
        let said = Said { score, level, coverage, n_events, shares };
        let rev = match ledger.said.get(&end) {
            Some((before, _)) if *before == said => return None,
            Some((_, rev)) => rev + 1,
            None => {
                let before = ledger.said.range(..end).next_back();
                if before.is_some_and(|(_, (before, _))| *before == said) {
                    return None;
                }
                0
            }
        };
        ledger.said.insert(end, (said, rev));
        Some(CellRisk {
            cell,
            res: RISK_RESOLUTION,
            window_start: end - self.terms.window.size,
            window_end: end,
            watermark: self.watermark,
            score,
            // The parts of a score that is not given would give it away.
            contrib: if score.is_some() { contrib } else { Vec::new() },
            level,
            coverage,
            n_events,
            grid: self.ground.grids(cell),
            rev,
        })
    }

    /// Windows that end at or before this time are final.
    fn forgotten(&self) -> EventTime {
        self.watermark - self.correction
    }

    fn forget(&mut self) {
        let final_end = self.forgotten();
        let size = self.terms.window.size;
        for sensor in self.sensors.values_mut() {
            sensor.forget(final_end);
        }
        self.cells.retain(|_, ledger| {
            ledger.panes = ledger.panes.split_off(&(final_end - size));
            let mut kept = ledger.said.split_off(&final_end);
            // The last word stays: what is said next is compared with it.
            kept.extend(ledger.said.pop_last());
            ledger.said = kept;
            let is_quiet = ledger.said.iter().all(|(end, (said, _))| *end < final_end && said.n_events == 0);
            ledger.is_watched || !(ledger.sensors.is_empty() && ledger.panes.is_empty() && is_quiet)
        });
    }

    fn pane_end(&self, time: EventTime) -> EventTime {
        time.floor_to(self.terms.window.slide) + self.terms.window.slide
    }

    fn first_end_from(&self, time: EventTime) -> EventTime {
        let floor = time.floor_to(self.terms.window.slide);
        if floor == time { time } else { floor + self.terms.window.slide }
    }
}
