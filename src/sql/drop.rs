//! DROP TABLE of a managed table: on a local disk it is set aside, elsewhere it ends.

use std::fs;
use std::io;

use atio_core::storage::{rename_folder, sync_rename};
use chrono::Utc;
use uuid::Uuid;

use super::dropped::Dropped;
use super::kept::Kept;
use super::leftovers::{LEFTOVER_AGE, remove_leftovers};
use super::managed::{Warehouse, check_name, storage};
use super::policy::Access;
use crate::error::{Error, ErrorKind, Result};

impl Warehouse {
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

    /// Removes a table; refuses if others' files are among its own. On a local disk nothing is
    /// deleted but what was dropped more than seven days ago.
    pub(super) async fn drop_table(&self, schema: &str, name: &str) -> Result<Dropped> {
        let place = self.place(schema, name);
        self.check(&place, Access::Create)?;
        self.check_droppable(schema, name).await?;
        let table = self.handle(&place)?;
        let kept = Kept::new(&self.location.child(schema), schema, name, Uuid::now_v7());
        let (Some(path), Some(aside)) = (&place.local, &kept.place.local) else {
            table.drop_log_at(None).await?;
            return Ok(Dropped::ForGood);
        };
        // One rename: a writer that is under way finds nothing to commit to (A9).
        rename_folder(path, aside).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(
                ErrorKind::TableNotFound,
                format!(
                    "table '{name}' in schema '{schema}' was dropped by somebody else just now"
                ),
            ),
            _ => storage(format!("cannot drop table '{name}'"), error),
        })?;
        table.forget();
        // A power failure must not bring it back.
        sync_rename(path, aside)?;
        if let Some(schema) = path.parent() {
            remove_leftovers(schema, LEFTOVER_AGE);
        }
        self.purge_old(Utc::now().timestamp_micros()).await;
        Ok(Dropped::Kept(kept.shown()))
    }
}
