use super::{Column, Kind, column, required};

/// Receipts and legs of those who respond; key = the incident.
pub(super) const COLUMNS: &[Column] = &[
    column("incident", Kind::Text),
    column("alarm_id", Kind::Text),
    column("agency", Kind::Member(&["police", "fire", "medical", "property", "grid"])),
    column("unit_ref", Kind::Text),
    required("leg", Kind::Member(LEGS)),
    column("at", Kind::Time),
    column("manual", Kind::Bool),
];

const LEGS: &[&str] = &[
    "received",
    "created",
    "assigned",
    "acknowledged",
    "enroute",
    "arrived",
    "cleared",
    "feedback",
    "cancelled",
];
