//! One statement, from its planning to its end.

use std::sync::Arc;

tokio::task_local! {
    static CURRENT: Statement;
}

/// Plans and runs one statement: what its planning finds of the newest versions of tables is what
/// it runs on.
///
/// A `DataFrame` can be kept, and runs on the newest version of its tables each time that it does.
/// So a table is looked at twice, when a statement is planned and when it runs, and on an object
/// store that takes a request. Whoever does both at once can leave the second out:
///
/// ```
/// # use datafusion::prelude::SessionContext;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ctx = SessionContext::new();
/// # atio::register(&ctx)?;
/// let rows = atio::one_statement(async { ctx.sql("SELECT 1").await?.collect().await }).await?;
/// # assert_eq!(rows[0].num_rows(), 1);
/// # Ok(())
/// # }
/// ```
///
/// Views and prepared statements inside are looked at as always, and so is a table to which this
/// process has written since.
pub async fn one_statement<T>(run: impl Future<Output = T>) -> T {
    Statement(Arc::default()).scope(run).await
}

/// Stands for a statement of [`one_statement`].
#[derive(Debug, Clone)]
pub(crate) struct Statement(Arc<()>);

impl Statement {
    /// The one that this task is at.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// True if this task is at it.
    pub(super) fn is_current(&self) -> bool {
        Self::current().is_some_and(|current| Arc::ptr_eq(&current.0, &self.0))
    }

    /// Runs a part of it, perhaps in another task.
    pub(crate) async fn scope<T>(self, run: impl Future<Output = T>) -> T {
        CURRENT.scope(self, run).await
    }
}
