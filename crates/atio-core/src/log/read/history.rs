//! What became of a table, version by version.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures::StreamExt;

use crate::error::{ErrorKind, Result};
use crate::format::StoredRecord;
use crate::format::refs::RefsFile;
use crate::format::{Operation, Record, Totals, Txn, Version};
use crate::log::python;
use crate::log::read::gone::says_gone;
use crate::log::read::snapshot::{Snapshot, in_ranges};
use crate::log::table::Table;

/// How many records are read at once.
pub(in crate::log) const PARALLEL: usize = 64;

/// One version, as its record tells it.
///
/// ```
/// fn show(entry: &atio_core::log::HistoryEntry) -> String {
///     let message = entry.message.as_deref().unwrap_or_default();
///     format!("{} {} {message}", entry.version, entry.operation)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    /// Its number.
    pub version: Version,
    /// When it was committed, as its record says; None if that cannot be read any more.
    pub committed_at: Option<DateTime<Utc>>,
    /// What made it.
    pub operation: String,
    /// What it added; None if that is not known.
    pub added: Option<Totals>,
    /// What it removed; None if that is not known.
    pub removed: Option<Totals>,
    /// The state after it; None where Python wrote it, where its record is lost, and where that cannot be
    /// known because of what is lost or damaged above it.
    pub totals: Option<Totals>,
    /// The version whose state it continues.
    pub parent: Option<Version>,
    /// What its writer said.
    pub message: Option<String>,
    /// What its writer noted.
    pub properties: BTreeMap<String, String>,
    /// The idempotency key that it was committed with.
    pub key: Option<String>,
    /// The names that it has at the newest version; None where they cannot be read.
    pub tags: Option<Vec<String>>,
    /// The transaction that committed it; None for Python's.
    pub txn: Option<Txn>,
    /// False once it has expired, and where its record is damaged.
    pub readable: bool,
}

impl Table {
    /// All versions of the table, oldest first, expired ones included.
    pub async fn history(&self) -> Result<Vec<HistoryEntry>> {
        self.last_versions(u64::MAX).await
    }

    /// The newest `limit` versions of the table, oldest first, expired ones included. The records
    /// of those below are not read.
    pub async fn last_versions(&self, limit: u64) -> Result<Vec<HistoryEntry>> {
        let newest = self.newest().await?;
        match self.history_up_to(&newest, limit).await {
            Err(error) => Err(self.or_gone(&newest, error).await),
            entries => entries,
        }
    }

    async fn history_up_to(&self, newest: &Snapshot, limit: u64) -> Result<Vec<HistoryEntry>> {
        let python = python::python_times(self, newest.version).await?;
        let versions = self.versions(newest.version).await?;
        let versions = versions.filter(|version| {
            let above = newest.version.get() - version.get();
            above < limit
        });
        let read = futures::stream::iter(versions)
            .map(|version| async move { (version, self.record(version).await) });
        let records: Vec<_> = read.buffered(PARALLEL).collect().await;
        let mut entries = Vec::with_capacity(records.len());
        let mut lost = BTreeSet::new();
        for (version, record) in records {
            entries.push(match record {
                Ok(record) => {
                    if record.is_lost() {
                        lost.insert(version);
                    }
                    let expired = in_ranges(&newest.expired, version);
                    entry(&record, python.get(&version).copied(), expired)
                }
                // A record that could not be fetched may be whole.
                Err(error) if error.kind() == ErrorKind::Storage => return Err(error),
                Err(error) => match self.or_gone(newest, error).await {
                    gone if says_gone(&gone) => return Err(gone),
                    error => damaged(version, error.to_string()),
                },
            });
        }
        // A table that was dropped and created again begins at its newest creation.
        if let Some(created) = entries
            .iter()
            .rposition(|entry| entry.operation == Operation::Create.word())
        {
            entries.drain(..created);
        }
        match self.refs(newest).await {
            Ok(refs) => name(&mut entries, refs),
            Err(error) if error.kind() == ErrorKind::Storage || says_gone(&error) => {
                return Err(error);
            }
            Err(error) => {
                ::log::warn!("the tags of '{}' cannot be read: {error}", self.name());
                entries.iter_mut().for_each(|entry| entry.tags = None);
            }
        }
        self.sum_up(newest, &mut entries, &lost).await?;
        Ok(entries)
    }

