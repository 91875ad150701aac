//! A transaction: everything that one attempt to make a version has staged.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Txn, layout};
use crate::lock::lock;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;
use crate::storage::Output;
use crate::storage::Probe;
use crate::storage::StagingStore;
use crate::storage::{Created, Objects};

/// Where several processes make names with the id of one transaction, each begins to count at a
/// random number below this one. Names have at most 16 digits.
const OTHERS: u64 = 1_000_000_000_000_000;

/// Names and remembers what is staged, and removes it unless it was committed.
#[must_use = "a transaction that is dropped removes what it staged"]
pub struct Transaction {
    id: Txn,
    objects: Objects,
    output: Output,
    probe: Probe,
    store: StagingStore,
    staged: Mutex<Vec<String>>,
    data_files: AtomicU32,
    metadata: AtomicU64,
    shared: bool,
    /// The number of the first snapshot.
    snapshots: u64,
    retries: Arc<AtomicUsize>,
    /// True once what is staged may be part of a version, so that nothing may remove it.
    settled: AtomicBool,
    in_doubt: AtomicBool,
}

impl Transaction {
    /// Begins a transaction on `table`. Nothing is written yet.
    pub fn begin(table: &Table) -> Arc<Self> {
        Self::new(table, Txn::new(Uuid::now_v7()), None)
    }

    /// Goes on with a transaction that others may go on with, too: no name that it makes is one
    /// of theirs.
    pub(in crate::log) fn resume(table: &Table, id: Txn) -> Arc<Self> {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        Self::new(table, id, Some(random % OTHERS))
    }

    /// Numbers begin at 0 where nobody else makes names with this id.
    fn new(table: &Table, id: Txn, shared: Option<u64>) -> Arc<Self> {
        let output = Output::new(&table.objects, id, shared);
        let first = shared.unwrap_or_default();
        Arc::new(Self {
            id,
            objects: table.objects.clone(),
            store: StagingStore::new(output.as_store()),
            output,
            probe: table.probe.clone(),
            staged: Mutex::default(),
            data_files: AtomicU32::new(0),
            metadata: AtomicU64::new(first),
            shared: shared.is_some(),
            snapshots: first,
            retries: Arc::default(),
            settled: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
        })
    }

    /// Its id, which is part of the name of all that it stages.
    pub fn id(&self) -> Txn {
        self.id
    }

