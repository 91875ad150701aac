//! Opening a table for a stream.

use datafusion::prelude::SessionContext;

use super::named::named;
use super::policy::Access;
use crate::error::Result;
use crate::write::{Planned, StreamOptions, StreamWriter};

/// How messages call it.
const ASKER: &str = "StreamWriter";

impl StreamWriter {
    /// Opens `table` for rows that arrive one batch after another: a name that is registered in
    /// the session, a path or a URL, as `atio_table` takes it.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # use atio::{AtioTable, CreateOptions, StreamOptions, StreamWriter};
    /// # use arrow::array::{Int64Array, RecordBatch};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sensors = directory.path().join("sensors");
    /// # let location = sensors.to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # let values = std::sync::Arc::new(Int64Array::from(vec![1]));
    /// # let batch = RecordBatch::try_from_iter([("value", values as _)])?;
    /// # AtioTable::create(&ctx, location, &batch.schema(), CreateOptions::default()).await?;
    /// # let options = StreamOptions { source: Some("sensor-7".into()), ..StreamOptions::default() };
    /// let writer = StreamWriter::open(&ctx, location, options).await?;
    /// assert_eq!(writer.position(), None);
    /// writer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
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
        let planned = match options.checks.is_empty() {
            true => None,
            false => Some(Planned::of_stream(ctx.state(), table.store_url())),
        };
        Self::of_table(table.table(), options, ctx.task_ctx(), planned).await
    }
}
