//! The lifecycle of alarms (ISA-18.2), as a pure machine: no IO, no clock; `now` is an argument.
//!
//! [`Book`] holds every alarm of the sites it answers for. Three things change it: what the rules found
//! ([`Book::revise`]), what people do ([`Book::act`]) and time ([`Book::tick`]). Each gives back the changes
//! it made, complete alarms with a `seq` that runs without gaps from 1 in each site. Whoever keeps these
//! changes can build the same book again with [`Book::replay`].

mod action;
mod book;
mod device;
mod entry;
mod findings;
mod index;
mod likeness;
mod press;
mod revise;
mod standing;
mod surroundings;

pub use action::{Action, ActionError};
pub use book::{Book, ReplayError, Settings};
pub use device::DeviceStates;
pub use findings::{Findings, stands_for_good};
pub use press::unreadable_press;
pub use surroundings::{Locate, Surroundings};
