//! What people do with alarms, and why they may not.

use hexwatch_contract::alarm::{AlarmId, State, Transition};
use hexwatch_contract::{Classified, EventTime, Fault};

use crate::standing::Standing;

/// Something a person does with one alarm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Take it: from here on the alarm says who has it.
    Ack,
    /// Give it back to everybody.
    Unack,
    /// Say something about it.
    Comment {
        /// What is said.
        text: String,
    },
    /// Put it aside.
    Shelve {
        /// Until when; it comes back by itself.
        until: EventTime,
        /// Why.
        reason: String,
    },
    /// Bring it back before its time.
    Unshelve,
    /// Say that it is true: somebody has seen it.
    Confirm {
        /// What was seen.
        note: Option<String>,
    },
    /// Say that it is false; this ends it.
    Reject {
        /// Why.
        note: Option<String>,
    },
    /// Give it to somebody.
    Assign {
        /// Who it is given to, as a pseudonym or a role.
        to: String,
    },
}

impl Action {
    /// The change this action makes.
    #[must_use]
    pub const fn transition(&self) -> Transition {
        match self {
            Self::Ack => Transition::Ack,
            Self::Unack => Transition::Unack,
            Self::Comment { .. } => Transition::Comment,
            Self::Shelve { .. } => Transition::Shelve,
            Self::Unshelve => Transition::Unshelve,
            Self::Confirm { .. } => Transition::Confirm,
            Self::Reject { .. } => Transition::Reject,
            Self::Assign { .. } => Transition::Assign,
        }
    }

    /// Whether the state machine has the arrow that this action asks for, from where alarm `id` stands at `now`.
    pub(crate) fn permit(
        &self,
        id: &AlarmId,
        standing: &Standing,
        now: EventTime,
    ) -> Result<(), ActionError> {
        self.permit_words(id, standing, now)?;
        let state = standing.state();
        let is_open = matches!(state, State::Unack | State::Acked | State::RtnUnack);
        let possible = match self {
            Self::Ack => matches!(state, State::Unack | State::RtnUnack),
            Self::Unack => state == State::Acked,
            Self::Unshelve => state == State::Shelved,
            Self::Shelve { .. } | Self::Confirm { .. } | Self::Reject { .. } => is_open,
            Self::Comment { .. } | Self::Assign { .. } => true,
        };
        if possible {
            return Ok(());
        }
        Err(ActionError::NotPossible { id: id.clone(), state, transition: self.transition() })
    }

    /// Whether the action says what it has to say, and nobody was faster.
    fn permit_words(&self, id: &AlarmId, standing: &Standing, now: EventTime) -> Result<(), ActionError> {
        let missing =
            |what| Err(ActionError::Missing { id: id.clone(), transition: self.transition(), what });
        match self {
            Self::Ack => match &standing.acked_by {
                Some(by) if standing.active => {
                    Err(ActionError::AlreadyAcked { id: id.clone(), by: by.clone() })
                }
                _ => Ok(()),
            },
            Self::Comment { text } if text.trim().is_empty() => missing("a text"),
            Self::Assign { to } if to.trim().is_empty() => missing("a name"),
            Self::Shelve { reason, .. } if reason.trim().is_empty() => missing("a reason"),
            Self::Shelve { until, .. } if *until <= now => {
                Err(ActionError::ShelvedUntilThePast { id: id.clone(), until: *until, now })
            }
            _ => Ok(()),
        }
    }
}

/// Why an action was refused. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ActionError {
    /// No such alarm, or one that ended long ago.
    #[error("there is no alarm {id}; look it up in the list of alarms")]
    Unknown {
        /// What was asked for.
        id: AlarmId,
    },
    /// Somebody was faster.
    #[error("alarm {id} is already with {by}; talk to them, or take it back with `unack`")]
    AlreadyAcked {
        /// The alarm.
        id: AlarmId,
        /// Who has it.
        by: String,
    },
    /// The state machine has no such arrow.
    #[error("alarm {id} is {state:?}, and {transition:?} is not possible there; reload it and look again")]
    NotPossible {
        /// The alarm.
        id: AlarmId,
        /// Where it stands.
        state: State,
        /// What was asked for.
        transition: Transition,
    },
    /// A shelved alarm must come back.
    #[error("alarm {id} cannot be shelved until {until}, which is not after {now}; name a later time")]
    ShelvedUntilThePast {
        /// The alarm.
        id: AlarmId,
        /// The time that was named.
        until: EventTime,
        /// The present.
        now: EventTime,
    },
    /// A comment, a reason or a name is needed and was empty.
    #[error("{transition:?} of alarm {id} needs {what}; send it and try again")]
    Missing {
        /// The alarm.
        id: AlarmId,
        /// What was asked for.
        transition: Transition,
        /// What was empty.
        what: &'static str,
    },
}

impl Classified for ActionError {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}
