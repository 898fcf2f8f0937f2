//! The one DataFusion session: its set-up, the H3 and geo functions, query files, the guard in front of what
//! people write, the tables of the catalog, and the encodings of results.

pub mod catalog;
pub mod encode;
pub mod functions;
pub mod guard;
mod near;
pub mod query;
pub mod session;

pub use encode::{Encoder, Format};
pub use guard::{Answer, Guard, Limits, QueryError, QueryProblem};
pub use near::join_by_cells;
pub use query::{Emit, Kind, Output, Param, ParamValue, QueryFile, QueryFileError, QuerySet, RuleHeader};
pub use session::{analyst_session, batch_session};
