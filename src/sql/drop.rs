//! DROP TABLE of a managed table: on a local disk it is set aside, elsewhere it ends.

use std::fs;
use std::io;

use atio_core::storage::{rename_folder, sync_rename};
use chrono::Utc;
use datafusion::prelude::SessionContext;
use uuid::Uuid;

use super::dropped_folder::DroppedFolder;
use super::leftovers::{LEFTOVER_AGE, remove_leftovers};
use super::location::Location;
use super::managed::{Warehouse, check_name, storage};
use super::policy::{Access, AtioPolicy};
use crate::error::{Error, ErrorKind, Result};
use crate::table::{AtioTable, Dropped};

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
        let dropped = self.drop_one(schema, name).await?;
        if self.location.local.is_some() {
            self.purge_old(Utc::now()).await;
        }
        Ok(dropped)
    }

    async fn drop_one(&self, schema: &str, name: &str) -> Result<Dropped> {
        let place = self.place(schema, name);
        self.check(&place, Access::Create)?;
        self.check_droppable(schema, name).await?;
        let table = self.handle(&place)?;
        let dropped =
            DroppedFolder::new(&self.location.child(schema), schema, name, Uuid::now_v7());
        let (Some(path), Some(aside)) = (&place.local, &dropped.place.local) else {
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
        Ok(Dropped::Kept(dropped.shown()))
    }
}

impl AtioTable {
    /// Drops the table, as `DROP TABLE` does in a catalog, wherever it is and whoever made it.
    ///
    /// On a local disk it is set aside for seven days, with all its versions, in the directory that
    /// it was in. A catalog over the directory above that one lists it, brings it back, or deletes
    /// it at once: [`dropped_tables`](crate::AtioCatalog::dropped_tables),
    /// [`undrop_table`](crate::AtioCatalog::undrop_table) and
    /// [`purge_table`](crate::AtioCatalog::purge_table). After seven days the next drop in the same
    /// directory deletes it. On an object store **a drop is final**.
    ///
    /// Names by which sessions know the table stay, and lead to no table.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "multi_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let data = directory.path().to_str().unwrap_or_default();
    /// use atio::{AtioCatalog, AtioTable, CreateOptions, Dropped, ErrorKind, UndropOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// # let columns = ctx.sql("SELECT 1 AS id").await?.schema().as_arrow().clone();
    /// let location = format!("{data}/shop/sales");
    /// let table = AtioTable::create(&ctx, &location, &columns, CreateOptions::default()).await?;
    /// assert!(matches!(table.drop_table(&ctx).await?, Dropped::Kept(_)));
    /// let gone = table.current_version().await.unwrap_err();
    /// assert_eq!(gone.kind(), ErrorKind::TableNotFound);
    ///
    /// let catalog = AtioCatalog::open(&ctx, data)?;
    /// catalog.undrop_table("shop", "sales", &UndropOptions::default()).await?;
    /// assert_eq!(table.current_version().await?.get(), 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Nothing is dropped then, but for the last two.
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if the table is gone already;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if this is one version of a table, if its
    /// directory holds files that atio did not make, or if no catalog could bring it back, because
    /// the directory or the one that it is in has a name that cannot be that of a table or schema;
    /// [`NotAllowed`](crate::ErrorKind::NotAllowed) if the policy of `ctx` forbids it;
    /// [`Conflict`](crate::ErrorKind::Conflict) if on an object store others keep committing first;
    /// [`CommitUnknown`](crate::ErrorKind::CommitUnknown) if nobody can tell there whether it was
    /// dropped; [`CommitNotDurable`](crate::ErrorKind::CommitNotDurable) if it was dropped, and a
    /// power failure may bring it back.
    pub async fn drop_table(&self, ctx: &SessionContext) -> Result<Dropped> {
        self.check_whole("drop")?;
        let place = Location::parse(self.location())?;
        AtioPolicy::of(&ctx.state()).check(&place, Access::Create)?;
        let table = self.table();
        if place.local.is_none() {
            table.newest().await?;
            table.check_only_ours().await?;
            table.drop_log_at(None).await?;
            return Ok(Dropped::ForGood);
        }
        let (root, schema, name) = place.in_catalog()?.ok_or_else(|| {
            Error::invalid(format!(
                "{} is too close to the root of the disk to be dropped: it could not come back; remove it by hand",
                place.shown()
            ))
        })?;
        check_name("schema", schema).and(check_name("table", name)).map_err(|error| {
            error.context(format!(
                "{} is not dropped, because no catalog could bring it back: rename the directory, or remove it by hand",
                place.shown()
            ))
        })?;
        let warehouse = Warehouse::around(ctx, root)?;
        let dropped = warehouse.drop_one(schema, name).await?;
        // The session may have opened it in other ways too.
        table.forget();
        warehouse.purge_old_in(schema, Utc::now()).await;
        Ok(dropped)
    }
}
