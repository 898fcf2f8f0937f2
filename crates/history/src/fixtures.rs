//! What the tests of this crate are made of.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use hexwatch_contract::alarm::{
    Alarm, AlarmId, Class, ConfirmLevel, Explain, Input, Priority, State, Transition,
};
use hexwatch_contract::risk::{CellRisk, Contribution, GridShare, Hundredths, Level};
use hexwatch_contract::{Cell, Clock, EventTime, ManualClock, Partition, Topic, catalog, event};

use crate::commit::Commit;
use crate::durability::Durability;
use crate::failpoints::{Failpoints, Point};
use crate::reader::Reader;
use crate::table_name::TableName;

/// Change number `seq` of `site`: the first change of an alarm of its own.
pub(crate) fn alarm(site: &str, seq: u64) -> Alarm {
    let at = EventTime::from_millis(1_700_000_000_000 + i64::try_from(seq).unwrap() * 1_000);
    Alarm {
        alarm_id: AlarmId::of("R10", 1, &format!("{site}-{seq}"), at),
        seq,
        site: site.to_owned(),
        rule: Arc::from("R10"),
        rule_version: 1,
        class: Class::Panic,
        priority: Priority::P1,
        state: State::Unack,
        transition: Transition::Raise,
        actor_ref: None,
        note: Some("a note\nof two lines".to_owned()),
        assigned_to: None,
        shelved_until: None,
        raised_at: at,
        changed_at: at,
        emitted_at: at,
        key: "button-1".to_owned(),
        device: Some("button-1".to_owned()),
        cell: None,
        lon: Some(121.5),
        lat: Some(31.2),
        area: None,
        grid: None,
        officer_role: None,
        inputs: Vec::new(),
        measured: serde_json::Map::new(),
        confirm_level: ConfirmLevel::Single,
        drill: false,
        replay: false,
        incident: None,
        explain: Explain::default(),
    }
}

/// Change number `seq` of `site`: an acknowledgement of `raised`.
pub(crate) fn ack(raised: &Alarm, seq: u64) -> Alarm {
    Alarm { seq, state: State::Acked, transition: Transition::Ack, ..raised.clone() }
}

/// A disk that is not asked to keep anything: for tests of what is written, not of whether it stays.
#[derive(Debug)]
pub(crate) struct Unsynced;

