//! What is said is heard as it was said, or not at all.

use arrow::array::{Array, Int64Array, new_null_array};
use arrow::datatypes::DataType;
use proptest::prelude::*;

use super::*;

/// A chunk of `iot` from `first` on: for each of `kinds` a row (0), a dead letter (1), or an offset that holds no
/// record (2).
pub(crate) fn chunk(first: i64, kinds: &[u8]) -> Chunk {
    let partition = Partition::new("site.iot", 3);
    let offset_of = |number: usize| first + i64::try_from(number).unwrap();
    let of = |kind: u8| kinds.iter().enumerate().filter(move |(_, one)| **one == kind);
    let offsets: Vec<i64> = of(0).map(|(number, _)| offset_of(number)).collect();
    let letters = of(1).map(|(number, _)| Arc::new(letter(&partition, offset_of(number))));
    let dead_letters: Vec<_> = letters.collect();
    Chunk {
        first_offset: first,
        next_offset: offset_of(kinds.len()),
        read: (offsets.len() + dead_letters.len()) as u64,
        latest_kafka_time: EventTime::from_millis(1_777_000_000_123),
        events: EventBatch {
            topic: Topic::Iot,
            identities: offsets.iter().map(|offset| u128::MAX - u128::from(offset.unsigned_abs())).collect(),
            records: rows(offsets),
        },
        dead_letters,
        partition,
    }
}

fn rows(offsets: Vec<i64>) -> RecordBatch {
    let count = offsets.len();
    let offsets = Int64Array::from(offsets);
    let schema = event::schema(Topic::Iot);
    let column = |field: &arrow::datatypes::FieldRef| -> Arc<dyn Array> {
        match field.data_type() {
            _ if field.name() == "offset" => Arc::new(offsets.clone()),
            kind if field.is_nullable() => new_null_array(kind, count),
            DataType::Utf8 => Arc::new(arrow::array::StringArray::from(vec![field.name().as_str(); count])),
            kind => arrow::compute::cast(&Int64Array::from(vec![7; count]), kind).unwrap(),
        }
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn letter(partition: &Partition, offset: i64) -> DeadLetter {
    DeadLetter {
        position: Position { partition: partition.clone(), offset },
        meant_for: Topic::Iot,
        kafka_time: EventTime::from_millis(5),
        refused_at: EventTime::from_millis(6),
        key: Some("钥匙".to_owned()),
        id: None,
        stage: Stage::Schema,
        error_code: "unknown_member".into(),
        field: Some("state".into()),
        message: "wrong".into(),
        payload_sha256: Sha256Sum([9; 32]),
        payload: Some("e30=".to_owned()),
    }
}

fn handed(first: i64, kinds: &[u8]) -> Handed {
    Handed { lease: 7, mark: Some(serde_json::json!({"offset": first})), chunk: chunk(first, kinds) }
}

fn round_trip(handed: &Handed) -> Handed {
    let bytes = Report::Chunk(Box::new(handed.clone())).encode().unwrap();
    match Report::decode(&bytes).unwrap() {
        Report::Chunk(handed) => *handed,
        Report::Note(note) => panic!("{note:?}"),
    }
}

fn refusal(change: impl FnOnce(&mut Chunk)) -> String {
    let mut wrong = handed(10, &[0, 1, 0]);
    change(&mut wrong.chunk);
    let bytes = Report::Chunk(Box::new(wrong)).encode().unwrap();
    Report::decode(&bytes).unwrap_err().to_string()
}

#[test]
fn a_chunk_that_is_not_what_it_says_is_refused() {
    assert!(refusal(|chunk| chunk.next_offset = 10).contains("no stretch"));
    assert!(refusal(|chunk| chunk.first_offset = 11).contains("in its stretch"));
    assert!(refusal(|chunk| chunk.events.topic = Topic::Panic).contains("columns"));
    assert!(refusal(|chunk| chunk.events.records = rows(vec![12, 10])).contains("in its stretch"));
    assert!(refusal(|chunk| chunk.events.records = rows(vec![10])).contains("identities"));
}

#[test]
fn orders_and_notes_come_as_they_were_said() {
    let partition = Partition::new("iot", 0);
    let grant = Grant {
        partition: partition.clone(),
        topic: Topic::Iot,
        start: 4,
        lease: 9,
        mark: None,
        cluster: None,
    };
    for order in [Order::Welcome, Order::Grant(grant), Order::Hold(vec![partition.clone()])] {
        assert_eq!(Order::decode(&order.encode().unwrap()).unwrap(), order);
    }
    let note = Note::AtEnd { partition, lease: 9, offset: 3 };
    let bytes = Report::Note(note.clone()).encode().unwrap();
    assert!(matches!(Report::decode(&bytes).unwrap(), Report::Note(said) if said == note));
}

proptest! {
    #[test]
    fn a_chunk_comes_as_it_was_handed_over(first in 0..i64::MAX / 2, kinds in prop::collection::vec(0..3_u8, 1..60)) {
        let sent = handed(first, &kinds);
        let come = round_trip(&sent);
        prop_assert_eq!((come.lease, &come.mark), (sent.lease, &sent.mark));
        prop_assert_eq!(&come.chunk.partition, &sent.chunk.partition);
        prop_assert_eq!(come.chunk.first_offset, sent.chunk.first_offset);
        prop_assert_eq!(come.chunk.next_offset, sent.chunk.next_offset);
        prop_assert_eq!(come.chunk.read, sent.chunk.read);
        prop_assert_eq!(come.chunk.latest_kafka_time, sent.chunk.latest_kafka_time);
        prop_assert_eq!(&come.chunk.events.records, &sent.chunk.events.records);
        prop_assert_eq!(&come.chunk.events.identities, &sent.chunk.events.identities);
        prop_assert_eq!(&come.chunk.dead_letters, &sent.chunk.dead_letters);
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Report::decode(&bytes).is_err());
        prop_assert!(Order::decode(&bytes).is_err());
    }

    #[test]
    fn a_chunk_that_is_changed_anywhere_is_another_chunk_or_an_error(
        kinds in prop::collection::vec(0..3_u8, 1..20),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = Report::Chunk(Box::new(handed(3, &kinds))).encode().unwrap();
        let length = bytes.len();
        for (at, byte) in changes {
            bytes[at.index(length)] = byte;
        }
        if let Ok(Report::Chunk(come)) = Report::decode(&bytes) {
            prop_assert!(come.chunk.first_offset < come.chunk.next_offset);
            prop_assert_eq!(come.chunk.events.records.num_rows(), come.chunk.events.identities.len());
        }
    }

    #[test]
    fn a_message_that_is_cut_short_is_an_error(kinds in prop::collection::vec(0..3_u8, 1..20), at in any::<prop::sample::Index>()) {
        let bytes = Report::Chunk(Box::new(handed(3, &kinds))).encode().unwrap();
        // The last bytes only say that the stream has ended.
        let cut = &bytes[..at.index(bytes.len() - 8)];
        prop_assert!(Report::decode(cut).is_err());
    }
}
