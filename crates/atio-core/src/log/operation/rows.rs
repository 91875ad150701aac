//! Appends and overwrites: versions of new data files.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::change::Intent;
use crate::format::snapshot::{SchemaRef, State};
use crate::format::{
    Changes, CommitRecord, FileEntry, Manifest, ManifestRef, ObjectRef, Operation, Totals, Version,
    layout,
};
use crate::log::commit::engine::{self, Ended, On, Planned, Statement};
use crate::log::commit::merge::{self, StagedMerge};
use crate::log::commit::options::CommitOptions;
use crate::log::commit::record::Draft;
use crate::log::commit::transaction::Transaction;
use crate::log::operation::columns::NewColumns;
use crate::log::operation::source_position::{self, Advance};
use crate::log::python;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// What a statement does to the rows of a table.
#[derive(Debug, Clone)]
pub enum RowChange {
    /// Adds files; commutes with every other append, unless both take over the same source.
    Append(Manifest, Option<Advance>),
    /// Replaces all files, and the columns where there are new ones; valid only on the very state
    /// that the statement started from.
    Overwrite(Manifest, Option<NewColumns>),
}

impl RowChange {
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
            overwrite @ Self::Overwrite(..) => overwrite,
        }
    }

    /// Like [`append`](Self::append), in place of everything that was there.
    pub fn overwrite(schema: u32, stats_ids: Vec<i32>, files: Vec<FileEntry>) -> Self {
        Self::Overwrite(Manifest::new(schema, stats_ids, files), None)
    }

    /// The same overwrite, whose files have these columns. An append brings none.
    pub fn with_columns(self, columns: Option<NewColumns>) -> Self {
        match self {
            Self::Overwrite(manifest, _) => Self::Overwrite(manifest, columns),
            append @ Self::Append(..) => append,
        }
    }

    fn manifest(&self) -> &Manifest {
        match self {
            RowChange::Append(manifest, _) | RowChange::Overwrite(manifest, _) => manifest,
        }
    }

    fn advance(&self) -> Option<&Advance> {
        match self {
            RowChange::Append(_, advance) => advance.as_ref(),
            RowChange::Overwrite(..) => None,
        }
    }

    fn columns(&self) -> Option<&NewColumns> {
        match self {
            RowChange::Append(..) => None,
            RowChange::Overwrite(_, columns) => columns.as_ref(),
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
            RowChange::Append(..) => Operation::Append,
            RowChange::Overwrite(..) => Operation::Overwrite,
        }
    }
}

/// How a commit that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It made this version.
    As(Version),
    /// This version was made under the same key, or for the same ticket, before: nothing was
    /// written.
    Before(Version),
}