impl Durability for Unsynced {
    fn sync_file(&self, _path: &Path, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// Stops a commit at the point with this number, counted from 0; lets everything pass below 0.
#[derive(Debug)]
pub(crate) struct Fuse(pub(crate) AtomicI64);

impl Failpoints for Fuse {
    fn reach(&self, point: &Point) -> io::Result<()> {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 0 {
            Err(io::Error::other(format!("{point:?}")))
        } else {
            Ok(())
        }
    }
}

pub(crate) const TOPIC: &str = "site-1.access";

/// A clock that stands.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(EventTime::from_millis(1_700_000_000_000)))
}

/// When the record at `offset` happened.
pub(crate) fn time_of(offset: i64) -> EventTime {
    EventTime::from_millis(1_700_000_000_000 + offset * 1_000)
}

/// Accepted rows of `access` at `offsets` of partition 0.
pub(crate) fn access(offsets: Range<i64>) -> RecordBatch {
    positioned(&event::schema(Topic::Access), offsets)
}

/// A row of any table of records at each of `offsets`: its position, and something in every other column that must
/// not be null.
pub(crate) fn positioned(schema: &SchemaRef, offsets: Range<i64>) -> RecordBatch {
    let rows = usize::try_from(offsets.end - offsets.start).unwrap();
    let column = |field: &Arc<Field>| -> ArrayRef {
        let texts = |text: String| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
        match (field.name().as_str(), field.data_type()) {
            ("topic", _) => texts(TOPIC.to_owned()),
            ("partition", _) => Arc::new(Int32Array::from(vec![0; rows])),
            ("offset", _) => Arc::new(Int64Array::from_iter_values(offsets.clone())),
            ("id", _) => {
                Arc::new(StringArray::from_iter_values(offsets.clone().map(|offset| format!("e{offset}"))))
            }
            (_, DataType::Timestamp(..)) => {
                let times = offsets.clone().map(|offset| time_of(offset).micros());
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            (_, other) if field.is_nullable() => new_null_array(other, rows),
            (name, DataType::Utf8) => texts(name.to_owned()),
            (_, DataType::Int64) => Arc::new(Int64Array::from(vec![1; rows])),
            (name, other) => panic!("no fixture for `{name}` of {other}"),
        }
    };
    RecordBatch::try_new(schema.clone(), schema.fields().iter().map(column).collect()).unwrap()
}

/// Result rows of a view: one window for each of `windows`, with this count.
pub(crate) fn view_rows(windows: Range<i64>, count: i64) -> RecordBatch {
    let ends = windows.clone().map(|window| time_of(window * 10).micros());
    let rows = usize::try_from(windows.end - windows.start).unwrap();
    RecordBatch::try_from_iter([
        ("cell", Arc::new(Int64Array::from_iter_values(windows)) as ArrayRef),
        ("window_end", Arc::new(TimestampMicrosecondArray::from_iter_values(ends).with_timezone("UTC"))),
        ("n", Arc::new(Int64Array::from(vec![count; rows]))),
    ])
    .unwrap()
}

/// The risk of one cell in each of `windows`.
pub(crate) fn risk_rows(windows: Range<i64>) -> RecordBatch {
    risk_corrections(windows, 0)
}

/// The same as corrections of number `rev`.
pub(crate) fn risk_corrections(windows: Range<i64>, rev: u32) -> RecordBatch {
    let input = Input {
        topic: TOPIC.to_owned(),
        partition: 0,
        offset: 1,
        id: "e1".to_owned(),
        role: "event".to_owned(),
    };
    let risk = |window: i64| CellRisk {
        cell: Cell::from_i64(0x08b2_8308_2803_ffff),
        res: 11,
        window_start: time_of(window * 10 - 10),
        window_end: time_of(window * 10),
        watermark: time_of(window * 10),
        score: Some(Hundredths(4_125)),
        contrib: vec![Contribution {
            term: "denied".to_owned(),
            value: 1.5,
            weight: 2.0,
            share: Hundredths(4_125),
            n: 3,
            top_inputs: vec![input.clone()],
        }],
        level: Level::Elevated,
        coverage: 1.0,
        n_events: 3,
        grid: vec![GridShare { grid: "g1".to_owned(), share: 1.0 }],
        rev,
    };
    catalog::risk_batch(&windows.map(risk).collect::<Vec<_>>())
}

/// The view that [`view_rows`] are of.
pub(crate) fn view() -> TableName {
    TableName::view("heat", &["cell".to_owned(), "window_end".to_owned()])
}

/// A commit up to `next`, replayed from `replay_from`.
pub(crate) fn commit(rows: Vec<(TableName, Vec<RecordBatch>)>, next: i64, replay_from: i64) -> Commit {
    let partition = Partition::new(TOPIC, 0);
    Commit {
        rows,
        offsets: [(partition.clone(), next)].into(),
        replay_from: [(partition.clone(), replay_from)].into(),
        watermarks: [(partition, time_of(next))].into(),
        watermark: time_of(next),
        rule_version: "v1".to_owned(),
        state: serde_json::json!({ "next": next }),
    }
}

/// How many rows `table` has for a reader from outside.
pub(crate) async fn count(data_dir: &Path, table: &str) -> i64 {
    let rows = query(data_dir, &format!("SELECT count(*) AS n FROM {table}")).await;
    rows[0].column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0)
}

/// What `sql` answers over the history in `data_dir`.
pub(crate) async fn query(data_dir: &Path, sql: &str) -> Vec<RecordBatch> {
    let session = crate::read::plain_session();
    Reader::open(data_dir).unwrap().register(&session).unwrap();
    session.sql(sql).await.unwrap().collect().await.unwrap()
}

/// The first column of what `sql` answers, whole numbers.
pub(crate) async fn numbers(data_dir: &Path, sql: &str) -> Vec<i64> {
    let batches = query(data_dir, sql).await;
    let column = |batch: &RecordBatch| {
        batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
    };
    batches.iter().flat_map(column).collect()
}
