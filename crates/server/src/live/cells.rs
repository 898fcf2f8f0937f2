//! The cells as they stand. A client names the version it has and gets what is newer, merged: the newest wins, and
//! there is nothing to queue.
//!
//! The site's own cells stay for good, calm or unknown as they may be. Records can come from anywhere, though: a cell
//! elsewhere leaves once it has been calm for so long that nothing can correct it any more, so that the board follows
//! what happens and not all that ever happened. Clients were told that it is calm; that it is gone they hear when all
//! cells are sent to them again, which is seen to where many are.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use hexwatch_contract::live::{CellUpdate, Cells, Message};
use hexwatch_contract::risk::{CellRisk, Level};
use hexwatch_contract::{Cell, EventTime};
use rustc_hash::{FxHashMap, FxHashSet};

use super::frame;

/// How a client wants its cells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Text.
    #[default]
    Json,
    /// See [`frame`].
    Binary,
}

/// What is newer than a version.
#[derive(Clone, Debug)]
pub(crate) struct Since {
    /// The version one has after taking `message`.
    pub(crate) version: u64,
    /// The message, in the format that was asked for.
    pub(crate) message: Bytes,
}

#[derive(Debug)]
struct Standing {
    risk: CellRisk,
    version: u64,
}

/// So many cells may be gone, at the least, before clients are sent all that are left.
const GONE: usize = 1_024;

/// Which cells stay, and how long others do.
#[derive(Debug)]
struct Keeping {
    own: FxHashSet<Cell>,
    others_for: Duration,
}

/// The latest risk of every cell.
#[derive(Debug)]
pub(super) struct CellBoard {
    /// One more with each publication; 0 before the first.
    version: u64,
    /// The version that replaced all cells last: whoever is older needs all of them.
    replaced_at: u64,
    watermark: EventTime,
    cells: FxHashMap<Cell, Standing>,
    /// Until this is said, every cell stays.
    keeping: Option<Keeping>,
    /// Calm cells that do not stay, by the end of the window in which they were last said to be.
    calm: BTreeSet<(EventTime, Cell)>,
    /// The newest version of a cell that is gone: whoever is older was not told that it is calm, and needs all cells.
    gone_at: u64,
    /// How many are gone since all cells were last sent to everybody.
    gone: usize,
    /// Messages already made for the present version, by where they start: clients that are equally far behind share
    /// their bytes.
    made: FxHashMap<(u64, Format), Bytes>,
}

impl CellBoard {
    pub(super) fn new() -> Self {
        Self {
            version: 0,
            replaced_at: 0,
            watermark: EventTime::MIN,
            cells: FxHashMap::default(),
            keeping: None,
            calm: BTreeSet::new(),
            gone_at: 0,
            gone: 0,
            made: FxHashMap::default(),
        }
    }

    /// From now on only the cells of `own` stay for good; each other one leaves `others_for` after it was said to be
    /// calm.
    pub(super) fn keep(&mut self, own: FxHashSet<Cell>, others_for: Duration) {
        self.keeping = Some(Keeping { own, others_for });
        let standing = std::mem::take(&mut self.cells);
        self.calm.clear();
        for standing in standing.into_values() {
            self.stand(standing);
        }
    }

    /// Takes new risks; returns the new version, or `None` where nothing changed. A row of an older window than the
    /// one that stands is a correction of the past: it belongs to history, the map shows the present.
    pub(super) fn publish(&mut self, watermark: EventTime, full: bool, risks: Vec<CellRisk>) -> Option<u64> {
        if risks.is_empty() && !full {
            return None;
        }
        let version = self.version + 1;
        self.version = version;
        self.watermark = self.watermark.max(watermark);
        self.made.clear();
        if full {
            self.cells.clear();
            self.calm.clear();
            self.replace();
        }
        for risk in risks {
            let stands = self.cells.get(&risk.cell);
            if stands.is_none_or(|stands| stands.risk.window_end <= risk.window_end) {
                self.stand(Standing { risk, version });
            }
        }
        self.forget();
        Some(version)
    }

    /// Everybody is sent all cells next.
    fn replace(&mut self) {
        self.replaced_at = self.version;
        self.gone = 0;
    }

    fn stand(&mut self, standing: Standing) {
        let (cell, end) = (standing.risk.cell, standing.risk.window_end);
        let leaves = self.keeping.as_ref().is_some_and(|keeping| !keeping.own.contains(&cell));
        let is_calm = standing.risk.n_events == 0 && standing.risk.level != Level::Unknown;
        if let Some(before) = self.cells.insert(cell, standing) {
            self.calm.remove(&(before.risk.window_end, cell));
        }
        if leaves && is_calm {
            self.calm.insert((end, cell));
        }
    }

