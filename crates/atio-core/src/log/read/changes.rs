//! Which rows came and which went, version by version.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use crate::error::{Error, ErrorKind, Result};
use crate::format::{
    CommitRecord, DeletionVector, FileEntry, Manifest, ManifestRef, Operation, Record, Version,
};
use crate::log::python;
use crate::log::read::columns::column_not_in;
use crate::log::read::difference::{Difference, difference};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// So many versions are read at the same time.
const AT_ONCE: usize = 32;

/// What one version changed of the rows of the one below it; or several of one far below.
#[derive(Debug, Clone)]
pub struct VersionChanges {
    /// The number of the version.
    pub version: Version,
    /// Microseconds since 1970.
    pub committed_at_us: i64,
    /// The files of which all rows came that are not marked.
    pub came: Vec<Arc<Manifest>>,
    /// The same of those that went.
    pub went: Vec<Arc<Manifest>>,
    /// Of files that stayed, rows that came: a rollback takes a mark back.
    pub unmarked: Vec<RowsOfFile>,
    /// The same of rows that went.
    pub marked: Vec<RowsOfFile>,
    /// By the paths of files that neither this version nor the one below it lists, a version that lists
    /// them: in place of what a compaction on the way made of them.
    pub listed_by: BTreeMap<String, Version>,
}

/// Some rows of one data file.
#[derive(Debug, Clone)]
pub struct RowsOfFile {
    /// Lists the file alone, with the deletion vector of the version of which these are rows.
    pub manifest: Arc<Manifest>,
    /// Their numbers in the file.
    pub rows: Arc<DeletionVector>,
}

impl VersionChanges {
    /// True if rows came, and rows went: some of them may only have moved from file to file.
    pub fn comes_and_goes(&self) -> bool {
        let came = !self.came.is_empty() || !self.unmarked.is_empty();
        let went = !self.went.is_empty() || !self.marked.is_empty();
        came && went
    }
}

impl Table {
    /// What each of `versions` changed, which are on the way from `after` to `to`; those that changed
    /// no rows are left out.
    ///
    /// Reads of each its record, the lists of its files and the deletion vectors of those of which rows
    /// were marked. Fails with [`InvalidInput`](crate::ErrorKind::InvalidInput) where rows have a column
    /// that `to` does not have; with [`VersionNotFound`](crate::ErrorKind::VersionNotFound) where the
    /// way begins in a gap that Python left.
    pub async fn changes(
        &self,
        after: Option<Version>,
        versions: &[Version],
        to: &Snapshot,
    ) -> Result<Vec<VersionChanges>> {
        let read = versions.iter().map(|version| async move {
            match self.changes_at(after, *version, to).await {
                Err(error) => Err(self.not_known(after, *version, to, error).await),
                changes => changes,
            }
        });
        // On the heap, as one of them takes much room.
        let read: Vec<_> = read.map(Box::pin).collect();
        let read = futures::stream::iter(read).buffered(AT_ONCE);
        let changes: Vec<_> = read.try_collect().await?;
        Ok(changes.into_iter().flatten().collect())
    }

    /// What was met while the changes of `version` were read, or why they are not known: it has expired
    /// meanwhile, or the version below it, which has what it removed.
    async fn not_known(
        &self,
        after: Option<Version>,
        version: Version,
        to: &Snapshot,
        error: Error,
    ) -> Error {
        let mut error = self.or_expired(version, to, error).await;
        if let Some(below) = version.previous() {
            error = self.or_expired(below, to, error).await;
        }
        if error.kind() != ErrorKind::Damaged {
            return error;
        }
        match self.first_version().await {
            Ok(first) if version < first => {
                self.never_existed(after.unwrap_or(version), to.version)
            }
            _ => error,
        }
    }

