//! Which tables there are, and by what their rows are kept from being written twice.

use std::sync::Arc;

use hexwatch_contract::Topic;

/// The table that follows the alarm log.
pub(crate) const ALARM_CHANGES: &str = "alarm_changes";
/// The table whose only row is the checkpoint.
pub(crate) const COMMITS: &str = "commits";
/// The raw rows behind the SQL table `risk_cells`.
pub(crate) const RISK_CELLS: &str = "risk_cells";
/// What the folder of a view's table begins with.
pub(crate) const VIEW_PREFIX: &str = "view_";

/// A table that a commit adds rows to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TableName {
    /// A topic's accepted rows.
    Events(Topic),
    /// Refused records.
    DeadLetters,
    /// Rows too late to correct anything.
    LateEvents,
    /// Records that could not be read any more.
    Gaps,
    /// Scores, corrections included.
    RiskCells,
    /// A view's result rows, corrections included.
    View {
        /// The view's name; its table is `view_<name>`.
        name: Arc<str>,
        /// The columns that identify a result row.
        key: Arc<[String]>,
    },
}

impl TableName {
    /// The table of view `name`, whose result rows are identified by the columns `key`.
    #[must_use]
    pub fn view(name: &str, key: &[String]) -> Self {
        Self::View { name: name.into(), key: key.into() }
    }

    /// The name of the folder, and of the raw rows in SQL.
    #[must_use]
    pub fn table(&self) -> String {
        match self {
            Self::Events(topic) => topic.table().to_owned(),
            Self::DeadLetters => "dead_letters".to_owned(),
            Self::LateEvents => "late_events".to_owned(),
            Self::Gaps => "gaps".to_owned(),
            Self::RiskCells => RISK_CELLS.to_owned(),
            Self::View { name, .. } => format!("{VIEW_PREFIX}{name}"),
        }
    }

    /// The columns that identify a row among its corrections, for a view.
    pub(crate) fn key(&self) -> Option<&[String]> {
        match self {
            Self::View { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// How a table is kept from saying a row twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rows {
    /// A row stands for a record: those below the table's next offset are skipped.
    Positional,
    /// Rows follow from others: those of an unfinished commit are taken back.
    Derived,
    /// A copy of the alarm log, which knows by itself what is missing.
    AlarmChanges,
    /// The site's reference data, replaced as a whole.
    Reference,
    /// The checkpoint.
    Commits,
}

impl Rows {
    /// How the table in folder `table` is kept.
    pub(crate) fn of(table: &str) -> Self {
        match table {
            ALARM_CHANGES => Self::AlarmChanges,
            COMMITS => Self::Commits,
            "dead_letters" | "late_events" => Self::Positional,
            "devices" | "zones" | "grids" | "grid_cells" | "checkpoints" => Self::Reference,
            _ if Topic::from_table(table).is_some() => Self::Positional,
            _ => Self::Derived,
        }
    }
}
