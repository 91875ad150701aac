//! Where rows come from.

use std::any::Any;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use atio::{AtioTable, ErrorKind};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, TableReference, plan_datafusion_err, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::listing::{ListingTable, ListingTableConfig};
use datafusion::error::Result;
use datafusion::logical_expr::CreateExternalTable;
use datafusion::prelude::SessionContext;

use super::exact::{self, Text};
use super::format::Format;
use crate::catalogs::is_atio_table;
use crate::failure::Failure;
use crate::session::Session;

/// How standard input is named.
pub(super) const STDIN: &str = "-";
/// Where the engine looks for it, which is a name for it, too.
const STDIN_LOCATION: &str = "/dev/stdin";

/// Rows to be read, and how.
pub(super) struct Input {
    /// As the engine names it.
    location: String,
    format: Format,
}

impl Input {
    /// Finds out what `text` names. Connects to its store, and reads nothing of it.
    pub(super) async fn find(
        session: &Session,
        text: &str,
        format: Option<Format>,
    ) -> std::result::Result<Self, Failure> {
        if is_stdin(text) {
            let format = format
                .ok_or_else(|| Failure::usage("say what is on standard input, as in --from csv"))?;
            if format == Format::Table || format.is_database() {
                return Err(Failure::usage("a table does not come on standard input"));
            }
            let location = session.input(STDIN_LOCATION, format.stored_as()).await?;
            return Ok(Self { location, format });
        }
        let guessed = match format {
            Some(format) => Some(format),
            None => guess(text)?,
        };
        let format = match guessed {
            Some(format) => format,
            None if Path::new(text).exists() && !session.names_table(text) => {
                return Err(Failure::new(format!(
                    "'{text}' is no atio table, and its name does not tell what is in it: \
                     say it, as in --from csv"
                )));
            }
            None => Format::Table,
        };
        let location = match format {
            Format::Xlsx => {
                return Err(Failure::new(
                    "Excel's files are written and not read: save it as CSV first",
                ));
            }
            Format::Table => session.table(text).await?,
            format if format.is_database() => text.to_owned(),
            // The engine would only say that it cannot tell the columns.
            _ if is_local(text) && !Path::new(text).exists() => {
                return Err(Failure::new(format!("there is no file '{text}'")));
            }
            format => session.input(text, format.stored_as()).await?,
        };
        Ok(Self { location, format })
    }

    /// The rows. Where types are guessed, those of `wanted` with the same name are taken instead;
    /// numbers have digits enough to tell those that they have no room for.
    pub(super) async fn rows(
        &self,
        session: &Session,
        wanted: Option<&Schema>,
    ) -> Result<DataFrame> {
        let ctx = &session.ctx;
        if self.format == Format::Table {
            return AtioTable::named(ctx, &self.location).await?.read(ctx);
        }
        let options = self.format.options_to_read(&self.location);
        let found = open(ctx, self.format, &self.location, options).await?;
        if found.schema().fields().is_empty() {
            return plan_err!("there is nothing to read at '{}'", self.location);
        }
        match (wanted, found.as_ref() as &dyn Any) {
            (Some(wanted), any) if self.format.is_text() => {
                match any.downcast_ref::<ListingTable>() {
                    Some(files) => {
                        let text = match self.format {
                            Format::Json => Text::Json,
                            _ => Text::Csv,
                        };
                        ctx.read_table(Arc::new(with_types(files, wanted, text)?))
                    }
                    None => ctx.read_table(found),
                }
            }
            _ => ctx.read_table(found),
        }
    }
}

