//! When records came to Kafka, for as long as an alarm that stands on them may still be on its way.

use std::collections::{BTreeMap, VecDeque};

use hexwatch_contract::alarm::Input;
use hexwatch_contract::{Chunk, EventTime, Partition};

/// So many chunks of a partition are remembered.
const KEPT: usize = 256;

/// The chunks that were taken last.
#[derive(Default)]
pub(crate) struct Arrivals(BTreeMap<Partition, VecDeque<Arrival>>);

struct Arrival {
    first_offset: i64,
    next_offset: i64,
    latest: EventTime,
}

impl Arrivals {
    pub(crate) fn note(&mut self, chunk: &Chunk) {
        let kept = self.0.entry(chunk.partition.clone()).or_default();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arrival {
            first_offset: chunk.first_offset,
            next_offset: chunk.next_offset,
            latest: chunk.latest_kafka_time,
        });
    }

    /// When the last of the records `inputs` came; `None` where that is not remembered.
    pub(crate) fn of(&self, inputs: &[Input]) -> Option<EventTime> {
        let arrived = |input: &Input| {
            let kept = self.0.get(&Partition::new(input.topic.as_str(), input.partition))?;
            let at = kept.partition_point(|arrival| arrival.next_offset <= input.offset);
            let arrival = kept.get(at)?;
            (arrival.first_offset <= input.offset).then_some(arrival.latest)
        };
        inputs.iter().filter_map(arrived).max()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use hexwatch_contract::{EventBatch, Topic, event};

    use super::*;

    fn chunk(partition: i32, offsets: std::ops::Range<i64>, at: i64) -> Chunk {
        let records = RecordBatch::new_empty(event::schema(Topic::Iot));
        Chunk {
            partition: Partition::new("iot", partition),
            first_offset: offsets.start,
            next_offset: offsets.end,
            read: 0,
            latest_kafka_time: EventTime::from_millis(at),
            events: EventBatch { topic: Topic::Iot, records, identities: Vec::new() },
            dead_letters: Vec::new(),
        }
    }

    fn input(partition: i32, offset: i64) -> Input {
        Input { topic: "iot".into(), partition, offset, id: String::new(), role: String::new() }
    }

    #[test]
    fn an_alarm_came_with_the_last_of_its_records() {
        let mut arrivals = Arrivals::default();
        for (partition, offsets, at) in [(0, 0..10, 1), (0, 10..20, 2), (1, 5..6, 3)] {
            arrivals.note(&chunk(partition, offsets, at));
        }
        let at = |inputs: &[Input]| arrivals.of(inputs).map(EventTime::millis);
        assert_eq!(at(&[input(0, 9)]), Some(1));
        assert_eq!(at(&[input(0, 9), input(0, 10)]), Some(2));
        assert_eq!(at(&[input(0, 10), input(1, 5)]), Some(3));
        for unknown in [input(0, 20), input(1, 4), input(2, 0)] {
            assert_eq!(at(&[unknown]), None);
        }
        for number in 2..400 {
            arrivals.note(&chunk(0, 10 * number..10 * (number + 1), 5));
        }
        assert_eq!(arrivals.of(&[input(0, 9)]), None, "it is long ago");
    }
}
