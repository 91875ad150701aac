//! Rows of a query into a table of a database.

use std::sync::Arc;

use atio_core::progress::Listener;
use datafusion::error::Result;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::DataFrame;

use super::connection::Connection;
use super::name::TableName;
use super::report::Report;
use super::write::{IfExists, Write};
use crate::estimate::expected_rows;

/// Writes the rows of a query to a table of a database, all of them or none, and returns how
/// many they were.
///
/// `table` is `name` or `schema.name`, letter by letter as the database has it; a part with a
/// dot in it goes in double quotes. A table that does not exist is made, with columns that
/// take NULL. A value that the database would change, as a time finer than its column, is an
/// error; but PostgreSQL and MySQL drop blanks at the end of a text that are too many for a
/// `varchar(n)`, as the standard says. SQLite keeps what is written in memory until the commit if the database has no
/// write-ahead log.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("shop.db");
/// use atio::{Connection, IfExists};
///
/// # let ctx = datafusion::prelude::SessionContext::new();
/// let rows = ctx.sql("SELECT 'tea' AS item, 2.5 AS price").await?;
/// let shop = Connection::sqlite(file);
/// assert_eq!(atio::write_database(rows.clone(), &shop, "sales", IfExists::Fail).await?, 1);
/// assert_eq!(atio::write_database(rows, &shop, "sales", IfExists::Append).await?, 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
///
/// # Errors
///
/// [`TableExists`](crate::ErrorKind::TableExists) for [`IfExists::Fail`];
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the table has other columns or a type
/// has no counterpart; [`CommitUnknown`](crate::ErrorKind::CommitUnknown) if the database
/// did not answer the commit, and cannot tell afterwards. After every other error nothing of
/// the write is in the database.
pub async fn write_database(
    rows: DataFrame,
    connection: &Connection,
    table: &str,
    if_exists: IfExists,
) -> Result<u64> {
    let table = TableName::parse(table)?;
    let schema = rows.schema().inner().clone();
    let context = Arc::new(rows.task_ctx());
    let plan = rows.create_physical_plan().await?;
    let report = Report {
        listener: context.session_config().get_extension::<Listener>(),
        target: table.to_string(),
        rows: expected_rows(plan.as_ref()),
    };
    let rows = execute_stream(plan, context)?;
    let write = Write {
        table,
        schema,
        if_exists,
        create: true,
    };
    connection.write_and_tell(write, rows, report).await.0
}
