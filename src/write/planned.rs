//! What a statement was planned with: kept where it may be run again, or is checked.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::LogicalPlan;

use crate::settings::CommitSettings;

/// The session that a statement was planned in, and the statement.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(super) session: SessionState,
    /// Where the data files of the table are.
    pub(super) store_url: ObjectStoreUrl,
    /// As it was before its tables were held to a version. None where atio has not seen it whole.
    pub(super) statement: Option<Arc<LogicalPlan>>,
}

impl Planned {
    /// None unless what is set for the next commit needs it.
    pub(crate) fn of(
        session: &dyn Session,
        store_url: &ObjectStoreUrl,
        statement: Option<&Arc<LogicalPlan>>,
    ) -> Option<Self> {
        let session = session.as_any().downcast_ref::<SessionState>()?;
        CommitSettings::needs_session(session.config_options()).then(|| Self {
            session: session.clone(),
            store_url: store_url.clone(),
            statement: statement.cloned(),
        })
    }

    /// That of a stream, each commit of which is checked in this session. It has no statement.
    pub(crate) fn of_stream(session: SessionState, store_url: &ObjectStoreUrl) -> Self {
        Self {
            session,
            store_url: store_url.clone(),
            statement: None,
        }
    }
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planned")
    }
}
