//! What was injected, and what is to be raised for it.

use std::io::{self, Write};

use hexwatch_contract::{Cell, EventTime};

/// The first line of a truth file.
pub const TRUTH_HEADER: &str = "situation,rule,key,device,cell,time,priority";

/// One alarm that must be raised, once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Truth {
    /// What was played.
    pub situation: &'static str,
    /// The rule that must see it.
    pub rule: &'static str,
    /// What the rule is keyed by.
    pub key: String,
    /// The device at the place.
    pub device: String,
    /// The device's cell at resolution 12.
    pub cell: Cell,
    /// When the condition is complete, in event time.
    pub time: EventTime,
    /// The priority the alarm ends with.
    pub priority: u8,
}

impl Truth {
    /// Writes the row with its line end; the header is [`TRUTH_HEADER`].
    pub fn write_row(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { situation, rule, key, device, cell, time, priority } = self;
        writeln!(out, "{situation},{rule},{key},{device},{cell},{time},{priority}")
    }
}
