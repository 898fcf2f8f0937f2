//! What the doors under `/api/v1` do.

pub(crate) mod about;
pub(crate) mod alarms;
pub(crate) mod cells;
pub(crate) mod login;
pub(crate) mod map;
pub(crate) mod reading;
pub(crate) mod sql;
pub(crate) mod system;
mod table;