    async fn changes_at(
        &self,
        after: Option<Version>,
        version: Version,
        to: &Snapshot,
    ) -> Result<Option<VersionChanges>> {
        let record = match version == to.version {
            true => to.record.clone(),
            false => self.record(version).await?,
        };
        let (difference, at_us) = match &record.record {
            Record::Live(live) => {
                if live.table != to.table {
                    return Err(self.was_made_again());
                }
                if !may_change_rows(&live.operation) {
                    return Ok(None);
                }
                let named = match self.named(live).await? {
                    Some(difference) => difference,
                    // Its writer could not read the version below.
                    None => self.since_below(after, version, to).await?,
                };
                (named, live.committed_at_us)
            }
            Record::Python(_) => {
                let at_us = python::times(self, version).await?;
                let at_us = at_us.get(&version).copied().unwrap_or_default();
                (self.since_below(after, version, to).await?, at_us)
            }
            Record::Tombstone(_) => {
                // By an expiry of which `to` does not know.
                let newest = self.newest().await?;
                return Err(self.has_expired(version, newest.version, &newest.expired));
            }
        };
        self.check_all_columns(version, &difference, to).await?;
        self.resolved((version, at_us), difference).await
    }

    /// What the record says; None if it does not say all of it.
    pub(super) async fn named(&self, record: &CommitRecord) -> Result<Option<Difference>> {
        let removed = async {
            match &record.changes.removed {
                Some(object) => self.named_manifest(object).await.map(Some),
                None => Ok(None),
            }
        };
        let (added, removed) = futures::try_join!(self.added_manifests(record), removed)?;
        let removed: Vec<_> = removed.into_iter().collect();
        let count = |manifests: &[Arc<Manifest>]| {
            let files = manifests.iter().map(|manifest| manifest.files.len());
            files.sum::<usize>() as u64
        };
        let all = count(&added) == record.added.files && count(&removed) == record.removed.files;
        Ok(all.then(|| difference(&removed, &added)))
    }

    /// Compares `version` with the one below it.
    async fn since_below(
        &self,
        after: Option<Version>,
        version: Version,
        to: &Snapshot,
    ) -> Result<Difference> {
        let first = self.first_version().await?;
        let below = match version.previous().filter(|below| *below >= first) {
            Some(below) => Some(self.on_the_way(below, to).await?),
            // Python left a gap below, and what was in it nobody knows.
            None => match after {
                Some(after) => return Err(self.never_existed(after, to.version)),
                None => None,
            },
        };
        let above = self.on_the_way(version, to).await?;
        self.between(below.as_deref(), &above).await
    }

    /// Loads `to` or a version below it.
    pub(super) async fn on_the_way(
        &self,
        version: Version,
        to: &Snapshot,
    ) -> Result<Arc<Snapshot>> {
        match version == to.version {
            true => self.load(to.record.clone()).await,
            false => self.older(version, to.version, &to.expired).await,
        }
    }

    /// Compares the files of two versions. Reads the manifests that one of them has.
    pub(super) async fn between(
        &self,
        below: Option<&Snapshot>,
        above: &Snapshot,
    ) -> Result<Difference> {
        let Some(below) = below else {
            return Ok(difference(&[], &self.manifests(above).await?));
        };
        if below.python.is_some() || above.python.is_some() {
            let lists = futures::try_join!(self.manifests(below), self.manifests(above))?;
            return Ok(difference(&lists.0, &lists.1));
        }
        let alone = |of: &Snapshot, other: &Snapshot| -> Vec<ManifestRef> {
            let others = other.state.manifests.iter();
            let others = others.map(|manifest| manifest.object.path.as_str());
            let others: HashSet<_> = others.collect();
            let of = of.state.manifests.iter();
            let of = of.filter(|manifest| !others.contains(manifest.object.path.as_str()));
            of.cloned().collect()
        };
        let (went, came) = (alone(below, above), alone(above, below));
        let (went, came) = futures::try_join!(
            self.manifests_of(below, &went),
            self.manifests_of(above, &came)
        )?;
        Ok(difference(&went, &came))
    }

