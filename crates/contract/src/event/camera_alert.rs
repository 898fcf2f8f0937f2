use super::{COUNT, Column, Kind, SHARE, column, required};

/// Camera analytics; key = the camera.
pub(super) const COLUMNS: &[Column] = &[
    column("camera", Kind::Text),
    required("kind", Kind::Member(KINDS)),
    column("rule", Kind::Text),
    column("phase", Kind::Member(&["start", "update", "end", "pulse"])),
    column("track", Kind::Text),
    column("object_class", Kind::Member(&["human", "vehicle", "bike", "animal", "fire", "smoke", "other"])),
    column("score", SHARE),
    column("count", COUNT),
    column("since", Kind::Time),
    column("evidence_ref", Kind::Text),
];

const KINDS: &[&str] = &[
    "line_crossed",
    "intrusion",
    "loitering",
    "crowd_density",
    "count",
    "object_left",
    "object_removed",
    "wrong_way",
    "fast_move",
    "fall",
    "flame",
    "smoke",
    "fire_lane_blocked",
    "ebike_in_lift",
    "falling_object",
    "audio",
    "signal_loss",
    "tamper_scene_change",
    "image_quality",
    "offline",
    "online",
];
