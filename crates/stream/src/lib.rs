//! Event time: which rows count, when a result is complete, and what a late row corrects.
//!
//! The path of a row, and the modules in its order:
//!
//! 1. [`watermark`]: how far event time has come, per partition and merged;
//! 2. [`admission`]: on time, late or too late, and once (`seen`);
//! 3. `feed`: the rows and columns that a query looks at;
//! 4. `filter`, `pane`, `lookback`: the shapes that run live; windows are `hop`'s, silences `absence`'s;
//! 5. `rows`, `hit`: what a step changed, as rows of a view or hits of a rule.
//!
//! `planner` makes queries of files: `shape` recognises them, `reach` proves how far they look back, `shard` by what
//! their rows fall apart, `possible` which rows can give nothing, and
//! what neither can place is refused with file, line and reason. [`engine`] takes a row through all of it,
//! one step at a time; [`checkpoint`] says where a restart takes up. [`history`] runs the same text as one
//! batch.

pub mod admission;
pub mod checkpoint;
pub mod effects;
pub mod engine;
pub mod error;
pub mod history;
pub mod watermark;

mod absence;
mod apart;
mod dirty;
mod duration;
mod feed;
mod filter;
mod frames;
mod group;
mod growing;
mod hit;
mod hop;
mod kept;
mod lanes;
mod lookback;
mod pane;
mod planner;
mod possible;
mod query;
mod reach;
mod rows;
mod run;
mod seen;
mod shape;
mod shard;
mod spec;
mod stocks;

pub use absence::AbsenceSnapshot;
pub use checkpoint::{Awaiting, Checkpoint, Resumption};
pub use effects::{Effects, Rebuilt, ViewRows};
pub use engine::{Engine, EngineConfig, Input, Registry};
pub use error::{Refusal, StreamError};
pub use group::{Due, Loan, Returned};
pub use hexwatch_sql::Output;
pub use history::{hits_over_history, register_functions, run_over_history};
pub use kept::Stored;
