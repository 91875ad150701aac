//! Writes that several processes prepare and one commits.

use atio_core::format::ticket::Ticket;
use atio_core::log::{CommitOptions, Committed};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::prelude::SessionContext;

use super::policy::{Access, AtioPolicy};
use crate::error::{Error, Result};
use crate::table::AtioTable;
use crate::write::{Checks, prepare_part};

impl AtioTable {
    /// Begins a write that several processes prepare and one commits, as one version: for engines
    /// whose tasks run elsewhere, and may run twice. Writes nothing.
    ///
    /// The [`Ticket`] goes to the tasks as [bytes](Ticket::to_bytes). Each task
    /// [prepares](Self::prepare) its rows, and gives bytes; one process
    /// [commits](Self::commit) those of all tasks. A ticket makes one version at most. If it is
    /// never committed, expiry removes what was prepared, as it does after any writer that died:
    /// once that is older than `orphan_age`.
    ///
    /// `op` is [`Append`](InsertOp::Append), or [`Overwrite`](InsertOp::Overwrite), which
    /// replaces all rows and fails with [`Conflict`](crate::ErrorKind::Conflict) if the rows of the table
    /// change between here and the commit.
    ///
    /// ```
    /// use atio::{AtioTable, CommitOptions, Ticket};
    /// use datafusion::logical_expr::dml::InsertOp;
    /// use datafusion::prelude::SessionContext;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let location = format!("{}/sales", directory.path().display());
    /// let ctx = SessionContext::new();
    /// atio::register(&ctx)?;
    /// ctx.sql(&format!("CREATE EXTERNAL TABLE sales (item TEXT) STORED AS ATIO LOCATION '{location}'")).await?;
    ///
    /// let table = AtioTable::open(&ctx, &location).await?;
    /// let ticket = table.begin(&ctx, InsertOp::Append).await?.to_bytes()?;
    ///
    /// // In each task, which has the bytes of the ticket:
    /// let mut parts = Vec::new();
    /// for item in ["tea", "cake"] {
    ///     let table = AtioTable::open(&ctx, &location).await?;
    ///     let rows = ctx.sql(&format!("SELECT '{item}' AS item")).await?.execute_stream().await?;
    ///     parts.push(table.prepare(&ctx, &Ticket::from_bytes(&ticket)?, rows).await?);
    /// }
    ///
    /// // Where the parts come together:
    /// let options = CommitOptions {
    ///     idempotency_key: Some("job-17".into()),
    ///     ..CommitOptions::default()
    /// };
    /// let committed = table.commit(&ctx, &Ticket::from_bytes(&ticket)?, &parts, options).await?;
    /// assert_eq!(committed.version().get(), 1);
    /// assert_eq!(ctx.sql("SELECT * FROM sales").await?.count().await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the handle reads one version for ever,
    /// or the table is one of Python's that atio has not written to yet;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for [`Replace`](InsertOp::Replace);
    /// [`NotAllowed`](crate::ErrorKind::NotAllowed) if the session's policy forbids writing.
    pub async fn begin(&self, ctx: &SessionContext, op: InsertOp) -> Result<Ticket> {
        self.check_two_phase(ctx)?;
        let overwrite = match op {
            InsertOp::Append => false,
            InsertOp::Overwrite => true,
            InsertOp::Replace => {
                return Err(Error::unsupported(format!(
                    "a write to '{}' cannot replace rows by key: begin one that appends or overwrites",
                    self.table().name()
                )));
            }
        };
        self.table().begin_ticket(overwrite).await
    }

