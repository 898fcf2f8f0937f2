//! Every alarm of the sites, and the numbers of their changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hexwatch_contract::alarm::{Alarm, AlarmId, ConfirmLevel, RuleHit, State, Transition};
use hexwatch_contract::{Classified, EventTime, Fault};

use crate::action::{Action, ActionError};
use crate::device::{DeviceStates, Devices};
use crate::entry::{Entry, Said, WITHDRAWN};
use crate::surroundings::{Locate, Surroundings};

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

/// Where a rule and a key meet, in one site.
type Place = (Arc<str>, String, String);

fn place_of(alarm: &Alarm) -> Place {
    (alarm.rule.clone(), alarm.key.clone(), alarm.site.clone())
}

/// All alarms, by id; one change at a time, each numbered in its site.
pub struct Book {
    settings: Settings,
    locate: Box<dyn Locate>,
    alarms: HashMap<AlarmId, Entry>,
    places: HashMap<Place, BTreeSet<(EventTime, AlarmId)>>,
    latest_seq: BTreeMap<String, u64>,
    devices: Devices,
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

/// The order in which hits of one step are taken in: by event time, and at the same time a raise before what
/// builds on it.
fn order(hit: &RuleHit) -> (EventTime, Transition, &str, EventTime, &str) {
    (hit.at, hit.transition, &hit.rule, hit.window_start, &hit.key)
}

impl Book {
    /// An empty book. `locate` tells whose ground a cell is.
    #[must_use]
    pub fn new(settings: Settings, locate: impl Locate + 'static) -> Self {
        Self {
            settings,
            locate: Box::new(locate),
            alarms: HashMap::new(),
            places: HashMap::new(),
            latest_seq: BTreeMap::new(),
            devices: Devices::default(),
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
        match self.alarms.get_mut(&change.alarm_id) {
            Some(entry) => {
                let before = entry.alarm.raised_at;
                entry.fold(change);
                self.move_in_place(&change.alarm_id, before);
            }
            None => self.insert(Entry::read_from(change)),
        }
    }

    /// Keeps the index of a place in order when an alarm turns out to have been raised earlier than `before`.
    fn move_in_place(&mut self, id: &AlarmId, before: EventTime) {
        let Some(entry) = self.alarms.get(id) else { return };
        if let Some(here) = self.places.get_mut(&place_of(&entry.alarm)) {
            here.remove(&(before, id.clone()));
            here.insert((entry.alarm.raised_at, id.clone()));
        }
    }

    fn insert(&mut self, entry: Entry) {
        let alarm = &entry.alarm;
        self.places.entry(place_of(alarm)).or_default().insert((alarm.raised_at, alarm.alarm_id.clone()));
        self.alarms.insert(alarm.alarm_id.clone(), entry);
    }

    /// Notes the `state` of an admitted `iot` row: what devices in fault, test or disabled give rise to is
    /// held back.
    pub fn device_state(&mut self, device: &str, state: &str, at: EventTime) {
        self.devices.note(device, state, at);
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

    /// Takes in what the rules found in one step, in the order of event time, and gives the changes. A hit that
    /// was taken in before changes nothing.
    pub fn apply_hits(&mut self, hits: &[RuleHit], now: EventTime) -> Vec<Alarm> {
        let mut ordered: Vec<&RuleHit> = hits.iter().collect();
        ordered.sort_by(|one, other| order(one).cmp(&order(other)));
        ordered.into_iter().flat_map(|hit| self.apply_hit(hit, now)).collect()
    }

    /// Takes in one hit. See [`Book::apply_hits`]. What builds on an alarm that is not known raises it first, so
    /// that no escalation or confirmation is lost; an end of an unknown alarm changes nothing.
    pub fn apply_hit(&mut self, hit: &RuleHit, now: EventTime) -> Vec<Alarm> {
        let opens = matches!(hit.transition, Transition::Raise | Transition::Escalate | Transition::Confirm);
        let (opened, id) = match self.find(hit) {
            Some(id) => (None, id),
            None if opens => (self.open(hit, now), hit.alarm_id()),
            None => return Vec::new(),
        };
        let change = match hit.transition {
            Transition::Raise if opened.is_some() => None,
            Transition::Raise => self.correct(&id, hit, now),
            Transition::Confirm if names_an_earlier_alarm(hit).is_some() => self.link(&id, hit, now),
            _ => self.advance(&id, hit, now),
        };
        opened.into_iter().chain(change).collect()
    }

    /// Takes back what a late record has shown not to hold, and gives the changes: an alarm whose raise is taken
    /// back is cleared. An escalation or a confirmation stays, since somebody may have acted on it; a press for
    /// help stays whatever comes. Comes before the hits of the same step.
    pub fn withdraw_hits(&mut self, hits: &[RuleHit], now: EventTime) -> Vec<Alarm> {
        let mut ordered: Vec<&RuleHit> =
            hits.iter().filter(|hit| hit.transition == Transition::Raise).collect();
        ordered.sort_by(|one, other| order(one).cmp(&order(other)));
        ordered.into_iter().filter_map(|hit| self.withdraw(hit, now)).collect()
    }

    fn withdraw(&mut self, hit: &RuleHit, now: EventTime) -> Option<Alarm> {
        self.clear_withdrawn(&hit.alarm_id(), hit.at, now)
    }

    /// Takes back an alarm that a restart has not found again, as [`Book::withdraw_hits`] does.
    pub fn take_back(&mut self, id: &AlarmId, now: EventTime) -> Option<Alarm> {
        let raised_at = self.alarm(id)?.raised_at;
        self.clear_withdrawn(id, raised_at, now)
    }

    fn clear_withdrawn(&mut self, id: &AlarmId, at: EventTime, now: EventTime) -> Option<Alarm> {
        let entry = self.alarms.get_mut(id)?;
        let is_press = &*entry.alarm.rule == "R10";
        // One that has returned still waits for somebody to have seen it, though it never was.
        let is_open = entry.standing.active || entry.standing.state() == State::RtnUnack;
        if is_press || !entry.has_taken(Transition::Raise) || !is_open {
            return None;
        }
        entry.forget_raise();
        let said = Said { note: Some(WITHDRAWN), ..Said::default() };
        self.change(id, Transition::Clear, &said, at, now)
    }

    /// The alarm that `hit` speaks of: the one with its id, or, for what builds on an alarm, the latest one of
    /// the same rule and key that is still active. (An episode may be longer than a rule looks back, and then
    /// the rule no longer knows when it started.)
    fn find(&self, hit: &RuleHit) -> Option<AlarmId> {
        let id = hit.alarm_id();
        if hit.transition == Transition::Raise || self.alarms.contains_key(&id) {
            return self.alarms.contains_key(&id).then_some(id);
        }
        let place = (hit.rule.clone(), hit.key.clone(), hit.site.clone());
        let here = self.places.get(&place)?;
        let is_active = |id: &AlarmId| self.alarms.get(id).is_some_and(|entry| entry.standing.active);
        here.iter()
            .rev()
            .find(|(raised_at, id)| *raised_at <= hit.at && is_active(id))
            .map(|(_, id)| id.clone())
    }

    fn open(&mut self, hit: &RuleHit, now: EventTime) -> Option<Alarm> {
        let around = hit.cell.map_or_else(Surroundings::default, |cell| self.locate.surroundings(cell));
        let mut entry = Entry::opened_by(hit, hit.alarm_id(), around, self.settings.replay);
        let mut transition = Transition::Raise;
        if let Some((device, unfit)) = self.unfit(hit) {
            transition = Transition::Suppress;
            let why = serde_json::json!({ "device": device, "state": unfit });
            entry.alarm.measured.insert("suppressed_by".to_owned(), why);
        }
        self.insert(entry);
        self.change(&hit.alarm_id(), transition, &Said::default(), hit.at, now)
    }

    /// The device of `hit` that is not to be believed, and the state that says so.
    fn unfit<'a>(&self, hit: &'a RuleHit) -> Option<(&'a str, &'static str)> {
        let device = hit.device.as_deref()?;
        let unfit = self.devices.unfit_at(device, hit.at)?;
        unfit.holds_back(&hit.rule).then_some((device, unfit.name()))
    }

    /// A raise that is repeated says nothing new unless it is earlier or graver: then a late record has
    /// corrected it.
    fn correct(&mut self, id: &AlarmId, hit: &RuleHit, now: EventTime) -> Option<Alarm> {
        let entry = self.alarms.get_mut(id)?;
        let before = entry.alarm.raised_at;
        let is_back = !entry.has_taken(Transition::Raise);
        if !entry.join(hit) && !is_back {
            return None;
        }
        self.move_in_place(id, before);
        self.change(id, Transition::Raise, &Said::default(), hit.at, now)
    }

    fn advance(&mut self, id: &AlarmId, hit: &RuleHit, now: EventTime) -> Option<Alarm> {
        let is_doubted = self.unfit(hit).is_some();
        let entry = self.alarms.get_mut(id)?;
        let is_stale = hit.at < entry.standing.active_again_since.unwrap_or(entry.alarm.raised_at);
        if entry.has_taken(hit.transition) || is_stale || entry.standing.suppressed {
            return None;
        }
        let ends = matches!(hit.transition, Transition::Return | Transition::Clear | Transition::Reject);
        // A press for help ends by a person only, and a faulty device never yields an all-clear.
        if is_doubted || (ends && (&*hit.rule == "R10" || !entry.standing.active)) {
            return None;
        }
        if entry.standing.is_rejected() && hit.transition != Transition::Confirm {
            return None;
        }
        entry.join(hit);
        if hit.transition == Transition::Confirm {
            entry.alarm.incident.get_or_insert_with(|| id.to_string());
        }
        self.change(id, hit.transition, &Said::default(), hit.at, now)
    }

    /// A confirmation that names an earlier alarm belongs to that one; this one is joined to it.
    fn link(&mut self, id: &AlarmId, hit: &RuleHit, now: EventTime) -> Option<Alarm> {
        let incident = self.incident_of(&names_an_earlier_alarm(hit)?);
        let entry = self.alarms.get_mut(id)?;
        if entry.alarm.incident.is_some() || entry.standing.suppressed {
            return None;
        }
        entry.alarm.incident = Some(incident);
        self.change(id, Transition::Comment, &Said::default(), hit.at, now)
    }

    fn incident_of(&self, id: &AlarmId) -> String {
        let known = self.alarms.get(id).and_then(|entry| entry.alarm.incident.clone());
        known.unwrap_or_else(|| id.to_string())
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
        permit(entry, action, now)?;
        let mut said = Said { actor: Some(actor_ref), ..Said::default() };
        match action {
            Action::Comment { text } => said.note = Some(text),
            Action::Shelve { until, reason } => {
                said.note = Some(reason);
                said.shelved_until = Some(*until);
            }
            Action::Confirm { note } => {
                said.note = note.as_deref();
                entry.alarm.confirm_level = ConfirmLevel::Human;
            }
            Action::Reject { note } => said.note = note.as_deref(),
            Action::Assign { to } => entry.alarm.assigned_to = Some(to.clone()),
            Action::Ack | Action::Unack | Action::Unshelve => {}
        }
        self.change(id, action.transition(), &said, now, now).ok_or_else(unknown)
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
            book.change(&id, Transition::Unshelve, &Said::default(), until, now)
        };
        let changes = over.into_iter().filter_map(|due| unshelve(self, due)).collect();
        self.forget(now - self.settings.remember);
        changes
    }

