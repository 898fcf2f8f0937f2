//! `alarm_changes` (every change) and `alarms` (the last change of each): the same columns.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use super::arrays::{
    always, batch_of, booleans, counts, inputs, inputs_type, ints, json, maybe, maybe_cells, maybe_floats,
    maybe_texts, maybe_times, schema_of, texts, times, words,
};
use crate::alarm::Alarm;
use crate::event::time_type;

/// The columns of `alarm_changes` and of `alarms`: the fields of [`Alarm`]. `inputs` is a list of structs,
/// `measured` and `explain` are JSON text.
#[must_use]
pub fn alarm_changes() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        schema_of([
            always("alarm_id", DataType::Utf8),
            always("seq", DataType::Int64),
            always("site", DataType::Utf8),
            always("rule", DataType::Utf8),
            always("rule_version", DataType::Int64),
            always("class", DataType::Utf8),
            always("priority", DataType::Int32),
            always("state", DataType::Utf8),
            always("transition", DataType::Utf8),
            maybe("actor_ref", DataType::Utf8),
            maybe("note", DataType::Utf8),
            maybe("assigned_to", DataType::Utf8),
            maybe("shelved_until", time_type()),
            always("raised_at", time_type()),
            always("changed_at", time_type()),
            always("emitted_at", time_type()),
            always("key", DataType::Utf8),
            maybe("device", DataType::Utf8),
            maybe("cell", DataType::Int64),
            maybe("lon", DataType::Float64),
            maybe("lat", DataType::Float64),
            maybe("area", DataType::Utf8),
            maybe("grid", DataType::Utf8),
            maybe("officer_role", DataType::Utf8),
            always("inputs", inputs_type()),
            always("measured", DataType::Utf8),
            always("confirm_level", DataType::Utf8),
            always("drill", DataType::Boolean),
            always("replay", DataType::Boolean),
            maybe("incident", DataType::Utf8),
            always("explain", DataType::Utf8),
        ])
    });
    SCHEMA.clone()
}

/// One row for each change, by [`alarm_changes`].
#[must_use]
pub fn alarm_batch(changes: &[Alarm]) -> RecordBatch {
    let rows = || changes.iter();
    let columns = vec![
        texts(rows().map(|alarm| alarm.alarm_id.as_str())),
        counts(rows().map(|alarm| alarm.seq)),
        texts(rows().map(|alarm| alarm.site.as_str())),
        texts(rows().map(|alarm| &*alarm.rule)),
        counts(rows().map(|alarm| u64::from(alarm.rule_version))),
        words(rows().map(|alarm| alarm.class)),
        ints(rows().map(|alarm| i32::from(alarm.priority.get()))),
        words(rows().map(|alarm| alarm.state)),
        words(rows().map(|alarm| alarm.transition)),
        maybe_texts(rows().map(|alarm| alarm.actor_ref.as_deref())),
        maybe_texts(rows().map(|alarm| alarm.note.as_deref())),
        maybe_texts(rows().map(|alarm| alarm.assigned_to.as_deref())),
        maybe_times(rows().map(|alarm| alarm.shelved_until)),
        times(rows().map(|alarm| alarm.raised_at)),
        times(rows().map(|alarm| alarm.changed_at)),
        times(rows().map(|alarm| alarm.emitted_at)),
        texts(rows().map(|alarm| alarm.key.as_str())),
        maybe_texts(rows().map(|alarm| alarm.device.as_deref())),
        maybe_cells(rows().map(|alarm| alarm.cell)),
        maybe_floats(rows().map(|alarm| alarm.lon)),
        maybe_floats(rows().map(|alarm| alarm.lat)),
        maybe_texts(rows().map(|alarm| alarm.area.as_deref())),
        maybe_texts(rows().map(|alarm| alarm.grid.as_deref())),
        maybe_texts(rows().map(|alarm| alarm.officer_role.as_deref())),
        inputs(|| rows().map(|alarm| alarm.inputs.as_slice())),
        json(rows().map(|alarm| &alarm.measured)),
        words(rows().map(|alarm| alarm.confirm_level)),
        booleans(rows().map(|alarm| alarm.drill)),
        booleans(rows().map(|alarm| alarm.replay)),
        maybe_texts(rows().map(|alarm| alarm.incident.as_deref())),
        json(rows().map(|alarm| &alarm.explain)),
    ];
    batch_of(&alarm_changes(), columns)
}
