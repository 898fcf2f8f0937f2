//! By what alarms are found, beside their ids.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use hexwatch_contract::EventTime;
use hexwatch_contract::alarm::{Alarm, AlarmId, RuleHit};

use crate::findings::Finding;

/// So many of a device's latest alarms are looked through before one more is noted.
const LATEST: usize = 8;

/// Where a rule and a key meet, in one site.
type Place = (Arc<str>, String, String);

fn place_of(alarm: &Alarm) -> Place {
    (alarm.rule.clone(), alarm.key.clone(), alarm.site.clone())
}

/// The indexes of a book.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The alarms of a rule and a key, by when they were raised.
    places: HashMap<Place, BTreeSet<(EventTime, AlarmId)>>,
    /// The alarms whose findings speak of a device.
    by_device: HashMap<String, Vec<AlarmId>>,
    /// What rules name, and the alarm that took it in.
    aliases: HashMap<AlarmId, AlarmId>,
    /// The alarms that were joined to one that started earlier.
    joined: HashMap<AlarmId, BTreeSet<AlarmId>>,
}

impl Index {
    pub(crate) fn insert(&mut self, alarm: &Alarm) {
        self.places.entry(place_of(alarm)).or_default().insert((alarm.raised_at, alarm.alarm_id.clone()));
    }

    /// Keeps order where an alarm turns out to have been raised at another time than `before`.
    pub(crate) fn move_raise(&mut self, alarm: &Alarm, before: EventTime) {
        if alarm.raised_at == before {
            return;
        }
        if let Some(here) = self.places.get_mut(&place_of(alarm)) {
            here.remove(&(before, alarm.alarm_id.clone()));
            here.insert((alarm.raised_at, alarm.alarm_id.clone()));
        }
    }

    /// The alarms of the rule and the key of `hit` that were raised by then, the latest first.
    pub(crate) fn at_the_place_of(&self, hit: &RuleHit) -> impl Iterator<Item = &AlarmId> {
        let here = self.places.get(&(hit.rule.clone(), hit.key.clone(), hit.site.clone()));
        let raised = here.into_iter().flatten().rev().filter(|(raised_at, _)| *raised_at <= hit.at);
        raised.map(|(_, id)| id)
    }

    /// Notes by what `id` is found once it has `finding`.
    pub(crate) fn note_finding(&mut self, finding: &Finding, id: &AlarmId) {
        if let Some(earlier) = &finding.link {
            self.join(id, earlier);
        }
        if let Some(device) = &finding.content.device {
            self.note_device(device, id);
        }
        self.note_alias(finding.named.clone(), id.clone());
    }

    /// Notes that findings of `id` speak of `device`. An alarm may stand there twice, but not for each correction.
    pub(crate) fn note_device(&mut self, device: &str, id: &AlarmId) {
        if let Some(ids) = self.by_device.get_mut(device) {
            if !ids.iter().rev().take(LATEST).any(|other| other == id) {
                ids.push(id.clone());
            }
        } else {
            self.by_device.insert(device.to_owned(), vec![id.clone()]);
        }
    }

    pub(crate) fn of_device(&self, device: &str) -> &[AlarmId] {
        self.by_device.get(device).map_or(&[], Vec::as_slice)
    }

    /// Notes that `taken_by` took in what a rule found for `named`.
    pub(crate) fn note_alias(&mut self, named: AlarmId, taken_by: AlarmId) {
        if named != taken_by {
            self.aliases.insert(named, taken_by);
        }
    }

    pub(crate) fn alias_of(&self, named: &AlarmId) -> Option<&AlarmId> {
        self.aliases.get(named)
    }

    pub(crate) fn remove_alias(&mut self, named: &AlarmId) -> Option<AlarmId> {
        self.aliases.remove(named)
    }

    /// Notes that `id` is joined to `earlier`.
    pub(crate) fn join(&mut self, id: &AlarmId, earlier: &AlarmId) {
        self.joined.entry(earlier.clone()).or_default().insert(id.clone());
    }

    /// The alarms that are joined to `id`.
    pub(crate) fn joined_to(&self, id: &AlarmId) -> impl Iterator<Item = &AlarmId> {
        self.joined.get(id).into_iter().flatten()
    }

    /// Forgets `alarm`, whose findings spoke of `devices`.
    pub(crate) fn remove<'a>(&mut self, alarm: &Alarm, devices: impl Iterator<Item = &'a str>) {
        let id = &alarm.alarm_id;
        let place = place_of(alarm);
        if let Some(here) = self.places.get_mut(&place) {
            here.remove(&(alarm.raised_at, id.clone()));
            if here.is_empty() {
                self.places.remove(&place);
            }
        }
        for device in devices {
            if let Some(ids) = self.by_device.get_mut(device) {
                ids.retain(|other| other != id);
                if ids.is_empty() {
                    self.by_device.remove(device);
                }
            }
        }
        self.joined.remove(id);
    }

    /// Forgets what leads to alarms that are not `known` any more.
    pub(crate) fn prune(&mut self, known: impl Fn(&AlarmId) -> bool) {
        self.aliases.retain(|_, taken_by| known(taken_by));
        self.joined.retain(|_, ids| {
            ids.retain(&known);
            !ids.is_empty()
        });
    }
}