    fn forget(&mut self, before: EventTime) {
        let places = &mut self.places;
        self.alarms.retain(|id, entry| {
            let is_kept = !entry.is_over() || entry.alarm.changed_at.max(entry.alarm.emitted_at) >= before;
            if !is_kept {
                let alarm = &entry.alarm;
                let place = place_of(alarm);
                if let Some(here) = places.get_mut(&place) {
                    here.remove(&(alarm.raised_at, id.clone()));
                    if here.is_empty() {
                        places.remove(&place);
                    }
                }
            }
            is_kept
        });
    }

    fn change(
        &mut self,
        id: &AlarmId,
        transition: Transition,
        said: &Said<'_>,
        at: EventTime,
        now: EventTime,
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

/// The alarm that started earlier, where a confirmation names one: the columns `m_linked_key` and
/// `m_linked_start` (epoch milliseconds) of the rule.
fn names_an_earlier_alarm(hit: &RuleHit) -> Option<AlarmId> {
    let key = hit.measured.get("linked_key")?.as_str()?;
    let start = EventTime::from_millis(hit.measured.get("linked_start")?.as_i64()?);
    (hit.transition == Transition::Confirm).then(|| AlarmId::of(&hit.rule, hit.rule_version, key, start))
}

/// Whether the state machine has the arrow that `action` asks for.
fn permit(entry: &Entry, action: &Action, now: EventTime) -> Result<(), ActionError> {
    let id = || entry.alarm.alarm_id.clone();
    let state = entry.standing.state();
    let missing = |what| ActionError::Missing { id: id(), transition: action.transition(), what };
    match action {
        Action::Ack => {
            if let Some(by) = &entry.standing.acked_by
                && entry.standing.active
            {
                return Err(ActionError::AlreadyAcked { id: id(), by: by.clone() });
            }
        }
        Action::Comment { text } if text.trim().is_empty() => return Err(missing("a text")),
        Action::Assign { to } if to.trim().is_empty() => return Err(missing("a name")),
        Action::Shelve { reason, .. } if reason.trim().is_empty() => return Err(missing("a reason")),
        Action::Shelve { until, .. } if *until <= now => {
            return Err(ActionError::ShelvedUntilThePast { id: id(), until: *until, now });
        }
        _ => {}
    }
    let is_open = matches!(state, State::Unack | State::Acked | State::RtnUnack);
    let possible = match action {
        Action::Ack => matches!(state, State::Unack | State::RtnUnack),
        Action::Unack => state == State::Acked,
        Action::Unshelve => state == State::Shelved,
        Action::Shelve { .. } | Action::Confirm { .. } | Action::Reject { .. } => is_open,
        Action::Comment { .. } | Action::Assign { .. } => true,
    };
    if possible {
        return Ok(());
    }
    Err(ActionError::NotPossible { id: id(), state, transition: action.transition() })
}
