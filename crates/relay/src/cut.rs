//! The part of a chunk that nobody has brought yet.

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use hexwatch_contract::{Chunk, EventBatch};

/// What of `chunk` stands at `from` and after. Its latest Kafka time stays that of the whole.
#[must_use]
pub fn cut(chunk: Chunk, from: i64) -> Chunk {
    if from <= chunk.first_offset {
        return chunk;
    }
    let EventBatch { topic, records, mut identities } = chunk.events;
    let offsets = records["offset"].as_primitive::<Int64Type>();
    let below = offsets.values().partition_point(|offset| *offset < from);
    identities.drain(..below);
    let records = records.slice(below, records.num_rows() - below);
    let mut dead_letters = chunk.dead_letters;
    dead_letters.retain(|letter| letter.position.offset >= from);
    Chunk {
        first_offset: from,
        read: (identities.len() + dead_letters.len()) as u64,
        events: EventBatch { topic, records, identities },
        dead_letters,
        ..chunk
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::tests::chunk;

    proptest! {
        #[test]
        fn a_chunk_and_what_was_cut_off_are_the_whole(
            kinds in prop::collection::vec(0..3_u8, 1..40), at in any::<prop::sample::Index>(),
        ) {
            let whole = chunk(100, &kinds);
            let from = 100 + i64::try_from(at.index(kinds.len())).unwrap();
            let rest = cut(whole.clone(), from);
            prop_assert_eq!((rest.first_offset, rest.next_offset), (from, whole.next_offset));
            let kept = &kinds[usize::try_from(from - 100).unwrap()..];
            let count = |kind: u8| kept.iter().map(|one| usize::from(*one == kind)).sum::<usize>();
            prop_assert_eq!(rest.events.records.num_rows(), count(0));
            prop_assert_eq!(rest.dead_letters.len(), count(1));
            prop_assert_eq!(rest.read, (count(0) + count(1)) as u64);
            let tail = &whole.events.identities[whole.events.identities.len() - count(0)..];
            prop_assert_eq!(&rest.events.identities[..], tail);
        }
    }
}
