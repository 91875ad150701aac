//! Going back: a new version with the state of an older one. History is kept.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::snapshot::State;
use crate::format::{
    Changes, CommitRecord, FileEntry, Manifest, ObjectRef, Operation, Record, Totals, Version,
};
use crate::log::commit::engine::On;
use crate::log::commit::merge;
use crate::log::commit::options::CommitOptions;
use crate::log::commit::record::RecordedChange;
use crate::log::commit::transaction::Transaction;
use crate::log::operation::ref_update::RollbackTarget;
use crate::log::operation::source_position::overwritten_loads;
use crate::log::python;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// What a rollback does to the files of the newest version.
struct Difference {
    /// Manifests with exactly the files that come back.
    added: Vec<ObjectRef>,
    added_totals: Totals,
    /// None if it is not known which.
    removed: Option<Vec<FileEntry>>,
    removed_totals: Totals,
}

impl Table {
    /// The record that makes the state of `to` the newest, on `base`.
    ///
    /// What only ever grows does not go back: field ids and the numbers of applications.
    pub(in crate::log) async fn plan_rollback(
        &self,
        on: On<'_>,
        to: &RollbackTarget,
        options: &CommitOptions,
    ) -> Result<(Version, Option<CommitRecord>)> {
        let (txn, base, attempt) = (on.txn, on.base()?, on.attempt);
        let version = match to {
            RollbackTarget::Version(version) => *version,
            RollbackTarget::Tag(name) => self.tagged_at(base, name).await?,
        };
        let target = self.target(base, version).await?;
        if is_same(base, &target) {
            return Ok((version, None));
        }
        let state = self.state_to_go_back_to(txn, base, &target).await?;
        let difference = self.difference(txn, base, &target, &state).await?;
        let removed = match difference.removed {
            Some(files) => self.stage_removed(txn, base, files).await?,
            None => None,
        };
        let listed = |manifests: &State, path: &String| {
            (manifests.manifests.iter()).any(|manifest| manifest.object.path == *path)
        };
        let dropped = base.state.manifests.iter().map(|m| m.object.path.clone());
        let recorded = RecordedChange {
            operation: Operation::Rollback,
            changes: Changes {
                added: difference.added,
                removed,
                manifests_dropped: dropped.filter(|path| !listed(&state, path)).collect(),
            },
            added: difference.added_totals,
            removed: difference.removed_totals,
            options: options.clone(),
        };
        let mut record = match shared(&target, &state) {
            Some(live) => {
                let mut record = self.next_record(txn.id(), base, recorded)?;
                record.snapshot = live.snapshot.clone();
                record.snapshot_filename = live.snapshot_filename.clone();
                record.features = record.features.followed_by(state.has_vectors());
                record
            }
            None => {
                self.record_of_state(txn, base, (&state, &target.schema), recorded, attempt)
                    .await?
            }
        };
        record.parent = Some(version);
        Ok((version, Some(record)))
    }

    async fn state_to_go_back_to(
        &self,
        txn: &Transaction,
        base: &Arc<Snapshot>,
        target: &Snapshot,
    ) -> Result<State> {
        let state = match (&target.python, &base.python) {
            (None, _) => target.state.clone(),
            (Some(_), Some(_)) => python::stage(txn, base, target, true).await?,
            (Some(_), None) if target.schema == base.schema => State {
                manifests: python::stage_manifests(txn, target).await?,
                totals: target.state.totals,
                ..base.state.clone()
            },
            // Its field ids were given to other columns when the table was taken over.
            (Some(_), None) => {
                return Err(Error::unsupported(format!(
                    "cannot go back to version {} of '{}': Python atio wrote it with other columns than the table has since; read it with atio_table, and write its rows with INSERT OVERWRITE",
                    target.version,
                    self.name()
                )));
            }
        };
        Ok(state.after(&base.state))
    }

    /// Compares the files of `base` with those of `state`, which is that of `target`.
    async fn difference(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        target: &Snapshot,
        state: &State,
    ) -> Result<Difference> {
        let comes = self.manifests(target).await?;
        let Some(goes) = self.files_to_remove(base).await? else {
            // Where the newest cannot be read any more, all of it goes.
            return Ok(Difference {
                added: (state.manifests.iter())
                    .map(|manifest| manifest.object.clone())
                    .collect(),
                added_totals: state.totals,
                removed: None,
                removed_totals: base.totals(),
            });
        };
        let here: HashSet<_> = goes.iter().map(FileEntry::id).collect();
        let mut there = HashSet::new();
        let mut added = Vec::new();
        let mut added_totals = Totals::default();
        for (manifest, named) in comes.iter().zip(&state.manifests) {
            there.extend(manifest.files.iter().map(FileEntry::id));
            let files = manifest.files.iter();
            let files: Vec<_> = files
                .filter(|file| !here.contains(&file.id()))
                .cloned()
                .collect();
            if files.is_empty() {
                continue;
            }
            let whole = files.len() == manifest.files.len();
            let part = Manifest::new(manifest.schema, manifest.stats_ids.clone(), files);
            added_totals = added_totals.plus(part.totals()?)?;
            added.push(match whole {
                true => named.object.clone(),
                false => merge::stage_manifest(txn, &part).await?.object,
            });
        }
        let removed: Vec<_> = (goes.iter())
            .filter(|file| !there.contains(&file.id()))
            .cloned()
            .collect();
        let schema = base.schema.id;
        let removed_totals = Manifest::new(schema, Vec::new(), removed.clone()).totals()?;
        Ok(Difference {
            added,
            added_totals,
            removed: Some(removed),
            removed_totals,
        })
    }
}

/// True if going back from `base` to `target` changes nothing.
fn is_same(base: &Snapshot, target: &Snapshot) -> bool {
    let (ours, other) = (&base.state, &target.state);
    let listed = |state: &State| -> HashSet<String> {
        let manifests = state.manifests.iter();
        manifests.map(|m| m.object.path.clone()).collect()
    };
    let python = base.python.is_some() || target.python.is_some();
    base.version == target.version
        || (!python
            && listed(ours) == listed(other)
            && ours.schema == other.schema
            && ours.options == other.options
            // One without rows may still be one before an overwrite, on which a load can begin.
            && overwritten_loads(&ours.apps) == overwritten_loads(&other.apps))
}

/// The record of `target` if its snapshot says all that `state` does.
fn shared<'a>(target: &'a Snapshot, state: &State) -> Option<&'a crate::format::CommitRecord> {
    match &target.record.record {
        Record::Live(live)
            if state.next_field_id == target.state.next_field_id
                && state.apps == target.state.apps =>
        {
            Some(live)
        }
        _ => None,
    }
}
