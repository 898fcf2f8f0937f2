//! A cell's risk: a score from 0 to 100 out of weighted, decaying events, with the reasons that sum to it.
//!
//! Pure: rows go into a [`Scorer`], a watermark closes windows, rows of `risk_cells` come out. What counts, and
//! how much, is data ([`Terms`], `queries/risk.toml`). Risk is of places and equipment, never of persons: the
//! scorer never sees more of an event than its cell, its time and its position.

mod coverage;
mod pane;
mod score;
mod scorer;
mod terms;

pub use scorer::{Closed, Ground, Scorer};
pub use terms::{Levels, Term, TermQuery, Terms, TermsError, Windowing};
