//! What devices say of themselves in rows of `iot`.

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use hexwatch_contract::{EventBatch, EventTime, Topic};

/// Each (device, state, time) of an `iot` batch; nothing of others.
pub(super) fn device_states(batch: &EventBatch) -> impl Iterator<Item = (&str, &str, EventTime)> {
    let records = (batch.topic == Topic::Iot).then_some(&batch.records);
    records.into_iter().flat_map(states)
}

fn states(records: &RecordBatch) -> impl Iterator<Item = (&str, &str, EventTime)> {
    let device = records["device"].as_string::<i32>();
    let state = records["state"].as_string::<i32>();
    let time = records["time"].as_primitive::<TimestampMicrosecondType>();
    (0..records.num_rows())
        .filter(|row| state.is_valid(*row) && device.is_valid(*row))
        .map(|row| (device.value(row), state.value(row), EventTime::from_micros(time.value(row))))
}

/// Each (device, time) of a batch of any topic: its sign of life.
pub fn signs_of_life(records: &RecordBatch) -> impl Iterator<Item = (&str, EventTime)> {
    let device = records["device"].as_string::<i32>();
    let time = records["time"].as_primitive::<TimestampMicrosecondType>();
    (0..records.num_rows())
        .filter(|row| device.is_valid(*row))
        .map(|row| (device.value(row), EventTime::from_micros(time.value(row))))
}
