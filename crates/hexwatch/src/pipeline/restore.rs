//! What was open in the risk of cells, rebuilt out of the history's own tables.

use anyhow::{Context as _, Result};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::prelude::SessionContext;
use hexwatch::machine::Scores;
use hexwatch_contract::{Cell, EventTime, Offsets, Topic};

/// Gives `scores` what was open at `watermark`, and says it to nobody. Rows from `done` on are left out where a table
/// holds them: they come again.
pub(crate) async fn restore_scores(
    scores: &mut Scores,
    history: &SessionContext,
    watermark: EventTime,
    done: &Offsets,
) -> Result<()> {
    let from = watermark - scores.horizon();
    let known = format!("\"time\" >= TIMESTAMP '{from}' AND {}", below(done));
    for query in scores.queries().to_vec() {
        let sql = format!("SELECT * FROM ({}) WHERE {known}", bare(&query.sql()?));
        let rows = read(history, &sql).await;
        for rows in rows.with_context(|| format!("restoring the risk term {}", query.name))? {
            scores.take(&query.name, &rows);
        }
    }
    for topic in Topic::ALL {
        let sql = format!("SELECT device, \"time\" FROM {} WHERE {known}", topic.table());
        for rows in read(history, &sql).await.context("restoring the sensors' signs of life")? {
            scores.hear(&rows);
        }
    }
    scores.advance(watermark);
    resume_corrections(scores, history, watermark).await
}

/// Goes on counting the corrections of windows that may still be corrected.
async fn resume_corrections(
    scores: &mut Scores,
    history: &SessionContext,
    watermark: EventTime,
) -> Result<()> {
    let open = watermark - scores.correction();
    let sql = format!(
        "SELECT cell, window_end, max(rev) AS rev FROM risk_cell_revisions \
         WHERE window_end > TIMESTAMP '{open}' AND watermark <= TIMESTAMP '{watermark}' GROUP BY cell, window_end \
         ORDER BY window_end"
    );
    for rows in read(history, &sql).await.context("restoring the corrections of risk")? {
        let cells = rows["cell"].as_primitive::<Int64Type>();
        let ends = rows["window_end"].as_primitive::<TimestampMicrosecondType>();
        let revs = rows["rev"].as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let end = EventTime::from_micros(ends.value(row));
            let rev = u32::try_from(revs.value(row)).unwrap_or(u32::MAX);
            scores.resume(Cell::from_i64(cells.value(row)), end, rev);
        }
    }
    Ok(())
}

/// The condition that a row's position lies below `done`.
fn below(done: &Offsets) -> String {
    let within = done.iter().map(|(partition, offset)| {
        let (topic, number) = (partition.topic.replace('\'', "''"), partition.partition);
        format!("(topic = '{topic}' AND \"partition\" = {number} AND \"offset\" < {offset})")
    });
    let within: Vec<String> = within.collect();
    if within.is_empty() { "false".to_owned() } else { format!("({})", within.join(" OR ")) }
}

/// The statement without the semicolon that a file may end in, on a line of its own so that no comment swallows what
/// follows.
fn bare(sql: &str) -> String {
    format!("{}\n", sql.trim_end().trim_end_matches(';'))
}

async fn read(history: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    Ok(history.sql(sql).await?.collect().await?)
}
