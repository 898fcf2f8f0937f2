//! The decoder of each topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Int64Type;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hexwatch_contract::{Chunk, DeadLetter, Topic};

use super::corpus::{self, Input, SECRET};
use super::oracle::{self, Json};
use super::seeds::{self, Dice};
use super::support;
use super::verdict::{self, Outcome};

const INPUTS: u64 = 100_000;
/// Damaged records of one seed.
const BLOCK: usize = 200;

/// What became of records, in offset order.
#[derive(PartialEq, Debug)]
struct Decoded {
    rows: RecordBatch,
    identities: Vec<u128>,
    letters: Vec<Arc<DeadLetter>>,
}

impl Decoded {
    fn of(topic: Topic, chunks: Vec<Chunk>) -> Self {
        let schema = hexwatch_contract::event::schema(topic);
        let rows = concat_batches(&schema, chunks.iter().map(|chunk| &chunk.events.records)).unwrap();
        let offsets = offsets(&rows);
        let mut order: Vec<usize> = (0..offsets.len()).collect();
        order.sort_by_key(|row| offsets[*row]);
        let identities: Vec<u128> = chunks.iter().flat_map(|chunk| chunk.events.identities.clone()).collect();
        assert_eq!(identities.len(), rows.num_rows(), "each row has an identity");
        let mut letters: Vec<Arc<DeadLetter>> =
            chunks.into_iter().flat_map(|chunk| chunk.dead_letters).collect();
        letters.sort_by_key(|letter| letter.position.offset);
        let indices: UInt64Array = order.iter().map(|row| *row as u64).collect();
        Self {
            rows: take_record_batch(&rows, &indices).unwrap(),
            identities: order.iter().map(|row| identities[*row]).collect(),
            letters,
        }
    }

    /// Only the records at `wanted` offsets.
    fn only(&self, wanted: &dyn Fn(i64) -> bool) -> Self {
        let kept: Vec<u64> = (0..)
            .zip(offsets(&self.rows))
            .filter(|(_, offset)| wanted(*offset))
            .map(|(row, _)| row)
            .collect();
        #[allow(clippy::cast_possible_truncation)]
        let identities = kept.iter().map(|row| self.identities[*row as usize]).collect();
        Self {
            rows: take_record_batch(&self.rows, &UInt64Array::from(kept)).unwrap(),
            identities,
            letters: self.letters.iter().filter(|letter| wanted(letter.position.offset)).cloned().collect(),
        }
    }
}

