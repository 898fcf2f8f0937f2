//! How far the reader is, for whoever asks: the events that tell of it wait their turn behind records.

use std::sync::{Mutex, PoisonError};

use super::Progress;

/// The latest figures.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Vec<Progress>>);

impl Shown {
    pub(super) fn show(&self, progress: Vec<Progress>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    pub(super) fn last(&self) -> Vec<Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
