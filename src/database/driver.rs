//! Which client serves a connection.

use datafusion::error::Result as EngineResult;
use datafusion::execution::SendableRecordBatchStream;

use super::column::Column;
use super::connection::{Connection, Database};
use super::error::Failed;
use super::name::TableName;
use super::write::Write;
use crate::error::Result;

impl Connection {
    /// None if there is no such table.
    pub(super) async fn columns(&self, table: &TableName) -> Result<Option<Vec<Column>>> {
        let columns = match self.database() {
            #[cfg(feature = "postgres")]
            Database::Postgres(server) => super::postgres::columns(server, table).await,
            #[cfg(feature = "mysql")]
            Database::MySql(server) => super::mysql::columns(server, table).await,
            #[cfg(feature = "sqlite")]
            Database::Sqlite(path) => super::sqlite::columns(path, table).await,
            #[cfg(not(all(feature = "postgres", feature = "mysql", feature = "sqlite")))]
            _ => Err(self.left_out()),
        };
        columns.map_err(|error| error.context(self.about("read", table)))
    }

    /// The rows of a table, with no columns but these, and no more of them than the limit.
    pub(super) async fn read(
        &self,
        table: &TableName,
        columns: Vec<Column>,
        limit: Option<usize>,
    ) -> EngineResult<SendableRecordBatchStream> {
        match self.database() {
            #[cfg(feature = "postgres")]
            Database::Postgres(server) => {
                super::postgres::read(server, table, columns, limit).await
            }
            #[cfg(feature = "mysql")]
            Database::MySql(server) => super::mysql::read(server, table, columns, limit).await,
            #[cfg(feature = "sqlite")]
            Database::Sqlite(path) => super::sqlite::read(path, table, columns, limit).await,
            #[cfg(not(all(feature = "postgres", feature = "mysql", feature = "sqlite")))]
            _ => Err(self.left_out().into()),
        }
    }

    /// Writes all rows in one transaction, or none.
    pub(super) async fn write(
        &self,
        write: Write,
        rows: SendableRecordBatchStream,
    ) -> EngineResult<u64> {
        let about = self.about("write", &write.table);
        let written = match self.database() {
            #[cfg(feature = "postgres")]
            Database::Postgres(server) => super::postgres::write(server, write, rows).await,
            #[cfg(feature = "mysql")]
            Database::MySql(server) => super::mysql::write(server, write, rows).await,
            #[cfg(feature = "sqlite")]
            Database::Sqlite(path) => super::sqlite::write(path, write, rows).await,
            #[cfg(not(all(feature = "postgres", feature = "mysql", feature = "sqlite")))]
            _ => Err(self.left_out().into()),
        };
        written.map_err(|error| match error {
            Failed::Database(error) => error.context(about).into(),
            Failed::Rows(error) => error,
        })
    }

    fn about(&self, verb: &str, table: &TableName) -> String {
        format!("cannot {verb} table '{table}' of {self}")
    }
}