    /// Lets the cells go that have been calm for long enough.
    fn forget(&mut self) {
        let Some(others_for) = self.keeping.as_ref().map(|keeping| keeping.others_for) else { return };
        while let Some((_, cell)) =
            self.calm.first().copied().filter(|(end, _)| *end + others_for <= self.watermark)
        {
            self.calm.pop_first();
            let gone = self.cells.remove(&cell);
            self.gone_at = self.gone_at.max(gone.map_or(0, |standing| standing.version));
            self.gone += 1;
        }
        if self.gone >= self.cells.len().max(GONE) {
            self.replace();
        }
    }

    /// What a client that has `version` lacks; 0 has nothing, and gets all. `None` where nothing is newer.
    pub(super) fn since(&mut self, version: u64, format: Format) -> Option<Since> {
        // A version that was never given comes from nowhere; such a client gets all.
        let lacks_all = version < self.replaced_at.max(self.gone_at) || version > self.version;
        let from = if lacks_all { 0 } else { version };
        if from == self.version {
            return None;
        }
        let made = self.made.get(&(from, format)).cloned();
        let message = made.unwrap_or_else(|| {
            let message = self.make(from, format);
            self.made.insert((from, format), message.clone());
            message
        });
        Some(Since { version: self.version, message })
    }

    fn make(&self, from: u64, format: Format) -> Bytes {
        let full = from == 0;
        let mut cells: Vec<CellUpdate> = self
            .cells
            .values()
            .filter(|standing| standing.version > from)
            .map(|standing| CellUpdate::from(&standing.risk))
            .collect();
        cells.sort_unstable_by_key(|update| update.cell);
        match format {
            Format::Binary => frame::encode(self.watermark, full, &cells),
            Format::Json => {
                super::handle::json(&Message::Cells(Cells { watermark: self.watermark, full, cells }))
            }
        }
    }

    pub(super) fn risk(&self, cell: Cell) -> Option<CellRisk> {
        self.cells.get(&cell).map(|standing| standing.risk.clone())
    }

