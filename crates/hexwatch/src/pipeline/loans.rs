//! The thread that runs lent queries, so that the engine's is never away for longer than a chunk takes.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context as _, Result, anyhow};
use hexwatch_stream::{Due, Loan, Returned, StreamError};
use tokio::sync::mpsc;

type Ran = Result<Returned, StreamError>;

/// The engine's side of it: one loan at a time is out.
pub(crate) struct Loans {
    to: SyncSender<Loan>,
    back: mpsc::Receiver<Ran>,
    out: Option<Due>,
}

impl Loans {
    /// Starts the thread. It ends when this is dropped.
    pub(crate) fn start() -> Result<Self> {
        let (to, loans) = sync_channel(1);
        let (returned, back) = mpsc::channel(1);
        let thread = std::thread::Builder::new().name("queries".to_owned());
        thread.spawn(move || run(&loans, &returned)).context("starting the queries' thread")?;
        Ok(Self { to, back, out: None })
    }

    /// What is out.
    pub(crate) fn out(&self) -> Option<Due> {
        self.out
    }

    /// Hands `loan` over; none may be out.
    pub(crate) fn give(&mut self, loan: Loan) -> Result<()> {
        self.out = Some(loan.due());
        self.to.send(loan).map_err(|_| gone())
    }

    /// What comes back; waits for ever where nothing is out.
    pub(crate) async fn returned(&mut self) -> Result<Returned> {
        if self.out.is_none() {
            return std::future::pending().await;
        }
        let ran = self.back.recv().await;
        self.out = None;
        Ok(ran.ok_or_else(gone)??)
    }
}

fn gone() -> anyhow::Error {
    anyhow!("the queries' thread panicked; what was acknowledged is kept")
}

fn run(loans: &Receiver<Loan>, returned: &mpsc::Sender<Ran>) {
    while let Ok(loan) = loans.recv() {
        if returned.blocking_send(loan.run()).is_err() {
            break;
        }
    }
}
