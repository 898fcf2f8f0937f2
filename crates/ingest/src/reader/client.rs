//! The client that reads, and its end.
//!
//! librdkafka closes a client of a group only when every commit of offsets has been answered, and asks again for as long
//! as it takes: where no broker comes back, for good (librdkafka, issue 3740). What is committed here is a figure for
//! monitoring. So a thread of its own closes the client, and is waited for no longer than a broker takes that is there.
//! A process may end meanwhile.

use std::ops::Deref;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;

use super::{ReadError, Watch};

/// How long whoever lets go of a client last waits for its end.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// A client, shared by those who clone it.
#[derive(Clone)]
pub(super) struct Client {
    // Let go of before the other field, whose end has to find the closing thread with the last of them.
    consumer: Arc<BaseConsumer<Watch>>,
    _closing: Arc<Closing>,
}

/// Ends with the last clone.
struct Closing {
    /// Nothing is ever sent: its end is what the thread waits for.
    go: Option<SyncSender<()>>,
    closed: Mutex<Receiver<()>>,
}

impl Client {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, ReadError> {
        let consumer = config.create_with_context(Watch::default());
        let consumer = Arc::new(consumer.map_err(|source| ReadError::Settings { source })?);
        let (go, asked) = sync_channel::<()>(1);
        let (done, closed) = sync_channel(1);
        let last = Arc::clone(&consumer);
        std::thread::Builder::new()
            .name("kafka-closing".to_owned())
            .spawn(move || {
                let _ = asked.recv();
                drop(last);
                // Whoever let go of it may have given up waiting.
                let _ = done.send(());
            })
            .map_err(|source| ReadError::Thread { kind: source.kind() })?;
        Ok(Self { consumer, _closing: Arc::new(Closing { go: Some(go), closed: Mutex::new(closed) }) })
    }
}

impl Deref for Client {
    type Target = BaseConsumer<Watch>;

    fn deref(&self) -> &BaseConsumer<Watch> {
        &self.consumer
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.go = None;
        let closed = self.closed.get_mut().unwrap_or_else(PoisonError::into_inner);
        if closed.recv_timeout(CLOSED_WITHIN).is_err() {
            tracing::warn!(
                "offsets that were committed for monitoring are not answered; they are not waited for"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::{CommitMode, Consumer as _};
    use rdkafka::{Offset, TopicPartitionList};

    use super::*;
    use crate::embedded::EmbeddedBroker;

    /// Far more than [`CLOSED_WITHIN`], and far less than librdkafka waits.
    const PATIENCE: Duration = Duration::from_mins(1);
    /// How long a broker may take that is there.
    const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

    /// What waits for a coordinator that has to be found first is given up after the session's time-out; what waits for a
    /// connection to it is not. Half an hour makes both outlast the test.
    fn config(broker: &EmbeddedBroker) -> ClientConfig {
        let mut config = broker.brokers().consumer("hexwatch");
        config.set("session.timeout.ms", "1800000");
        config
    }

    /// Leaves `consumer` with a commit that nobody will answer.
    fn commit_to_nobody(broker: EmbeddedBroker, consumer: &BaseConsumer<Watch>) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("iot", 0, Offset::Offset(1)).unwrap();
        // From now on the group's coordinator is known.
        consumer.commit(&offsets, CommitMode::Sync).unwrap();
        drop(broker);
        while consumer.fetch_metadata(Some("iot"), ANSWERED_WITHIN).is_ok() {}
        consumer.commit(&offsets, CommitMode::Async).unwrap();
    }

    #[test]
    fn a_client_whose_broker_has_gone_with_a_commit_unanswered_is_let_go_of() {
        let broker = EmbeddedBroker::start().unwrap();
        broker.create_topic("iot", 1).unwrap();
        let client = Client::new(&config(&broker)).unwrap();
        commit_to_nobody(broker, &client);
        let (done, is_done) = sync_channel(1);
        std::thread::spawn(move || {
            drop(client);
            done.send(())
        });
        assert!(is_done.recv_timeout(PATIENCE).is_ok(), "it waits for a broker that is gone");
    }
}