    /// How often the commit lost a race and began anew: for who looks on.
    pub fn retries(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.retries)
    }

    /// True if others may commit it, too.
    pub(in crate::log) fn is_shared(&self) -> bool {
        self.shared
    }

    pub(in crate::log) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// The store to write data files to; it begins at the root of the table.
    pub fn store(&self) -> &StagingStore {
        &self.store
    }

    /// Fails unless the store keeps writers apart; every writer asks before it writes.
    pub(crate) async fn check_store(&self) -> Result<()> {
        let try_out = async {
            if self.probe.is_noted(&self.output, &self.objects).await {
                return Ok(());
            }
            let names = Probe::names(self.id);
            lock(&self.staged).extend_from_slice(&names);
            let found = self.probe.try_out(&self.output, &self.objects, &names);
            let found = found.await;
            self.discard(&names).await;
            found
        };
        self.probe.check(try_out).await
    }

    /// A fresh name for a data file, which counts as staged from here on.
    pub async fn data_file(&self) -> Result<String> {
        self.check_store().await?;
        let (seq, random) = self.file_number()?;
        let name = layout::data_file(self.id, seq, random);
        lock(&self.staged).push(name.clone());
        Ok(name)
    }

    /// A fresh name for an object of deletion vectors.
    pub(in crate::log) fn vectors(&self) -> Result<String> {
        let (seq, random) = self.file_number()?;
        Ok(layout::vectors(self.id, seq, random))
    }

    fn file_number(&self) -> Result<(u32, u64)> {
        let seq = self.data_files.fetch_add(1, Ordering::Relaxed);
        if seq >= layout::DATA_FILES_LIMIT {
            return Err(Error::invalid(format!(
                "one statement makes at most {} data files: choose a larger atio.target_file_size",
                layout::DATA_FILES_LIMIT
            )));
        }
        let (_, random) = Uuid::new_v4().as_u64_pair();
        Ok((seq, random))
    }

    /// The next number for a metadata object of this transaction.
    pub(in crate::log) fn seq(&self) -> u64 {
        self.metadata.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of the snapshot of this attempt.
    pub(in crate::log) fn snapshot(&self, attempt: u32) -> u64 {
        self.snapshots + u64::from(attempt)
    }

    /// Makes all that it wrote durable, for whoever commits it; from here on nothing of it is
    /// removed by this process.
    pub(in crate::log) async fn hand_over(&self) -> Result<()> {
        self.output.sync().await?;
        self.settle();
        self.store.abort_uploads().await;
        Ok(())
    }

    /// Writes a metadata object under a name of this transaction.
    pub(crate) async fn stage(&self, name: String, bytes: Bytes) -> Result<()> {
        self.check_store().await?;
        lock(&self.staged).push(name.clone());
        self.output.stage(&name, bytes).await
    }

    /// Where it writes.
    pub(in crate::log) fn output(&self) -> &Output {
        &self.output
    }

    /// Creates an object that others may create too.
    pub(in crate::log) async fn create(&self, name: &str, bytes: Bytes) -> Created {
        self.output.create(name, bytes).await
    }

    /// Writes an object of the table durably, whatever is there.
    pub(in crate::log) async fn replace(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.output.replace(name, bytes, true).await
    }

    /// Makes every commit record that is there durable, whoever wrote it; fails with
    /// [`ErrorKind::CommitNotDurable`](crate::ErrorKind::CommitNotDurable).
    pub(in crate::log) async fn sync_records(&self) -> Result<()> {
        self.output.sync_records().await
    }

    /// Makes what the transaction needs before its first write, so that from here on it can
    /// tell whether the table it writes to is still the same.
    pub(in crate::log) async fn prepare(&self) -> Result<()> {
        self.output.begin().await
    }

    /// Removes objects that turned out not to be needed; what cannot be removed now is an
    /// orphan, which expiry finds.
    pub(in crate::log) async fn discard(&self, names: &[String]) {
        lock(&self.staged).retain(|staged| !names.contains(staged));
        remove(&self.objects, names).await;
    }

    /// Says whether a commit is under way whose outcome is not known: until it is, dropping
    /// the transaction removes nothing.
    pub(in crate::log) fn may_be_committed(&self, yes: bool) {
        self.in_doubt.store(yes, Ordering::Release);
    }

    /// True if somebody else removed what the transaction has for itself alone.
    fn is_gone(&self) -> bool {
        self.output.is_gone()
    }

    /// Why nothing more can be written to a table on a local disk, if so it is: it was dropped
    /// since `base`, perhaps for a while alone, or an expiry took the transaction for abandoned.
    pub async fn stopped(&self, table: &Table, base: &Snapshot) -> Option<Error> {
        let gone = self.is_gone();
        if !gone && self.objects.disk().is_none() {
            return None;
        }
        match table.newest().await {
            Ok(newest) if newest.table == base.table || base.python.is_some() => {
                gone.then(|| table.revoked("an expiry or an undone DROP"))
            }
            Err(error) if error.kind() != ErrorKind::TableNotFound => None,
            _ => Some(table.dropped_meanwhile()),
        }
    }

    /// Ends the transaction as its work ended: what a version may name stays, everything
    /// else goes.
    pub(in crate::log) async fn end<T>(&self, committed: &Result<T>) {
        match committed.as_ref().map_err(Error::kind) {
            Ok(_) => {
                self.settle();
                // What a writer began and gave up.
                self.store.abort_uploads().await;
                self.output.finish(true).await;
            }
            Err(ErrorKind::CommitUnknown | ErrorKind::CommitNotDurable) => self.settle(),
            Err(_) => self.abort().await,
        }
    }

    /// From here on nothing of the transaction is ever removed by it.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
        self.store.close();
    }

    /// Removes everything that was staged. No commit of it was, or can be, made.
    pub async fn abort(&self) {
        if self.in_doubt.load(Ordering::Acquire) {
            // Whoever calls this believes otherwise, but a record may name all of it.
            return self.settle();
        }
        if self.settled.swap(true, Ordering::AcqRel) {
            return;
        }
        self.store.close();
        self.store.abort_uploads().await;
        self.output.forget_files();
        let staged = std::mem::take(&mut *lock(&self.staged));
        remove(&self.objects, &staged).await;
        self.output.finish(false).await;
    }
}

async fn remove(objects: &Objects, names: &[String]) {
    for (name, outcome) in names.iter().zip(objects.delete_all(names).await) {
        if let Err(error) = outcome {
            ::log::warn!("{name} stays behind until expiry finds it: {error}");
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if *self.settled.get_mut() || *self.in_doubt.get_mut() {
            return;
        }
        self.store.close();
        let staged = std::mem::take(&mut *lock(&self.staged));
        let (store, objects) = (self.store.clone(), self.objects.clone());
        let output = self.output.clone();
        let nothing = staged.is_empty() && !store.has_uploads();
        // Without a runtime nobody can wait for the store; expiry finds the orphans.
        if let (false, Ok(runtime)) = (nothing, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                store.abort_uploads().await;
                output.forget_files();
                remove(&objects, &staged).await;
                output.finish(false).await;
            });
        }
    }
}
