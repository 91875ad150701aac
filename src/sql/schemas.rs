//! Schemas of a warehouse: directories, or where a store has none, markers.

use std::fs;
use std::time::Duration;

use atio_core::storage::{explain, make_folders};
use object_store::{ObjectStore, ObjectStoreExt};

use super::dropped_folder::DROPPED;
use super::leftovers::{CREATING, DROPPING, remove_leftovers};
use super::managed::{Warehouse, check_name};
use super::policy::Access;
use crate::error::{Error, ErrorKind, Result};

/// Marks a directory as a schema where a store has no directories.
const SCHEMA_MARKER: &str = ".atio_schema";

impl Warehouse {
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
            listed.map_err(|error| explain(format!("cannot look at schema '{schema}'"), error))?;
        Ok(listed
            .objects
            .iter()
            .any(|object| object.location == marker))
    }

    pub(super) async fn has_schema(&self, schema: &str) -> Result<bool> {
        Ok(self.schemas().await?.iter().any(|name| name == schema))
    }

    pub(super) async fn create_schema(&self, schema: &str) -> Result<()> {
        let place = self.location.child(schema);
        self.check(&place, Access::Create)?;
        self.unopened(&place).check_outside_of_tables().await?;
        if let Some(path) = &place.local {
            return make_folders(path);
        }
        let marker = place.path.join(SCHEMA_MARKER);
        let put = self.store.put(&marker, Vec::new().into()).await;
        put.map(drop)
            .map_err(|error| explain(format!("cannot create schema '{schema}'"), error))
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
            listed.map_err(|error| explain(format!("cannot look at schema '{schema}'"), error))?;
        let hidden = |name: &str| {
            [CREATING, DROPPING, DROPPED]
                .iter()
                .any(|ours| name.starts_with(ours))
        };
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

    /// Removes the directory of a schema that has no tables. Those that were dropped can still
    /// come back.
    pub(super) async fn drop_schema(&self, schema: &str) -> Result<()> {
        let place = self.location.child(schema);
        self.check(&place, Access::Create)?;
        let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Storage, format!("cannot drop schema '{schema}'"))
                .with_source(error)
        };
        match &place.local {
            Some(path) => {
                remove_leftovers(path, Duration::ZERO);
                self.keep_dropped(schema)?;
                let marker = path.join(SCHEMA_MARKER);
                if marker.exists() {
                    fs::remove_file(marker).map_err(|error| cannot(error.into()))?;
                }
                fs::remove_dir(path).map_err(|error| cannot(error.into()))
            }
            None => {
                let marker = place.path.join(SCHEMA_MARKER);
                let deleted = self.store.delete(&marker).await;
                deleted.map_err(|error| explain(format!("cannot drop schema '{schema}'"), error))
            }
        }
    }
}
