//! Records by the batch. The safe client hands them over one by one, each with an event of its own, which costs about
//! as much as decoding a third of the record; librdkafka itself can fill an array. This is the one module of hexwatch
//! with unsafe code (`tests/architecture.rs` sees to that): it owns the queue and the messages, and gives out only
//! borrowed [`Record`]s.
#![allow(unsafe_code, reason = "the safe client has no call for many messages at once")]

use std::ffi::{CStr, CString, c_int};
use std::ptr::NonNull;
use std::slice;
use std::time::Duration;

use hexwatch_contract::{EventTime, Partition};
use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_destroy,
    rd_kafka_message_headers, rd_kafka_message_t, rd_kafka_message_timestamp, rd_kafka_queue_destroy,
    rd_kafka_queue_forward, rd_kafka_queue_get_partition, rd_kafka_queue_new, rd_kafka_queue_t,
    rd_kafka_resp_err_t, rd_kafka_timestamp_type_t, rd_kafka_topic_name,
};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::Client;
use crate::decode::Record;

/// So many records are taken at most before the loop looks at anything else.
const BATCH: usize = 256;

/// So many bytes stand at most between the value of a record without headers and the key or value of the next one.
const BETWEEN: usize = 32;

/// The queue to which librdkafka fetches the records of the partitions that were [led](Queue::lead) to it. All that is
/// not a record, statistics and errors of the client, still comes through the consumer's `poll`.
pub(super) struct Queue {
    native: NonNull<rd_kafka_queue_t>,
    /// Whom the queue belongs to, and must not outlive.
    consumer: Client,
}

// SAFETY: librdkafka's queues have a lock of their own and may be used from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    pub(super) fn of(consumer: Client) -> Self {
        // SAFETY: the client lives as long as `consumer`, and a new queue is never null.
        let native = unsafe { NonNull::new_unchecked(rd_kafka_queue_new(consumer.client().native_ptr())) };
        Self { native, consumer }
    }

    /// Leads the records of `partition` here, those that wait in its own queue and all that come, until a fetch is stopped.
    pub(super) fn lead(&self, partition: &Partition) {
        // A name that holds a zero is no topic's.
        let Ok(topic) = CString::new(&*partition.topic) else { return };
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client lives; the partition's queue is a reference that is given back here.
        unsafe {
            let own = rd_kafka_queue_get_partition(client, topic.as_ptr(), partition.partition);
            if !own.is_null() {
                rd_kafka_queue_forward(own, self.native.as_ptr());
                rd_kafka_queue_destroy(own);
            }
        }
    }

    /// Fills `batch` anew with what has been fetched; waits up to `patience` for a first record where there is none.
    pub(super) fn fill(&self, batch: &mut Batch, patience: Duration) {
        batch.clear();
        self.append(batch, BATCH, Duration::ZERO);
        if batch.messages.is_empty() && !patience.is_zero() {
            // With room for more librdkafka would wait for more.
            self.append(batch, 1, patience);
        }
    }

    fn append(&self, batch: &mut Batch, most: usize, patience: Duration) {
        let millis = c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX);
        batch.messages.reserve(most);
        // SAFETY: there is room for `most` pointers, and as many are valid afterwards as the call says.
        unsafe {
            let room = batch.messages.as_mut_ptr().add(batch.messages.len());
            let filled = rd_kafka_consume_batch_queue(self.native.as_ptr(), millis, room, most);
            let filled = usize::try_from(filled).unwrap_or(0);
            batch.messages.set_len(batch.messages.len() + filled);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it was made by `of`, and nobody has it any more.
        unsafe { rd_kafka_queue_destroy(self.native.as_ptr()) }
    }
}

/// Messages of librdkafka's, until they are given back.
#[derive(Default)]
pub(super) struct Batch {
    messages: Vec<*mut rd_kafka_message_t>,
}

