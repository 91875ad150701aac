//! Managed tables: those whose directory the catalog makes and removes.

use std::fmt;
use std::fs;
use std::path::Path as LocalPath;
use std::sync::{Arc, Weak};

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::MemTable;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::RwLock;
use uuid::Uuid;

use super::location::Location;
use super::open::OpenTables;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Operation;
use crate::log::{NewTable, Table};
use crate::table::{AtioTable, append_rows};

/// Marks a directory as a schema where a store has no directories.
const SCHEMA_MARKER: &str = ".atio_schema";
/// A table that is being made has this before a random name, one being dropped the next.
const CREATING: &str = ".atio-create-";
const DROPPING: &str = ".atio-drop-";
/// The longest name of a schema or table, in bytes.
const NAME_LIMIT: usize = 128;

/// The directory of a catalog.
pub(super) struct Warehouse {
    session: Weak<RwLock<SessionState>>,
    location: Location,
    tables: Arc<OpenTables>,
    store: Arc<dyn ObjectStore>,
}

/// Columns and rows of a table that is to be made.
pub(super) struct NewRows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl NewRows {
    /// Takes what CREATE TABLE hands over; refuses what a table does not store.
    ///
    /// The columns of CREATE TABLE .. AS SELECT may all be null: that a literal is not is no
    /// promise about later rows.
    pub(super) fn of(name: &str, table: &MemTable) -> Result<Self> {
        use datafusion::catalog::TableProvider;
        let schema = table.schema();
        let clause = if table
            .constraints()
            .is_some_and(|constraints| !constraints.is_empty())
        {
            Some("a PRIMARY KEY or UNIQUE constraint")
        } else if schema
            .fields()
            .iter()
            .any(|field| table.get_column_default(field.name()).is_some())
        {
            Some("DEFAULT")
        } else {
            None
        };
        if let Some(clause) = clause {
            return Err(Error::unsupported(format!(
                "cannot create table '{name}': atio tables do not store {clause} yet"
            )));
        }
        let mut batches = Vec::new();
        for partition in &table.batches {
            let partition = partition
                .try_read()
                .map_err(|_| Error::invalid("the rows of the new table are in use"))?;
            batches.extend(partition.iter().cloned());
        }
        if batches.is_empty() {
            return Ok(Self { schema, batches });
        }
        let fields = schema
            .fields()
            .iter()
            .map(|field| Field::clone(field).with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let batches = batches
            .into_iter()
            .map(|batch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()));
        let batches = batches.collect::<Result<_, _>>().map_err(|error| {
            Error::invalid("the rows of the new table do not fit its columns").with_source(error)
        })?;
        Ok(Self { schema, batches })
    }
}

impl Warehouse {
    pub(super) fn new(ctx: &SessionContext, location: Location) -> Result<Self> {
        let store = ctx
            .runtime_env()
            .object_store(&location.store)
            .map_err(|error| {
                Error::invalid(format!("there is no store for {}", location.shown()))
                    .with_source(error)
            })?;
        let tables = OpenTables::of(&ctx.state());
        Ok(Self {
            session: ctx.state_weak_ref(),
            location,
            tables,
            store,
        })
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    fn state(&self) -> Result<SessionState> {
        let session = self
            .session
            .upgrade()
            .ok_or_else(|| Error::invalid("the session has ended"))?;
        let state = session.read().clone();
        Ok(state)
    }

    fn place(&self, schema: &str, table: &str) -> Location {
        self.location.child(schema).child(table)
    }

    fn handle(&self, place: &Location) -> Result<Arc<Table>> {
        self.tables.handle(self.state()?.runtime_env(), place)
    }

    pub(super) async fn open(&self, schema: &str, table: &str) -> Result<AtioTable> {
        let runtime = Arc::clone(self.state()?.runtime_env());
        self.tables.open(&runtime, &self.place(schema, table)).await
    }

    /// The table without looking at it.
    pub(super) fn unread(&self, schema: &str, table: &str) -> Result<AtioTable> {
        let place = self.place(schema, table);
        self.tables.unread(self.state()?.runtime_env(), &place)
    }

    /// True if there is a table, in whatever state.
    pub(super) async fn has_table(&self, schema: &str, table: &str) -> Result<bool> {
        match self.handle(&self.place(schema, table))?.newest().await {
            Ok(_) => Ok(true),
            Err(error) => Ok(error.kind() != ErrorKind::TableNotFound),
        }
    }

    /// The names of all tables of a schema, damaged ones too.
    pub(super) async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        let mut tables = Vec::new();
        for name in self.folders(&self.location.child(schema)).await? {
            if check_name("table", &name).is_ok() && self.has_table(schema, &name).await? {
                tables.push(name);
            }
        }
        Ok(tables)
    }

