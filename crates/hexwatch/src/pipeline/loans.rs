//! The threads that run lent queries, so that the engine's is never away for longer than a chunk takes: one for those
//! on which a life may hang, one for all others, so that none of the former waits until one of the latter is done.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hexwatch_stream::{Due, Loan, Returned, StreamError};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::mpsc;

/// On a scale up to 99 on which 50 is usual; Linux calls it a niceness of 4.
const GIVING_WAY: u8 = 36;

/// What comes back, and how long it ran.
pub(crate) struct Ran {
    pub(crate) returned: Returned,
    pub(crate) took: Duration,
}

/// The engine's side of it.
pub(crate) struct Loans {
    urgent: Hands,
    others: Hands,
}

impl Loans {
    /// Starts the threads. They end when this is dropped.
    pub(crate) fn start() -> Result<Self> {
        Ok(Self {
            urgent: Hands::start("urgent-queries", || {})?,
            others: Hands::start("queries", give_way)?,
        })
    }

    /// Whether nothing is out of the urgent ones, or of the others.
    pub(crate) fn is_free(&self, urgent: bool) -> bool {
        let hands = if urgent { &self.urgent } else { &self.others };
        hands.out.is_none()
    }

    /// Whether anything is out.
    pub(crate) fn is_any_out(&self) -> bool {
        !(self.is_free(true) && self.is_free(false))
    }

    /// Hands `loan` over; none of its kind may be out.
    pub(crate) fn give(&mut self, loan: Loan) -> Result<()> {
        let hands = if loan.due().is_urgent { &mut self.urgent } else { &mut self.others };
        hands.give(loan)
    }

    /// What comes back; waits for ever where nothing is out.
    pub(crate) async fn returned(&mut self) -> Result<Ran> {
        tokio::select! {
            biased;
            returned = self.urgent.returned() => returned,
            returned = self.others.returned() => returned,
        }
    }
}

/// One thread: one loan at a time is out.
struct Hands {
    to: SyncSender<Loan>,
    back: mpsc::Receiver<Result<Ran, StreamError>>,
    out: Option<Due>,
}

impl Hands {
    /// A thread that first does `set_up`.
    fn start(name: &str, set_up: impl FnOnce() + Send + 'static) -> Result<Self> {
        let (to, loans) = sync_channel(1);
        let (done, back) = mpsc::channel(1);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let run = move || {
            set_up();
            run(&loans, &done);
        };
        thread.spawn(run).context("starting a thread for queries")?;
        Ok(Self { to, back, out: None })
    }

    fn give(&mut self, loan: Loan) -> Result<()> {
        self.out = Some(loan.due());
        self.to.send(loan).map_err(|_| gone())
    }

    async fn returned(&mut self) -> Result<Ran> {
        if self.out.is_none() {
            return std::future::pending().await;
        }
        let ran = self.back.recv().await;
        self.out = None;
        Ok(ran.ok_or_else(gone)??)
    }
}

/// Lets the others of the process go first where there are fewer cores than threads with something to do: on what this
/// thread finds no life hangs.
fn give_way() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    let set = |priority| {
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(priority), policy)
    };
    match ThreadPriorityValue::try_from(GIVING_WAY).map(set) {
        Ok(Ok(())) => {}
        refused => tracing::debug!(?refused, "queries are as urgent as everything else"),
    }
}

fn gone() -> anyhow::Error {
    anyhow!("a queries' thread panicked; what was acknowledged is kept")
}

fn run(loans: &Receiver<Loan>, back: &mpsc::Sender<Result<Ran, StreamError>>) {
    while let Ok(loan) = loans.recv() {
        let began = Instant::now();
        let ran = loan.run().map(|returned| Ran { returned, took: began.elapsed() });
        if back.blocking_send(ran).is_err() {
            break;
        }
    }
}
