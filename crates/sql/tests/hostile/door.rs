//! A session as people get one.

use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use hexwatch_sql::{Guard, QueryError, analyst_session};
use tokio::runtime::Runtime;

pub struct Door {
    pub runtime: Runtime,
    pub session: SessionContext,
}

impl Door {
    pub fn open() -> Self {
        let session = analyst_session(64 << 20).unwrap();
        hexwatch_sql::catalog::register_missing(&session).unwrap();
        Self { runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(), session }
    }

    pub fn plan(&self, sql: &str) -> Result<LogicalPlan, QueryError> {
        self.runtime.block_on(Guard::default().plan(&self.session, sql))
    }
}
