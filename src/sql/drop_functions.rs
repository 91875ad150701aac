//! The table functions about dropped tables: `atio_dropped`, `atio_undrop` and `atio_purge`.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::error::Result;
use datafusion::execution::SessionState;

use super::arguments::Arguments;
use super::catalog::AtioCatalog;
use super::catalogs;
use super::dropped::{DroppedTable, PurgeOptions, UndropOptions};
use super::function_table;
use super::policy::{Access, AtioPolicy};
use super::undrop::purge_access;
use crate::error::{Error, Result as AtioResult};

/// The functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DropFunction {
    Dropped,
    Undrop,
    Purge,
}

/// A dropped table, and the catalog that it is of.
type Row = (String, DroppedTable);

impl DropFunction {
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Dropped, Self::Undrop, Self::Purge]
            .into_iter()
            .find(|function| function.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dropped => "atio_dropped",
            Self::Undrop => "atio_undrop",
            Self::Purge => "atio_purge",
        }
    }

    /// The parameters, in the order of positional arguments.
    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Dropped => &[],
            Self::Undrop => &["table", "id", "new_name"],
            Self::Purge => &["table", "id", "dry_run"],
        }
    }

    /// The provider of the rows that a call gives. Changes nothing.
    pub(super) fn provider(
        self,
        arguments: &Arguments,
        state: &SessionState,
    ) -> Result<Arc<dyn TableProvider>> {
        match self {
            Self::Dropped => dropped(state),
            Self::Undrop => undrop(arguments, state),
            Self::Purge => purge(arguments, state),
        }
    }
}

/// The table that a call is about.
struct Named {
    catalog_name: String,
    catalog: AtioCatalog,
    schema: String,
    table: String,
}

impl Named {
    fn of(
        function: DropFunction,
        access: Access,
        arguments: &Arguments,
        state: &SessionState,
    ) -> AtioResult<Self> {
        let name = function.name();
        let text = arguments.needed_text("table", "sales")?;
        if text.contains(['/', '\\']) {
            return Err(Error::invalid(format!(
                "{name} takes the name of a table in a catalog, not the path '{}': where a table lies is not known any more when it is dropped",
                text.escape_debug()
            )));
        }
        AtioPolicy::of(state).check_access(access)?;
        let defaults = &state.config_options().catalog;
        let reference = TableReference::parse_str(text)
            .resolve(&defaults.default_catalog, &defaults.default_schema);
        let catalog = catalogs::named(state, name, &reference.catalog)?;
        let named = Self {
            catalog_name: reference.catalog.to_string(),
            catalog,
            schema: reference.schema.to_string(),
            table: reference.table.to_string(),
        };
        let warehouse = &named.catalog.warehouse;
        warehouse.check_keeps(&named.schema, &named.table, access)?;
        Ok(named)
    }
}

fn dropped(state: &SessionState) -> Result<Arc<dyn TableProvider>> {
    let catalogs = Arc::new(catalogs::all(state));
    let mut fields = names();
    fields.push(Field::new("kept_until", utc(), false));
    let schema = Arc::new(Schema::new(fields));
    let rows_schema = Arc::clone(&schema);
    function_table::provider(DropFunction::Dropped.name(), schema, move |_| {
        let (catalogs, schema) = (Arc::clone(&catalogs), Arc::clone(&rows_schema));
        Box::pin(async move {
            let mut rows = Vec::new();
            for (name, catalog) in catalogs.iter() {
                let tables = catalog.dropped_tables().await?;
                rows.extend(tables.into_iter().map(|table| (name.clone(), table)));
            }
            let until = rows.iter().map(|(_, table)| Some(table.kept_until_us));
            let until: ArrayRef = Arc::new(times(until));
            given(schema, &rows, vec![until])
        })
    })
}

