//! Dropped tables of a local warehouse: which there are, how they come back, how they go.
//!
//! | | step | a crash here leaves |
//! |---|---|---|
//! | undrop | end the transactions of the table | a dropped table |
//! | | one rename to its name; sync both directories | the table |
//! | purge | one rename to a name that nobody looks for | a dropped table no more; its files are a leftover |
//! | | delete | some files, which go a day later |
//!
//! The source of both renames is one name, so of an undrop and a purge at once, or of two undrops,
//! one wins.

use std::fs;
use std::io;
use std::path::Path as LocalPath;

use atio_core::storage::{Durability, blocking, make_all, rename_folder, sync_rename};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::dropped_folder::{self, DROPPED_SCHEMA, DroppedFolder};
use super::leftovers::{DROPPING, LEFTOVER_AGE, remove_aside, remove_leftovers};
use super::managed::{Warehouse, check_name, storage};
use super::policy::Access;
use crate::error::{Error, ErrorKind, Result};
use crate::table::{DroppedTable, PurgeOptions, PurgedTable, UndropOptions};

/// A schema may be dropped or made while a table comes back; then it is looked for again.
const ATTEMPTS: u32 = 10;

impl Warehouse {
    /// Fails unless a dropped table of `schema` may be looked for, or brought back, there.
    pub(super) fn check_keeps(&self, schema: &str, table: &str, access: Access) -> Result<()> {
        check_name("schema", schema)?;
        check_name("table", table)?;
        self.check(&self.place(schema, table), access)?;
        match self.location.local {
            Some(_) => Ok(()),
            None => Err(Error::unsupported(format!(
                "{} is on an object store, where a DROP is final: nothing of a dropped table is kept there",
                self.location.shown()
            ))),
        }
    }

    /// All dropped tables that can come back, those of one name together and the newest first;
    /// none on an object store. Those are left out that the policy of the session hides.
    pub(super) async fn dropped(&self) -> Result<Vec<DroppedFolder>> {
        let Some(root) = &self.location.local else {
            return Ok(Vec::new());
        };
        let mut schemas = self.schemas().await?;
        let listed = dropped_folder::names(root)
            .map_err(|error| storage(format!("cannot list {}", self.location.shown()), error))?;
        let gone = listed
            .iter()
            .filter_map(|name| name.strip_prefix(DROPPED_SCHEMA));
        schemas.extend(
            gone.filter(|name| check_name("schema", name).is_ok())
                .map(str::to_owned),
        );
        schemas.sort_unstable();
        schemas.dedup();
        let mut all = Vec::new();
        for schema in &schemas {
            match self.dropped_in(schema) {
                Err(error) if error.kind() == ErrorKind::NotAllowed => log::debug!("{error}"),
                found => all.extend(found?),
            }
        }
        all.sort_by(|a, b| {
            let by_name = (&a.schema, &a.table).cmp(&(&b.schema, &b.table));
            by_name.then(b.id.cmp(&a.id))
        });
        Ok(all)
    }

    /// The dropped tables of a schema, in no order.
    fn dropped_in(&self, schema: &str) -> Result<Vec<DroppedFolder>> {
        let mut all: Vec<DroppedFolder> = Vec::new();
        // In this order: DROP SCHEMA moves them from the first to the second.
        for folder in [schema.to_owned(), format!("{DROPPED_SCHEMA}{schema}")] {
            let folder = self.location.child(&folder);
            self.check(&folder, Access::Read)?;
            let found = DroppedFolder::in_folder(&folder, schema)?;
            all.retain(|dropped| found.iter().all(|again| again.id != dropped.id));
            all.extend(
                found
                    .into_iter()
                    .filter(|dropped| check_name("table", &dropped.table).is_ok()),
            );
        }
        Ok(all)
    }

    /// Those that were dropped as `table`, the newest first, or the one with this id; fails if
    /// there is none.
    fn dropped_as(
        &self,
        schema: &str,
        table: &str,
        id: Option<&str>,
    ) -> Result<Vec<DroppedFolder>> {
        let mut all = self.dropped_in(schema)?;
        all.retain(|dropped| dropped.table == table);
        all.sort_by_key(|dropped| std::cmp::Reverse(dropped.id));
        if all.is_empty() {
            return Err(Error::new(
                ErrorKind::TableNotFound,
                format!(
                    "no dropped table '{table}' of schema '{schema}' is kept: it was never dropped, has come back, was purged, or was dropped more than seven days ago; SELECT * FROM atio_dropped() lists those that are"
                ),
            ));
        }
        let Some(id) = id else { return Ok(all) };
        let found = Uuid::try_parse(id).ok();
        let found = found.and_then(|id| all.iter().find(|dropped| dropped.id == id));
        found.map(|dropped| vec![dropped.clone()]).ok_or_else(|| {
            let ids: Vec<_> = all.iter().map(|dropped| dropped.id.simple().to_string()).collect();
            Error::new(
                ErrorKind::TableNotFound,
                format!(
                    "no dropped table '{table}' of schema '{schema}' has the id '{}'; the ids of those that are kept are {}",
                    id.escape_debug(),
                    ids.join(", ")
                ),
            )
        })
    }

