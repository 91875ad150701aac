//! Managed tables: those whose directory the catalog makes and removes. How it makes them.

use std::error::Error as _;
use std::fmt;
use std::path::Path as LocalPath;
use std::sync::{Arc, Weak};

use atio_core::format::Operation;
use atio_core::log::{NewTable, OpenOptions, Table};
use atio_core::storage::{RemoteStore, explain, rename_folder, sync_rename};
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use object_store::ObjectStore;
use parking_lot::RwLock;
use uuid::Uuid;

use super::declared::DeclaredColumns;
use super::leftovers::{Building, CREATING, LEFTOVER_AGE, remove_leftovers};
use super::location::Location;
use super::new_rows::{NewRows, Rows, append_query, commit_options};
use super::open::OpenTables;
use super::policy::{Access, AtioPolicy};
use super::stores::store;
use crate::error::{self, Error, ErrorKind, Result};
use crate::table::AtioTable;
use crate::write::append_rows;

/// The longest name of a schema or table, in bytes.
const NAME_LIMIT: usize = 128;

/// The directory of a catalog.
pub(super) struct Warehouse {
    session: Weak<RwLock<SessionState>>,
    pub(super) location: Location,
    tables: Arc<OpenTables>,
    policy: Arc<AtioPolicy>,
    pub(super) store: Arc<dyn ObjectStore>,
}

impl Warehouse {
    pub(super) fn new(ctx: &SessionContext, location: Location) -> Result<Self> {
        AtioPolicy::of(&ctx.state()).check(&location, Access::Read)?;
        location.check_no_file()?;
        DeclaredColumns::register(ctx);
        Self::around(ctx, location)
    }