// SAFETY: the messages are this batch's alone.
unsafe impl Send for Batch {}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages in their order, each of them a record or an error.
    pub(super) fn iter(&self) -> impl Iterator<Item = Result<Message<'_>, KafkaError>> {
        // SAFETY: a message is valid until it is given back, which takes `&mut self`.
        let all = || self.messages.iter().map(|message| unsafe { &**message });
        let nexts = all().skip(1).map(Some).chain([None]);
        all().zip(nexts).map(|(raw, next): (&rd_kafka_message_t, _)| match raw.err {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(Message { raw, next }),
            code => Err(KafkaError::MessageConsumption(RDKafkaErrorCode::from(code))),
        })
    }

    fn clear(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: it came from librdkafka, and is given back once.
            unsafe { rd_kafka_message_destroy(message) }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One record in librdkafka's memory.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    raw: &'a rd_kafka_message_t,
    /// The one behind it in its batch.
    next: Option<&'a rd_kafka_message_t>,
}

impl<'a> Message<'a> {
    pub(super) fn partition(self) -> i32 {
        self.raw.partition
    }

    /// The topic's name.
    pub(super) fn topic(self) -> &'a [u8] {
        // SAFETY: the topic is held by the message, and its name ends with a zero.
        unsafe { CStr::from_ptr(rd_kafka_topic_name(self.raw.rkt)) }.to_bytes()
    }

    /// Whether `other` is a record of the same topic and partition, both of one batch.
    pub(super) fn is_of_partition_of(self, other: Message<'_>) -> bool {
        // Each message holds the topic, so that another one cannot have come to stand at its address.
        self.raw.rkt == other.raw.rkt && self.raw.partition == other.raw.partition
    }

    /// The record with the `headers` that were read of it.
    pub(super) fn record<'h>(self, headers: &'h [(&'a str, &'a [u8])]) -> Record<'h>
    where
        'a: 'h,
    {
        let raw = self.raw;
        Record {
            offset: raw.offset,
            timestamp: self.timestamp(),
            // SAFETY: key and payload belong to the message for as long as it is borrowed.
            key: unsafe { bytes(raw.key.cast(), raw.key_len) },
            value: unsafe { bytes(raw.payload.cast(), raw.len) },
            headers,
        }
    }

    fn timestamp(self) -> Option<EventTime> {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid.
        let millis = unsafe { rd_kafka_message_timestamp(self.raw, &raw mut kind) };
        let is_there = kind != rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && millis != -1;
        is_there.then(|| EventTime::from_millis(millis))
    }

    /// Whether it is plain without asking librdkafka that there are no headers: asking costs an eighth of what decoding does,
    /// and nearly no device sends any. Behind a value Kafka writes how many there are, in the formats of old, which know
    /// of none, an offset that begins with a zero; and librdkafka leaves records where it has fetched them to. The byte
    /// is read only where the next record of the same fetch begins right behind it. An empty text is none of the fetch's.
    fn has_no_headers(self) -> bool {
        let Some(next) = self.next else { return false };
        let next = if next.key.is_null() { next.payload } else { next.key };
        let behind = self.raw.payload.cast::<u8>().wrapping_add(self.raw.len);
        let between = next.addr().wrapping_sub(behind.addr());
        // SAFETY: it lies between the value of one message and the next one, too near for anything else to be there.
        self.raw.len > 0 && (1..=BETWEEN).contains(&between) && unsafe { behind.read() } == 0
    }

    /// The record's headers; those without a value are left out.
    pub(super) fn headers(self) -> Vec<(&'a str, &'a [u8])> {
        let mut read = Vec::new();
        if self.has_no_headers() {
            return read;
        }
        let mut headers: *mut rd_kafka_headers_t = std::ptr::null_mut();
        // SAFETY: the headers belong to the message, and so do their names and values.
        unsafe {
            let found = rd_kafka_message_headers(self.raw, &raw mut headers);
            if found != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return read;
            }
            for number in 0.. {
                let (mut name, mut value, mut length) = (std::ptr::null(), std::ptr::null(), 0);
                let answer =
                    rd_kafka_header_get_all(headers, number, &raw mut name, &raw mut value, &raw mut length);
                if answer != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    break;
                }
                // A name that is no text is none that we look for.
                if let (Ok(name), Some(value)) = (CStr::from_ptr(name).to_str(), bytes(value.cast(), length))
                {
                    read.push((name, value));
                }
            }
        }
        read
    }
}

