//! What CREATE TABLE hands over: the columns and rows of a table that is to be made.

use std::sync::Arc;

use atio_core::log::{CommitOptions, Table};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SessionState;

use super::location::Location;
use crate::error::{self, Error, Result};
use crate::settings::CommitSettings;
use crate::table::{AtioTable, nullable};

/// Columns and rows of a table that is to be made.
pub(super) struct NewRows {
    pub(super) schema: SchemaRef,
    pub(super) rows: Rows,
}

/// Where the rows come from.
pub(super) enum Rows {
    /// They are in memory.
    Batches(Vec<RecordBatch>),
    /// They come as they are written.
    Query(Box<DataFrame>),
    /// There are none, as this query knows.
    None(Box<DataFrame>),
}

impl Rows {
    /// True if it is known that there are none.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Batches(batches) => batches.is_empty(),
            Self::Query(_) => false,
            Self::None(_) => true,
        }
    }
}

impl NewRows {
    /// Takes what the engine hands over; refuses what a table does not store.
    ///
    /// Columns that were not `declared`, but are those of a query, may all be null: that a literal
    /// is not is no promise about later rows.
    pub(super) fn of(name: &str, table: &MemTable, declared: bool) -> Result<Self> {
        let schema = table.schema();
        let constraints = table.constraints();
        let mut names = schema.fields().iter().map(|field| field.name());
        Self::check_stored(
            name,
            constraints.is_some_and(|constraints| !constraints.is_empty()),
            names.any(|name| table.get_column_default(name).is_some()),
        )?;
        let mut batches = Vec::new();
        for partition in &table.batches {
            let partition = partition
                .try_read()
                .map_err(|_| Error::invalid("the rows of the new table are in use"))?;
            batches.extend(partition.iter().cloned());
        }
        if declared {
            let rows = Rows::Batches(batches);
            return Ok(Self { schema, rows });
        }
        let schema = nullable(&schema);
        let batches = batches
            .into_iter()
            .map(|batch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()));
        let batches = batches.collect::<Result<_, _>>().map_err(|error| {
            Error::invalid("the rows of the new table do not fit its columns").with_source(error)
        })?;
        let rows = Rows::Batches(batches);
        Ok(Self { schema, rows })
    }

    /// The rows of a query with these columns; `declared` ones have no rows.
    pub(super) fn query(columns: SchemaRef, declared: bool, query: DataFrame) -> Self {
        let query = Box::new(query);
        match declared {
            true => Self {
                schema: columns,
                rows: Rows::None(query),
            },
            false => Self {
                schema: nullable(&columns),
                rows: Rows::Query(query),
            },
        }
    }

    /// Fails if a statement has a clause that a table does not store.
    pub(super) fn check_stored(name: &str, constraints: bool, defaults: bool) -> Result<()> {
        let clause = match (constraints, defaults) {
            (true, _) => "a PRIMARY KEY or UNIQUE constraint",
            (_, true) => "DEFAULT",
            (false, false) => return Ok(()),
        };
        Err(Error::unsupported(format!(
            "cannot create table '{name}': atio tables do not store {clause} yet"
        )))
    }
}

/// Writes the rows of a query into a new table as they come. Where there are none, a version
/// without rows carries what the commit is to carry.
pub(super) async fn append_query(
    place: &Location,
    table: &Arc<Table>,
    query: DataFrame,
    commit: CommitOptions,
) -> Result<()> {
    let newest = table.newest().await?;
    let columns = Arc::clone(&newest.arrow);
    let table = AtioTable::newest(Arc::clone(table), place.store.clone(), columns);
    let written = table.append(query.clone(), commit.clone()).await?;
    if written.version.is_none() && commit != CommitOptions::default() {
        let none = query.limit(0, Some(0));
        let none = none.map_err(|error| error::from_datafusion("no rows", error))?;
        table.overwrite_with(none, None, commit).await?;
    }
    Ok(())
}

/// What is set for the next commit in the session of the statement, or else in that of the catalog.
pub(super) fn commit_options(rows: &Rows, catalog: &SessionState) -> Result<CommitOptions> {
    match rows {
        Rows::Query(query) | Rows::None(query) => take_options(query),
        Rows::Batches(batches) => {
            let options = checked(CommitSettings::take(catalog.config())?)?;
            if !batches.is_empty() {
                let statement = "CREATE TABLE .. AS outside of atio::sql";
                options.check_no_query(statement)?;
                options.check_no_checks(statement)?;
            }
            Ok(options)
        }
    }
}

/// What is set for the next commit in the session of a query.
pub(super) fn take_options(query: &DataFrame) -> Result<CommitOptions> {
    checked(CommitSettings::take(query.task_ctx().session_config())?)
}

fn checked(options: CommitOptions) -> Result<CommitOptions> {
    options.check_one_version("CREATE TABLE")?;
    Ok(options)
}
