//! What the rules have found of one alarm, as far as it holds.
//!
//! A rule gives a finding again where a late record has changed it, and takes it back where it no longer holds. What an
//! alarm says follows from the findings that hold, in the order of event time, and from nothing else: so it does not
//! tell in which order, and in which pieces, the records were read.

mod log;

use std::collections::BTreeSet;

use hexwatch_contract::alarm::{AlarmId, Class, ConfirmLevel, Input, Priority, RuleHit, Transition};
use hexwatch_contract::{Cell, EventTime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::device::Unfit;

/// How many inputs one alarm carries; the first ones explain it.
const MAX_INPUTS: usize = 64;

/// Whether an alarm of `rule` stands whatever comes, and as it was first found: presses for help, readable and not.
#[must_use]
pub fn stands_for_good(rule: &str) -> bool {
    matches!(rule, "R10" | "R33")
}

/// One hit as the alarm keeps it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) transition: Transition,
    /// The alarm that the rule names. Where it no longer knows when an episode began, another one takes the hit in.
    pub(crate) named: AlarmId,
    pub(crate) at: EventTime,
    pub(crate) content: Content,
    /// The alarm that started earlier, where a confirmation belongs to that one.
    pub(crate) link: Option<AlarmId>,
    /// Why its device was not to be believed then.
    pub(crate) doubt: Option<Unfit>,
    /// Whether it stands in for what a log does not hold, until the rule gives it again.
    pub(crate) is_from_log: bool,
}

/// What findings say of an alarm.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) class: Class,
    pub(crate) priority: Priority,
    pub(crate) confirm_level: ConfirmLevel,
    pub(crate) drill: bool,
    pub(crate) device: Option<String>,
    pub(crate) cell: Option<Cell>,
    pub(crate) lon: Option<f64>,
    pub(crate) lat: Option<f64>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) measured: Map<String, Value>,
}

impl Content {
    /// Adds what a later finding says.
    fn join(&mut self, transition: Transition, later: &Self) {
        self.priority = self.priority.min(later.priority);
        self.confirm_level = self.confirm_level.max(later.confirm_level);
        if transition == Transition::Confirm {
            self.confirm_level = self.confirm_level.max(ConfirmLevel::Dual);
        }
        self.drill &= later.drill;
        for input in &later.inputs {
            if self.inputs.len() < MAX_INPUTS && !self.inputs.contains(input) {
                self.inputs.push(input.clone());
            }
        }
        self.measured.extend(later.measured.clone());
    }
}

impl Finding {
    /// What `hit` says, of the alarm that it names.
    pub(crate) fn of(hit: &RuleHit, named: AlarmId) -> Self {
        let content = Content {
            class: hit.class,
            priority: hit.priority,
            confirm_level: hit.confirm_level,
            drill: hit.drill,
            device: hit.device.clone(),
            cell: hit.cell,
            lon: hit.lon,
            lat: hit.lat,
            inputs: hit.inputs.iter().take(MAX_INPUTS).cloned().collect(),
            measured: hit.measured.clone(),
        };
        Self {
            transition: hit.transition,
            named,
            at: hit.at,
            content,
            link: names_an_earlier_alarm(hit),
            doubt: None,
            is_from_log: false,
        }
    }

    /// Whether it can stand at the beginning of an alarm.
    pub(crate) fn opens(&self) -> bool {
        opens(self.transition)
    }

    fn order(&self) -> (EventTime, Transition, &AlarmId) {
        (self.at, self.transition, &self.named)
    }

    /// The change that tells of it, where it did not open its alarm.
    fn told_as(&self) -> Transition {
        if self.link.is_some() { Transition::Comment } else { self.transition }
    }
}

/// Whether a hit of `transition` can open an alarm: no escalation and no confirmation may be lost.
pub(crate) fn opens(transition: Transition) -> bool {
    matches!(transition, Transition::Raise | Transition::Escalate | Transition::Confirm)
}

/// The alarm that started earlier, where a confirmation names one: the columns `m_linked_key` and
/// `m_linked_start` (epoch milliseconds) of the rule.
fn names_an_earlier_alarm(hit: &RuleHit) -> Option<AlarmId> {
    let key = hit.measured.get("linked_key")?.as_str()?;
    let start = EventTime::from_millis(hit.measured.get("linked_start")?.as_i64()?);
    (hit.transition == Transition::Confirm).then(|| AlarmId::of(&hit.rule, hit.rule_version, key, start))
}

/// What the findings come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Upshot {
    /// Nothing holds that can stand at the beginning of an alarm.
    #[default]
    Nothing,
    /// The device was not to be believed when it began.
    HeldBack,
    /// What the rule looks for is there.
    Active,
    /// It is there no longer.
    Returned,
    /// The rule has judged it no alarm at all.
    Rejected,
}

impl Upshot {
    /// What a finding that counts comes to, told as `transition`; `None` where that changes nothing.
    pub(crate) const fn of(transition: Transition) -> Option<Self> {
        match transition {
            Transition::Suppress => Some(Self::HeldBack),
            Transition::Raise | Transition::Escalate | Transition::Confirm => Some(Self::Active),
            Transition::Return | Transition::Clear => Some(Self::Returned),
            Transition::Reject => Some(Self::Rejected),
            _ => None,
        }
    }

