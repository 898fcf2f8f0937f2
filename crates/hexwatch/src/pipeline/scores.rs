//! Rows of the risk terms' queries become scores of cells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::prelude::SessionContext;
use hexwatch_contract::alarm::Input;
use hexwatch_contract::risk::{CellRisk, GridShare};
use hexwatch_contract::site::Device;
use hexwatch_contract::{Cell, EventTime, Topic};
use hexwatch_grid::Site;
use hexwatch_risk::{Ground, Scorer, TermQuery, Terms};
use hexwatch_sql::QueryFile;

use super::device_states::signs_of_life;
use super::doors::parse;

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
pub(crate) struct Scores {
    scorer: Scorer,
    term_of: BTreeMap<String, usize>,
    queries: Vec<QueryFile>,
}

impl Scores {
    /// Scores by `terms` on the ground of `site`; its sensors are expected from the start.
    pub(crate) fn new(terms: Terms, correction: Duration, site: &Arc<Site>) -> Result<Self> {
        let term_queries = terms.queries();
        let none = BTreeMap::new();
        let parse =
            |query: &TermQuery| parse(&format!("queries/risk.toml/{}", query.name), &query.text, &none);
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
    pub(crate) fn queries(&self) -> &[QueryFile] {
        &self.queries
    }

    /// Whether `view` is one of them.
    pub(crate) fn feeds(&self, view: &str) -> bool {
        self.term_of.contains_key(view)
    }

    /// Takes rows of the query `view`.
    pub(crate) fn take(&mut self, view: &str, rows: &RecordBatch) {
        let Some(&term) = self.term_of.get(view) else { return };
        let cell = rows["cell"].as_primitive::<Int64Type>();
        let time = rows["time"].as_primitive::<TimestampMicrosecondType>();
        for row in (0..rows.num_rows()).filter(|row| cell.is_valid(*row)) {
            let at = EventTime::from_micros(time.value(row));
            self.scorer.add(term, Cell::from_i64(cell.value(row)), at, input(rows, row, view));
        }
    }

    /// Takes the signs of life in rows of any topic.
    pub(crate) fn hear(&mut self, records: &RecordBatch) {
        for (device, time) in signs_of_life(records) {
            self.scorer.heard(device, time);
        }
    }

    /// How many registered sensors are silent.
    pub(crate) fn silent(&self) -> usize {
        self.scorer.silent()
    }

    /// Closes windows up to `watermark`.
    pub(crate) fn advance(&mut self, watermark: EventTime) -> Vec<CellRisk> {
        self.scorer.advance(watermark)
    }

    /// Rebuilds what was open at `watermark` out of history, and says it to nobody.
    pub(crate) async fn restore(&mut self, history: &SessionContext, watermark: EventTime) -> Result<()> {
        let from = watermark - self.scorer.horizon();
        for query in self.queries.clone() {
            let sql = format!("SELECT * FROM ({}) WHERE \"time\" >= TIMESTAMP '{from}'", bare(&query.sql()?));
            let name = query.name.clone();
            for rows in
                read(history, &sql).await.with_context(|| format!("restoring the risk term {name}"))?
            {
                self.take(&query.name, &rows);
            }
        }
        for topic in Topic::ALL {
            let sql = format!(
                "SELECT device, \"time\" FROM {} WHERE \"time\" >= TIMESTAMP '{from}'",
                topic.table()
            );
            for rows in read(history, &sql).await.context("restoring the sensors' signs of life")? {
                self.hear(&rows);
            }
        }
        self.scorer.advance(watermark);
        Ok(())
    }
}

/// The statement without the semicolon that a file may end in, on a line of its own so that no comment swallows what
/// follows.
fn bare(sql: &str) -> String {
    format!("{}\n", sql.trim_end().trim_end_matches(';'))
}

async fn read(history: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    Ok(history.sql(sql).await?.collect().await?)
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
