//! `atio_sources`: how far each source was taken over.

use std::sync::Arc;

use atio_core::log::{Position, Table};
use datafusion::arrow::array::{StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;

use super::function::Function;
use super::function_table::{self, batch};
use crate::table::AtioTable;

/// The sources that the newest version knows: streams, and loads that have not ended. A load that
/// an overwrite ended has no position.
pub(super) fn list(table: &AtioTable) -> Result<Arc<dyn TableProvider>> {
    let table = Arc::clone(table.table());
    let schema = Arc::new(Schema::new(vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("position", DataType::UInt64, true),
    ]));
    let rows_schema = Arc::clone(&schema);
    function_table::provider(Function::Sources.name(), schema, move |_| {
        let (table, schema) = (Arc::clone(&table), Arc::clone(&rows_schema));
        Box::pin(async move {
            let newest = table.newest().await?;
            let sources = Table::sources(&newest.state);
            let names = sources.iter().map(|(name, _)| Some(*name));
            let positions = sources.iter().map(|(_, at)| at.map(Position::number));
            batch(
                schema,
                vec![
                    Arc::new(names.collect::<StringArray>()),
                    Arc::new(positions.collect::<UInt64Array>()),
                ],
            )
        })
    })
}
