//! `CREATE EXTERNAL TABLE .. STORED AS ATIO LOCATION ..`: opens a table, or creates it.

use std::sync::Arc;

use async_trait::async_trait;
use atio_core::log::NewTable;
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::error::Result;
use datafusion::logical_expr::CreateExternalTable;

use super::location::Location;
use super::open::OpenTables;
use super::policy::{Access, AtioPolicy};
use crate::error::{Error, ErrorKind, Result as AtioResult};
use crate::settings::CommitSettings;
use crate::table::AtioTable;
use crate::write::TableOptions;

#[derive(Debug)]
pub(super) struct AtioTableFactory;

#[async_trait]
impl TableProviderFactory for AtioTableFactory {
    async fn create(
        &self,
        state: &dyn Session,
        cmd: &CreateExternalTable,
    ) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(open_or_create(state, cmd).await?))
    }
}

async fn open_or_create(state: &dyn Session, cmd: &CreateExternalTable) -> AtioResult<AtioTable> {
    refuse_what_is_not_stored(cmd)?;
    let (options, opening) = TableOptions::of_statement(&cmd.options)?;
    let [location] = cmd.locations.as_slice() else {
        return Err(Error::invalid(format!(
            "table '{}' needs exactly one location",
            cmd.name
        )));
    };
    let location = Location::parse(location)?;
    let policy = AtioPolicy::of(state);
    policy.check(&location, Access::Read)?;
    let tables = OpenTables::of(state);
    let runtime = state.runtime_env();
    let columns = cmd.schema.as_arrow();
    let opened = match tables.open(runtime, &location, opening).await {
        Err(error) if error.kind() == ErrorKind::TableNotFound => {
            if columns.fields().is_empty() {
                return Err(Error::new(
                    error.kind(),
                    format!("{error}; name its columns to create it"),
                ));
            }
            policy.check(&location, Access::Create)?;
            let new = NewTable {
                schema: Arc::new(columns.clone()),
                options: options.clone(),
                commit: CommitSettings::take(state.config())?,
            };
            let table = tables.handle(runtime, &location, opening)?;
            match table.create(&new).await {
                // Somebody else was first: then it is there to be opened.
                Err(error) if error.kind() == ErrorKind::TableExists => {}
                created => created?,
            }
            tables.open(runtime, &location, opening).await?
        }
        opened => opened?,
    };
    check_columns(&opened, columns)?;
    check_options(&opened, &options)?;
    Ok(opened)
}

fn check_options(
    table: &AtioTable,
    options: &std::collections::BTreeMap<String, String>,
) -> AtioResult<()> {
    let stored = table
        .table()
        .last_seen()
        .map(|snapshot| snapshot.state.options.clone())
        .unwrap_or_default();
    match options
        .iter()
        .find(|(name, value)| stored.get(*name) != Some(value))
    {
        None => Ok(()),
        Some((name, _)) => Err(Error::invalid(format!(
            "option 'atio.{name}' is not what the table at {} was created with; leave it out to open the table{}",
            table.location(),
            match name.as_str() {
                "delete_mode" => ", and choose for a session by SET atio.delete_mode",
                _ => "",
            }
        ))),
    }
}

/// Columns that a statement names must be those of the table, in name, type and order.
fn check_columns(table: &AtioTable, columns: &Schema) -> AtioResult<()> {
    if columns.fields().is_empty() {
        return Ok(());
    }
    let schema = TableProvider::schema(table);
    let words = |schema: &Schema| {
        let fields = schema.fields().iter().map(|field| {
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {}{null}", field.name(), field.data_type())
        });
        fields.collect::<Vec<_>>().join(", ")
    };
    let (found, asked) = (words(&schema), words(columns));
    if found == asked {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the table at {} has other columns: it has ({found}), the statement says ({asked}); leave the columns out to open it",
        table.location()
    )))
}

/// Silently forgetting a clause would be worse than refusing it.
fn refuse_what_is_not_stored(cmd: &CreateExternalTable) -> AtioResult<()> {
    let clause = if !cmd.table_partition_cols.is_empty() {
        "PARTITIONED BY"
    } else if !cmd.order_exprs.is_empty() {
        "WITH ORDER"
    } else if !cmd.constraints.is_empty() {
        "a PRIMARY KEY or UNIQUE constraint"
    } else if !cmd.column_defaults.is_empty() {
        "DEFAULT"
    } else if cmd.unbounded {
        "UNBOUNDED"
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!(
        "cannot create table '{}': atio tables do not store {clause} yet",
        cmd.name
    )))
}
