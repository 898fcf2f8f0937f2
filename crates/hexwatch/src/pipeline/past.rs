//! The past of risk: read from the history while the engine runs already, because no alarm waits for it.

use std::pin::Pin;

use anyhow::{Context as _, Result, anyhow};
use hexwatch::machine::Scores;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

type Reading = Pin<Box<dyn Future<Output = Result<Scores>> + Send>>;

/// Scores that are to know their past; empty where they do.
#[derive(Default)]
pub(crate) struct Past {
    reading: Option<Reading>,
    task: Option<JoinHandle<Result<Scores>>>,
}

impl Past {
    /// Of scores that `reading` gives.
    pub(crate) fn of(reading: impl Future<Output = Result<Scores>> + Send + 'static) -> Self {
        Self { reading: Some(Box::pin(reading)), task: None }
    }

    /// Begins to read, where that was not done.
    pub(crate) fn begin(&mut self, runtime: &Handle) {
        if let Some(reading) = self.reading.take() {
            self.task = Some(runtime.spawn(reading));
        }
    }

    /// Whether there is anything to wait for.
    pub(crate) fn is_awaited(&self) -> bool {
        self.task.is_some() || self.reading.is_some()
    }

    /// The scores, once; waits for ever where nothing is read.
    pub(crate) async fn read(&mut self) -> Result<Scores> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let read = task.await;
        self.task = None;
        read.map_err(|error| anyhow!(error)).and_then(|read| read).context("reading the past of risk")
    }
}
