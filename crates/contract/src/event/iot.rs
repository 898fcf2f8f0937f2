use super::{Column, Kind, column};

/// Sensors; key = the device. One of `property`, `state` and `heartbeat` is required.
pub(super) const COLUMNS: &[Column] = &[
    column("property", Kind::Text),
    column("result", Kind::Float),
    column("unit", Kind::Text),
    column("quality", Kind::Member(&["good", "suspect", "bad"])),
    column("state", Kind::Member(STATES)),
    column("state_bits", Kind::IntIn(0, 65_535)),
    column("battery_pct", Kind::FloatIn(0.0, 100.0)),
    column("rssi_dbm", Kind::Float),
    column("heartbeat", Kind::Bool),
];

const STATES: &[&str] =
    &["normal", "prealarm", "alarm", "fault", "disabled", "test", "supervisory", "started", "feedback"];
