//! Whether a statement would have selected rows that others added: for files whose statistics do not tell.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::error::Result;
use crate::format::Manifest;

type Ask = dyn Fn(Vec<Manifest>) -> BoxFuture<'static, Result<bool>> + Send + Sync;

/// Is asked whether a statement would have selected a row of some data files, which a version brought
/// that came before its own. Only the query engine can tell, and it reads the files for that.
///
/// "Yes" is always right: then the statement fails. "No" must be certain. Whoever cannot tell gives an
/// error, which counts as "yes" and goes to the log alone.
#[derive(Clone)]
pub struct DoesSelect(Arc<Ask>);

impl DoesSelect {
    /// The answer is that of `ask`, which gets manifests of the files in question alone, each with
    /// some.
    pub fn new(
        ask: impl Fn(Vec<Manifest>) -> BoxFuture<'static, Result<bool>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }

    /// Whether one of the rows of these files would have been selected.
    #[doc(hidden)]
    pub async fn ask(&self, files: Vec<Manifest>) -> Result<bool> {
        (self.0)(files).await
    }
}

impl fmt::Debug for DoesSelect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoesSelect")
    }
}
