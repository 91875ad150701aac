//! Telling a host how far the writes of a session are.

use std::sync::Arc;

use atio_core::progress::{Listener, Progress};
use datafusion::prelude::SessionContext;

/// Calls `report` as every write of the session's later statements goes on: inserts into
/// tables and databases, `COPY`, what [`write`](crate::write()) and `atio::write_database` do,
/// compactions and expiries. One listener a session; another call replaces it.
///
/// It is called on the threads that write, once a batch or so, and should return at once.
/// Several writes at a time are told apart by their [`target`](Progress::target). Every write
/// that begins ends with [`Step::End`](crate::Step::End), also one that fails or is dropped.
///
/// ```
/// # fn example(ctx: &datafusion::prelude::SessionContext) {
/// atio::on_progress(ctx, |progress| {
///     if let Some(total) = progress.total {
///         println!("{}: {} of {total} rows", progress.target, progress.done);
///     }
/// });
/// # }
/// ```
pub fn on_progress(ctx: &SessionContext, report: impl Fn(&Progress<'_>) + Send + Sync + 'static) {
    let listener = Arc::new(Listener::new(report));
    let state = ctx.state_ref();
    state.write().config_mut().set_extension(listener);
}