    /// Fails if a row that came or went with `version` has a column that `to` does not have.
    async fn check_all_columns(
        &self,
        version: Version,
        difference: &Difference,
        to: &Snapshot,
    ) -> Result<()> {
        // Python's files have other columns under the same number.
        let other = |manifests: &[Arc<Manifest>]| {
            let mut manifests = manifests.iter();
            manifests.any(|manifest| {
                let python = || manifest.files.iter().any(|file| !file.is_of_atio());
                manifest.schema != to.schema.id || python()
            })
        };
        // Those that stay with other marks have the columns of both versions.
        let relisted = difference.relisted.iter().map(|file| &file.was);
        let went: Vec<_> = difference.went.iter().chain(relisted).cloned().collect();
        if let Some(below) = version.previous().filter(|_| other(&went)) {
            let below = self.on_the_way(below, to).await?;
            self.check_columns((version, &went), &below, to).await?;
        }
        if other(&difference.came) {
            let above = self.on_the_way(version, to).await?;
            self.check_columns((version, &difference.came), &above, to)
                .await?;
        }
        Ok(())
    }

    /// The same for files that came or went with `version`, and have the columns of `of`.
    pub(super) async fn check_columns(
        &self,
        (version, files): (Version, &[Arc<Manifest>]),
        of: &Snapshot,
        to: &Snapshot,
    ) -> Result<()> {
        let Some(column) = column_not_in(of, to).filter(|_| !files.is_empty()) else {
            return Ok(());
        };
        let ways = match self.replaced_by(of, to).await {
            Some((below, by)) => format!(
                "version {by} replaced it: ask for the changes with to => {below}, and for the later ones \
                 with from => {by}; net => true without from gives all rows of version {}",
                to.version
            ),
            None => format!(
                "net => true without from gives all rows of version {}",
                to.version
            ),
        };
        Err(Error::invalid(format!(
            "rows that version {version} of '{}' changed have a column '{}' which {} in version {}; {ways}",
            self.name(),
            column.name.escape_debug(),
            column.why,
            to.version
        )))
    }

    /// A version with columns of which `to` lacks one, and the version above it, which has none such. `of`
    /// has one. None if they are not known.
    async fn replaced_by(&self, of: &Snapshot, to: &Snapshot) -> Option<(Version, Version)> {
        let (mut below, mut by) = (of.version, to.version);
        while below.next().ok()? < by {
            let middle = Version::new(below.get() + (by.get() - below.get()) / 2)?;
            let snapshot = self.on_the_way(middle, to).await.ok()?;
            match column_not_in(&snapshot, to) {
                Some(_) => below = middle,
                None => by = middle,
            }
        }
        (below < by).then_some((below, by))
    }

    /// The same with the rows that were marked; None if there is no change.
    pub(super) async fn resolved(
        &self,
        (version, committed_at_us): (Version, i64),
        difference: Difference,
    ) -> Result<Option<VersionChanges>> {
        let Difference {
            came,
            went,
            relisted,
        } = difference;
        let files = relisted.iter().flat_map(|file| [&file.was, &file.is]);
        let files: Vec<&FileEntry> = files.flat_map(|manifest| &manifest.files).collect();
        let vectors = self.vectors_of(&files).await?;
        let (mut marked, mut unmarked) = (Vec::new(), Vec::new());
        for (file, vectors) in relisted.iter().zip(vectors.chunks_exact(2)) {
            let [was, is] = [0, 1].map(|at| vectors[at].clone().unwrap_or_default());
            marked.extend(rows_of(&file.was, is.without(&was)));
            unmarked.extend(rows_of(&file.is, was.without(&is)));
        }
        let changes = VersionChanges {
            version,
            committed_at_us,
            came,
            went,
            unmarked,
            marked,
            listed_by: BTreeMap::new(),
        };
        let is_none = changes.came.is_empty()
            && changes.went.is_empty()
            && changes.unmarked.is_empty()
            && changes.marked.is_empty();
        Ok((!is_none).then_some(changes))
    }
}

/// These rows of the file that `manifest` lists; None if there are none.
fn rows_of(manifest: &Arc<Manifest>, rows: DeletionVector) -> Option<RowsOfFile> {
    (!rows.is_empty()).then(|| RowsOfFile {
        manifest: Arc::clone(manifest),
        rows: Arc::new(rows),
    })
}

/// False for a version of which it is known that its rows are those of the one below.
fn may_change_rows(operation: &Operation) -> bool {
    operation.changes_state() && *operation != Operation::Compact
}
