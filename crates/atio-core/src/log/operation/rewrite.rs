//! The manifests of a version from which some files are removed.
//!
//! Only those that list one of these are written anew. They are of one base: on another they are
//! made again (B1), because there others may have taken their place.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::snapshot::State;
use crate::format::{FileEntry, Manifest, ManifestRef, ObjectRef, Totals};
use crate::log::commit::merge::{self, StagedMerge};
use crate::log::commit::transaction::Transaction;
use crate::log::python;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// What stays of a base, and what is said of that which goes.
#[derive(Clone)]
pub(in crate::log) struct Stays {
    pub(in crate::log) state: State,
    /// The list of the files that go; None if none goes, or not all are known.
    pub(in crate::log) removed: Option<ObjectRef>,
    pub(in crate::log) removed_totals: Totals,
    /// Merged manifests that `state` does not list.
    pub(in crate::log) unmerged: Vec<String>,
}

/// A base without the files that are removed, and what of it is to be staged.
pub(in crate::log) struct Rewritten {
    pub(in crate::log) stays: Stays,
    /// Names and bytes of what that names and nobody has staged.
    pub(in crate::log) unwritten: Vec<(String, Bytes)>,
    /// The names of all that is staged for this base alone, once `unwritten` is.
    own: Vec<String>,
    manifests: Vec<(ManifestRef, Manifest)>,
}

/// A manifest, and how it can be listed as it is; None if it is Python's.
type Listed = (Option<ManifestRef>, Arc<Manifest>);

impl Rewritten {
    fn new(state: State) -> Self {
        Self {
            stays: Stays {
                state,
                removed: None,
                removed_totals: Totals::default(),
                unmerged: Vec::new(),
            },
            unwritten: Vec::new(),
            own: Vec::new(),
            manifests: Vec::new(),
        }
    }

    /// Says that all of it is written; gives the names of what is of no use on another base.
    pub(in crate::log) fn keep_written(self, table: &Table) -> Vec<String> {
        for (named, manifest) in self.manifests {
            table.keep_manifest(&named, manifest);
        }
        self.own
    }

    /// Lists `manifest`, under a name of its own.
    fn list(&mut self, txn: &Transaction, manifest: Manifest) -> Result<()> {
        let (named, bytes) = merge::name_manifest(txn, &manifest)?;
        self.write(named.object.path.clone(), bytes);
        self.stays.state.manifests.push(named.clone());
        self.manifests.push((named, manifest));
        Ok(())
    }

    fn write(&mut self, path: String, bytes: Bytes) {
        self.own.push(path.clone());
        self.unwritten.push((path, bytes));
    }
}

impl Table {
    /// Takes the files `removes` out of `base`, in whose list `merges` are used as far as they
    /// can be (A8).
    ///
    /// Fails if one of them is not in it.
    pub(in crate::log) async fn rewrite(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        removes: &BTreeSet<String>,
        merges: &[StagedMerge],
    ) -> Result<Rewritten> {
        let (state, listed) = match &base.python {
            Some(manifests) => {
                let unnamed = manifests
                    .iter()
                    .map(|manifest| (None, Arc::clone(manifest)));
                let state = python::stage(txn, base, base, false).await?;
                (state, unnamed.collect())
            }
            None => self.listed(base, removes, merges).await?,
        };
        let mut rewritten = Rewritten::new(state);
        if base.python.is_some() {
            let schema = &rewritten.stays.state.schema.object;
            rewritten.own.push(schema.path.clone());
        }
        let mut removed = Vec::new();
        for (named, manifest) in listed {
            match (without(&manifest, removes, &mut removed), named) {
                (None, Some(named)) => rewritten.stays.state.manifests.push(named),
                (None, None) => rewritten.list(txn, Manifest::clone(&manifest))?,
                (Some(rest), _) if rest.files.is_empty() => {}
                (Some(rest), _) => rewritten.list(txn, rest)?,
            }
        }
        self.check_removed(base, removes, &removed)?;
        let stays = &mut rewritten.stays;
        stays.unmerged = merge::unlisted(merges, &stays.state.manifests);
        let gone = Manifest::new(base.schema.id, Vec::new(), removed);
        stays.removed_totals = gone.totals()?;
        let totals = stays.state.totals.minus(stays.removed_totals);
        stays.state.totals = totals
            .map_err(|error| self.explain(error.context(format!("version {}", base.version))))?;
        if let Some((named, bytes)) = self.name_removed(txn, base, gone.files) {
            rewritten.write(named.path.clone(), bytes);
            rewritten.stays.removed = Some(named);
        }
        Ok(rewritten)
    }

    /// The state of `base` without the manifests that have to be looked at, and these.
    async fn listed(
        &self,
        base: &Snapshot,
        removes: &BTreeSet<String>,
        merges: &[StagedMerge],
    ) -> Result<(State, Vec<Listed>)> {
        let mut state = base.state.clone();
        // A merge that is due is made, whatever goes of its files: so the list stays short.
        merge::apply(merges, &mut state.manifests);
        if removes.is_empty() {
            return Ok((state, Vec::new()));
        }
        let named = std::mem::take(&mut state.manifests);
        let manifests = self.manifests_of(base, &named).await?;
        let named = named.into_iter().map(Some);
        Ok((state, named.zip(manifests).collect()))
    }

    /// Fails unless `found` are the files `wanted`, each once.
    fn check_removed(
        &self,
        base: &Snapshot,
        wanted: &BTreeSet<String>,
        found: &[FileEntry],
    ) -> Result<()> {
        let paths: BTreeSet<_> = found.iter().map(|file| &file.path).collect();
        if let Some(missing) = wanted.iter().find(|path| !paths.contains(path)) {
            return Err(Error::invalid(format!(
                "cannot remove {} from '{}': version {} does not list it; nothing was written",
                missing.escape_debug(),
                self.name(),
                base.version
            )));
        }
        match paths.len() == found.len() {
            true => Ok(()),
            false => Err(self.explain(Error::damaged(format!(
                "version {} lists a data file twice",
                base.version
            )))),
        }
    }
}

/// What is left of `manifest` without the files `removes`, which are added to `removed`; None if
/// it has none of them.
fn without(
    manifest: &Manifest,
    removes: &BTreeSet<String>,
    removed: &mut Vec<FileEntry>,
) -> Option<Manifest> {
    let goes = |file: &FileEntry| removes.contains(&file.path);
    if !manifest.files.iter().any(goes) {
        return None;
    }
    let (gone, rest): (Vec<_>, Vec<_>) = manifest.files.iter().cloned().partition(goes);
    removed.extend(gone);
    let stats_ids = manifest.stats_ids.clone();
    Some(Manifest::new(manifest.schema, stats_ids, rest))
}
