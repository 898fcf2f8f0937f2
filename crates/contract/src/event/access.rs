use super::{COUNT, Column, Kind, SHARE, column, required};

/// Doors, gates and readers; key = the access point.
pub(super) const COLUMNS: &[Column] = &[
    column("access_point", Kind::Text),
    required("event", Kind::Member(EVENTS)),
    column("reason", Kind::Text),
    column("direction", Kind::Member(&["in", "out", "unknown"])),
    column("recognition", Kind::Text),
    column("credential_ref", Kind::Text),
    column("credential_class", Kind::Member(&["resident", "staff", "visitor", "contractor", "emergency"])),
    column("visit_from", Kind::Time),
    column("visit_until", Kind::Time),
    column("match_score", SHARE),
    column("held_ms", COUNT),
];

const EVENTS: &[&str] = &[
    "granted",
    "denied",
    "taken",
    "not_taken",
    "duress",
    "apb_violation",
    "door_open",
    "door_closed",
    "door_forced",
    "door_open_too_long",
    "door_tamper",
    "door_fault",
    "rex",
];
