//! What must hold of a version before it is committed.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use futures::future::{self, BoxFuture, Either};
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};
use crate::format::Manifest;
use crate::log::read::snapshot::Snapshot;

/// A condition under which a statement commits, as [`CommitOptions`](super::options::CommitOptions)
/// carry it: a name, and what only the query engine can ask.
///
/// The crate `atio` makes them, by `atio::check` and `atio::sql_check`.
#[derive(Clone)]
pub struct Check {
    name: String,
    /// What a person wrote, if it is a query.
    sql: Option<String>,
    condition: Arc<dyn Any + Send + Sync>,
}

impl Check {
    /// A check called `name`; whoever commits knows the type of `condition`.
    #[doc(hidden)]
    pub fn new(name: impl Into<String>, condition: Arc<dyn Any + Send + Sync>) -> Self {
        Self {
            name: name.into(),
            sql: None,
            condition,
        }
    }

    /// The same check, which asks this query.
    #[doc(hidden)]
    #[must_use]
    pub fn with_sql(mut self, sql: impl Into<String>) -> Self {
        self.sql = Some(sql.into());
        self
    }

    /// The query; None for a function.
    #[doc(hidden)]
    pub fn sql(&self) -> Option<&str> {
        self.sql.as_deref()
    }

    /// What errors call it.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// // `atio::check` and `atio::sql_check` make the condition, too.
    /// let check = atio_core::log::Check::new("prices", Arc::new(()));
    /// assert_eq!(check.name(), "prices");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    #[doc(hidden)]
    pub fn condition(&self) -> &Arc<dyn Any + Send + Sync> {
        &self.condition
    }
}

/// Equal if they have the same name and are copies of one check.
impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.condition, &other.condition)
    }
}

impl Eq for Check {}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({:?})", self.name)
    }
}

/// A version that is about to be committed, and the one below it. Nobody else sees it.
pub struct Candidate {
    /// The version that it is planned on.
    pub old: Arc<Snapshot>,
    /// The version as its record will name it, unless another comes first.
    pub new: Arc<Snapshot>,
    /// The data files that come, where there are any.
    pub adds: Option<Manifest>,
    /// True if all data files of `old` go.
    pub removes_all: bool,
}

/// Ends when who began a commit, which runs to its end, stops waiting for it.
pub(in crate::log) type Waits = oneshot::Receiver<()>;

type Ask = dyn Fn(Candidate) -> BoxFuture<'static, Result<()>> + Send + Sync;

/// Is asked of each attempt to make a version, once all that it names is staged and before its
/// record is created: an error ends the statement, and nothing is committed.
#[derive(Clone)]
pub struct Gate(Arc<Ask>);

impl Gate {
    /// A gate that lets pass what `ask` finds right.
    pub fn new(
        ask: impl Fn(Candidate) -> BoxFuture<'static, Result<()>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }

    /// Its answer; an error once the other end of `waits` is gone, for then nobody waits for it, and
    /// it may take for ever.
    pub(in crate::log) async fn ask(&self, candidate: Candidate, waits: &mut Waits) -> Result<()> {
        match future::select(waits, (self.0)(candidate)).await {
            Either::Left(_) => Err(Error::new(
                ErrorKind::CheckFailed,
                "nobody waits for the answer of the checks any more: nothing was committed",
            )),
            Either::Right((answer, _)) => answer,
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}
