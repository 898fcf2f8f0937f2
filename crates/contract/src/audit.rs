//! What a person read. Rows of the table `access_audit` and of the topic `access-audit`.

use serde::{Deserialize, Serialize};

use crate::EventTime;

/// One read by a person: a query, an explanation, a list of alarms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// When, by the wall clock: a person reads today what happened years ago.
    pub at: EventTime,
    /// The login's name; `open` where nobody has to log in.
    pub who: String,
    /// The role it was read in.
    pub role: String,
    /// What for, in the reader's own words.
    pub purpose: Option<String>,
    /// What was read: the SQL text, or the address asked for.
    pub what: String,
    /// How many rows were handed out; 0 where the read was refused.
    pub rows: u64,
}
