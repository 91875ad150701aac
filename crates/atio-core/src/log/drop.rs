//! Dropping a table where a directory cannot be renamed: a terminal record first, so that
//! no writer can commit any more, then the objects, then tombstones.

use std::sync::Arc;

use super::commit::announce;
use super::draft::Draft;
use super::resolve::{Outcome, create_record};
use super::snapshot::Snapshot;
use super::table::Table;
use super::transaction::Transaction;
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{self, Kind};
use crate::format::{CommitRecord, Operation, Version};

/// How often a drop that loses the race tries again.
const ATTEMPTS: u32 = 100;

impl Table {
    /// Drops the table: commits the end of its log and deletes its objects.
    ///
    /// The log stays as tombstones, so that its numbers are never used twice. If deleting
    /// fails half way the table is gone all the same; what is left is swept by the expiry of
    /// a table that is made here later.
    ///
    /// With `only_at`, nothing is dropped if that is not the newest version any more.
    pub async fn drop_log_at(&self, only_at: Option<Version>) -> Result<()> {
        let txn = Transaction::begin(self);
        let dropped = self.drop_log_of(&txn, only_at).await;
        txn.end(&dropped).await;
        dropped
    }

    async fn drop_log_of(&self, txn: &Transaction, only_at: Option<Version>) -> Result<()> {
        let (record, objects) = self.commit_drop(txn, only_at).await?;
        announce(txn, &record).await;
        self.forget();
        let deleted = self
            .objects
            .delete_all(&objects)
            .await
            .into_iter()
            .collect();
        self.bury(txn, &record).await?;
        deleted
    }

    /// Commits the end of the log; gives its record and the objects that go with the table.
    ///
    /// They are listed before: after the record somebody may make another table here.
    async fn commit_drop(
        &self,
        txn: &Transaction,
        only_at: Option<Version>,
    ) -> Result<(CommitRecord, Vec<String>)> {
        for attempt in 0..ATTEMPTS {
            let objects = self.droppable().await?;
            let base: Arc<Snapshot> = self.newest().await?;
            if only_at.is_some_and(|version| version != base.version) {
                break;
            }
            let mut record =
                self.next_record(txn.id(), &base, Draft::same_state(Operation::Drop))?;
            record.refs = None;
            record.removed = base.totals();
            record.last_expire = Some(record.version_id);
            // Itself too: a table that is made here later begins above it.
            record.expired = vec![(Version::ZERO, record.version_id)];
            match create_record(self, txn, &record).await? {
                Outcome::Committed => return Ok((record, objects)),
                Outcome::Conflict(_) => tokio::time::sleep(super::commit::pause(attempt)).await,
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "cannot drop '{}': other writers kept coming first; nothing was deleted",
                self.name()
            ),
        ))
    }

    async fn droppable(&self) -> Result<Vec<String>> {
        let listed = self.list_staged().await?.into_iter();
        let ours = listed.filter(|object| {
            layout::parse(&object.path)
                .is_some_and(|object| !matches!(object.kind, Kind::Record(_)))
        });
        Ok(ours.map(|object| object.path).collect())
    }

    async fn bury(&self, txn: &Transaction, drop: &CommitRecord) -> Result<()> {
        let Some(last) = drop.version_id.previous() else {
            return Ok(());
        };
        for version in self.versions(last).await? {
            // One that cannot be read keeps its number taken all the same.
            let Ok(record) = self.record(version).await else {
                continue;
            };
            let at_us = drop.committed_at_us;
            let Some(tombstone) = record.tombstone("dropped", drop.version_id, drop.table, at_us)
            else {
                continue;
            };
            txn.replace(&layout::record(version), tombstone.to_bytes()?.into())
                .await?;
        }
        Ok(())
    }
}
