use super::{COUNT, Column, Kind, column, required};

/// One-key alarms; key = the button. A press is never refused for a detail.
pub(super) const COLUMNS: &[Column] = &[
    column("button", Kind::Text),
    required(
        "kind",
        Kind::Member(&["panic", "duress", "medical", "fire_manual", "silent", "cancel", "test"]),
    ),
    column("press_seq", COUNT),
    column("caller_ref", Kind::Text),
];