    /// Brings a dropped table back.
    pub(super) async fn undrop(
        &self,
        schema: &str,
        table: &str,
        options: &UndropOptions,
    ) -> Result<DroppedTable> {
        let name = options.new_name.as_deref().unwrap_or(table);
        self.check_keeps(schema, table, Access::Create)?;
        check_name("table", name)?;
        let place = self.place(schema, name);
        self.check(&place, Access::Create)?;
        let mut dropped = newest(self.dropped_as(schema, table, options.id.as_deref())?)?;
        for _ in 0..ATTEMPTS {
            if self.has_table(schema, name).await? {
                return Err(taken(&dropped, name));
            }
            // None of them may commit once this name leads to the table again (A9).
            self.unopened(&dropped.place).end_transactions().await?;
            let (Some(from), Some(to)) = (&dropped.place.local, &place.local) else {
                break;
            };
            let Err(error) = rename_folder(from, to) else {
                self.handle(&place)?.forget();
                // A power failure must not take it away again.
                sync_rename(from, to)?;
                remove_if_empty(from.parent());
                return Ok(dropped.shown());
            };
            match to.parent() {
                _ if fs::symlink_metadata(from).is_err() => {}
                Some(above) if !above.exists() => self.create_schema(schema).await?,
                _ if fs::symlink_metadata(to).is_ok() => {
                    return Err(match self.has_table(schema, name).await? {
                        true => taken(&dropped, name),
                        false => in_the_way(&dropped, name, place.shown()),
                    });
                }
                _ => {
                    let what = format!("{} cannot come back", dropped.words());
                    return Err(storage(what, error));
                }
            }
            // A DROP SCHEMA may have moved it. Who else dropped this name meanwhile did not mean
            // this call.
            let id = dropped.id.simple().to_string();
            dropped = match self.dropped_as(schema, table, Some(&id)) {
                Err(error) if error.kind() == ErrorKind::TableNotFound => break,
                found => newest(found?)?,
            };
        }
        Err(gone(&dropped))
    }

    /// Deletes what was dropped as `table`, unless it is a dry run.
    pub(super) async fn purge(
        &self,
        schema: &str,
        table: &str,
        options: &PurgeOptions,
    ) -> Result<Vec<PurgedTable>> {
        let access = purge_access(options.dry_run);
        self.check_keeps(schema, table, access)?;
        let all = self.dropped_as(schema, table, options.id.as_deref())?;
        for dropped in &all {
            self.check_purgeable(dropped, access).await?;
        }
        let (mut purged, mut taken) = (Vec::new(), None);
        for dropped in &all {
            let purge = async {
                let bytes = self.bytes(dropped).await?;
                let deleted = !options.dry_run && self.purge_one(dropped).await?;
                Ok::<_, Error>((bytes, deleted))
            };
            match purge.await {
                Ok((bytes, deleted)) => purged.push(PurgedTable {
                    table: dropped.shown(),
                    bytes,
                    deleted,
                }),
                // Another process brought it back or purged it meanwhile.
                Err(error) if error.kind() == ErrorKind::TableNotFound => taken = Some(error),
                Err(error) => return Err(error),
            }
        }
        match taken {
            Some(error) if purged.is_empty() => Err(error),
            _ => Ok(purged),
        }
    }

    /// Fails if what somebody put there would be deleted, too.
    async fn check_purgeable(&self, dropped: &DroppedFolder, access: Access) -> Result<()> {
        self.check(&dropped.place, access)?;
        match self.unopened(&dropped.place).foreign().await? {
            None => Ok(()),
            Some(foreign) => Err(Error::invalid(format!(
                "{} is not purged: its directory {} holds '{}', which atio did not make; move it away first",
                dropped.words(),
                dropped.place.shown(),
                foreign.escape_debug()
            ))),
        }
    }

