//! A worker that stops where it would hurt most, so that a test can wake it when others have taken over.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stops the process before it hands over the Nth chunk.
#[derive(Debug)]
pub(super) struct Freeze {
    left: AtomicU64,
}

impl Freeze {
    /// Before the chunk of this number; never at 0.
    pub(super) const fn new(at: u64) -> Self {
        Self { left: AtomicU64::new(at) }
    }

    /// A chunk is about to be handed over.
    pub(super) fn reach(&self) {
        let count = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(1) {
            let own = std::process::id().to_string();
            let stopped = Command::new("kill").args(["-STOP", &own]).status();
            tracing::info!(?stopped, "the process was stopped, and goes on");
        }
    }
}
