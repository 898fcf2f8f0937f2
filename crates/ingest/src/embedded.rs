//! A broker inside the process, for the demo and the tests: librdkafka's own, which speaks the protocol
//! over a loopback port. It keeps a few megabytes a partition and forgets what is older, and everything at
//! the end of the process. Whoever needs durability runs Kafka.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hexwatch_contract::{Classified, Fault};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

use crate::Brokers;

/// The embedded broker does not do as it is told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// librdkafka says no.
    #[error("{doing} the embedded broker: {source}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// The broker's thread has ended.
    #[error("speaking to the embedded broker: its thread has ended; start another")]
    Ended,
}

impl Classified for EmbeddedError {
    fn fault(&self) -> Fault {
        Fault::External
    }
}

/// What the broker's thread is asked for.
enum Wish {
    Topic { name: String, partitions: i32 },
    GoAway,
    ComeBack,
}

type Asked = (Wish, SyncSender<Result<(), EmbeddedError>>);

/// A running broker; dropping it ends it. The cluster itself must stay on one thread, which this is the
/// handle of.
pub struct EmbeddedBroker {
    brokers: Brokers,
    wishes: SyncSender<Asked>,
}

/// The only broker of the cluster.
const BROKER: i32 = 1;

impl EmbeddedBroker {
    /// Starts a broker on a free loopback port.
    ///
    /// # Errors
    /// Where librdkafka cannot start it.
    pub fn start() -> Result<Self, EmbeddedError> {
        let (started, start) = sync_channel(1);
        // One wish at a time: whoever asks waits for the answer.
        let (wishes, inbox) = sync_channel(1);
        std::thread::Builder::new()
            .name("embedded-broker".to_owned())
            .spawn(move || serve(&started, &inbox))
            .map_err(|_| EmbeddedError::Ended)?;
        let bootstrap = start.recv().map_err(|_| EmbeddedError::Ended)??;
        Ok(Self { brokers: Brokers::at(bootstrap), wishes })
    }

    /// How to reach it.
    #[must_use]
    pub fn brokers(&self) -> Brokers {
        self.brokers.clone()
    }

    /// Makes a topic. Writing to one that is not there makes it too, with four partitions.
    ///
    /// # Errors
    /// Where it is there already.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), EmbeddedError> {
        self.ask(Wish::Topic { name: name.to_owned(), partitions })
    }

    /// Makes it stop answering, as a broker that is away.
    ///
    /// # Errors
    /// Where librdkafka cannot.
    pub fn go_away(&self) -> Result<(), EmbeddedError> {
        self.ask(Wish::GoAway)
    }

    /// Makes it answer again.
    ///
    /// # Errors
    /// Where librdkafka cannot.
    pub fn come_back(&self) -> Result<(), EmbeddedError> {
        self.ask(Wish::ComeBack)
    }

    fn ask(&self, wish: Wish) -> Result<(), EmbeddedError> {
        let (answer, answered) = sync_channel(1);
        self.wishes.send((wish, answer)).map_err(|_| EmbeddedError::Ended)?;
        answered.recv().map_err(|_| EmbeddedError::Ended)?
    }
}

/// Holds the cluster until the handle is gone.
fn serve(started: &SyncSender<Result<String, EmbeddedError>>, inbox: &Receiver<Asked>) {
    let cluster = match MockCluster::new(1) {
        Ok(cluster) => cluster,
        Err(source) => {
            // Where nobody waits for the answer, nobody needs the broker.
            let _ = started.send(Err(EmbeddedError::Refused { doing: "starting", source }));
            return;
        }
    };
    let _ = started.send(Ok(cluster.bootstrap_servers()));
    while let Ok((wish, answer)) = inbox.recv() {
        let (doing, result) = match wish {
            Wish::Topic { name, partitions } => {
                ("creating a topic on", cluster.create_topic(&name, partitions, 1))
            }
            Wish::GoAway => ("stopping", cluster.broker_down(BROKER)),
            Wish::ComeBack => ("restarting", cluster.broker_up(BROKER)),
        };
        let _ = answer.send(result.map_err(|source| EmbeddedError::Refused { doing, source }));
    }
}