    /// Whether what the rule looks for is there, believed or not.
    pub(crate) const fn is_active(self) -> bool {
        matches!(self, Self::HeldBack | Self::Active)
    }
}

/// What follows from the findings, beside the content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) upshot: Upshot,
    /// The last change that the findings make, and when.
    pub(crate) last: Option<(Transition, EventTime)>,
    /// Every change that they make.
    pub(crate) taken: BTreeSet<Transition>,
}

impl Verdict {
    /// Whether anything holds.
    pub(crate) fn holds(&self) -> bool {
        self.upshot != Upshot::Nothing
    }
}

/// The findings that count, in the order of event time, the one that opens the alarm first.
pub(crate) struct Judgement<'a> {
    counted: Vec<&'a Finding>,
    pub(crate) verdict: Verdict,
}

impl<'a> Judgement<'a> {
    fn of(findings: &'a [Finding]) -> Self {
        let mut ordered: Vec<&Finding> = findings.iter().collect();
        ordered.sort_by(|one, other| one.order().cmp(&other.order()));
        let is_raise = |finding: &&&Finding| finding.transition == Transition::Raise;
        let opener =
            ordered.iter().find(is_raise).or_else(|| ordered.iter().find(|finding| finding.opens())).copied();
        let mut judgement = Self { counted: Vec::new(), verdict: Verdict::default() };
        let Some(opener) = opener else { return judgement };
        if opener.doubt.is_some() {
            judgement.count(opener, Transition::Suppress);
            return judgement;
        }
        judgement.verdict.upshot = Upshot::Active;
        judgement.count(opener, opener.told_as());
        // What a rule found before that belongs to another time.
        for finding in ordered.into_iter().filter(|finding| finding.at >= opener.at) {
            judgement.weigh(finding);
        }
        judgement
    }

    fn count(&mut self, finding: &'a Finding, told_as: Transition) {
        let verdict = &mut self.verdict;
        verdict.upshot = Upshot::of(told_as).unwrap_or(verdict.upshot);
        verdict.last = Some((told_as, finding.at));
        verdict.taken.insert(told_as);
        self.counted.push(finding);
    }

    fn weigh(&mut self, finding: &'a Finding) {
        let (told_as, verdict) = (finding.told_as(), &self.verdict);
        let counts = match told_as {
            _ if verdict.taken.contains(&told_as) => false,
            Transition::Comment => true,
            // A faulty device gives nothing to build on, and never an all-clear.
            _ if finding.doubt.is_some() => false,
            Transition::Confirm => true,
            Transition::Escalate => verdict.upshot != Upshot::Rejected,
            Transition::Return | Transition::Clear | Transition::Reject => verdict.upshot == Upshot::Active,
            _ => false,
        };
        if counts {
            self.count(finding, told_as);
        }
    }

    /// Whether the finding of `transition` for `named` is the last that counts.
    pub(crate) fn ends_with(&self, transition: Transition, named: &AlarmId) -> bool {
        self.counted.last().is_some_and(|last| last.transition == transition && last.named == *named)
    }

    /// When the alarm began, and what it says. `None` where nothing holds.
    pub(crate) fn content(&self) -> Option<(EventTime, Content)> {
        let (opener, others) = self.counted.split_first()?;
        let mut content = opener.content.clone();
        if opener.transition == Transition::Confirm && opener.link.is_none() {
            content.confirm_level = content.confirm_level.max(ConfirmLevel::Dual);
        }
        for finding in others.iter().filter(|finding| finding.link.is_none()) {
            content.join(finding.transition, &finding.content);
        }
        if let Some(unfit) = opener.doubt {
            let device = &opener.content.device;
            content
                .measured
                .insert("suppressed_by".to_owned(), json!({ "device": device, "state": unfit.name() }));
        }
        Some((opener.at, content))
    }

    /// The alarm that started earlier and that this one is joined to.
    pub(crate) fn link(&self) -> Option<&AlarmId> {
        self.counted.iter().find_map(|finding| finding.link.as_ref())
    }

    /// Whether a second source has confirmed this very alarm.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.verdict.taken.contains(&Transition::Confirm)
    }
}

/// The findings of one alarm.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// What follows from them.
    pub(crate) fn judge(&self) -> Judgement<'_> {
        Judgement::of(&self.0)
    }

    /// Takes `finding` in, in the place of what the rule gave before, or of what a log told of it.
    pub(crate) fn put(&mut self, finding: Finding) {
        self.0.retain(|other| {
            other.transition != finding.transition || (other.named != finding.named && !other.is_from_log)
        });
        self.0.push(finding);
    }

    /// Takes back what the rule found of `transition` for `named`.
    pub(crate) fn take_back(&mut self, transition: Transition, named: &AlarmId) {
        let before = self.0.len();
        self.0.retain(|finding| finding.transition != transition || finding.named != *named);
        if self.0.len() == before {
            // A log names the alarm that took it in.
            self.0.retain(|finding| finding.transition != transition || !finding.is_from_log);
        }
    }

    /// Removes what was found for `named`.
    pub(crate) fn remove_named(&mut self, named: &AlarmId) -> Vec<Finding> {
        let (theirs, own) =
            std::mem::take(&mut self.0).into_iter().partition(|finding| finding.named == *named);
        self.0 = own;
        theirs
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// All of them, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Finding> {
        self.0.iter_mut()
    }

    /// The devices they speak of.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|finding| finding.content.device.as_deref())
    }
}
