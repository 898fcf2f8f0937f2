//! Rows of the risk terms' queries become scores of cells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use hexwatch_contract::alarm::Input;
use hexwatch_contract::risk::{CellRisk, GridShare};
use hexwatch_contract::site::Device;
use hexwatch_contract::{Cell, EventTime};
use hexwatch_grid::Site;
use hexwatch_risk::{Closed, Ground, Scorer, TermQuery, Terms};
use hexwatch_sql::QueryFile;

use super::device_states::signs_of_life;

/// The ground as the site's map knows it.
struct SiteGround(Arc<Site>);

impl Ground for SiteGround {
    fn risk_cell(&self, cell: Cell) -> Cell {
        hexwatch_grid::cell::parent(cell, hexwatch_contract::cell::RISK_RESOLUTION).unwrap_or(cell)
    }

    fn grids(&self, cell: Cell) -> Vec<GridShare> {
        self.0.shares_of(cell)
    }
}

/// The scorer, and which term each query feeds.
pub struct Scores {
    scorer: Scorer,
    term_of: BTreeMap<String, usize>,
    queries: Vec<QueryFile>,
}

impl Scores {
    /// Scores by `terms` on the ground of `site`; its sensors are expected from the start.
    pub fn new(terms: Terms, correction: Duration, site: &Arc<Site>) -> Result<Self> {
        let term_queries = terms.queries();
        let queries = term_queries.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let term_of = term_queries.into_iter().map(|query| (query.name, query.term)).collect();
        let mut scorer = Scorer::new(terms, correction, SiteGround(Arc::clone(site)));
        for cell in site.cells() {
            scorer.watch(cell);
        }
        for device in site.devices().iter().filter(|device| device.in_service) {
            register(&mut scorer, device);
        }
        Ok(Self { scorer, term_of, queries })
    }

    /// The queries whose rows feed the terms.
    #[must_use]
    pub fn queries(&self) -> &[QueryFile] {
        &self.queries
    }

    /// Whether `view` is one of them.
    #[must_use]
    pub fn feeds(&self, view: &str) -> bool {
        self.term_of.contains_key(view)
    }

    /// Takes rows of the query `view`.
    pub fn take(&mut self, view: &str, rows: &RecordBatch) {
        let Some(&term) = self.term_of.get(view) else { return };
        let cell = rows["cell"].as_primitive::<Int64Type>();
        let time = rows["time"].as_primitive::<TimestampMicrosecondType>();
        for row in (0..rows.num_rows()).filter(|row| cell.is_valid(*row)) {
            let at = EventTime::from_micros(time.value(row));
            self.scorer.add(term, Cell::from_i64(cell.value(row)), at, input(rows, row, view));
        }
    }

    /// Takes the signs of life in rows of any topic.
    pub fn hear(&mut self, records: &RecordBatch) {
        for (device, time) in signs_of_life(records) {
            self.scorer.heard(device, time);
        }
    }

    /// How far back a score looks, and late rows correct it.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        self.scorer.horizon()
    }

    /// For how long after its end something may still be said of a window.
    #[must_use]
    pub fn corrected_for(&self) -> Duration {
        self.scorer.corrected_for()
    }

    /// The cells that are spoken of even where nothing happens.
    pub fn own_cells(&self) -> impl Iterator<Item = Cell> {
        self.scorer.own_cells()
    }

    /// How many registered sensors are silent.
    #[must_use]
    pub fn silent(&self) -> usize {
        self.scorer.silent()
    }

    /// Takes up windows where a restart left them: see [`Scorer::resume`].
    pub fn resume(&mut self, cell: Cell, window_end: EventTime, rev: u32) {
        self.scorer.resume(cell, window_end, rev);
    }

    /// How late rows still correct a window.
    #[must_use]
    pub fn correction(&self) -> Duration {
        self.scorer.correction()
    }

    /// Closes windows up to `watermark`.
    pub fn advance(&mut self, watermark: EventTime) -> Vec<CellRisk> {
        self.scorer.advance(watermark)
    }

    /// The same for as many windows of cells as `budget` has left: see [`Scorer::advance_by`].
    pub fn advance_by(&mut self, watermark: EventTime, budget: &mut usize) -> Closed {
        self.scorer.advance_by(watermark, budget)
    }
}

fn parse(query: &TermQuery) -> Result<QueryFile> {
    let path = format!("queries/risk.toml/{}", query.name);
    QueryFile::parse(&path, &query.text)
        .map_err(|errors| anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

fn register(scorer: &mut Scorer, device: &Device) {
    let cell = hexwatch_grid::cell::cell_at(device.lon, device.lat, hexwatch_contract::cell::RISK_RESOLUTION);
    if let (Some(cell), Some(seconds)) = (cell, device.expected_heartbeat_s) {
        scorer.sensor(&device.id, cell, Duration::from_secs_f64(seconds));
    }
}

fn input(rows: &RecordBatch, row: usize, role: &str) -> Input {
    Input {
        topic: rows["topic"].as_string::<i32>().value(row).to_owned(),
        partition: rows["partition"].as_primitive::<Int32Type>().value(row),
        offset: rows["offset"].as_primitive::<Int64Type>().value(row),
        id: rows["id"].as_string::<i32>().value(row).to_owned(),
        role: role.trim_start_matches("risk_").to_owned(),
    }
}
