//! The sink: one statement's rows become one transaction of a database.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::sink::DataSink;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};

use super::connection::Write;
use super::registry::Place;
use super::write::IfExists;

/// Writes a stream of rows into a table of a database.
#[derive(Debug)]
pub(super) struct DatabaseSink {
    pub(super) place: Arc<Place>,
    pub(super) schema: SchemaRef,
    pub(super) if_exists: IfExists,
    /// Whether a table that is missing is made.
    pub(super) create: bool,
}

#[async_trait]
impl DataSink for DatabaseSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(
        &self,
        data: SendableRecordBatchStream,
        _: &Arc<TaskContext>,
    ) -> Result<u64> {
        let write = Write {
            table: self.place.table.clone(),
            schema: Arc::clone(&self.schema),
            if_exists: self.if_exists,
            create: self.create,
        };
        self.place.connection.write(write, data).await
    }
}

impl DisplayAs for DatabaseSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let operation = match self.if_exists {
            IfExists::Fail => "create",
            IfExists::Append => "append",
            IfExists::Replace => "replace",
        };
        write!(
            f,
            "DatabaseSink(connection={}, table={}, operation={operation})",
            self.place.name, self.place.table
        )
    }
}
