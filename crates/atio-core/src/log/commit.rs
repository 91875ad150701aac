//! Committing a change: stage what names it, create the record, and if another came first,
//! build anew on it or say who won.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::adopt;
use super::advance::{self, Advance};
use super::commit_options::CommitOptions;
use super::draft::Draft;
use super::merge::{self, StagedMerge};
use super::rebase::Pending;
use super::resolve::{Outcome, create_record};
use super::snapshot::Snapshot;
use super::table::Table;
use super::transaction::Transaction;
use crate::error::{Error, ErrorKind, Result};
use crate::format::snapshot::State;
use crate::format::{
    Changes, CommitRecord, FileEntry, Manifest, ManifestRef, ObjectRef, Operation, Totals, Txn,
    Version, layout, pointer,
};

/// A commit that keeps losing races gives up after this long.
pub(super) const RETRY_FOR: Duration = Duration::from_secs(120);

/// What a statement does to the rows of a table.
#[derive(Debug, Clone)]
pub enum Change {
    /// Adds files; commutes with every other append, unless both take over the same source.
    Append(Manifest, Option<Advance>),
    /// Replaces all files; valid only on the very state that the statement started from.
    Overwrite(Manifest),
}

impl Change {
    /// The files that it adds, written with the schema `schema`.
    pub fn append(schema: u32, stats_ids: Vec<i32>, files: Vec<FileEntry>) -> Self {
        Self::Append(Manifest::new(schema, stats_ids, files), None)
    }

    /// The same append, which takes over a part of a source.
    ///
    /// It is in conflict wherever the source is not where the part begins. An overwrite takes
    /// over nothing.
    pub fn advancing(self, advance: Option<Advance>) -> Self {
        match self {
            Self::Append(manifest, _) => Self::Append(manifest, advance),
            overwrite @ Self::Overwrite(_) => overwrite,
        }
    }

    /// Like [`append`](Self::append), in place of everything that was there.
    pub fn overwrite(schema: u32, stats_ids: Vec<i32>, files: Vec<FileEntry>) -> Self {
        Self::Overwrite(Manifest::new(schema, stats_ids, files))
    }

    fn manifest(&self) -> &Manifest {
        match self {
            Change::Append(manifest, _) | Change::Overwrite(manifest) => manifest,
        }
    }

    fn advance(&self) -> Option<&Advance> {
        match self {
            Change::Append(_, advance) => advance.as_ref(),
            Change::Overwrite(_) => None,
        }
    }

    /// What a version that does the same work carries: the key of this one, or of the load
    /// that it is a part of.
    fn key<'a>(&'a self, options: &'a CommitOptions) -> Option<&'a str> {
        let key = options.idempotency_key.as_deref();
        key.or_else(|| self.advance().and_then(Advance::key))
    }

    fn operation(&self) -> Operation {
        match self {
            Change::Append(..) => Operation::Append,
            Change::Overwrite(_) => Operation::Overwrite,
        }
    }
}

/// How a commit that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It made this version.
    As(Version),
    /// This version was made under the same key before: nothing was written.
    Before(Version),
}

/// Where a commit goes on that lost the race.
enum Rebased {
    On(Arc<Snapshot>),
    /// Nowhere: this version did its work.
    Repeats(Version),
}

impl Table {
    /// Prepares the merges of manifests that are due on `base`: beside the writing of data
    /// files, so that only a statement that has written its files sooner waits for them.
    pub async fn prepare_merges(
        &self,
        txn: &Transaction,
        base: &Snapshot,
    ) -> Result<Vec<StagedMerge>> {
        match merge::stage(self, txn, base).await {
            Err(error) => Err(self.or_dropped(base, error).await),
            staged => staged,
        }
    }

    /// Commits `change`, which was planned on `base`, and gives the version it became, or the
    /// one above `base` that was committed under the same key: whoever asks has looked at those
    /// up to `base`, by [`committed_with`](Self::committed_with).
    ///
    /// `merges` are used as far as nothing that they stand for has changed since (A8).
    ///
    /// Three endings. Ok: the version is there, whole and durable. An error: it is not and
    /// never will be, and what was staged has been removed. [`ErrorKind::CommitUnknown`]:
    /// nobody can tell yet, and nothing was removed. On a failing local disk there is a
    /// fourth, [`ErrorKind::CommitNotDurable`]: it is there until the power fails.
    /// Runs to its end even if the caller stops waiting.
    pub async fn commit(
        self: &Arc<Self>,
        txn: Arc<Transaction>,
        base: Arc<Snapshot>,
        change: Change,
        merges: Vec<StagedMerge>,
        options: CommitOptions,
    ) -> Result<Committed> {
        let table = Arc::clone(self);
        let id = txn.id();
        let commit = async move {
            let mut committed = table
                .commit_in_queue(&txn, Arc::clone(&base), &change, merges, &options)
                .await;
            if let Err(error) = &committed
                && matches!(error.kind(), ErrorKind::Storage | ErrorKind::Conflict)
                && let Some(stopped) = txn.stopped(&table, &base).await
            {
                committed = Err(stopped);
            }
            if let Err(error) = committed {
                committed = Err(table.or_dropped(&base, error).await);
            }
            match committed {
                Ok(Committed::Before(version)) => {
                    txn.abort().await;
                    let key = change.key(&options);
                    table.repeats(version, key, &change.operation()).await?;
                    table.say_repeated(key, version);
                }
                _ => txn.end(&committed).await,
            }
            committed
        };
        self.to_its_end(id, commit).await
    }

