//! The cells as they stand. A client names the version it has and gets what is newer, merged: the newest wins, and
//! there is nothing to queue.

use bytes::Bytes;
use hexwatch_contract::live::{CellUpdate, Cells, Message};
use hexwatch_contract::risk::CellRisk;
use hexwatch_contract::{Cell, EventTime};
use rustc_hash::FxHashMap;

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

/// The latest risk of every cell.
#[derive(Debug)]
pub(super) struct CellBoard {
    /// One more with each publication; 0 before the first.
    version: u64,
    /// The version that replaced all cells last: whoever is older needs all of them.
    replaced_at: u64,
    watermark: EventTime,
    cells: FxHashMap<Cell, Standing>,
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
            made: FxHashMap::default(),
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
            self.replaced_at = version;
        }
        for risk in risks {
            let stands = self.cells.get(&risk.cell);
            if stands.is_none_or(|stands| stands.risk.window_end <= risk.window_end) {
                self.cells.insert(risk.cell, Standing { risk, version });
            }
        }
        Some(version)
    }

    /// What a client that has `version` lacks; 0 has nothing, and gets all. `None` where nothing is newer.
    pub(super) fn since(&mut self, version: u64, format: Format) -> Option<Since> {
        // A version that was never given comes from nowhere; such a client gets all.
        let from = if version < self.replaced_at || version > self.version { 0 } else { version };
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

    #[test]
    fn clients_that_are_equally_far_behind_share_their_bytes() {
        let mut board = CellBoard::new();
        board.publish(EventTime::from_millis(10_000), false, vec![risk(1, 10_000, 100)]);
        let one = board.since(0, Format::Json).unwrap().message;
        let other = board.since(0, Format::Json).unwrap().message;
        assert_eq!(one.as_ptr(), other.as_ptr());
    }
}