    pub(super) fn known(&self) -> Vec<Cell> {
        self.cells.keys().copied().collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use hexwatch_contract::risk::{Hundredths, Level};
    use serde_json::Value;

    use super::*;

    pub(crate) fn risk(cell: u64, window_end: i64, score: u32) -> CellRisk {
        CellRisk {
            cell: Cell::from_index(cell),
            res: 11,
            window_start: EventTime::from_millis(window_end - 300_000),
            window_end: EventTime::from_millis(window_end),
            watermark: EventTime::from_millis(window_end),
            score: Some(Hundredths(score)),
            contrib: Vec::new(),
            level: Level::Low,
            coverage: 1.0,
            n_events: 1,
            grid: Vec::new(),
            rev: 0,
        }
    }

    fn read(since: &Since) -> (bool, Vec<(String, f64)>) {
        let message: Value = serde_json::from_slice(&since.message).unwrap();
        let cells = message["cells"].as_array().unwrap().iter();
        let cells =
            cells.map(|cell| (cell["cell"].as_str().unwrap().to_owned(), cell["score"].as_f64().unwrap()));
        (message["full"].as_bool().unwrap(), cells.collect())
    }

    #[test]
    fn a_slow_client_gets_one_merged_delta_with_the_newest_scores() {
        let mut board = CellBoard::new();
        let at = EventTime::from_millis;
        board.publish(at(10_000), false, vec![risk(1, 10_000, 100), risk(2, 10_000, 200)]);
        let first = board.since(0, Format::Json).unwrap();
        assert!(read(&first).0, "the first message holds all cells");

        board.publish(at(20_000), false, vec![risk(1, 20_000, 300)]);
        board.publish(at(30_000), false, vec![risk(1, 30_000, 400), risk(3, 30_000, 500)]);
        let merged = board.since(first.version, Format::Json).unwrap();
        let expected = vec![("000000000000001".to_owned(), 4.0), ("000000000000003".to_owned(), 5.0)];
        assert_eq!(read(&merged), (false, expected));
        assert!(board.since(merged.version, Format::Json).is_none());
    }

    #[test]
    fn whoever_missed_a_replacement_of_all_cells_gets_all_of_them() {
        let mut board = CellBoard::new();
        let at = EventTime::from_millis;
        board.publish(at(10_000), false, vec![risk(1, 10_000, 100)]);
        let first = board.since(0, Format::Json).unwrap();
        board.publish(at(20_000), true, vec![risk(2, 20_000, 200)]);
        let (full, cells) = read(&board.since(first.version, Format::Json).unwrap());
        assert!(full);
        assert_eq!(cells, vec![("000000000000002".to_owned(), 2.0)]);
    }

    #[test]
    fn a_correction_of_an_older_window_leaves_the_present_alone() {
        let mut board = CellBoard::new();
        let at = EventTime::from_millis;
        board.publish(at(20_000), false, vec![risk(1, 20_000, 300)]);
        board.publish(at(21_000), false, vec![risk(1, 10_000, 900)]);
        assert_eq!(board.risk(Cell::from_index(1)).unwrap().score, Some(Hundredths(300)));
    }

    fn calm(cell: u64, window_end: i64) -> CellRisk {
        CellRisk { n_events: 0, ..risk(cell, window_end, 0) }
    }

    /// A board on which cell 1 is the site's own, and others stay for a minute.
    fn board() -> CellBoard {
        let mut board = CellBoard::new();
        board.keep(FxHashSet::from_iter([Cell::from_index(1)]), Duration::from_mins(1));
        board
    }

    fn known(board: &CellBoard) -> Vec<u64> {
        let mut known: Vec<u64> = board.known().into_iter().map(Cell::index).collect();
        known.sort_unstable();
        known
    }

    #[test]
    fn a_cell_elsewhere_leaves_once_it_has_been_calm_for_long_and_the_sites_own_stays() {
        let mut board = board();
        let at = EventTime::from_millis;
        let unknown = CellRisk { level: Level::Unknown, score: None, ..calm(4, 10_000) };
        board.publish(
            at(10_000),
            false,
            vec![calm(1, 10_000), calm(2, 10_000), risk(3, 10_000, 100), unknown],
        );
        board.publish(at(69_999), false, vec![risk(1, 60_000, 100)]);
        assert_eq!(known(&board), [1, 2, 3, 4], "a late record may still correct it");
        board.publish(at(70_000), false, vec![calm(1, 70_000)]);
        assert_eq!(known(&board), [1, 3, 4], "what happens stays, and what is unknown");
        board.publish(at(900_000), false, vec![calm(3, 80_000)]);
        assert_eq!(known(&board), [1, 4]);
    }

    #[test]
    fn something_new_in_a_calm_cell_keeps_it() {
        let mut board = board();
        let at = EventTime::from_millis;
        board.publish(at(10_000), false, vec![calm(2, 10_000)]);
        board.publish(at(60_000), false, vec![risk(2, 60_000, 100)]);
        board.publish(at(100_000), false, vec![calm(1, 100_000)]);
        assert_eq!(known(&board), [1, 2]);
    }

    #[test]
    fn only_who_was_not_told_that_a_cell_is_calm_is_sent_all_of_them_once_it_is_gone() {
        let mut board = board();
        let at = EventTime::from_millis;
        board.publish(at(5_000), false, vec![risk(2, 5_000, 900), risk(1, 5_000, 100)]);
        let slow = board.since(0, Format::Json).unwrap().version;
        board.publish(at(10_000), false, vec![calm(2, 10_000)]);
        let quick = board.since(slow, Format::Json).unwrap().version;
        board.publish(at(70_000), false, vec![risk(1, 70_000, 200)]);

        let expected = vec![("000000000000001".to_owned(), 2.0)];
        assert_eq!(read(&board.since(quick, Format::Json).unwrap()), (false, expected.clone()));
        assert_eq!(read(&board.since(slow, Format::Json).unwrap()), (true, expected));
    }

    #[test]
    fn a_million_places_leave_no_trace_and_everybody_is_told() {
        let mut board = board();
        let at = EventTime::from_millis;
        board.publish(at(0), false, vec![risk(1, 0, 100)]);
        let first = board.since(0, Format::Binary).unwrap().version;
        for minute in 1..=100_i64 {
            let end = minute * 60_000;
            let places = (0..10_000).map(|place| 2 + place + 10_000 * u64::try_from(minute).unwrap());
            board.publish(at(end), false, places.map(|place| calm(place, end)).collect());
            assert!(board.cells.len() <= 10_001 && board.calm.len() <= 10_000, "{}", board.cells.len());
        }
        board.publish(at(102 * 60_000), false, vec![risk(1, 102 * 60_000, 300)]);
        let expected = vec![("000000000000001".to_owned(), 3.0)];
        assert_eq!(read(&board.since(first, Format::Json).unwrap()), (true, expected));
        assert!(board.calm.is_empty());
    }

    #[test]
    fn clients_that_are_equally_far_behind_share_their_bytes() {
        let mut board = CellBoard::new();
        board.publish(EventTime::from_millis(10_000), false, vec![risk(1, 10_000, 100)]);
        let one = board.since(0, Format::Json).unwrap().message;
        let other = board.since(0, Format::Json).unwrap().message;
        assert_eq!(one.as_ptr(), other.as_ptr());
    }
}
