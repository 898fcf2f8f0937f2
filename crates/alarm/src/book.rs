//! Every alarm of the sites, and the numbers of their changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use hexwatch_contract::alarm::{Alarm, AlarmId, ConfirmLevel, State, Transition};
use hexwatch_contract::{Classified, EventTime, Fault};

use crate::action::{Action, ActionError};
use crate::device::{DeviceStates, Devices};
use crate::entry::{Entry, Said};
use crate::index::Index;
use crate::surroundings::Locate;

/// How the book is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Marks every new alarm as raised by a recording, so that it is delivered to nobody.
    pub replay: bool,
    /// How long an alarm that is over stays in memory, counted from its last change. Must be longer than the
    /// stretch of records that a restart reads again, or an old hit would raise it anew.
    pub remember: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { replay: false, remember: Duration::from_hours(7 * 24) }
    }
}

/// All alarms, by id; one change at a time, each numbered in its site.
pub struct Book {
    pub(crate) settings: Settings,
    pub(crate) locate: Box<dyn Locate>,
    pub(crate) alarms: HashMap<AlarmId, Entry>,
    pub(crate) index: Index,
    latest_seq: BTreeMap<String, u64>,
    pub(crate) devices: Devices,
    /// Alarms with findings of devices of which another opinion is held now than when they were told.
    pub(crate) judged_anew: BTreeSet<AlarmId>,
}

/// Why a log is not one that a book has written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplayError {
    /// A change is missing or there twice.
    #[error("the alarm log of site {site} goes from change {after} to {found}; restore the log from a copy")]
    Gap {
        /// The site.
        site: String,
        /// The change before.
        after: u64,
        /// The change that came next.
        found: u64,
    },
}

impl Classified for ReplayError {
    fn fault(&self) -> Fault {
        Fault::External
    }
}

impl Book {
    /// An empty book. `locate` tells whose ground a cell is.
    #[must_use]
    pub fn new(settings: Settings, locate: impl Locate + 'static) -> Self {
        Self {
            settings,
            locate: Box::new(locate),
            alarms: HashMap::new(),
            index: Index::default(),
            latest_seq: BTreeMap::new(),
            devices: Devices::default(),
            judged_anew: BTreeSet::new(),
        }
    }