    /// The directory that a table is in as if a catalog had made it. The host may allow less of it
    /// than the table.
    pub(super) fn around(ctx: &SessionContext, location: Location) -> Result<Self> {
        let store = store(&ctx.runtime_env(), &location)?;
        let store = match location.local {
            Some(_) => store,
            None => Arc::new(RemoteStore::new(store, location.shown(), false)),
        };
        let state = ctx.state();
        Ok(Self {
            session: ctx.state_weak_ref(),
            location,
            tables: OpenTables::of(&state),
            policy: AtioPolicy::of(&state),
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

    pub(super) fn place(&self, schema: &str, table: &str) -> Location {
        self.location.child(schema).child(table)
    }

    /// Where a table is or would be, as messages show it.
    pub(super) fn location_of(&self, schema: &str, table: &str) -> String {
        self.place(schema, table).shown().to_owned()
    }

    /// Fails if the host does not allow this there. A link may have been put into the
    /// warehouse since it was opened.
    pub(super) fn check(&self, place: &Location, access: Access) -> Result<()> {
        self.policy.check(place, access)
    }

    pub(super) fn handle(&self, place: &Location) -> Result<Arc<Table>> {
        self.check(place, Access::Read)?;
        let options = OpenOptions::default();
        self.tables
            .handle(self.state()?.runtime_env(), place, options)
    }

    /// A handle that the session does not keep.
    pub(super) fn unopened(&self, place: &Location) -> Table {
        Table::new(
            Arc::clone(&self.store),
            place.path.clone(),
            place.shown().to_owned(),
            place.local.clone(),
            OpenOptions::default(),
        )
    }

    pub(super) async fn open(&self, schema: &str, table: &str) -> Result<AtioTable> {
        let runtime = Arc::clone(self.state()?.runtime_env());
        let place = self.place(schema, table);
        self.check(&place, Access::Read)?;
        self.tables.open_for_planning(&runtime, &place).await
    }

    /// The table without looking at it.
    pub(super) fn unread(&self, schema: &str, table: &str) -> Result<AtioTable> {
        let place = self.place(schema, table);
        self.check(&place, Access::Read)?;
        self.tables.unread(self.state()?.runtime_env(), &place)
    }

    /// True if there is a table, in whatever state.
    pub(super) async fn has_table(&self, schema: &str, table: &str) -> Result<bool> {
        match self.handle(&self.place(schema, table))?.newest().await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::StoreNotFound => Err(error),
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

    /// Makes a table with these rows; nothing is there until all is.
    ///
    /// On the local disk the table is built in a hidden directory beside its place, and renamed
    /// into it; a crash leaves that directory, which goes after a day. Elsewhere the table is there
    /// empty, as version 0, before its rows are, as version 1. If the rows fail it is dropped again;
    /// a crash leaves it empty.
    pub(super) async fn create_table(&self, schema: &str, name: &str, rows: NewRows) -> Result<()> {
        let place = self.place(schema, name);
        self.check(&place, Access::Create)?;
        if self.has_table(schema, name).await? {
            return Err(exists(name));
        }
        let building = self
            .location
            .child(schema)
            .child(&format!("{CREATING}{}", Uuid::new_v4().simple()));
        let (Some(path), Some(from)) = (&place.local, &building.local) else {
            return self.build(&place, self.handle(&place)?, name, rows).await;
        };
        if let Some(schema) = path.parent() {
            remove_leftovers(schema, LEFTOVER_AGE);
        }
        let _hidden = Building::begin(from)?;
        let table = self.unopened(&building).called(name);
        match self.build(&building, Arc::new(table), name, rows).await {
            Ok(()) => rename_into(from, path, name),
            // Nobody has seen it under its name, and nobody will.
            Err(error) if error.kind() == ErrorKind::CommitNotDurable => Err(unmade(name, &error)),
            Err(error) => Err(error),
        }
    }

    async fn build(
        &self,
        place: &Location,
        table: Arc<Table>,
        name: &str,
        rows: NewRows,
    ) -> Result<()> {
        let state = self.state()?;
        let options = commit_options(&rows.rows, &state)?;
        // The version of the rows carries them if there are any.
        let (commit, of_rows) = match rows.rows.is_empty() {
            true => (options, Default::default()),
            false => (Default::default(), options),
        };
        let new = NewTable {
            schema: Arc::clone(&rows.schema),
            options: Default::default(),
            commit,
        };
        table
            .create(&new)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::TableExists => exists(name),
                _ => error,
            })?;
        let what = "cannot write the rows of the new table";
        let written = match rows.rows {
            Rows::Batches(batches) if batches.is_empty() => Ok(()),
            Rows::Batches(batches) => append_rows(&table, batches, of_rows, state.task_ctx())
                .await
                .map_err(|error| error::from_datafusion(what, error)),
            Rows::Query(query) => append_query(place, &table, *query, of_rows).await,
            Rows::None(_) => Ok(()),
        };
        let Err(error) = written else { return Ok(()) };
        // Elsewhere than on the local disk others may see the empty table, and use it.
        let untouched = place.local.is_none() && error.kind() != ErrorKind::CommitUnknown;
        if untouched
            && let Ok(newest) = table.newest().await
            && newest.record.operation() == Operation::Create
            && let Err(left) = table.drop_log_at(Some(newest.version)).await
        {
            log::warn!("table '{name}' stays behind, empty: {left}");
        }
        Err(error)
    }

    pub(super) async fn folders(&self, place: &Location) -> Result<Vec<String>> {
        self.check(place, Access::Read)?;
        let listed = self.store.list_with_delimiter(Some(&place.path)).await;
        let listed =
            listed.map_err(|error| explain(format!("cannot list {}", place.shown()), error))?;
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
    rename_folder(from, to).map_err(|error| match to.exists() {
        true => exists(name),
        false => storage(format!("cannot create table '{name}'"), error),
    })?;
    sync_rename(from, to)
}

pub(super) fn storage(
    what: String,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(ErrorKind::Storage, what).with_source(error)
}

/// What a table that could not be made durable comes to when it is removed again.
fn unmade(name: &str, error: &Error) -> Error {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    Error::new(
        ErrorKind::Storage,
        format!("cannot create table '{name}', nothing was made: {cause}"),
    )
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
