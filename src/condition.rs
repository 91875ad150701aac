//! Conditions under which a statement commits: what atio keeps in a [`Check`].

use std::sync::Arc;

use atio_core::log::Check;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use futures::future::BoxFuture;

/// Asks a session in which the relations `new`, `old`, `added` and `removed` are.
pub(crate) type Ask = dyn Fn(SessionContext) -> BoxFuture<'static, Result<bool>> + Send + Sync;

/// What a check asks.
pub(crate) enum Condition {
    /// The query of the check, with one row and one column, which is true.
    Sql,
    /// A function of a program.
    Function(Box<Ask>),
}

impl Condition {
    /// What `check` asks; None if atio did not make it.
    pub(crate) fn of(check: &Check) -> Option<&Self> {
        check.condition().downcast_ref()
    }
}

/// A check that is a query: it must give one row with one column, which is true.
///
/// It finds four relations beside the tables of the session, with the columns of the table that the
/// statement writes to: `new` is the table as the statement would leave it, `old` as it found it,
/// `added` has the rows that come and `removed` those that go. An `UPDATE` removes a row and adds
/// another. In SQL the same is `SET atio.checks.<name> = '..'`.
///
/// ```
/// use datafusion::prelude::SessionContext;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let location = directory.path().display();
/// let ctx = SessionContext::new();
/// atio::register(&ctx)?;
/// ctx.sql(&format!("CREATE EXTERNAL TABLE sales (price DOUBLE) STORED AS ATIO LOCATION '{location}/sales'")).await?;
///
/// let mut options = atio::CommitOptions::default();
/// options.checks.push(atio::sql_check("prices", "SELECT count(*) = 0 FROM new WHERE price < 0"));
/// let checked = atio::with_commit(&ctx, options)?;
/// let refused = checked.sql("INSERT INTO sales VALUES (-1)").await?.collect().await.unwrap_err();
/// let error = atio::Error::find(&refused).unwrap();
/// assert_eq!(error.kind(), atio::ErrorKind::CheckFailed);
/// assert_eq!(ctx.sql("SELECT * FROM sales").await?.count().await?, 0);
/// # Ok(())
/// # }
/// ```
pub fn sql_check(name: impl Into<String>, sql: impl Into<String>) -> Check {
    Check::new(name, Arc::new(Condition::Sql)).with_sql(sql)
}

/// A check that a program makes: `holds` is given a session that has the relations of
/// [`sql_check`]. In it atio writes nothing, and no table is made or dropped; a table of the host, as
/// one in memory, is not guarded. If `holds` fails or panics, nothing is committed.
///
/// Other commits of this process to the table wait for it. So it must not wait for one itself, in
/// another session for instance. Who drops the statement ends it, too, and nothing is committed.
///
/// ```
/// use datafusion::prelude::{SessionContext, col, lit};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let location = directory.path().join("sales");
/// # let location = location.to_str().unwrap_or_default();
/// let ctx = SessionContext::new();
/// let few = atio::check("few rows go", |ctx: SessionContext| async move {
///     let removed = ctx.table("removed").await?.count().await?;
///     Ok(2 * removed <= ctx.table("old").await?.count().await?)
/// });
/// let options = atio::OverwriteOptions {
///     commit: atio::CommitOptions { checks: vec![few], ..Default::default() },
///     ..Default::default()
/// };
/// # let rows = ctx.sql("SELECT 2.5 AS price").await?;
/// # let table = atio::AtioTable::create(&ctx, location, rows.schema().as_arrow(), Default::default()).await?;
/// # table.append(rows, Default::default()).await?;
/// let dear = table.read(&ctx)?.filter(col("price").gt(lit(3.0)))?;
/// let refused = table.overwrite(dear, options).await.unwrap_err();
/// assert_eq!(refused.kind(), atio::ErrorKind::CheckFailed);
/// # Ok(())
/// # }
/// ```
pub fn check<H>(
    name: impl Into<String>,
    holds: impl Fn(SessionContext) -> H + Send + Sync + 'static,
) -> Check
where
    H: Future<Output = Result<bool>> + Send + 'static,
{
    let ask: Box<Ask> = Box::new(move |ctx| holds(ctx).boxed());
    Check::new(name, Arc::new(Condition::Function(ask)))
}