    /// Says what the state after each version was, from the newest down: what a version changed tells
    /// the state below it. Below a gap the next version that can be read tells its own.
    async fn sum_up(
        &self,
        newest: &Snapshot,
        entries: &mut [HistoryEntry],
        lost: &BTreeSet<Version>,
    ) -> Result<()> {
        let mut after = Some(newest.totals());
        for entry in entries.iter_mut().rev() {
            // What follows a lost version goes on from the one below that.
            if lost.contains(&entry.version) {
                after = None;
                continue;
            }
            let of_atio = entry.txn.is_some();
            if after.is_none() && entry.readable && of_atio {
                after = self.totals_of(newest, entry.version).await?;
            }
            entry.totals = after;
            after = before(after, entry);
        }
        Ok(())
    }

    /// The state after a version, as its snapshot says; None if that is damaged.
    async fn totals_of(&self, newest: &Snapshot, version: Version) -> Result<Option<Totals>> {
        let found = self.older(version, newest.version, &newest.expired).await;
        match found {
            Ok(found) => Ok(Some(found.totals())),
            Err(error) if error.kind() == ErrorKind::Storage => Err(error),
            Err(error) => match self.or_gone(newest, error).await {
                gone if says_gone(&gone) => Err(gone),
                _ => Ok(None),
            },
        }
    }
}

fn entry(record: &StoredRecord, python_time: Option<i64>, expired: bool) -> HistoryEntry {
    let mut entry = HistoryEntry {
        version: record.version(),
        committed_at: python_time.and_then(DateTime::from_timestamp_micros),
        operation: record.operation().word().to_owned(),
        added: None,
        removed: None,
        totals: None,
        parent: None,
        message: None,
        properties: BTreeMap::new(),
        key: record.key().map(str::to_owned),
        tags: Some(Vec::new()),
        txn: record.txn(),
        readable: !expired && !record.is_tombstone(),
    };
    match &record.record {
        Record::Python(_) => {}
        Record::Live(live) => {
            entry.committed_at = DateTime::from_timestamp_micros(live.committed_at_us);
            entry.added = Some(live.added);
            entry.removed = Some(live.removed);
            entry.parent = live.parent;
            entry.message = live.message.clone();
            entry.properties = live.properties.clone();
        }
        Record::Tombstone(tombstone) => {
            entry.committed_at = DateTime::from_timestamp_micros(tombstone.committed_at_us);
            entry.added = tombstone.added;
            entry.removed = tombstone.removed;
            entry.parent = tombstone.parent;
            entry.message = tombstone.message.clone();
            entry.properties = tombstone.properties.clone();
        }
    }
    entry
}

/// Gives each version its tags.
fn name(entries: &mut [HistoryEntry], refs: RefsFile) {
    for (name, tag) in refs.tags {
        let at = entries.binary_search_by_key(&tag.version, |entry| entry.version);
        let entry = at.ok().and_then(|at| entries.get_mut(at));
        if let Some(tags) = entry.and_then(|entry| entry.tags.as_mut()) {
            tags.push(name);
        }
    }
}

fn damaged(version: Version, error: String) -> HistoryEntry {
    HistoryEntry {
        version,
        committed_at: None,
        operation: "damaged".to_owned(),
        added: None,
        removed: None,
        totals: None,
        parent: None,
        message: Some(error),
        properties: BTreeMap::new(),
        key: None,
        tags: Some(Vec::new()),
        txn: None,
        readable: false,
    }
}

/// The state below a version, from the state after it and what it changed.
fn before(after: Option<Totals>, entry: &HistoryEntry) -> Option<Totals> {
    let (after, added, removed) = (after?, entry.added?, entry.removed?);
    let back =
        |after: u64, added: u64, removed: u64| after.checked_add(removed)?.checked_sub(added);
    Some(Totals {
        files: back(after.files, added.files, removed.files)?,
        rows: back(after.rows, added.rows, removed.rows)?,
        bytes: back(after.bytes, added.bytes, removed.bytes)?,
    })
}
