//! The manifests of a version from which some files are removed, and in which others have fewer rows.
//!
//! Only those that list one of these are written anew. They are of one base: on another they are
//! made again (B1), because there others may have taken their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::snapshot::State;
use crate::format::{
    DeletionVector, FileEntry, Manifest, ManifestRef, ObjectRef, Totals, VectorRef, limits,
};
use crate::log::commit::merge::{self, StagedMerge};
use crate::log::commit::transaction::Transaction;
use crate::log::operation::row_change::Goes;
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
    /// Manifests, which `state` does not list yet, of the files that have fewer rows than before.
    pub(in crate::log) marked: Vec<ManifestRef>,
    pub(in crate::log) marked_totals: Totals,
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
    vectors: Vec<(VectorRef, Arc<DeletionVector>)>,
}

/// A file of which something goes, and the manifest that lists it.
struct Gone {
    of: Arc<Manifest>,
    file: FileEntry,
}

/// One of which rows stay, and all rows that are marked in it from now on.
struct Marked {
    of: Arc<Manifest>,
    file: FileEntry,
    rows: DeletionVector,
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
                marked: Vec::new(),
                marked_totals: Totals::default(),
                unmerged: Vec::new(),
            },
            unwritten: Vec::new(),
            own: Vec::new(),
            manifests: Vec::new(),
            vectors: Vec::new(),
        }
    }

    /// Says that all of it is written; gives the names of what is of no use on another base.
    pub(in crate::log) fn keep_written(self, table: &Table) -> Vec<String> {
        for (named, manifest) in self.manifests {
            table.keep_manifest(&named, manifest);
        }
        for (named, vector) in self.vectors {
            table.keep_vector(&named, vector);
        }
        self.own
    }

    /// Lists `manifest`, under a name of its own.
    fn list(&mut self, txn: &Transaction, manifest: Manifest) -> Result<()> {
        let named = self.name(txn, manifest)?;
        self.stays.state.manifests.push(named);
        Ok(())
    }

    /// Gives `manifest` a name of its own.
    fn name(&mut self, txn: &Transaction, manifest: Manifest) -> Result<ManifestRef> {
        let (named, bytes) = merge::name_manifest(txn, &manifest)?;
        self.write(named.object.path.clone(), bytes);
        self.manifests.push((named.clone(), manifest));
        Ok(named)
    }

    /// Lists the files `marked` with their deletion vectors, which become one object, in one manifest
    /// for each schema.
    fn mark(&mut self, txn: &Transaction, marked: Vec<Marked>) -> Result<()> {
        if marked.is_empty() {
            return Ok(());
        }
        let (path, mut vectors) = (txn.vectors()?, Vec::new());
        let mut parts: Vec<(Arc<Manifest>, Manifest)> = Vec::new();
        for Marked { of, file, rows } in marked {
            let bytes = rows.to_bytes();
            let dv = VectorRef::of(&path, vectors.len() as u64, &bytes, &rows);
            dv.check(file.rows)
                .map_err(limits::refused("deletion vector"))?;
            vectors.extend(bytes);
            self.vectors.push((dv.clone(), Arc::new(rows)));
            let file = FileEntry {
                dv: Some(dv),
                ..file
            };
            match parts.last_mut() {
                Some((last, part)) if Arc::ptr_eq(last, &of) => part.files.push(file),
                _ => {
                    let part = Manifest::new(of.schema, of.stats_ids.clone(), vec![file]);
                    parts.push((of, part));
                }
            }
        }
        let mut of_schema: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (_, part) in parts {
            let parts = of_schema.entry(part.schema).or_default();
            parts.push(Arc::new(part));
        }
        for parts in of_schema.into_values() {
            let manifest = Manifest::merge(&parts);
            let totals = self.stays.marked_totals.plus(manifest.totals()?)?;
            self.stays.marked_totals = totals;
            let named = self.name(txn, manifest)?;
            self.stays.marked.push(named);
        }
        self.write(path, vectors.into());
        Ok(())
    }

    fn write(&mut self, path: String, bytes: Bytes) {
        self.own.push(path.clone());
        self.unwritten.push((path, bytes));
    }
}

