//! Versions of other data files: appends, overwrites, and changes of rows.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::format::intent::Intent;
use crate::format::snapshot::{SchemaRef, State};
use crate::format::{
    Changes, CommitRecord, Manifest, ManifestRef, ObjectRef, Operation, Record, Totals, Version,
    layout,
};
use crate::log::commit::does_select::DoesSelect;
use crate::log::commit::engine::{self, Ended, FEWEST_ASKED, On, Planned, Statement};
use crate::log::commit::gate::{Candidate, Waits};
use crate::log::commit::merge::{self, StagedMerge};
use crate::log::commit::options::CommitOptions;
use crate::log::commit::record::RecordedChange;
use crate::log::commit::transaction::Transaction;
use crate::log::operation::rewrite::Stays;
use crate::log::operation::row_change::RowChange;
use crate::log::operation::source_position;
use crate::log::python;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// How a commit that did not fail ended.
///
/// ```
/// use atio_core::log::Committed;
///
/// fn show(committed: Committed) -> String {
///     match committed {
///         Committed::As(version) => format!("made version {version}"),
///         Committed::Before(version) => format!("version {version} has it already"),
///     }
/// }
/// ```
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
    ///
    /// ```
    /// use atio_core::{format::Version, log::Committed};
    ///
    /// let first = Version::ZERO.next()?;
    /// assert_eq!(Committed::Before(first).version(), first);
    /// # Ok::<(), atio_core::Error>(())
    /// ```
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
    /// Runs to its end even if the caller stops waiting, but for the gate of the change: its answer is
    /// not waited for then, and nothing is committed.
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
        let (_waiting, waits) = oneshot::channel();
        let commit = async move {
            let ways = (merges, waits);
            let mut committed = table
                .commit_change(&txn, Arc::clone(&base), &change, ways, &options)
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
        (merges, waits): (Vec<StagedMerge>, Waits),
        options: &CommitOptions,
    ) -> Result<Committed> {
        if change.gate().is_none() {
            options.check_no_checks("this write")?;
        }
        let staged = self.stage_change(txn, &base, change, merges).await?;
        let mut statement = Writing {
            change,
            options,
            staged,
            waits,
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
    ) -> Result<StagedChange> {
        let adds = change.adds().filter(|adds| !adds.files.is_empty());
        let mut unwritten = Vec::new();
        let added = match adds {
            None => None,
            Some(adds) => {
                let (named, bytes) = merge::name_manifest(txn, adds)?;
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
        let mut staged = StagedChange {
            unwritten,
            added,
            columns,
            removed: None,
            totals: adds.map_or(Ok(Totals::default()), Manifest::totals)?,
            merges,
            adopted: None,
        };
        // What takes the place of the manifests of a base is staged for each anew.
        if change.goes().is_some() {
            return Ok(staged);
        }
        if change.removes_all()
            && let Some(files) = self.files_to_remove(base).await?
        {
            staged.removed = self.stage_removed(txn, base, files).await?;
        }
        if base.python.is_some() {
            staged.adopted = Some(python::stage(txn, base, base, !change.removes_all()).await?);
        }
        Ok(staged)
    }

    /// The state of `base` without what `change` removes of it.
    fn what_stays(
        &self,
        base: &Snapshot,
        change: &RowChange,
        staged: &StagedChange,
    ) -> Result<Stays> {
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
        if change.removes_all() {
            state.manifests.clear();
            match change.operation() {
                Operation::Truncate => source_position::begin_loads_anew(&mut state.apps),
                _ => source_position::end_loads(&mut state.apps, base.version.next()?),
            }
            removed_totals = std::mem::take(&mut state.totals);
        }
        merge::apply(&staged.merges, &mut state.manifests);
        Ok(Stays {
            unmerged: merge::unlisted(&staged.merges, &state.manifests),
            state,
            removed: staged.removed.clone(),
            removed_totals,
            marked: Vec::new(),
            marked_totals: Totals::default(),
        })
    }

    /// The version that `record` would make of `base` by `change`.
    async fn candidate(
        &self,
        base: &Arc<Snapshot>,
        change: &RowChange,
        record: &CommitRecord,
    ) -> Result<Candidate> {
        // What an overwrite is planned on has the columns that it brings.
        let old = match base.new_columns() {
            Some(_) => self.load(base.record.clone()).await?,
            None => Arc::clone(base),
        };
        let bytes = record.to_bytes()?;
        Ok(Candidate {
            old,
            new: self.load(Record::parse(record.version_id, &bytes)?).await?,
            adds: change.adds().cloned(),
            removes_all: change.removes_all(),
        })
    }

    /// Stages the snapshot of `change` on `base`, of which `stays` stays; gives the record that
    /// names it.
    async fn record_of_change(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        (change, options): (&RowChange, &CommitOptions),
        (stays, staged): (&Stays, &StagedChange),
        attempt: u32,
    ) -> Result<CommitRecord> {
        let mut state = stays.state.clone();
        let added: Vec<_> = staged.added.iter().chain(&stays.marked).cloned().collect();
        let added_totals = staged.totals.plus(stays.marked_totals)?;
        state.manifests.extend(added.iter().cloned());
        state.totals = state.totals.plus(added_totals)?;
        if let Some(advance) = change.advance() {
            self.advance(&mut state, base.version, advance)?;
        }
        let mut schema = &base.schema;
        if let (Some(columns), Some(named)) = (change.columns(), &staged.columns) {
            schema = &columns.schema;
            state.schema = named.clone();
            state.next_field_id = columns.next_field_id;
        }
        let recorded = RecordedChange {
            operation: change.operation(),
            changes: Changes {
                added: added.into_iter().map(|manifest| manifest.object).collect(),
                removed: stays.removed.clone(),
                manifests_dropped: base
                    .state
                    .manifests
                    .iter()
                    .filter(|manifest| !state.manifests.contains(manifest))
                    .map(|manifest| manifest.object.path.clone())
                    .collect(),
            },
            added: added_totals,
            removed: stays.removed_totals,
            options: options.clone(),
        };
        self.record_of_state(txn, base, (&state, schema), recorded, attempt)
            .await
    }
}

/// A change of rows, whose data files are written.
struct Writing<'a> {
    change: &'a RowChange,
    options: &'a CommitOptions,
    staged: StagedChange,
    waits: Waits,
}

impl Statement for Writing<'_> {
    fn intent(&self) -> Intent {
        self.change.intent()
    }

    fn key(&self) -> Option<&str> {
        self.change.key(self.options)
    }

    fn does_select(&self) -> Option<&DoesSelect> {
        self.change.does_select()
    }

    async fn plan(&mut self, on: On<'_>) -> Result<Option<Planned>> {
        let base = on.base()?;
        if on.anew && self.change.goes().is_none() {
            let merges = std::mem::take(&mut self.staged.merges);
            let staged = on.table.stage_change(on.txn, base, self.change, merges);
            self.staged = staged.await?;
        }
        let mut unwritten = self.staged.unwritten.clone();
        let mut rewritten = None;
        let stays = match self.change.goes() {
            None => on.table.what_stays(base, self.change, &self.staged)?,
            Some(goes) => {
                let merges = &self.staged.merges;
                let anew = on.table.rewrite(on.txn, base, goes, merges).await?;
                self.change.check_rows(anew.stays.removed_totals)?;
                unwritten.extend(anew.unwritten.iter().cloned());
                let stays = anew.stays.clone();
                rewritten = Some(anew);
                stays
            }
        };
        let mut names: Vec<_> = unwritten.iter().map(|(name, _)| name.clone()).collect();
        let (change, staged) = ((self.change, self.options), (&stays, &self.staged));
        let record = (on.table).record_of_change(on.txn, base, change, staged, on.attempt);
        // Nothing names any of it yet, so it may all go out at once.
        let stage = unwritten.into_iter();
        let stage = stage.map(|(name, bytes)| on.txn.stage(name, bytes));
        let stage = futures::future::join_all(stage);
        let (record, staged) = futures::join!(record, stage);
        let record = match staged.into_iter().collect::<Result<()>>() {
            Ok(()) => record,
            Err(error) => {
                let snapshot = record.ok().and_then(|record| record.snapshot);
                names.extend(snapshot.map(|object| object.path));
                Err(error)
            }
        };
        let record = match record {
            Ok(record) => record,
            // The next attempt writes all but the snapshot again, under the same names.
            Err(error) => {
                on.txn.discard(&names).await;
                return Err(error);
            }
        };
        self.staged.keep_written(on.table, self.change.adds());
        let own = rewritten.map(|rewritten| rewritten.keep_written(on.table));
        let own = own.unwrap_or_default();
        Ok(Some(Planned::sharing(record, own, stays.unmerged)))
    }

    async fn ask(&mut self, on: On<'_>, record: &CommitRecord) -> Result<()> {
        let Some(gate) = self.change.gate() else {
            return Ok(());
        };
        let candidate = on.table.candidate(on.base()?, self.change, record);
        gate.ask(candidate.await?, &mut self.waits).await
    }

    fn fewest_attempts(&self) -> u32 {
        match self.change.gate() {
            Some(_) => FEWEST_ASKED,
            None => engine::FEWEST_ATTEMPTS,
        }
    }
}

/// What is staged once for all attempts.
struct StagedChange {
    /// Names and bytes of what the first attempt is to stage beside its snapshot.
    unwritten: Vec<(String, Bytes)>,
    added: Option<ManifestRef>,
    columns: Option<SchemaRef>,
    removed: Option<ObjectRef>,
    totals: Totals,
    merges: Vec<StagedMerge>,
    adopted: Option<State>,
}

impl StagedChange {
    /// Says that everything is written, the manifest of the new files too.
    fn keep_written(&mut self, table: &Table, adds: Option<&Manifest>) {
        if !std::mem::take(&mut self.unwritten).is_empty()
            && let (Some(added), Some(adds)) = (&self.added, adds)
        {
            table.keep_manifest(added, adds.clone());
        }
    }
}
