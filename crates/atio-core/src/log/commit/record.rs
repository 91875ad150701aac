//! The next commit record, before it is committed.

use chrono::Utc;

use crate::error::{Error, Result};
use crate::format::record::{Features, Previous};
use crate::format::snapshot::State;
use crate::format::{
    Changes, CommitRecord, FORMAT_VERSION, ObjectRef, Operation, Record, TableSchema, Totals, Txn,
    layout,
};
use crate::lock::lock;
use crate::log::commit::options::CommitOptions;
use crate::log::commit::transaction::Transaction;
use crate::log::python;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// The program that wrote a record, for people.
pub(in crate::log) const WRITER: &str = concat!("atio ", env!("CARGO_PKG_VERSION"));

/// The part of a record that tells what changed.
pub(in crate::log) struct RecordedChange {
    pub(in crate::log) operation: Operation,
    pub(in crate::log) changes: Changes,
    pub(in crate::log) added: Totals,
    pub(in crate::log) removed: Totals,
    pub(in crate::log) options: CommitOptions,
}

impl RecordedChange {
    /// A version of the same rows.
    pub(in crate::log) fn same_state(operation: Operation) -> Self {
        Self {
            operation,
            changes: Changes::default(),
            added: Totals::default(),
            removed: Totals::default(),
            options: CommitOptions::default(),
        }
    }
}

impl Table {
    /// The record of a version with the rows of `base`, whose snapshot it shares. If that is
    /// Python's the table is taken over.
    pub(in crate::log) async fn record_of_same_state(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        recorded: RecordedChange,
        attempt: u32,
    ) -> Result<CommitRecord> {
        let Record::Live(live) = &base.record.record else {
            let state = python::stage(txn, base, base, true).await?;
            return self
                .record_of_state(txn, base, (&state, &base.schema), recorded, attempt)
                .await;
        };
        let mut record = self.next_record(txn.id(), base, recorded)?;
        record.snapshot = live.snapshot.clone();
        record.snapshot_filename = live.snapshot_filename.clone();
        Ok(record)
    }

    /// The record above `base` of a version with another state, whose snapshot it stages.
    pub(in crate::log) async fn record_of_state(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        (state, schema): (&State, &TableSchema),
        recorded: RecordedChange,
        attempt: u32,
    ) -> Result<CommitRecord> {
        let mut record = self.next_record(txn.id(), base, recorded)?;
        let bytes = state.to_bytes(record.committed_at_us)?;
        let path = layout::snapshot(
            record.committed_at_us / 1000,
            txn.id(),
            txn.snapshot(attempt),
        );
        record.snapshot_filename = state.python_may_read(schema).then(|| path.clone());
        record.features = record.features.followed_by(state.has_vectors());
        let object = ObjectRef::of(path.clone(), &bytes);
        record.snapshot = Some(object.clone());
        txn.stage(path, bytes.into()).await?;
        *lock(&self.staged) = Some((object, state.clone()));
        Ok(record)
    }

    /// Fails where this release may not commit on `base`, for who wants to know before there is
    /// anything to commit.
    pub fn check_writable(&self, base: &Snapshot) -> Result<()> {
        check_features(base)
    }

    /// The record one above `base`, complete but for its snapshot.
    pub(in crate::log) fn next_record(
        &self,
        txn: Txn,
        base: &Snapshot,
        recorded: RecordedChange,
    ) -> Result<CommitRecord> {
        check_features(base)?;
        let now = Utc::now().timestamp_micros();
        if now <= base.committed_at_us {
            ::log::warn!(
                "'{}': this computer's clock is behind version {}",
                self.name(),
                base.version
            );
        }
        let after_base = base.committed_at_us.checked_add(1).ok_or_else(|| {
            self.explain(Error::damaged(format!(
                "version {} says that it is from the end of time",
                base.version
            )))
        })?;
        let (refs, features) = match &base.record.record {
            Record::Live(live) => (live.refs.clone(), live.features.clone()),
            _ => (None, Features::default()),
        };
        let table = match base.python {
            Some(_) => uuid::Uuid::now_v7(),
            None => base.table,
        };
        Ok(CommitRecord {
            version_id: base.version.next()?,
            snapshot_filename: None,
            format_version: FORMAT_VERSION,
            features,
            table,
            txn,
            previous: Some(Previous {
                version: base.version,
                txn: base.txn(),
                checksum: base.record.checksum,
            }),
            parent: Some(base.version),
            committed_at_us: now.max(after_base),
            operation: recorded.operation,
            snapshot: None,
            refs,
            last_expire: base.record.last_expire(),
            changes: recorded.changes,
            added: recorded.added,
            removed: recorded.removed,
            message: recorded.options.message,
            properties: recorded.options.properties,
            key: recorded.options.idempotency_key,
            writer: WRITER.to_owned(),
            expired: Vec::new(),
            revoked: Vec::new(),
        })
    }
}

/// Refuses to commit on a version whose features this release could break (B2).
pub(in crate::log) fn check_features(base: &Snapshot) -> Result<()> {
    let Record::Live(live) = &base.record.record else {
        return Ok(());
    };
    match live.features.unknown_to_writer() {
        None => Ok(()),
        Some(feature) => Err(Error::unsupported(format!(
            "version {} needs writers to know the feature '{}', which this release does not: upgrade to write",
            base.version,
            feature.escape_debug()
        ))),
    }
}
