#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a panic is the failure")]
//! The engine over whole streams: the same rows live as over history, whatever the order, the batching
//! and the restarts.

mod corrections;
mod duplicates;
mod equality;
mod files;
mod judgement;
mod laws;
mod lending;
mod progress;
mod rare;
mod refusals;
mod restart;
mod silence;
mod time;
mod world;