/// The bytes at `start`; `None` for a null.
///
/// # Safety
/// They must be valid for as long as the caller says.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: by the caller.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use rdkafka::{Offset, TopicPartitionList};

    use super::*;
    use crate::embedded::EmbeddedBroker;

    /// How long a broker may take that is there.
    const PATIENCE: Duration = Duration::from_mins(1);
    const RECORDS: usize = 600;

    /// What is sent: keys, values and headers are there and not in every combination, and a header may be empty.
    fn sent(
        number: usize,
    ) -> (Option<&'static str>, Option<&'static str>, Vec<(&'static str, &'static str)>) {
        let key = ["door-1", ""].get(number % 3).copied();
        let value =
            (!number.is_multiple_of(5)).then_some(["{}", "", "a text that is longer", "\0"][number % 4]);
        let headers = [("ce_id", "a-1"), ("", ""), ("ce_source", "acs")];
        // Two thirds have none.
        (key, value, headers[..(number % 11).saturating_sub(7)].to_vec())
    }

    fn send(broker: &EmbeddedBroker, compression: &str) {
        let mut config = broker.brokers().producer();
        let producer: BaseProducer = config.set("compression.type", compression).create().unwrap();
        for number in 0..RECORDS {
            let (key, value, headers) = sent(number);
            let mut record = BaseRecord::<str, str>::to("iot").partition(0);
            (record.key, record.payload) = (key, value);
            let add = |all: OwnedHeaders, (key, value)| all.insert(Header { key, value: Some(value) });
            record.headers =
                (!headers.is_empty()).then(|| headers.into_iter().fold(OwnedHeaders::new(), add));
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Holds what comes against what was sent; returns of how many records librdkafka was not asked for headers.
    fn read(broker: &EmbeddedBroker) -> usize {
        let client = Client::new(&broker.brokers().consumer("hexwatch")).unwrap();
        let queue = Queue::of(client.clone());
        queue.lead(&Partition::new("iot", 0));
        let mut places = TopicPartitionList::new();
        places.add_partition_offset("iot", 0, Offset::Offset(0)).unwrap();
        client.assign(&places).unwrap();
        let (mut batch, mut count, mut unasked) = (Batch::default(), 0, 0);
        while count < RECORDS {
            queue.fill(&mut batch, PATIENCE);
            assert!(!batch.is_empty(), "{count} records have come");
            for message in batch.iter().flatten() {
                let (key, value, headers) = sent(count);
                let expected: Vec<(&str, &[u8])> =
                    headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                assert_eq!(message.headers(), expected, "record {count}");
                let record = message.record(&[]);
                assert_eq!((record.key, record.value), (key.map(str::as_bytes), value.map(str::as_bytes)));
                unasked += usize::from(message.has_no_headers());
                count += 1;
            }
        }
        unasked
    }

    #[test]
    fn each_record_has_its_own_headers_and_not_all_are_asked_for_that_have_none() {
        for compression in ["none", "lz4", "zstd", "gzip"] {
            let broker = EmbeddedBroker::start().unwrap();
            broker.create_topic("iot", 1).unwrap();
            send(&broker, compression);
            let unasked = read(&broker);
            let without = (0..RECORDS).filter(|number| sent(*number).2.is_empty()).count();
            // Beside an empty text and at the end of a batch it is asked all the same.
            assert!(unasked > without / 5, "{compression}: {unasked} of {without}");
        }
    }
}