impl Table {
    /// Takes what `goes` out of `base`, in whose list `merges` are used as far as they can be (A8).
    ///
    /// Fails if a file is not in it. It is a conflict if one of the rows is marked in it.
    pub(in crate::log) async fn rewrite(
        &self,
        txn: &Transaction,
        base: &Snapshot,
        goes: &Goes,
        merges: &[StagedMerge],
    ) -> Result<Rewritten> {
        // One that Python wrote is, too.
        if !goes.rows.is_empty() && base.state.is_for_old_readers() {
            return Err(Error::invalid(format!(
                "rows of '{}' cannot be marked as deleted: programs are to read it that know no marks; write its files anew",
                self.name()
            )));
        }
        let (state, listed) = match &base.python {
            Some(manifests) => {
                let unnamed = manifests
                    .iter()
                    .map(|manifest| (None, Arc::clone(manifest)));
                let state = python::stage(txn, base, base, false).await?;
                (state, unnamed.collect())
            }
            None => self.listed(base, goes, merges).await?,
        };
        let mut rewritten = Rewritten::new(state);
        if base.python.is_some() {
            let schema = &rewritten.stays.state.schema.object;
            rewritten.own.push(schema.path.clone());
        }
        let mut gone = Vec::new();
        for (named, manifest) in listed {
            let rest = without(&manifest, goes, &mut gone);
            match (rest, named) {
                (None, Some(named)) => rewritten.stays.state.manifests.push(named),
                (None, None) => rewritten.list(txn, Manifest::clone(&manifest))?,
                (Some(rest), _) if rest.files.is_empty() => {}
                (Some(rest), _) => rewritten.list(txn, rest)?,
            }
        }
        self.check_removed(base, goes, &gone)?;
        rewritten.mark(txn, self.marked(base, goes, &gone).await?)?;
        let stays = &mut rewritten.stays;
        stays.unmerged = merge::unlisted(merges, &stays.state.manifests);
        let gone = gone.into_iter().map(|gone| gone.file).collect();
        let gone = Manifest::new(base.schema.id, Vec::new(), gone);
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
        goes: &Goes,
        merges: &[StagedMerge],
    ) -> Result<(State, Vec<Listed>)> {
        let mut state = base.state.clone();
        // A merge that is due is made, whatever goes of its files: so the list stays short.
        merge::apply(merges, &mut state.manifests);
        if goes.files.is_empty() && goes.rows.is_empty() {
            return Ok((state, Vec::new()));
        }
        let named = std::mem::take(&mut state.manifests);
        let manifests = self.manifests_of(base, &named).await?;
        let named = named.into_iter().map(Some);
        Ok((state, named.zip(manifests).collect()))
    }

    /// Those of `gone` of which rows stay, and which rows of each are marked then.
    async fn marked(&self, base: &Snapshot, goes: &Goes, gone: &[Gone]) -> Result<Vec<Marked>> {
        let of_rows = gone.iter().filter_map(|gone| {
            let rows = goes.rows.get(&gone.file.path)?;
            (!goes.files.contains(&gone.file.path)).then_some((gone, rows))
        });
        let (of_rows, rows): (Vec<_>, Vec<_>) = of_rows.unzip();
        let files: Vec<_> = of_rows.iter().map(|gone| &gone.file).collect();
        let before = self.vectors(base, &files).await?;
        let mut marked = Vec::with_capacity(files.len());
        for ((gone, rows), before) in of_rows.into_iter().zip(rows).zip(before) {
            let (file, before) = (&gone.file, before.unwrap_or_default());
            if before.shares_rows(rows) {
                let what = "rows that this statement changes were deleted";
                return Err(self.conflict(what, base.version));
            }
            let (all, of) = (before.union(rows), file.stored_rows()?);
            if all.last().is_some_and(|last| last >= of) {
                return Err(Error::invalid(format!(
                    "cannot mark a row of {}, which has {of} rows, beyond its end; nothing was written",
                    file.path
                )));
            }
            if all.len() < of {
                marked.push(Marked {
                    of: Arc::clone(&gone.of),
                    file: file.clone(),
                    rows: all,
                });
            }
        }
        Ok(marked)
    }

    /// Fails unless `found` are the files of which something goes, each once.
    fn check_removed(&self, base: &Snapshot, goes: &Goes, found: &[Gone]) -> Result<()> {
        let paths: BTreeSet<_> = found.iter().map(|gone| &gone.file.path).collect();
        let mut wanted = goes.files.iter().chain(goes.rows.keys());
        if let Some(missing) = wanted.find(|path| !paths.contains(path)) {
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

/// What is left of `manifest` without the files of which something goes, which are added to `gone`;
/// None if it has none of them.
fn without(manifest: &Arc<Manifest>, goes: &Goes, gone: &mut Vec<Gone>) -> Option<Manifest> {
    let loses =
        |file: &FileEntry| goes.files.contains(&file.path) || goes.rows.contains_key(&file.path);
    if !manifest.files.iter().any(loses) {
        return None;
    }
    let (goes, rest): (Vec<_>, Vec<_>) = manifest.files.iter().cloned().partition(loses);
    gone.extend(goes.into_iter().map(|file| Gone {
        of: Arc::clone(manifest),
        file,
    }));
    let stats_ids = manifest.stats_ids.clone();
    Some(Manifest::new(manifest.schema, stats_ids, rest))
}
