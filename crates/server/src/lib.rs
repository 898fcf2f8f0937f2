//! The doors of hexwatch: HTTP, the live socket, SQL over HTTP, metrics, and the console that they feed.
//!
//! The pipeline tells [`Live`] and [`Metrics`] what happened, and stands behind the traits [`AlarmSource`],
//! [`Actions`], [`QueryDoor`] and [`Geometry`]; this crate knows no other stage. [`serve`] is the entry.
//!
//! Nothing here waits for a client: cells are kept once and each client takes what is newer than what it has,
//! alarms are kept in a ring (and behind it in the alarm log) and each client reads them at its own pace. A client
//! that takes nothing of what waits for it is cut within five seconds, and resumes by `seq`.

mod access;
mod api;
mod console;
mod doors;
mod headers;
mod listen;
mod live;
mod metrics;
mod problem;
mod serving;
mod socket;

pub use access::{Accounts, Login, Permission, Person, Role};
pub use api::alarms::{Action, ActionError, Actions, Actor};
pub use api::map::{Geometry, MapDevice, SiteMap, SiteSummary};
pub use api::sql::{Answer, CatalogColumn, CatalogTable, QueryDoor, QueryError, SavedQuery};
pub use api::system::{DeadLetterCount, QueryStatus, SystemFacts};
pub use listen::{ListenError, check_listen};
pub use live::{AlarmSource, Live, SourceError};
pub use metrics::Metrics;
pub use serving::{About, AppState, Limits, serve};
