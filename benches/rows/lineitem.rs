//! TPC-H `lineitem`, in parts of which each has a range of orders.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::LineItemArrow;

/// How many parts there are.
pub(crate) const FILES: usize = 6;

/// The columns, with their types in SQL.
pub(crate) const COLUMNS: [(&str, &str); 16] = [
    ("l_orderkey", "BIGINT"),
    ("l_partkey", "BIGINT"),
    ("l_suppkey", "BIGINT"),
    ("l_linenumber", "INT"),
    ("l_quantity", "DECIMAL(15, 2)"),
    ("l_extendedprice", "DECIMAL(15, 2)"),
    ("l_discount", "DECIMAL(15, 2)"),
    ("l_tax", "DECIMAL(15, 2)"),
    ("l_returnflag", "VARCHAR"),
    ("l_linestatus", "VARCHAR"),
    ("l_shipdate", "DATE"),
    ("l_commitdate", "DATE"),
    ("l_receiptdate", "DATE"),
    ("l_shipinstruct", "VARCHAR"),
    ("l_shipmode", "VARCHAR"),
    ("l_comment", "VARCHAR"),
];

/// The key of the order with this number, from 1: of 32 numbers the first eight are used.
pub(crate) fn order_key(number: u64) -> u64 {
    number / 8 * 32 + number % 8
}

/// Registers a part as `part_of_lineitem`; it is generated as it is read.
pub(crate) fn register_part(ctx: &SessionContext, scale_factor: f64, part: usize) -> Result<()> {
    let schema = LineItemArrow::schema_ref();
    let generator = Arc::new(Generator {
        scale_factor,
        part,
        schema: Arc::clone(&schema),
    });
    let table = StreamingTable::try_new(schema, vec![generator])?;
    ctx.register_table("part_of_lineitem", Arc::new(table))?;
    Ok(())
}

/// The generator of TPC-H as a table that is never held in memory.
#[derive(Debug)]
struct Generator {
    scale_factor: f64,
    part: usize,
    schema: SchemaRef,
}

impl PartitionStream for Generator {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let part = i32::try_from(self.part + 1).unwrap_or(1);
        let parts = i32::try_from(FILES).unwrap_or(1);
        let batches = LineItemArrow::new(LineItemGenerator::new(self.scale_factor, part, parts))
            .map(|batch| batch.map_err(DataFusionError::from));
        let stream = futures::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream))
    }
}