impl Committed {
    /// The version that has the rows.
    pub fn version(self) -> Version {
        match self {
            Self::As(version) | Self::Before(version) => version,
        }
    }
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
    /// never will be, and what was staged has been removed. [`ErrorKind::CommitUnknown`](crate::ErrorKind::CommitUnknown):
    /// nobody can tell yet, and nothing was removed. On a failing local disk there is a
    /// fourth, [`ErrorKind::CommitNotDurable`](crate::ErrorKind::CommitNotDurable): it is there until the power fails.
    /// Runs to its end even if the caller stops waiting.
    pub async fn commit(
        self: &Arc<Self>,
        txn: Arc<Transaction>,
        base: Arc<Snapshot>,
        change: RowChange,
        merges: Vec<StagedMerge>,
        options: CommitOptions,
    ) -> Result<Committed> {
        let table = Arc::clone(self);
        let id = txn.id();
        let commit = async move {
            let mut committed = table
                .commit_change(&txn, Arc::clone(&base), &change, merges, &options)
                .await;
            if let Err(error) = committed {
                let error = table.why_it_failed(&txn, &base, error).await;
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

    async fn commit_change(
        &self,
        txn: &Transaction,
        base: Arc<Snapshot>,
        change: &RowChange,
        merges: Vec<StagedMerge>,
        options: &CommitOptions,
    ) -> Result<Committed> {
        let staged = self.stage_change(txn, &base, change, merges).await?;
        let mut statement = Writing {
            change,
            options,
            staged,
        };
        match engine::commit(self, txn, Some(base), &mut statement).await? {
            Ended::Committed(record) => Ok(Committed::As(record.version_id)),
            Ended::Repeats(version, _) => Ok(Committed::Before(version)),
            Ended::Unchanged => Err(Error::invalid("a write without a version")),
        }
    }

    async fn stage_change(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        change: &RowChange,
        merges: Vec<StagedMerge>,
    ) -> Result<Staged> {
        let manifest = change.manifest();
        let mut unwritten = Vec::new();
        let added = match manifest.files.is_empty() {
            true => None,
            false => {
                let (named, bytes) = merge::name_manifest(txn, manifest)?;
                unwritten.push((named.object.path.clone(), bytes));
                Some(named)
            }
        };
        let columns = match change.columns() {
            None => None,
            Some(columns) => {
                let path = layout::schema(txn.id(), txn.seq());
                let bytes = columns.schema.to_bytes()?;
                let named = SchemaRef {
                    id: columns.schema.id,
                    object: ObjectRef::of(path.clone(), &bytes),
                };
                self.cache
                    .keep_schema(&named.object, Arc::clone(&columns.schema));
                unwritten.push((path, bytes.into()));
                Some(named)
            }
        };
        let removed = match change {
            RowChange::Append(..) => None,
            RowChange::Overwrite(..) => match self.files_to_remove(base).await? {
                Some(files) => self.stage_removed(txn, base, files).await?,
                None => None,
            },
        };
        let adopted = match base.python {
            Some(_) => {
                Some(python::stage(txn, base, base, matches!(change, RowChange::Append(..))).await?)
            }
            None => None,
        };
        Ok(Staged {
            unwritten,
            added,
            columns,
            removed,
            totals: manifest.totals()?,
            merges,
            adopted,
        })
    }

    /// Stages the snapshot of `change` on `base`; gives the record that names it, and the
    /// merged manifests that it does not use.
    async fn record_of_change(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        (change, options): (&RowChange, &CommitOptions),
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
        if let RowChange::Overwrite(..) = change {
            state.manifests.clear();
            source_position::end_loads(&mut state.apps, base.version.next()?);
            removed_totals = std::mem::take(&mut state.totals);
        }
        let unused = merge::apply(&staged.merges, &mut state.manifests);
        state.manifests.extend(staged.added.clone());
        state.totals = state.totals.plus(staged.totals)?;
        let mut schema = &base.schema;
        if let (Some(columns), Some(named)) = (change.columns(), &staged.columns) {
            schema = &columns.schema;
            state.schema = named.clone();
            state.next_field_id = columns.next_field_id;
        }
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
            .record_of_state(txn, base, (&state, schema), draft, attempt)
            .await?;
        Ok((record, unused))
    }
}

/// An append or an overwrite, whose data files are written.
struct Writing<'a> {
    change: &'a RowChange,
    options: &'a CommitOptions,
    staged: Staged,
}

impl Statement for Writing<'_> {
    fn intent(&self) -> Intent {
        Intent::of(&self.change.operation())
    }

    fn key(&self) -> Option<&str> {
        self.change.key(self.options)
    }

    async fn plan(&mut self, on: On<'_>) -> Result<Option<Planned>> {
        let base = on.base()?;
        if on.anew {
            let merges = std::mem::take(&mut self.staged.merges);
            let staged = on.table.stage_change(on.txn, base, self.change, merges);
            self.staged = staged.await?;
        }
        let change = (self.change, self.options);
        let record = (on.table).record_of_change(on.txn, base, change, &self.staged, on.attempt);
        // Nothing names any of it yet, so it may all go out at once.
        let unwritten = self.staged.unwritten.iter().cloned();
        let stage = unwritten.map(|(name, bytes)| on.txn.stage(name, bytes));
        let stage = futures::future::try_join_all(stage);
        let ((record, unmerged), _) = futures::try_join!(record, stage)?;
        self.staged.keep_written(on.table, self.change.manifest());
        Ok(Some(Planned::sharing(record, unmerged)))
    }
}

/// What is staged once for all attempts.
struct Staged {
    /// Names and bytes of what the first attempt is to stage beside its snapshot.
    unwritten: Vec<(String, Bytes)>,
    added: Option<ManifestRef>,
    columns: Option<SchemaRef>,
    removed: Option<ObjectRef>,
    totals: Totals,
    merges: Vec<StagedMerge>,
    adopted: Option<State>,
}

impl Staged {
    /// Says that everything is written, the manifest of the new files too.
    fn keep_written(&mut self, table: &Table, manifest: &Manifest) {
        if !std::mem::take(&mut self.unwritten).is_empty()
            && let Some(added) = &self.added
        {
            table.keep_manifest(added, manifest.clone());
        }
    }
}