    /// Writes `rows` for a [ticket](Self::begin), and gives the bytes with which they are
    /// [committed](Self::commit). Nobody sees the rows before.
    ///
    /// They must have the columns of the table, by name and in their order; types that Arrow has
    /// several of, such as strings, are cast. A task that is run again gives other bytes: commit
    /// those of one of its runs. It uses the session's memory pool and Parquet settings, and one
    /// thread to encode.
    ///
    /// ```
    /// # use datafusion::logical_expr::dml::InsertOp;
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let location = format!("{}/sales", directory.path().display());
    /// # let ctx = SessionContext::new();
    /// # let columns = ctx.sql("SELECT 'tea' AS item").await?.schema().as_arrow().clone();
    /// # let table = atio::AtioTable::create(&ctx, &location, &columns, Default::default()).await?;
    /// let ticket = table.begin(&ctx, InsertOp::Append).await?;
    /// let rows = ctx.sql("SELECT 'tea' AS item").await?.execute_stream().await?;
    /// let part = table.prepare(&ctx, &ticket, rows).await?;
    /// assert!(!part.is_empty());
    /// assert_eq!(table.current_version().await?.get(), 0, "nobody sees it yet");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever `rows` fails with, and then nothing is left of this part;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the rows do not fit the table, or the
    /// ticket is of another one; [`Conflict`](crate::ErrorKind::Conflict) if the table's schema
    /// was changed since; [`NotAllowed`](crate::ErrorKind::NotAllowed) if the session's policy
    /// forbids writing.
    pub async fn prepare(
        &self,
        ctx: &SessionContext,
        ticket: &Ticket,
        rows: SendableRecordBatchStream,
    ) -> Result<Vec<u8>> {
        self.check_two_phase(ctx)?;
        prepare_part(self.table(), ticket, rows, &ctx.task_ctx()).await
    }

    /// Commits the parts that were [prepared](Self::prepare) for a [ticket](Self::begin) as one
    /// version, also where no part has a row.
    ///
    /// What the bytes say is compared with the files themselves: their sizes, rows and columns. An
    /// append goes on over what others committed meanwhile. Committing the same parts again
    /// gives the same version, as [`Committed::Before`]; so does a ticket whose `idempotency_key`
    /// another version has.
    ///
    /// ```
    /// # use datafusion::logical_expr::dml::InsertOp;
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let location = format!("{}/sales", directory.path().display());
    /// # let ctx = SessionContext::new();
    /// # let columns = ctx.sql("SELECT 'tea' AS item").await?.schema().as_arrow().clone();
    /// # let table = atio::AtioTable::create(&ctx, &location, &columns, Default::default()).await?;
    /// use atio::{CommitOptions, Committed};
    ///
    /// let ticket = table.begin(&ctx, InsertOp::Append).await?;
    /// let rows = ctx.sql("SELECT 'tea' AS item").await?.execute_stream().await?;
    /// let parts = [table.prepare(&ctx, &ticket, rows).await?];
    /// let first = table.commit(&ctx, &ticket, &parts, CommitOptions::default()).await?;
    /// let again = table.commit(&ctx, &ticket, &parts, CommitOptions::default()).await?;
    /// assert_eq!(again, Committed::Before(first.version()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a part is of another ticket, was cut or changed, or is given
    /// twice, if a file is not what its part says, or if the ticket was committed with other
    /// parts; [`Revoked`](crate::ErrorKind::Revoked) if an expiry has removed a part, or was
    /// about to: begin a new ticket then; [`CheckFailed`](crate::ErrorKind::CheckFailed) if a check of
    /// the options does not hold; [`Conflict`](crate::ErrorKind::Conflict) if other
    /// versions stand against it; [`CommitUnknown`](crate::ErrorKind::CommitUnknown) and
    /// [`CommitNotDurable`](crate::ErrorKind::CommitNotDurable) as every commit: commit the same
    /// parts again, which tells. After all of these errors the parts stay where they are, because
    /// another process may be committing them; expiry removes what no version has.
    pub async fn commit(
        &self,
        ctx: &SessionContext,
        ticket: &Ticket,
        parts: &[impl AsRef<[u8]>],
        options: CommitOptions,
    ) -> Result<Committed> {
        self.check_two_phase(ctx)?;
        options.check()?;
        options.check_no_query("the commit of a ticket")?;
        let table = self.table();
        let checks = (!options.checks.is_empty())
            .then(|| Checks::new(table, self.store_url(), &ctx.state(), &options));
        let gate = async move {
            let Some(checks) = checks else {
                return Ok(None);
            };
            checks.prepare(&*table.newest().await?).await?;
            Ok(Some(checks.gate(None)))
        };
        table.commit_ticket(ticket, parts, options, gate).await
    }

    fn check_two_phase(&self, ctx: &SessionContext) -> Result<()> {
        AtioPolicy::of(&ctx.state()).check_access(Access::Write)?;
        self.check_writable()
    }
}
