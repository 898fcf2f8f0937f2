//! Absence: `absence(table)` has a row when a registered device falls silent, at the event time its timer
//! ran out, and one when it is heard again.

mod track;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::Expr;
use hexwatch_contract::Topic;
use hexwatch_contract::event::time_type;
use hexwatch_contract::site::{Device, Place, Places};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::hop::table_name;

use self::track::{Known, State, Track};

/// A device is silent after this many missed signs of life,
const MISSED: f64 = 3.0;
/// but not before this long.
const LEAST: Duration = Duration::from_secs(90);

/// The columns of `absence(table)`:
///
/// - `site, device, kind, lon, lat, floor, cell, links`: the device, as registered (`links` by `;`);
/// - `expected_s`: seconds between its signs of life; `silence_s`: after how many it counts as silent;
/// - `last_seen`: its last sign of life before the silence, or the table's first row where there is none;
/// - `at`: when it fell silent or was heard again; `state`: `silent` or `returned`.
pub(crate) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
        Arc::new(Schema::new(vec![
            text("site", false),
            text("device", false),
            text("kind", false),
            Field::new("lon", DataType::Float64, true),
            Field::new("lat", DataType::Float64, true),
            Field::new("floor", DataType::Int64, true),
            Field::new("cell", DataType::Int64, true),
            text("links", false),
            Field::new("expected_s", DataType::Float64, false),
            Field::new("silence_s", DataType::Float64, false),
            Field::new("last_seen", time_type(), false),
            Field::new("at", time_type(), false),
            text("state", false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// The table in which a device of `kind` gives its signs of life.
fn topic_of(kind: &str) -> Topic {
    match kind {
        "camera" => Topic::CameraAlert,
        "door" | "access_point" => Topic::Access,
        "panic" => Topic::Panic,
        _ => Topic::Iot,
    }
}

/// The table in `absence('iot')`.
pub(crate) fn topic_argument(arguments: &[Expr]) -> Result<Topic> {
    let [table] = arguments else { return plan_err!("absence takes a table: absence('iot')") };
    let name = table_name(table)?;
    Topic::from_table(&name)
        .map_or_else(|| plan_err!("absence takes an event table, and `{name}` is none"), Ok)
}

/// A device that is expected to be heard.
#[derive(Clone, Debug)]
struct Expected {
    device: Device,
    place: Option<Place>,
    /// Microseconds.
    silence: i64,
}

/// When it happened, to which device (by its index), what; in microseconds.
type Episode = (i64, usize, State);
/// What outlives a restart, because a silence can be longer than what is read again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AbsenceSnapshot {
    topic: Topic,
    started: Option<i64>,
    tracks: BTreeMap<String, Track>,
}

/// The silences of the devices of one table.
#[derive(Debug)]
pub(crate) struct Silences {
    pub(crate) topic: Topic,
    devices: Vec<Expected>,
    index: FxHashMap<String, usize>,
    tracks: Vec<Track>,
    started: Option<i64>,
    /// Episodes before this have been forgotten.
    floor: i64,
    /// For each device its episodes, in order: hardly ever more than the timer that runs.
    known: Vec<Vec<Known>>,
    episodes: BTreeMap<Episode, i64>,
}

impl Silences {
    /// Of those `devices` that are in service, expected to be heard, and heard in `topic`.
    pub(crate) fn new(topic: Topic, devices: &[Device], places: &dyn Places) -> Self {
        let expected = devices.iter().filter(|device| device.in_service && topic_of(&device.kind) == topic);
        let devices: Vec<Expected> = expected
            .filter_map(|device| {
                Some(Expected {
                    silence: silence_micros(device.expected_heartbeat_s?),
                    place: places.of_device(&device.id),
                    device: device.clone(),
                })
            })
            .collect();
        let index =
            devices.iter().enumerate().map(|(index, expected)| (expected.device.id.clone(), index)).collect();
        let tracks = vec![Track::default(); devices.len()];
        let known = vec![Vec::new(); devices.len()];
        Self {
            topic,
            devices,
            index,
            tracks,
            started: None,
            floor: i64::MIN,
            known,
            episodes: BTreeMap::new(),
        }
    }

    /// The same devices before the table's first row.
    pub(crate) fn renewed(self) -> Self {
        Self {
            tracks: vec![Track::default(); self.devices.len()],
            known: vec![Vec::new(); self.devices.len()],
            started: None,
            floor: i64::MIN,
            episodes: BTreeMap::new(),
            ..self
        }
    }

    /// Takes rows of the table; returns the times at which an episode came, went or moved.
    pub(crate) fn observe(&mut self, records: &RecordBatch) -> Vec<i64> {
        let (Some(times), Some(names)) = (
            records
                .column_by_name("time")
                .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>()),
            records.column_by_name("device").and_then(|column| column.as_string_opt::<i32>()),
        ) else {
            return Vec::new();
        };
        let mut touched = Vec::new();
        for row in 0..records.num_rows() {
            let device = if names.is_null(row) { None } else { self.index.get(names.value(row)) };
            if let Some(&device) = device {
                self.tracks[device].hear(times.value(row), self.devices[device].silence);
                touched.push(device);
            }
        }
        if let Some(first) = first_of_good_clocks(times, records)
            && self.started.is_none_or(|started| first < started)
        {
            self.started = Some(first);
            touched.extend(0..self.devices.len());
        }
        touched.sort_unstable();
        touched.dedup();
        let mut changed = Vec::new();
        for device in touched {
            self.refresh(device, &mut changed);
        }
        changed
    }

    /// Recomputes the episodes of `device`; adds the times of those that changed to `changed`.
    fn refresh(&mut self, device: usize, changed: &mut Vec<i64>) {
        let Some(started) = self.started else { return };
        let mut now = self.tracks[device].episodes(started, self.devices[device].silence);
        now.retain(|episode| episode.0 >= self.floor);
        let before = std::mem::replace(&mut self.known[device], now);
        let now = &self.known[device];
        for &(at, state, _) in before.iter().filter(|episode| !now.contains(episode)) {
            self.episodes.remove(&(at, device, state));
            changed.push(at);
        }
        for &(at, state, last_seen) in now.iter().filter(|episode| !before.contains(episode)) {
            self.episodes.insert((at, device, state), last_seen);
            changed.push(at);
        }
    }

    /// Forgets spans that no row can touch any more, with what they gave.
    pub(crate) fn drop_before(&mut self, floor: i64) {
        self.floor = self.floor.max(floor);
        for (track, known) in self.tracks.iter_mut().zip(&mut self.known) {
            track.drop_before(floor);
            known.retain(|episode| episode.0 >= floor);
        }
        self.episodes = self.episodes.split_off(&(floor, 0, State::Silent));
    }

    /// The episodes with `from <= at <= to`, in microseconds.
    pub(crate) fn between(&self, from: i64, to: i64) -> Result<RecordBatch, ArrowError> {
        if from > to {
            return Ok(RecordBatch::new_empty(schema()));
        }
        let range = (from, 0, State::Silent)..=(to, usize::MAX, State::Returned);
        let found: Vec<_> = self.episodes.range(range).map(|(episode, last)| (*episode, *last)).collect();
        self.batch(&found)
    }

    fn batch(&self, found: &[(Episode, i64)]) -> Result<RecordBatch, ArrowError> {
        let of = |episode: &(Episode, i64)| &self.devices[episode.0.1];
        let text = |read: &dyn Fn(&Expected) -> String| -> ArrayRef {
            Arc::new(found.iter().map(|episode| Some(read(of(episode)))).collect::<StringArray>())
        };
        let number = |read: &dyn Fn(&Expected) -> Option<f64>| -> ArrayRef {
            Arc::new(found.iter().map(|episode| read(of(episode))).collect::<Float64Array>())
        };
        let whole = |read: &dyn Fn(&Expected) -> Option<i64>| -> ArrayRef {
            Arc::new(found.iter().map(|episode| read(of(episode))).collect::<Int64Array>())
        };
        let time = |read: &dyn Fn(&(Episode, i64)) -> i64| -> ArrayRef {
            let times: TimestampMicrosecondArray = found.iter().map(|episode| Some(read(episode))).collect();
            Arc::new(times.with_timezone("UTC"))
        };
        let states: StringArray = found.iter().map(|episode| Some(episode.0.2.name())).collect();
        RecordBatch::try_new(
            schema(),
            vec![
                text(&|expected| expected.device.site.clone()),
                text(&|expected| expected.device.id.clone()),
                text(&|expected| expected.device.kind.clone()),
                number(&|expected| Some(expected.place.map_or(expected.device.lon, |place| place.lon))),
                number(&|expected| Some(expected.place.map_or(expected.device.lat, |place| place.lat))),
                whole(&|expected| expected.device.floor),
                whole(&|expected| expected.place.map(|place| place.cell.to_i64())),
                text(&|expected| expected.device.links.join(";")),
                number(&|expected| expected.device.expected_heartbeat_s),
                number(&|expected| Some(expected.silence as f64 / 1e6)),
                time(&|episode| episode.1),
                time(&|episode| episode.0.0),
                Arc::new(states),
            ],
        )
    }

    /// What a restart needs.
    pub(crate) fn snapshot(&self) -> AbsenceSnapshot {
        let named = self.devices.iter().map(|expected| expected.device.id.clone());
        AbsenceSnapshot {
            topic: self.topic,
            started: self.started,
            tracks: named.zip(self.tracks.iter().cloned()).collect(),
        }
    }

    /// Takes up where `snapshot` of the same table was made; devices that are new to the registry count from the start.
    pub(crate) fn resume(&mut self, snapshot: &AbsenceSnapshot) {
        if snapshot.topic != self.topic {
            return;
        }
        self.started = snapshot.started;
        for (name, track) in &snapshot.tracks {
            if let Some(&device) = self.index.get(name) {
                self.tracks[device] = track.clone();
            }
        }
        for device in 0..self.devices.len() {
            self.refresh(device, &mut Vec::new());
        }
    }
}

/// The earliest time of a clock that can be believed: one wrong one must not make everybody else silent since then.
fn first_of_good_clocks(times: &TimestampMicrosecondArray, records: &RecordBatch) -> Option<i64> {
    let quality = records.column_by_name("time_quality").and_then(|column| column.as_string_opt::<i32>());
    let is_good = |row: &usize| quality.is_none_or(|quality| quality.value(*row) != "suspect");
    (0..times.len()).filter(is_good).map(|row| times.value(row)).min()
}

#[allow(clippy::cast_possible_truncation, reason = "a heartbeat of 300,000 years is no concern")]
fn silence_micros(expected_s: f64) -> i64 {
    ((MISSED * expected_s).max(LEAST.as_secs_f64()) * 1e6) as i64
}