fn undrop(arguments: &Arguments, state: &SessionState) -> Result<Arc<dyn TableProvider>> {
    let function = DropFunction::Undrop;
    let options = UndropOptions {
        id: arguments.text("id")?.map(str::to_owned),
        new_name: arguments.text("new_name")?.map(str::to_owned),
    };
    let named = Arc::new(Named::of(function, Access::Create, arguments, state)?);
    let schema = Arc::new(Schema::new(names()));
    let rows_schema = Arc::clone(&schema);
    function_table::provider(function.name(), schema, move |_| {
        let (named, schema) = (Arc::clone(&named), Arc::clone(&rows_schema));
        let options = options.clone();
        Box::pin(async move {
            let Named { catalog_name, .. } = &*named;
            let row = (catalog_name.clone(), {
                let named = Arc::clone(&named);
                to_its_end(async move {
                    let (schema, table) = (&named.schema, &named.table);
                    let mut back = named.catalog.undrop_table(schema, table, &options).await?;
                    // As it is called by now.
                    back.table = options.new_name.unwrap_or(back.table);
                    Ok(back)
                })
                .await?
            });
            given(schema, &[row], Vec::new())
        })
    })
}

fn purge(arguments: &Arguments, state: &SessionState) -> Result<Arc<dyn TableProvider>> {
    let function = DropFunction::Purge;
    let options = PurgeOptions {
        id: arguments.text("id")?.map(str::to_owned),
        dry_run: arguments.flag("dry_run", true)?,
    };
    let access = purge_access(options.dry_run);
    let named = Arc::new(Named::of(function, access, arguments, state)?);
    let mut fields = names();
    fields.push(Field::new("bytes", DataType::UInt64, false));
    fields.push(Field::new("deleted", DataType::Boolean, false));
    let schema = Arc::new(Schema::new(fields));
    let rows_schema = Arc::clone(&schema);
    function_table::provider(function.name(), schema, move |_| {
        let (named, schema) = (Arc::clone(&named), Arc::clone(&rows_schema));
        let options = options.clone();
        Box::pin(async move {
            let catalog_name = named.catalog_name.clone();
            let purged = to_its_end(async move {
                let (schema, table) = (&named.schema, &named.table);
                named.catalog.purge_table(schema, table, &options).await
            })
            .await?;
            let bytes = purged.iter().map(|purged| Some(purged.bytes));
            let deleted = purged.iter().map(|purged| Some(purged.deleted));
            let more: Vec<ArrayRef> = vec![
                Arc::new(bytes.collect::<UInt64Array>()),
                Arc::new(deleted.collect::<BooleanArray>()),
            ];
            let tables = purged.iter().map(|purged| purged.table.clone());
            let rows: Vec<Row> = tables.map(|table| (catalog_name.clone(), table)).collect();
            given(schema, &rows, more)
        })
    })
}

/// Runs what changes something to its end, even if the reader of the rows stops reading.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = AtioResult<T>> + Send + 'static,
) -> AtioResult<T> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| {
        Error::invalid("this was cut off; look at atio_dropped() and run it again")
            .with_source(error)
    })?
}

/// The columns that tell which table it is, called as in `information_schema`.
fn names() -> Vec<Field> {
    vec![
        Field::new("table_catalog", DataType::Utf8, false),
        Field::new("table_schema", DataType::Utf8, false),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("id", DataType::Utf8, false),
        Field::new("dropped_at", utc(), false),
    ]
}

fn given(schema: SchemaRef, rows: &[Row], more: Vec<ArrayRef>) -> AtioResult<RecordBatch> {
    let texts = |of: fn(&Row) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let mut columns = vec![
        texts(|(catalog, _)| catalog),
        texts(|(_, table)| &table.schema),
        texts(|(_, table)| &table.table),
        texts(|(_, table)| &table.id),
        Arc::new(times(
            rows.iter().map(|(_, table)| Some(table.dropped_at_us)),
        )),
    ];
    columns.extend(more);
    batch(schema, columns)
}

fn times(micros: impl Iterator<Item = Option<i64>>) -> TimestampMicrosecondArray {
    micros
        .collect::<TimestampMicrosecondArray>()
        .with_timezone("UTC")
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> AtioResult<RecordBatch> {
    RecordBatch::try_new(schema, columns)
        .map_err(|error| Error::invalid("a result cannot be shown").with_source(error))
}