fn offsets(rows: &RecordBatch) -> Vec<i64> {
    rows.column_by_name("offset").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

/// Damaged records, with good ones between them; whether each is good.
fn block(topic: Topic, corpus: &[Input], dice: &mut Dice) -> Vec<(Input, bool)> {
    let mut inputs = vec![(corpus::good(topic, 0), true)];
    for number in 0..BLOCK {
        inputs.push((corpus::hostile(dice, corpus), false));
        if dice.one_in(3) || number + 1 == BLOCK {
            inputs.push((corpus::good(topic, inputs.len()), true));
        }
    }
    inputs
}

fn decode_one(topic: Topic, seed: u64, corpus: &[Input]) {
    let mut dice = Dice::new(seed);
    let inputs = block(topic, corpus, &mut dice);
    let count = i64::try_from(inputs.len()).unwrap();
    let mut decoder = support::decoder(topic);
    for (offset, (input, _)) in (0..).zip(&inputs) {
        input.push(&mut decoder, offset);
    }
    let chunk = decoder.finish().unwrap();
    assert_eq!((chunk.first_offset, chunk.next_offset, chunk.read), (0, count, inputs.len() as u64));
    let straight = Decoded::of(topic, vec![chunk]);
    each_is_one_row_or_one_letter(&straight, count);

    // The same decoder, which now has seen them all, in another order and in many chunks.
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    dice.shuffle(&mut order);
    let mut chunks = Vec::new();
    for index in order {
        inputs[index].0.push(&mut decoder, i64::try_from(index).unwrap());
        if dice.one_in(20) {
            chunks.extend(decoder.finish());
        }
    }
    chunks.extend(decoder.finish());
    same(&straight, &Decoded::of(topic, chunks), &inputs, "in another order and other chunks");

    let good = |offset: i64| inputs[usize::try_from(offset).unwrap()].1;
    let alone = decoded_alone(topic, &inputs, &good);
    same(&straight.only(&good), &alone, &inputs, "without the damaged ones between them");
    for _ in 0..4 {
        let picked = i64::try_from(dice.below(inputs.len())).unwrap();
        let one = |offset: i64| offset == picked;
        same(&straight.only(&one), &decoded_alone(topic, &inputs, &one), &inputs, "alone");
    }
    each_deserves_it(topic, &straight, &inputs);
    keeps_no_secret(topic, &straight, &inputs);
}

fn decoded_alone(topic: Topic, inputs: &[(Input, bool)], wanted: &dyn Fn(i64) -> bool) -> Decoded {
    let mut decoder = support::decoder(topic);
    for (offset, (input, _)) in (0..).zip(inputs).filter(|(offset, _)| wanted(*offset)) {
        input.push(&mut decoder, offset);
    }
    Decoded::of(topic, decoder.finish().into_iter().collect())
}

fn each_is_one_row_or_one_letter(decoded: &Decoded, count: i64) {
    let mut met = offsets(&decoded.rows);
    met.extend(decoded.letters.iter().map(|letter| letter.position.offset));
    met.sort_unstable();
    assert!(met.into_iter().eq(0..count), "a record became nothing, or more than one thing");
}

/// Two outcomes of the same records; where they differ, the records are named.
fn same(one: &Decoded, other: &Decoded, inputs: &[(Input, bool)], how: &str) {
    if one == other {
        return;
    }
    for (offset, (input, _)) in (0_i64..).zip(inputs) {
        let at = |at: i64| at == offset;
        let (one, other) = (one.only(&at), other.only(&at));
        assert!(one == other, "{how} this came out differently:\n{}\n{one:#?}\n{other:#?}", shown(input));
    }
}

fn each_deserves_it(topic: Topic, decoded: &Decoded, inputs: &[(Input, bool)]) {
    let mut outcomes: BTreeMap<i64, Outcome<'_>> = (0..)
        .zip(offsets(&decoded.rows))
        .map(|(row, offset)| (offset, Outcome::Row(&decoded.rows, row)))
        .collect();
    outcomes.extend(decoded.letters.iter().map(|letter| (letter.position.offset, Outcome::Letter(letter))));
    for ((_, outcome), (input, good)) in outcomes.into_iter().zip(inputs) {
        let verdict = match (good, outcome) {
            (true, Outcome::Letter(letter)) => Err(format!("a good record was refused: {}", letter.message)),
            _ => verdict::check(topic, input, outcome),
        };
        if let Err(wrong) = verdict {
            panic!("{wrong}\n{}", shown(input));
        }
    }
}

/// What is put into records under forbidden names stands in no row, and in no payload that can be read.
fn keeps_no_secret(topic: Topic, decoded: &Decoded, inputs: &[(Input, bool)]) {
    let forbidden = |offset: i64| {
        let json = inputs[usize::try_from(offset).unwrap()].0.value.as_deref().and_then(oracle::read);
        json.is_some_and(|json| json.has_forbidden_key() && !json.is_like_an_envelope())
    };
    let kept = decoded.only(&forbidden);
    for letter in &kept.letters {
        let payload = letter.payload.as_deref().map(|payload| STANDARD.decode(payload).unwrap());
        assert!(
            payload.is_none(),
            "kept of {}",
            shown(&inputs[usize::try_from(letter.position.offset).unwrap()].0)
        );
    }
    for column in kept.rows.columns().iter().filter_map(|column| column.as_string_opt::<i32>()) {
        for text in column.iter().flatten() {
            // Damage may have moved it into a field, and then it is no secret.
            let is_of_a_field = || inputs.iter().any(|(input, _)| says(topic, input, text));
            assert!(!text.contains(SECRET) || is_of_a_field(), "a row tells {text}");
        }
    }
}

/// Whether a field of the record says `text`.
fn says(topic: Topic, input: &Input, text: &str) -> bool {
    let Some(Json::Object(members)) = input.value.as_deref().and_then(oracle::read) else { return false };
    members.iter().any(|(key, value)| value.text() == Some(text) && oracle::field(topic, key).is_some())
}

/// A record, so that it can be put into a test.
fn shown(input: &Input) -> String {
    let bytes = |bytes: &Vec<u8>| bytes.escape_ascii().to_string();
    let headers: Vec<String> =
        input.headers.iter().map(|(name, value)| format!("{name}: {}", bytes(value))).collect();
    format!(
        "value {:?}\nkey {:?}, timestamp {:?}, headers {headers:?}",
        input.value.as_ref().map(bytes),
        input.key.as_ref().map(bytes),
        input.timestamp
    )
}

fn decode_all(topic: Topic) {
    let corpus = corpus::of(topic);
    seeds::run(INPUTS / BLOCK as u64, |seed| decode_one(topic, seed, &corpus));
}

#[test]
fn access_records_however_damaged_harm_nobody() {
    decode_all(Topic::Access);
}

#[test]
fn camera_alerts_however_damaged_harm_nobody() {
    decode_all(Topic::CameraAlert);
}

#[test]
fn readings_however_damaged_harm_nobody() {
    decode_all(Topic::Iot);
}

#[test]
fn presses_however_damaged_are_presses_and_harm_nobody() {
    decode_all(Topic::Panic);
}

#[test]
fn patrol_records_however_damaged_harm_nobody() {
    decode_all(Topic::Patrol);
}

#[test]
fn dispatch_records_however_damaged_harm_nobody() {
    decode_all(Topic::Dispatch);
}
