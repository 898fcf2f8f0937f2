//! Everybody outside: subscribers who hear of alarms, and Kafka's output topics, which have what was delivered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use hexwatch_contract::alarm::Alarm;
use hexwatch_stream::ViewRows;

use super::chance::{Chance, Stop};
use super::queries::shapes;

/// What identifies a row of a view: the view, and the row's key.
pub(crate) type Key = (Arc<str>, String);

/// A record on its way to Kafka.
enum Sent {
    Alarm(Box<Alarm>),
    /// A row of a view, or a tombstone.
    Row(Key, Option<i64>),
}

#[derive(Default)]
pub(crate) struct Outlets {
    /// What subscribers have heard, by `seq`.
    heard: BTreeMap<u64, Alarm>,
    on_the_way: VecDeque<Sent>,
    sent: u64,
    delivered: u64,
    /// The topic of alarms, by `seq`.
    pub(crate) alarms: BTreeMap<u64, Alarm>,
    /// The compacted topics of the views.
    pub(crate) views: BTreeMap<Key, i64>,
}

impl Outlets {
    /// Subscribers hear of `change`.
    pub(crate) fn hear(&mut self, change: &Alarm) -> Result<(), Stop> {
        match self.heard.get(&change.seq) {
            Some(known) if known != change => {
                Stop::violation(format!("change {} was heard with two contents", change.seq))
            }
            Some(_) => Ok(()),
            None => {
                self.heard.insert(change.seq, change.clone());
                Ok(())
            }
        }
    }

    /// A start shows subscribers `log`; nothing that they have heard may be missing or another.
    pub(crate) fn compare<'a>(&mut self, log: impl Iterator<Item = &'a Alarm>) -> Result<(), Stop> {
        let log: BTreeMap<u64, &Alarm> = log.map(|change| (change.seq, change)).collect();
        if let Some(lost) = self.heard.keys().find(|seq| !log.contains_key(seq)) {
            return Stop::violation(format!("change {lost} was heard, and is in no log"));
        }
        log.into_values().try_for_each(|change| self.hear(change))
    }

    /// Some change that was heard, for a person to act on.
    pub(crate) fn any_heard(&self, chance: &mut Chance) -> Option<&Alarm> {
        let at = chance.below(self.heard.len());
        self.heard.values().nth(at)
    }

    pub(crate) fn send_alarm(&mut self, change: &Alarm) {
        self.send(Sent::Alarm(Box::new(change.clone())));
    }

    pub(crate) fn send_rows(&mut self, rows: &ViewRows) {
        for (key, _) in view_rows(&rows.view, &rows.withdrawn) {
            self.send(Sent::Row(key, None));
        }
        for (key, events) in view_rows(&rows.view, &rows.records) {
            self.send(Sent::Row(key, Some(events)));
        }
    }

    /// Takes rows of `view` back by their keys.
    pub(crate) fn withdraw(&mut self, view: &Arc<str>, keys: Vec<String>) {
        for key in keys {
            self.send(Sent::Row((Arc::clone(view), key), None));
        }
    }

    fn send(&mut self, sent: Sent) {
        self.sent += 1;
        self.on_the_way.push_back(sent);
    }

    /// What stands for everything that was sent so far.
    pub(crate) fn mark(&self) -> u64 {
        self.sent
    }

    pub(crate) fn has_delivered(&self, mark: u64) -> bool {
        self.delivered >= mark
    }

    pub(crate) fn deliver(&mut self, count: usize) {
        for sent in self.on_the_way.drain(..count.min(self.on_the_way.len())) {
            self.delivered += 1;
            match sent {
                Sent::Alarm(change) => {
                    self.alarms.insert(change.seq, *change);
                }
                Sent::Row(key, Some(events)) => {
                    self.views.insert(key, events);
                }
                Sent::Row(key, None) => {
                    self.views.remove(&key);
                }
            }
        }
    }

    pub(crate) fn deliver_all(&mut self) {
        self.deliver(usize::MAX);
    }

    /// The process dies: some of what was on its way has arrived, the rest is gone.
    pub(crate) fn die(&mut self, chance: &mut Chance) {
        let arrived = chance.below(self.on_the_way.len() + 1);
        self.deliver(arrived);
        self.on_the_way.clear();
        self.delivered = self.sent;
    }
}

/// The rows of a view: key and count.
pub(crate) fn view_rows(view: &Arc<str>, rows: &RecordBatch) -> Vec<(Key, i64)> {
    if rows.num_rows() == 0 {
        return Vec::new();
    }
    let keys = shapes()[view].keys(rows).unwrap().into_iter().map(|key| (Arc::clone(view), key));
    let events = rows["events"].as_primitive::<Int64Type>().values();
    keys.zip(events.iter().copied()).collect()
}
