use super::{Column, Kind, column, required};

/// Patrols, inspections and hazard reports; key = the officer.
pub(super) const COLUMNS: &[Column] = &[
    required(
        "kind",
        Kind::Member(&["checkpoint", "hazard_report", "inspection", "complaint", "drill", "incident_note"]),
    ),
    column("route", Kind::Text),
    column("round", Kind::Text),
    column("checkpoint", Kind::Text),
    column("method", Kind::Member(&["nfc", "qr", "gps", "manual"])),
    column("officer_ref", Kind::Text),
    column("scanned_at", Kind::Time),
    column("offline", Kind::Bool),
    column("accuracy_m", Kind::FloatIn(0.0, f64::MAX)),
    column("result", Kind::Member(&["ok", "defect", "missing"])),
    column("asset", Kind::Text),
    column("hazard_class", Kind::Text),
];
