//! Dropping a table where a directory cannot be renamed: a terminal record first, so that
//! no writer can commit any more, then the objects, then tombstones.

use futures::{StreamExt, stream};

use crate::error::{Error, ErrorKind, Result};
use crate::format::intent::Intent;
use crate::format::layout::{self, Kind};
use crate::format::{CommitRecord, Operation, Version};
use crate::log::commit::engine::{self, Ended, On, Planned, Statement};
use crate::log::commit::record::RecordedChange;
use crate::log::commit::transaction::Transaction;
use crate::log::operation::tombstones;
use crate::log::read::history::PARALLEL;
use crate::log::table::Table;

/// The end of a table.
struct Dropping {
    /// Nothing is dropped if another version is the newest.
    only_at: Option<Version>,
    /// What goes with the table. Listed before the record: after it somebody may make another
    /// table here.
    objects: Vec<String>,
}

impl Statement for Dropping {
    fn intent(&self) -> Intent {
        Intent::of(&Operation::Drop)
    }

    fn queues(&self) -> bool {
        false
    }

    async fn plan(&mut self, on: On<'_>) -> Result<Option<Planned>> {
        let base = on.base()?;
        if self.only_at.is_some_and(|version| version != base.version) {
            return Err(on.table.not_dropped());
        }
        self.objects = on.table.droppable().await?;
        let recorded = RecordedChange::same_state(Operation::Drop);
        let mut record = on.table.next_record(on.txn.id(), base, recorded)?;
        record.refs = None;
        // It has no files, and whoever makes a table here later needs to know nothing of them.
        record.features = record.features.followed_by(false).without_vectors();
        record.removed = base.totals();
        record.last_expire = Some(record.version_id);
        // Itself too: a table that is made here later begins above it.
        record.expired = vec![(Version::ZERO, record.version_id)];
        Ok(Some(Planned::alone(record, on.txn.id())))
    }

    fn gave_up(&self, table: &Table, _attempts: u32) -> Error {
        table.not_dropped()
    }
}

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
        let base = self.newest().await?;
        let mut dropping = Dropping {
            only_at,
            objects: Vec::new(),
        };
        let Ended::Committed(record) = engine::commit(self, txn, Some(base), &mut dropping).await?
        else {
            return Err(self.not_dropped());
        };
        self.forget();
        let deleted = self
            .objects
            .delete_all(&dropping.objects)
            .await
            .into_iter()
            .collect();
        self.bury(txn, &record).await?;
        deleted
    }

    fn not_dropped(&self) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "cannot drop '{}': other writers kept coming first; nothing was deleted",
                self.name()
            ),
        )
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
        let records = stream::iter(self.versions(last).await?)
            // One that cannot be read keeps its number taken all the same.
            .map(|version| async move { self.record(version).await.ok() })
            .buffered(PARALLEL);
        let tombstones = records.filter_map(async |record| {
            record?.tombstone("dropped", drop.version_id, drop.table, drop.committed_at_us)
        });
        tombstones::set(txn, tombstones.collect().await).await
    }
}