    /// The book that has written `changes`, which come in the order of their `seq` in each site. A log whose
    /// beginning was cut off is accepted; one with a gap is not.
    pub fn replay<'a>(
        settings: Settings,
        locate: impl Locate + 'static,
        changes: impl IntoIterator<Item = &'a Alarm>,
    ) -> Result<Self, ReplayError> {
        let mut book = Self::new(settings, locate);
        for change in changes {
            let latest = book.latest_seq.entry(change.site.clone()).or_insert(change.seq.saturating_sub(1));
            if change.seq != *latest + 1 {
                return Err(ReplayError::Gap {
                    site: change.site.clone(),
                    after: *latest,
                    found: change.seq,
                });
            }
            *latest = change.seq;
            book.fold(change);
        }
        Ok(book)
    }

    fn fold(&mut self, change: &Alarm) {
        let id = &change.alarm_id;
        match self.alarms.get_mut(id) {
            Some(entry) => {
                let before = entry.alarm.raised_at;
                entry.fold(change);
                self.index.move_raise(&entry.alarm, before);
            }
            None => self.insert(Entry::read_from(change)),
        }
        if let Some(device) = &change.device {
            self.index.note_device(device, id);
        }
        if let Some(earlier) = change.incident.clone().map(AlarmId::from).filter(|incident| incident != id) {
            self.index.join(id, &earlier);
        }
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        self.index.insert(&entry.alarm);
        self.alarms.insert(entry.alarm.alarm_id.clone(), entry);
    }

    /// Notes the `state` of an admitted `iot` row: what devices in fault, test or disabled give rise to is
    /// held back. Alarms that were told before it was known are judged anew with the next findings.
    pub fn device_state(&mut self, device: &str, state: &str, at: EventTime) {
        let Some(doubtful) = self.devices.note(device, state, at) else { return };
        for id in self.index.of_device(device) {
            let Some(entry) = self.alarms.get_mut(id) else { continue };
            let rule = &entry.alarm.rule;
            let speaks = entry.findings.iter_mut().filter(|finding| {
                finding.content.device.as_deref() == Some(device) && doubtful.contains(&finding.at)
            });
            for finding in speaks {
                let unfit = self.devices.unfit_at(device, finding.at).filter(|unfit| unfit.holds_back(rule));
                if std::mem::replace(&mut finding.doubt, unfit) != unfit {
                    self.judged_anew.insert(id.clone());
                }
            }
        }
    }

    /// What devices said of themselves, for a restart: the log does not hold it.
    #[must_use]
    pub fn device_states(&self) -> DeviceStates {
        self.devices.snapshot()
    }

    /// Takes up what [`Book::device_states`] gave before a restart.
    pub fn resume_devices(&mut self, states: DeviceStates) {
        self.devices.resume(states);
    }

    /// Does what a person asks. `actor_ref` is that person's pseudonym.
    pub fn act(
        &mut self,
        id: &AlarmId,
        action: &Action,
        actor_ref: &str,
        now: EventTime,
    ) -> Result<Alarm, ActionError> {
        let unknown = || ActionError::Unknown { id: id.clone() };
        let entry = self.alarms.get_mut(id).ok_or_else(unknown)?;
        action.permit(&entry.alarm.alarm_id, &entry.standing, now)?;
        let mut said = Said { actor: Some(actor_ref), ..Said::default() };
        match action {
            Action::Comment { text } => said.note = Some(text),
            Action::Shelve { until, reason } => {
                said.note = Some(reason);
                said.shelved_until = Some(*until);
            }
            Action::Confirm { note } => {
                said.note = note.as_deref();
                entry.is_confirmed = true;
                entry.alarm.confirm_level = ConfirmLevel::Human;
            }
            Action::Reject { note } => said.note = note.as_deref(),
            Action::Assign { to } => entry.alarm.assigned_to = Some(to.clone()),
            Action::Ack | Action::Unack | Action::Unshelve => {}
        }
        self.step(id, action.transition(), &said, (now, now)).ok_or_else(unknown)
    }

    /// Brings back what was shelved until `now` or earlier, and forgets what was over long ago.
    pub fn tick(&mut self, now: EventTime) -> Vec<Alarm> {
        let due = |entry: &Entry| entry.standing.shelved_until.filter(|until| *until <= now);
        let mut over: Vec<(EventTime, AlarmId)> = self
            .alarms
            .iter()
            .filter_map(|(id, entry)| due(entry).map(|until| (until, id.clone())))
            .collect();
        over.sort_unstable();
        let unshelve = |book: &mut Self, (until, id): (EventTime, AlarmId)| {
            book.step(&id, Transition::Unshelve, &Said::default(), (until, now))
        };
        let changes = over.into_iter().filter_map(|due| unshelve(self, due)).collect();
        self.forget(now - self.settings.remember);
        changes
    }

    fn forget(&mut self, before: EventTime) {
        let index = &mut self.index;
        let known = self.alarms.len();
        self.alarms.retain(|_, entry| {
            let is_kept = !entry.is_over() || entry.alarm.changed_at.max(entry.alarm.emitted_at) >= before;
            if !is_kept {
                index.remove(&entry.alarm, entry.findings.devices());
            }
            is_kept
        });
        if self.alarms.len() < known {
            index.prune(|id| self.alarms.contains_key(id));
        }
    }

    /// Makes the change that a person, or time, makes.
    fn step(
        &mut self,
        id: &AlarmId,
        transition: Transition,
        said: &Said<'_>,
        (at, now): (EventTime, EventTime),
    ) -> Option<Alarm> {
        let entry = self.alarms.get_mut(id)?;
        entry.standing.step(transition, said.actor, said.shelved_until);
        self.number(id, transition, said, (at, now))
    }

    /// Numbers a change, and gives the alarm as it stands after it.
    pub(crate) fn number(
        &mut self,
        id: &AlarmId,
        transition: Transition,
        said: &Said<'_>,
        (at, now): (EventTime, EventTime),
    ) -> Option<Alarm> {
        let entry = self.alarms.get_mut(id)?;
        let latest = self.latest_seq.entry(entry.alarm.site.clone()).or_insert(0);
        *latest += 1;
        Some(entry.change(transition, said, (*latest, at, now)))
    }

    /// An alarm as it stands.
    #[must_use]
    pub fn alarm(&self, id: &AlarmId) -> Option<&Alarm> {
        self.alarms.get(id).map(|entry| &entry.alarm)
    }

    /// All alarms in memory as they stand, in no order: what is open, and what was over a while ago.
    pub fn alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.values().map(|entry| &entry.alarm)
    }

    /// The number of the last change of each site.
    #[must_use]
    pub const fn latest_seq(&self) -> &BTreeMap<String, u64> {
        &self.latest_seq
    }

    /// Active alarms that nobody has, by priority 1 to 4; drills and replays are not counted.
    #[must_use]
    pub fn unacknowledged(&self) -> [u64; 4] {
        let mut counts = [0; 4];
        for alarm in
            self.alarms().filter(|alarm| alarm.state == State::Unack && !alarm.drill && !alarm.replay)
        {
            counts[usize::from(alarm.priority.get() - 1)] += 1;
        }
        counts
    }
}