    pub(super) async fn schemas(&self) -> Result<Vec<String>> {
        let mut schemas = Vec::new();
        for name in self.folders(&self.location).await? {
            if check_name("schema", &name).is_ok() && self.is_schema(&name).await? {
                schemas.push(name);
            }
        }
        Ok(schemas)
    }

    /// A directory is a schema. Where there are none, a marker makes one, or a table: what a
    /// dropped table leaves behind does not.
    async fn is_schema(&self, schema: &str) -> Result<bool> {
        let place = self.location.child(schema);
        if place.local.is_some() || !self.tables(schema).await?.is_empty() {
            return Ok(true);
        }
        let marker = place.path.clone().join(SCHEMA_MARKER);
        let listed = self.store.list_with_delimiter(Some(&place.path)).await;
        let listed =
            listed.map_err(|error| storage(format!("cannot look at schema '{schema}'"), error))?;
        Ok(listed
            .objects
            .iter()
            .any(|object| object.location == marker))
    }

    pub(super) async fn has_schema(&self, schema: &str) -> Result<bool> {
        Ok(self.schemas().await?.iter().any(|name| name == schema))
    }

    pub(super) async fn create_schema(&self, schema: &str) -> Result<()> {
        let marker = self.location.child(schema).path.join(SCHEMA_MARKER);
        let put = self.store.put(&marker, Vec::new().into()).await;
        put.map(drop)
            .map_err(|error| storage(format!("cannot create schema '{schema}'"), error))
    }

    /// Fails if the directory of a schema holds anything but these tables.
    pub(super) async fn check_schema_holds_only(
        &self,
        schema: &str,
        tables: &[String],
    ) -> Result<()> {
        let place = self.location.child(schema);
        let listed = self.store.list_with_delimiter(Some(&place.path)).await;
        let listed =
            listed.map_err(|error| storage(format!("cannot look at schema '{schema}'"), error))?;
        let hidden = |name: &str| name.starts_with(CREATING) || name.starts_with(DROPPING);
        let folders = listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename());
        let foreign = folders.filter(|name| {
            place.local.is_some() && !hidden(name) && !tables.iter().any(|table| table == name)
        });
        let files = listed
            .objects
            .iter()
            .filter_map(|object| object.location.filename());
        let files = files.filter(|name| *name != SCHEMA_MARKER);
        match foreign.chain(files).next() {
            None => Ok(()),
            Some(name) => Err(Error::invalid(format!(
                "schema '{schema}' is not dropped: its directory holds '{}', which is not an atio table; move it away first",
                name.escape_debug()
            ))),
        }
    }

    /// Removes the directory of a schema that has no tables.
    pub(super) async fn drop_schema(&self, schema: &str) -> Result<()> {
        let place = self.location.child(schema);
        let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Storage, format!("cannot drop schema '{schema}'"))
                .with_source(error)
        };
        match &place.local {
            Some(path) => {
                remove_leftovers(path);
                let marker = path.join(SCHEMA_MARKER);
                if marker.exists() {
                    fs::remove_file(marker).map_err(|error| cannot(error.into()))?;
                }
                fs::remove_dir(path).map_err(|error| cannot(error.into()))
            }
            None => {
                let marker = place.path.join(SCHEMA_MARKER);
                self.store
                    .delete(&marker)
                    .await
                    .map_err(|error| cannot(error.into()))
            }
        }
    }

    /// Makes a table with these rows; nothing is there until all is.
    ///
    /// On the local disk the table is built beside its place and renamed into it. Elsewhere
    /// it is there empty, as version 0, before its rows are, as version 1.
    pub(super) async fn create_table(&self, schema: &str, name: &str, rows: NewRows) -> Result<()> {
        let place = self.place(schema, name);
        if self.has_table(schema, name).await? {
            return Err(exists(name));
        }
        let Some(path) = &place.local else {
            return self.build(&place, self.handle(&place)?, name, rows).await;
        };
        let building = self
            .location
            .child(schema)
            .child(&format!("{CREATING}{}", Uuid::new_v4().simple()));
        let table = Table::new(
            Arc::clone(&self.store),
            building.path.clone(),
            building.shown().to_owned(),
            building.local.clone(),
        );
        let built = self
            .build(&building, Arc::new(table.called(name)), name, rows)
            .await;
        let built = built.and_then(|()| match &building.local {
            Some(from) => rename_into(from, path, name),
            None => Ok(()),
        });
        if let (Err(_), Some(from)) = (&built, &building.local) {
            remove_aside(from);
        }
        built
    }

    async fn build(
        &self,
        place: &Location,
        table: Arc<Table>,
        name: &str,
        rows: NewRows,
    ) -> Result<()> {
        let new = NewTable {
            schema: Arc::clone(&rows.schema),
            options: Default::default(),
        };
        table
            .create(&new)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::TableExists => exists(name),
                _ => error,
            })?;
        if rows.batches.is_empty() {
            return Ok(());
        }
        let written = append_rows(&table, rows.batches, self.state()?.task_ctx()).await;
        let Err(error) = written else { return Ok(()) };
        let error = Error::from_datafusion("cannot write the rows of the new table", error);
        // Elsewhere than on the local disk others may see the empty table, and use it.
        let untouched = place.local.is_none() && error.kind() != ErrorKind::CommitUnknown;
        if untouched
            && table
                .newest()
                .await
                .is_ok_and(|newest| newest.record.operation() == Operation::Create)
        {
            table.drop_log().await?;
        }
        Err(error)
    }

    /// Fails if there is no such table, or if it is not only atio's.
    pub(super) async fn check_droppable(&self, schema: &str, name: &str) -> Result<()> {
        check_name("table", name)?;
        let place = self.place(schema, name);
        if !self.has_table(schema, name).await? {
            return Err(Error::new(
                ErrorKind::TableNotFound,
                format!("there is no table '{name}' in schema '{schema}'"),
            ));
        }
        let link =
            |path| fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_symlink());
        if place.local.as_ref().is_some_and(link) {
            return Err(Error::invalid(format!(
                "table '{name}' is a symbolic link: remove it by hand"
            )));
        }
        self.handle(&place)?.check_only_ours().await
    }

    /// Removes a table and its files; refuses if others' files are among them.
    pub(super) async fn drop_table(&self, schema: &str, name: &str) -> Result<()> {
        self.check_droppable(schema, name).await?;
        let place = self.place(schema, name);
        let table = self.handle(&place)?;
        let Some(path) = &place.local else {
            return table.drop_log().await;
        };
        let aside = self
            .location
            .child(schema)
            .child(&format!("{DROPPING}{}", Uuid::new_v4().simple()));
        let Some(aside) = aside.local else {
            return table.drop_log().await;
        };
        // One rename: a writer that is under way finds nothing to commit to (A9).
        fs::rename(path, &aside)
            .map_err(|error| storage(format!("cannot drop table '{name}'"), error))?;
        table.forget();
        remove_aside(&aside);
        Ok(())
    }

    async fn folders(&self, place: &Location) -> Result<Vec<String>> {
        let listed = self.store.list_with_delimiter(Some(&place.path)).await;
        let listed =
            listed.map_err(|error| storage(format!("cannot list {}", place.shown()), error))?;
        Ok(listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }
}

