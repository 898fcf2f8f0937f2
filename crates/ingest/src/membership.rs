//! Membership in a consumer group, for what it says about who reads which partition, and for nothing else: nothing is
//! fetched through it, and no offset is committed. A member is static: one that is back within the session timeout gets
//! its partitions again, and nobody else is disturbed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hexwatch_contract::Partition;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::watch;

use crate::Brokers;
use crate::reader::{ReadError, log};

/// How long one look at the group takes; also how fast a stop is seen.
const LOOK: Duration = Duration::from_millis(100);

/// Which group, and as whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From where.
    pub brokers: Brokers,
    /// The group.
    pub group: String,
    /// The member's name, its own within the group.
    pub name: String,
    /// The topics that the group shares out.
    pub topics: Vec<Arc<str>>,
    /// After how long of silence a member is taken for gone.
    pub session_timeout: Duration,
    /// How often partitions that were added to a topic are looked for.
    pub discover_every: Duration,
}

/// What the group has given this member.
#[derive(Clone, Debug, Default)]
pub struct Owned {
    /// The partitions.
    pub partitions: BTreeSet<Partition>,
    /// Why the membership has ended, where it has.
    pub failed: Option<ReadError>,
}

/// The membership. Dropping it ends it; the group waits for the session timeout before it takes the member for gone.
pub struct Membership {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Membership {
    /// Joins the group. Brokers that are away are waited for.
    ///
    /// # Errors
    /// Where the settings cannot be used at all.
    pub fn join(settings: &Settings) -> Result<(Self, watch::Receiver<Owned>), ReadError> {
        let (owned, receiver) = watch::channel(Owned::default());
        let consumer: BaseConsumer<Circle> = settings
            .brokers
            .member(&settings.group, &settings.name, settings.session_timeout, settings.discover_every)
            .create_with_context(Circle { owned })
            .map_err(|source| ReadError::Settings { source })?;
        let topics: Vec<&str> = settings.topics.iter().map(|topic| &**topic).collect();
        consumer.subscribe(&topics).map_err(|source| ReadError::Settings { source })?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = std::thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || attend(&consumer, &asked))
            .map_err(|source| ReadError::Thread { kind: source.kind() })?;
        Ok((Self { stop, thread: Some(thread) }, receiver))
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been printed there.
            let _ = thread.join();
        }
    }
}

fn attend(consumer: &BaseConsumer<Circle>, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let Some(Err(error)) = consumer.poll(LOOK) else { continue };
        if is_final(&error) {
            tracing::error!(%error, "the membership in the group has ended");
            let failed = Some(ReadError::Membership { source: error });
            consumer.context().owned.send_replace(Owned { partitions: BTreeSet::new(), failed });
            return;
        }
        tracing::debug!(%error, "kafka; librdkafka tries again");
    }
}

fn is_final(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            code,
            Some(
                RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::FencedInstanceId
                    | RDKafkaErrorCode::InvalidSessionTimeout
                    | RDKafkaErrorCode::InconsistentGroupProtocol
                    | RDKafkaErrorCode::GroupMaxSizeReached
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::TopicAuthorizationFailed
            )
        )
}

/// Hears what the group decides, within `poll`.
struct Circle {
    owned: watch::Sender<Owned>,
}

impl ClientContext for Circle {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Circle {
    /// The members take partitions over one by one (`cooperative-sticky`), so both lists are of changes.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        decision: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let named: Vec<Partition> =
            partitions.elements().iter().map(|one| Partition::new(one.topic(), one.partition())).collect();
        let is_given = decision == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = if is_given {
            // Without an offset of our own the client would look for a committed one. Nothing is fetched.
            partitions
                .set_all_offsets(Offset::End)
                .and_then(|()| consumer.incremental_assign(partitions))
                .and_then(|()| consumer.pause(partitions))
        } else {
            consumer.incremental_unassign(partitions)
        };
        if let Err(error) = done {
            tracing::warn!(%error, "taking in what the group has decided");
        }
        tracing::info!(is_given, partitions = named.len(), "the group has shared out its partitions");
        self.owned.send_modify(|owned| {
            if is_given {
                owned.partitions.extend(named);
            } else {
                for partition in &named {
                    owned.partitions.remove(partition);
                }
            }
        });
    }
}