/// The same files; the types of columns that `wanted` has are those of there.
fn with_types(files: &ListingTable, wanted: &Schema, text: Text) -> Result<ListingTable> {
    let guessed = files.schema();
    let of_folders = &files.options().table_partition_cols;
    let of_files = guessed.fields().iter().filter(|field| {
        let mut names = of_folders.iter().map(|(name, _)| name);
        !names.any(|name| name == field.name())
    });
    let fields = of_files.map(|field| {
        let data_type = match wanted.field_with_name(field.name()) {
            Ok(wanted) => exact::type_to_read(wanted.data_type(), text),
            Err(_) => field.data_type().clone(),
        };
        // Whether a value may be missing is for the table to check.
        Field::new(field.name(), data_type, true)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    ListingTable::try_new(
        ListingTableConfig::new_with_multi_paths(files.table_paths().clone())
            .with_listing_options(files.options().clone())
            .with_schema(Arc::new(schema)),
    )
}

/// Fails if what is read comes on standard input, which is read once, and is to be written again after
/// conflicts.
pub(super) fn check_may_be_read_again(
    text: &str,
    retries: u32,
) -> std::result::Result<(), Failure> {
    match is_stdin(text) && retries > 0 {
        false => Ok(()),
        true => Err(Failure::usage(
            "standard input is read once: --retries is for rows of a file or a table",
        )),
    }
}

fn is_stdin(text: &str) -> bool {
    [STDIN, STDIN_LOCATION].contains(&text)
}

/// True for a path of the local disk that is no pattern for several.
fn is_local(text: &str) -> bool {
    !text.contains("://") && !text.contains(['*', '?', '['])
}

/// What a name tells of its place: a table of ours, a database, or the ending of a file.
///
/// Fails where it can only be a database, and which one cannot be told: it must not become a
/// directory of that name.
pub(super) fn guess(text: &str) -> std::result::Result<Option<Format>, Failure> {
    if is_atio_table(Path::new(text)) {
        return Ok(Some(Format::Table));
    }
    let Some(rest) = text.strip_prefix("env:") else {
        let by_place = is_in_sqlite(text).then_some(Format::Sqlite);
        return Ok(by_place.or_else(|| Format::of_name(text)));
    };
    let variable = rest.split('/').next().unwrap_or_default();
    let url = std::env::var(variable).unwrap_or_default();
    match url.split(':').next() {
        Some("postgres" | "postgresql") => Ok(Some(Format::Postgres)),
        Some("mysql" | "mariadb") => Ok(Some(Format::Mysql)),
        Some("sqlite") => Ok(Some(Format::Sqlite)),
        Some("") | None => Err(Failure::new(format!(
            "the environment variable {variable} is not set: it is to hold the URL of the database"
        ))),
        Some(_) => Err(Failure::new(format!(
            "the environment variable {variable} holds no URL of PostgreSQL, MySQL or SQLite"
        ))),
    }
}

/// True for a table in what is called like a file of SQLite.
fn is_in_sqlite(text: &str) -> bool {
    let Some((file, table)) = text.rsplit_once('/') else {
        return false;
    };
    let endings = [".db", ".db3", ".sqlite", ".sqlite3"];
    let ends = endings.iter().any(|ending| file.ends_with(ending));
    ends && is_local(text) && !table.is_empty() && !Path::new(file).is_dir()
}

/// The atio table at a location, as [`Session::table`] gives it; None if it is missing.
pub(super) async fn find_table(session: &Session, location: &str) -> Result<Option<AtioTable>> {
    let ctx = &session.ctx;
    if session.names_table(location) && !ctx.table_exist(TableReference::parse_str(location))? {
        return Ok(None);
    }
    match AtioTable::named(ctx, location).await {
        Ok(table) => Ok(Some(table)),
        Err(error) if error.kind() == ErrorKind::TableNotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The atio table that a person names, and what [`Session::table`] makes of the name; fails if it is
/// missing.
pub(super) async fn existing_table(
    session: &Session,
    named: &str,
) -> std::result::Result<(String, AtioTable), Failure> {
    let location = session.table(named).await?;
    match find_table(session, &location).await? {
        Some(table) => Ok((location, table)),
        None => Err(Failure::new(format!(
            "there is no table {location}: make it first, by CREATE TABLE in SQL, or from a \
             file that has its columns by atio write FILE {named} --create"
        ))),
    }
}

/// Does what `CREATE EXTERNAL TABLE` does, and gives the table no name.
async fn open(
    ctx: &SessionContext,
    format: Format,
    location: &str,
    options: HashMap<String, String>,
) -> Result<Arc<dyn TableProvider>> {
    let state = ctx.state();
    let stored_as = format.stored_as();
    let factory = state.table_factories().get(stored_as).cloned();
    let factory = factory
        .ok_or_else(|| plan_datafusion_err!("{stored_as} cannot be read in this session"))?;
    let columns = Arc::new(DFSchema::empty());
    let name = TableReference::bare(location.to_owned());
    let statement = CreateExternalTable::builder(name, location, stored_as, columns)
        .with_options(options)
        .build();
    factory.create(&state, &statement).await
}
