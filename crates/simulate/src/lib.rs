//! A reproducible community: people, doors, cameras, sensors, patrols, faults, and injected situations
//! with the truth about them.
//!
//! [`Community::build`] makes the place, [`Community::site_files`] its site folder, and [`Simulation`] the
//! records, in the order of their Kafka timestamps. The same seed and settings give the same bytes on every
//! machine: one seeded generator a concern, integers instead of floating point wherever a value is shown, no
//! order taken from a hash map, no clock.
//!
//! What ordinary life does never satisfies a rule. That holds by construction, and each place that takes care
//! of it says so; so every alarm beyond [`Truth`] is a false one.

mod agenda;
pub mod community;
mod encode;
mod event;
mod fault;
mod life;
mod random;
mod record;
mod rhythm;
mod scenario;
mod simulation;
mod situation;
mod truth;
mod world;

pub use community::Community;
pub use fault::Faults;
pub use record::Record;
pub use scenario::{Scenario, UnknownScenario};
pub use simulation::{Extent, SimulateConfig, Simulation};
pub use truth::{TRUTH_HEADER, Truth};
