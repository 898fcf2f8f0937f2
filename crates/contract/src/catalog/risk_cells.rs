//! `risk_cells` and `forecasts`.

use std::sync::LazyLock;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Fields, SchemaRef};

use super::arrays::{
    always, batch_of, counts, floats, inputs, inputs_type, ints, list_type, lists, longs, maybe,
    maybe_floats, schema_of, texts, times, words,
};
use crate::event::time_type;
use crate::risk::{CellRisk, Hundredths};

/// The columns of `risk_cells`: the fields of [`CellRisk`]. `contrib` and `grid` are lists of structs; `score`
/// and the shares of `contrib` are decimal numbers with two places.
#[must_use]
pub fn risk_cells() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("cell", DataType::Int64),
            always("res", DataType::Int32),
            always("window_start", time_type()),
            always("window_end", time_type()),
            always("watermark", time_type()),
            maybe("score", DataType::Float64),
            always("contrib", list_type(contribution_fields())),
            always("level", DataType::Utf8),
            always("coverage", DataType::Float64),
            always("n_events", DataType::Int64),
            always("grid", list_type(grid_fields())),
            always("rev", DataType::Int64),
        ])
    });
    SCHEMA.clone()
}

fn contribution_fields() -> Fields {
    Fields::from(vec![
        maybe("term", DataType::Utf8),
        maybe("value", DataType::Float64),
        maybe("weight", DataType::Float64),
        maybe("share", DataType::Float64),
        maybe("n", DataType::Int64),
        maybe("top_inputs", inputs_type()),
    ])
}

fn grid_fields() -> Fields {
    Fields::from(vec![maybe("grid", DataType::Utf8), maybe("share", DataType::Float64)])
}

fn decimal(score: Hundredths) -> f64 {
    f64::from(score.0) / 100.0
}

/// One row for each risk, by [`risk_cells`].
#[must_use]
pub fn risk_batch(risks: &[CellRisk]) -> RecordBatch {
    let rows = || risks.iter();
    let columns = vec![
        longs(rows().map(|risk| risk.cell.to_i64())),
        ints(rows().map(|risk| i32::from(risk.res))),
        times(rows().map(|risk| risk.window_start)),
        times(rows().map(|risk| risk.window_end)),
        times(rows().map(|risk| risk.watermark)),
        maybe_floats(rows().map(|risk| risk.score.map(decimal))),
        contributions(risks),
        words(rows().map(|risk| risk.level)),
        floats(rows().map(|risk| risk.coverage)),
        counts(rows().map(|risk| risk.n_events)),
        grids(risks),
        counts(rows().map(|risk| u64::from(risk.rev))),
    ];
    batch_of(&risk_cells(), columns)
}

fn contributions(risks: &[CellRisk]) -> ArrayRef {
    let flat = || risks.iter().flat_map(|risk| &risk.contrib);
    let columns = vec![
        texts(flat().map(|part| part.term.as_str())),
        floats(flat().map(|part| part.value)),
        floats(flat().map(|part| part.weight)),
        floats(flat().map(|part| decimal(part.share))),
        counts(flat().map(|part| part.n)),
        inputs(|| flat().map(|part| part.top_inputs.as_slice())),
    ];
    lists(&contribution_fields(), risks.iter().map(|risk| risk.contrib.len()), columns)
}

fn grids(risks: &[CellRisk]) -> ArrayRef {
    let flat = || risks.iter().flat_map(|risk| &risk.grid);
    let columns = vec![texts(flat().map(|part| part.grid.as_str())), floats(flat().map(|part| part.share))];
    lists(&grid_fields(), risks.iter().map(|risk| risk.grid.len()), columns)
}

/// The columns of `forecasts`: for a cell at resolution 10, what `model` expects within `horizon_min` minutes
/// of `issued_at`; `p` is the probability of any, `lo` and `hi` bound the count.
#[must_use]
pub fn forecasts() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("issued_at", time_type()),
            always("cell", DataType::Int64),
            always("res", DataType::Int32),
            always("horizon_min", DataType::Int64),
            maybe("class", DataType::Utf8),
            always("expected", DataType::Float64),
            always("p", DataType::Float64),
            maybe("lo", DataType::Float64),
            maybe("hi", DataType::Float64),
            maybe("baseline_p", DataType::Float64),
            always("model", DataType::Utf8),
        ])
    });
    SCHEMA.clone()
}
