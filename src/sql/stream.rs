//! Opening a table for a stream.

use datafusion::prelude::SessionContext;

use super::named::named;
use super::policy::Access;
use crate::error::Result;
use crate::write::{StreamOptions, StreamWriter};

/// How messages call it.
const ASKER: &str = "StreamWriter";

impl StreamWriter {
    /// Opens `table` for rows that arrive one batch after another: a name that is registered in
    /// the session, a path or a URL, as `atio_table` takes it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is no table of this name, or an
    /// option cannot be used; [`TableNotFound`](crate::ErrorKind::TableNotFound) if there is none
    /// at this place; [`NotAllowed`](crate::ErrorKind::NotAllowed) if the session's policy forbids
    /// writing to it.
    pub async fn open(ctx: &SessionContext, table: &str, options: StreamOptions) -> Result<Self> {
        let table = named(ctx.state(), ASKER, Access::Write, table, true).await?;
        table.check_writable()?;
        Self::of_table(table.table(), options, ctx.task_ctx()).await
    }
}