    /// Runs a commit to its end, whoever stops waiting for it.
    pub(super) async fn to_its_end<T: Send + 'static>(
        &self,
        id: Txn,
        commit: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let name = self.name();
        match tokio::spawn(commit.in_current_span()).await {
            Ok(committed) => committed,
            Err(error) => Err(Error::new(
                ErrorKind::CommitUnknown,
                format!("the commit to '{name}' was cut off; look for transaction {id} in atio_history to see whether it happened"),
            )
            .with_source(error)),
        }
    }

    /// The newest version, for another append by who committed `version` on `base`.
    ///
    /// Fails if that is of another table, or has other columns.
    pub async fn go_on(&self, base: &Snapshot, version: Version) -> Result<Arc<Snapshot>> {
        let newest = self.newest().await?;
        if newest.schema.id != base.schema.id {
            return Err(self.conflict("its schema was changed", newest.version));
        }
        // Its first commit took over a table of Python's.
        let table = match base.python {
            Some(_) => self.record(version).await?.table(),
            None => Some(base.table),
        };
        match table == Some(newest.table) {
            true => Ok(newest),
            false => Err(self.conflict("the table was dropped and created again", newest.version)),
        }
    }

    async fn commit_in_queue(
        &self,
        txn: &Transaction,
        base: Arc<Snapshot>,
        change: &Change,
        merges: Vec<StagedMerge>,
        options: &CommitOptions,
    ) -> Result<Committed> {
        let staged = self.stage_change(txn, &base, change, merges).await?;
        let _turn = self.queue.lock().await;
        let give_up = Instant::now() + RETRY_FOR;
        let pending = Pending {
            txn: txn.id(),
            key: change.key(options),
            needs_same_state: matches!(change, Change::Overwrite(_)),
        };
        let mut base = base;
        let mut attempt = 0;
        let mut unused = Vec::new();
        // The base may have been passed while the data was written: look before trying.
        if let Some(seen) = self
            .last_seen()
            .filter(|seen| seen.table == base.table && seen.version > base.version)
        {
            base = match self.rebase(&pending, &base, change, seen).await? {
                Rebased::On(base) => base,
                Rebased::Repeats(version) => return Ok(Committed::Before(version)),
            };
        }
        loop {
            let (record, unmerged) = self
                .record_of_change(txn, &base, (change, options), &staged, attempt)
                .await?;
            let version = record.version_id;
            match create_record(self, txn, &record).await? {
                Outcome::Committed => {
                    unused.extend(unmerged);
                    futures::join!(announce(txn, &record), txn.discard(&unused));
                    return Ok(Committed::As(version));
                }
                Outcome::Conflict(winner) if Instant::now() < give_up => {
                    ::log::debug!(
                        "'{}': version {version} went to another writer ({:?})",
                        self.name(),
                        winner.txn()
                    );
                    let newest = self.newest().await?;
                    base = match self.rebase(&pending, &base, change, newest).await? {
                        Rebased::On(base) => base,
                        Rebased::Repeats(version) => return Ok(Committed::Before(version)),
                    };
                    unused.extend(record.snapshot.map(|snapshot| snapshot.path));
                    attempt += 1;
                    txn.count_retry();
                    tokio::time::sleep(pause(attempt)).await;
                }
                Outcome::Conflict(_) => return Err(self.gave_up(attempt)),
            }
        }
    }

    async fn stage_change(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        change: &Change,
        merges: Vec<StagedMerge>,
    ) -> Result<Staged> {
        let manifest = change.manifest();
        let added = match manifest.files.is_empty() {
            true => None,
            false => Some(merge::stage_manifest(txn, manifest).await?),
        };
        let removed = match change {
            Change::Append(..) => None,
            Change::Overwrite(_) => match self.files_to_remove(base).await? {
                Some(files) => self.stage_removed(txn, base, files).await?,
                None => None,
            },
        };
        let adopted = match base.python {
            Some(_) => {
                Some(adopt::stage(txn, base, base, matches!(change, Change::Append(..))).await?)
            }
            None => None,
        };
        Ok(Staged {
            added,
            removed,
            totals: manifest.totals()?,
            merges,
            adopted,
        })
    }

    /// Every file of `base`; None if that is not known.
    pub(super) async fn files_to_remove(&self, base: &Snapshot) -> Result<Option<Vec<FileEntry>>> {
        let manifests = match self.manifests(base).await {
            Ok(manifests) => manifests,
            Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
            Err(error) => {
                // To replace all rows must work where not all of them can be read any more.
                ::log::warn!(
                    "'{}': the files that this commit removes are not known: {error}",
                    self.name()
                );
                return Ok(None);
            }
        };
        let files = manifests.iter().flat_map(|manifest| &manifest.files);
        Ok(Some(files.cloned().collect()))
    }

    /// Writes down files of `base`, which the change removes; None if there is none.
    pub(super) async fn stage_removed(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        files: Vec<FileEntry>,
    ) -> Result<Option<ObjectRef>> {
        let without_stats = |file| FileEntry {
            stats: Vec::new(),
            column_bytes: Vec::new(),
            ..file
        };
        let files: Vec<_> = files.into_iter().map(without_stats).collect();
        if files.is_empty() {
            return Ok(None);
        }
        let bytes = match Manifest::new(base.schema.id, Vec::new(), files).to_bytes() {
            Ok(bytes) => bytes,
            Err(error) => {
                ::log::warn!(
                    "'{}': the files that this commit removes are not listed: {error}",
                    self.name()
                );
                return Ok(None);
            }
        };
        let path = layout::removed(txn.id(), txn.seq());
        let named = ObjectRef::of(path.clone(), &bytes);
        txn.stage(path, bytes.into()).await?;
        Ok(Some(named))
    }

    /// Stages the snapshot of `change` on `base`; gives the record that names it, and the
    /// merged manifests that it does not use.
    async fn record_of_change(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        (change, options): (&Change, &CommitOptions),
        staged: &Staged,
        attempt: u32,
    ) -> Result<(CommitRecord, Vec<String>)> {
        let mut state = match (&staged.adopted, &base.python) {
            (Some(adopted), Some(_)) => adopted.clone(),
            (None, Some(_)) => {
                return Err(
                    self.explain(Error::damaged("Python wrote to the table after atio did"))
                );
            }
            _ => base.state.clone(),
        };
        let mut removed_totals = Totals::default();
        if let Change::Overwrite(_) = change {
            state.manifests.clear();
            advance::end_loads(&mut state.apps, base.version.next()?);
            removed_totals = std::mem::take(&mut state.totals);
        }
        let unused = merge::apply(&staged.merges, &mut state.manifests);
        state.manifests.extend(staged.added.clone());
        state.totals = state.totals.plus(staged.totals)?;
        if let Some(advance) = change.advance() {
            self.advance(&mut state, base.version, advance)?;
        }
        let draft = Draft {
            operation: change.operation(),
            changes: Changes {
                added: staged
                    .added
                    .iter()
                    .map(|manifest| manifest.object.clone())
                    .collect(),
                removed: staged.removed.clone(),
                manifests_dropped: base
                    .state
                    .manifests
                    .iter()
                    .filter(|manifest| !state.manifests.contains(manifest))
                    .map(|manifest| manifest.object.path.clone())
                    .collect(),
            },
            added: staged.totals,
            removed: removed_totals,
            options: options.clone(),
        };
        let record = self
            .record_of_state(txn, base, (&state, &base.schema), draft, attempt)
            .await?;
        Ok((record, unused))
    }

    /// Checks that `change` still holds on `newest`, by what was committed since `base`.
    async fn rebase(
        &self,
        pending: &Pending<'_>,
        base: &Arc<Snapshot>,
        change: &Change,
        newest: Arc<Snapshot>,
    ) -> Result<Rebased> {
        if let Some(version) = self.check_passed(pending, base, &newest).await? {
            return Ok(Rebased::Repeats(version));
        }
        if newest.schema.id != change.manifest().schema {
            return Err(self.conflict("its schema was changed", newest.version));
        }
        if base.python.is_some() {
            return Err(self.conflict(
                "another writer took over the table from Python atio",
                newest.version,
            ));
        }
        Ok(Rebased::On(newest))
    }
}

/// What is staged once for all attempts.
struct Staged {
    added: Option<ManifestRef>,
    removed: Option<ObjectRef>,
    totals: Totals,
    merges: Vec<StagedMerge>,
    adopted: Option<State>,
}

/// Moves the pointer and the marker, which are hints: failing costs others a look-up.
pub(super) async fn announce(txn: &Transaction, record: &CommitRecord) {
    let write = |name: &'static str, bytes: Result<Vec<u8>>| async move {
        let written = match bytes {
            Ok(bytes) => txn.replace(name, bytes.into()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            ::log::warn!(
                "version {} is committed, but {name} could not be written: {error}",
                record.version_id
            );
        }
    };
    let version = record.version_id;
    futures::join!(
        write(layout::POINTER, pointer::pointer(version, record.table)),
        write(
            layout::SUCCESS,
            pointer::success(version, record.txn, record.committed_at_us)
        ),
    );
}

/// A random pause that grows with the attempts, up to half a second.
pub(super) fn pause(attempt: u32) -> Duration {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    let most = 5_u64 << attempt.min(7);
    Duration::from_millis(1 + random % most)
}