    async fn bytes(&self, dropped: &DroppedFolder) -> Result<u64> {
        let Some(path) = dropped.place.local.clone() else {
            return Ok(0);
        };
        let counted = blocking(move || dropped_folder::bytes(&path)).await;
        counted.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => gone(dropped),
            _ => storage(format!("cannot look at {}", dropped.place.shown()), error),
        })
    }

    /// Deletes a dropped table; false if files stay behind where nobody looks.
    async fn purge_one(&self, dropped: &DroppedFolder) -> Result<bool> {
        let Some(path) = &dropped.place.local else {
            return Ok(false);
        };
        let aside = path.with_file_name(format!("{DROPPING}{}", Uuid::new_v4().simple()));
        // From here on nobody can bring it back: so none comes back without some of its files.
        rename_folder(path, &aside).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => gone(dropped),
            _ => storage(format!("cannot purge {}", dropped.place.shown()), error),
        })?;
        let removed = blocking(move || Ok(remove_aside(&aside))).await;
        remove_if_empty(path.parent());
        Ok(removed.unwrap_or_default())
    }

    /// Deletes all tables of the warehouse that were dropped more than seven days ago, and what a
    /// crash left of others. What cannot be deleted stays, and the log says so.
    pub(super) async fn purge_old(&self, now: DateTime<Utc>) {
        let all = self.dropped().await;
        self.purge_if_old(all, now).await;
        let Some(root) = &self.location.local else {
            return;
        };
        let listed = dropped_folder::names(root).unwrap_or_default();
        for name in listed
            .iter()
            .filter(|name| name.starts_with(DROPPED_SCHEMA))
        {
            remove_leftovers(&root.join(name), LEFTOVER_AGE);
            remove_if_empty(Some(&root.join(name)));
        }
    }

    /// The same of one schema's tables.
    pub(super) async fn purge_old_in(&self, schema: &str, now: DateTime<Utc>) {
        self.purge_if_old(self.dropped_in(schema), now).await;
    }

    async fn purge_if_old(&self, all: Result<Vec<DroppedFolder>>, now: DateTime<Utc>) {
        let all = all.unwrap_or_else(|error| {
            log::warn!("what was dropped long ago is not deleted: {error}");
            Vec::new()
        });
        for dropped in &all {
            let purged = async {
                self.check_purgeable(dropped, Access::Create).await?;
                self.purge_one(dropped).await
            };
            if dropped.is_old(now)
                && let Err(error) = purged.await
            {
                log::warn!("{} stays: {error}", dropped.words());
            }
        }
    }

    /// Moves the dropped tables of a schema that is being dropped to where they can come back
    /// from without it.
    pub(super) fn keep_dropped(&self, schema: &str) -> Result<()> {
        let all = DroppedFolder::in_folder(&self.location.child(schema), schema)?;
        let folder = self.location.child(&format!("{DROPPED_SCHEMA}{schema}"));
        let Some(path) = folder.local.as_ref().filter(|_| !all.is_empty()) else {
            return Ok(());
        };
        self.check(&folder, Access::Create)?;
        for dropped in all {
            let to = DroppedFolder::new(&folder, schema, &dropped.table, dropped.id);
            let (Some(from), Some(to)) = (&dropped.place.local, &to.place.local) else {
                continue;
            };
            move_into(path, from, to).map_err(|error| {
                storage(
                    format!(
                        "schema '{schema}' is not dropped: {} cannot be kept without it; bring it back, or purge it",
                        dropped.words()
                    ),
                    error,
                )
            })?;
            sync_rename(from, to)?;
        }
        Ok(())
    }
}

/// Renames `from` to `to`, which lies in `folder`, unless somebody has taken it away. Who brings the
/// last table back removes the folder.
fn move_into(folder: &LocalPath, from: &LocalPath, to: &LocalPath) -> io::Result<()> {
    let mut attempt = 1;
    loop {
        make_all(folder, Durability::Full, &mut Vec::new())?;
        match rename_folder(from, to) {
            Err(_) if fs::symlink_metadata(from).is_err() => return Ok(()),
            Err(error) if attempt < ATTEMPTS && error.kind() == io::ErrorKind::NotFound => {
                attempt += 1;
            }
            renamed => return renamed,
        }
    }
}

/// What a purge does to a table.
pub(super) fn purge_access(dry_run: bool) -> Access {
    match dry_run {
        true => Access::Read,
        false => Access::Create,
    }
}

fn newest(all: Vec<DroppedFolder>) -> Result<DroppedFolder> {
    let newest = all.into_iter().next();
    newest.ok_or_else(|| Error::new(ErrorKind::TableNotFound, "no dropped table is kept"))
}

/// The table was there a moment ago.
fn gone(dropped: &DroppedFolder) -> Error {
    Error::new(
        ErrorKind::TableNotFound,
        format!(
            "{} is not there any more: somebody else has brought it back or purged it just now",
            dropped.words()
        ),
    )
}

fn taken(dropped: &DroppedFolder, name: &str) -> Error {
    let DroppedFolder { schema, table, .. } = dropped;
    Error::new(
        ErrorKind::TableExists,
        format!(
            "{} cannot come back as '{name}': there is a table '{name}' in schema '{schema}' already; drop that one first, which can be undone as well, or give this one another name, as in atio_undrop('{table}', new_name => '{table}_2')",
            dropped.words()
        ),
    )
}

fn in_the_way(dropped: &DroppedFolder, name: &str, place: &str) -> Error {
    Error::invalid(format!(
        "{} cannot come back as '{name}': {place} is there and is no table; move it away, or give the table another name by new_name",
        dropped.words()
    ))
}

/// Removes the place of dropped tables of a dropped schema with the last of them. The directory of a
/// schema stays.
fn remove_if_empty(folder: Option<&LocalPath>) {
    let of_dropped = |folder: &&LocalPath| {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(DROPPED_SCHEMA))
    };
    if let Some(folder) = folder.filter(of_dropped) {
        fs::remove_dir(folder).ok();
    }
}