/// Names become directories, so they are kept to what every file system and store takes.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let usable = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
    let first = name
        .chars()
        .next()
        .is_some_and(|c| c.is_alphanumeric() || c == '_');
    if first && name.len() <= NAME_LIMIT && name.chars().all(usable) && !name.ends_with(' ') {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' cannot name a {what}: use letters, digits, '_', '-' and spaces, at most {NAME_LIMIT} bytes, beginning with a letter, a digit or '_'",
        name.escape_debug()
    )))
}

fn rename_into(from: &LocalPath, to: &LocalPath, name: &str) -> Result<()> {
    // rename(2) replaces an empty directory and nothing else.
    fs::rename(from, to).map_err(|error| match to.exists() {
        true => exists(name),
        false => storage(format!("cannot create table '{name}'"), error),
    })
}

/// Removes what a crash left of tables that were being made or dropped.
fn remove_leftovers(schema: &LocalPath) {
    let entries = fs::read_dir(schema).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let hidden = name
            .to_str()
            .is_some_and(|name| name.starts_with(CREATING) || name.starts_with(DROPPING));
        if hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_aside(&entry.path());
        }
    }
}

/// The table is gone already; what stays under the hidden name is in nobody's way.
fn remove_aside(path: &LocalPath) {
    if let Err(error) = fs::remove_dir_all(path) {
        log::warn!("{} stays behind: {error}", path.display());
    }
}

fn storage(what: String, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Storage, what).with_source(error)
}

fn exists(name: &str) -> Error {
    Error::new(
        ErrorKind::TableExists,
        format!("there is a table '{name}' already"),
    )
}

impl fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warehouse")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_or_hide_are_refused() {
        for name in ["sales", "_x", "Größe", "2026", "a b", "a-b"] {
            check_name("table", name).unwrap();
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            ".hidden",
            "a.b",
            "a\0",
            "a\n",
            "-a",
            "a ",
            "%2e",
            &"x".repeat(129),
        ] {
            let error = check_name("table", name).unwrap_err().to_string();
            assert!(error.contains("cannot name a table"), "{error}");
        }
    }
}
