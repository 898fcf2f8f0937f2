//! A producer of librdkafka's, and the thread on which it tells what became of its records.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::{Deliveries, PublishError};

/// How often news are asked for: a commit waits for the last of them.
const EVERY: Duration = Duration::from_millis(10);

/// A producer whose news are told for as long as it lives. The safe client has a thread for that too, but it waits for a
/// tenth of a second at a stretch, by which every process that writes would end later, and the last millisecond of each
/// stretch it spins.
pub(super) struct Producer {
    client: Arc<BaseProducer<Deliveries>>,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Producer {
    pub(super) fn new(config: &ClientConfig, deliveries: Deliveries) -> Result<Self, PublishError> {
        let producer = config.create_with_context(deliveries);
        let producer: BaseProducer<_> = producer.map_err(|source| PublishError::Settings { source })?;
        let (producer, is_over) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let (told, ended) = (Arc::clone(&producer), Arc::clone(&is_over));
        let listener = std::thread::Builder::new().name("kafka-delivery".to_owned());
        let listener = listener.spawn(move || {
            while !ended.load(Ordering::Acquire) {
                hear(&told);
                std::thread::park_timeout(EVERY);
            }
        });
        let listener = listener.map_err(|source| PublishError::Thread { kind: source.kind() })?;
        Ok(Self { client: producer, is_over, listener: Some(listener) })
    }
}

/// Hears all that there is to tell; each call of `poll` tells of one batch of records at most.
fn hear(producer: &BaseProducer<Deliveries>) {
    let told = || producer.client().context().told();
    loop {
        let before = told();
        producer.poll(Duration::ZERO);
        if told() == before {
            return;
        }
    }
}

impl Deref for Producer {
    type Target = BaseProducer<Deliveries>;

    fn deref(&self) -> &BaseProducer<Deliveries> {
        &self.client
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(listener) = self.listener.take() {
            listener.thread().unpark();
            // A panic in the thread has been printed there.
            let _ = listener.join();
        }
    }
}
