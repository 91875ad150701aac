//! Describing the commit of one statement from Rust.

use atio_core::log::CommitOptions;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;

use crate::settings::CommitSettings;

/// A session with the tables and settings of `ctx` whose next commit carries `options`.
///
/// It is for one statement: the first that writes to an atio table uses the options up, however
/// it ends; one that cannot be planned uses nothing up. Nothing that others do with `ctx` at
/// the same time can take them, and they take nothing that was `SET` in `ctx`. Only a `CREATE TABLE .. AS` that [`SessionContext::sql`]
/// runs goes by the `SET` of the session that the catalog was opened in; [`atio::sql`](crate::sql()) carries them.
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
/// ctx.sql(&format!("CREATE EXTERNAL TABLE sales (item TEXT) STORED AS ATIO LOCATION '{location}/sales'")).await?;
///
/// let mut options = atio::CommitOptions::default();
/// options.message = Some("receipts of May".into());
/// options.properties.insert("trainedBy".into(), "run-17".into());
/// options.idempotency_key = Some("load-2026-05".into());
/// for _ in 0..2 {
///     let once = atio::with_commit(&ctx, options.clone())?;
///     once.sql("INSERT INTO sales VALUES ('tea')").await?.collect().await?;
/// }
/// assert_eq!(ctx.sql("SELECT * FROM sales").await?.count().await?, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the options cannot be stored.
pub fn with_commit(ctx: &SessionContext, options: CommitOptions) -> Result<SessionContext> {
    let settings = CommitSettings::new(options)?;
    let mut state = ctx.state();
    settings.install(state.config_mut());
    Ok(SessionContext::new_with_state(state))
}
