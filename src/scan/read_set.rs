//! What the scans of one statement read of one table, for the versions that come before its own.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use atio_core::format::{Isolation, Manifest, MaySelect, Reads};
use atio_core::log::{Snapshot, Table};
use datafusion::execution::object_store::ObjectStoreUrl;

use super::prune::Pruner;
use super::selected::Selected;
use super::source_keys::{Keys, SourceKeys};
use super::wanted::Wanted;

/// The data files of which every row counts that a statement read, and the conditions by which it
/// chose what it read.
///
/// Clones are the same set.
#[derive(Clone, Default)]
pub(crate) struct ReadSet(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeSet<String>,
    scans: Vec<Scan>,
    of: Option<Version>,
    /// Every row of the table counts.
    all_files: bool,
}

/// The version that a statement reads of the table.
#[derive(Clone)]
pub(super) struct Version {
    pub(super) table: Arc<Table>,
    pub(super) store_url: ObjectStoreUrl,
    pub(super) snapshot: Arc<Snapshot>,
}

/// Which rows of other files a scan would have read, too.
pub(super) struct Scan {
    /// By their statistics; None: those of any file.
    pub(super) by_statistics: Option<Arc<Pruner>>,
    /// By their values; None: any.
    pub(super) by_values: Option<Selected>,
    /// It finds the rows that the statement changes.
    pub(super) finds: bool,
}

impl ReadSet {
    /// Adds a scan of this version: `files` of which every row counts, and what it would have read
    /// besides.
    pub(super) fn add<'a>(&self, of: Version, files: impl Iterator<Item = &'a str>, scan: Scan) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.files.extend(files.map(str::to_owned));
        state.scans.push(scan);
        state.of = Some(of);
    }

    /// Adds a scan of what changed: whatever others change is more of it.
    pub(super) fn add_all(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.all_files = true;
    }

    /// All of it, once the statement is planned.
    pub(crate) fn reads(&self, isolation: Isolation) -> Reads {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let conditions = state.scans.iter().map(|scan| scan.by_statistics.clone());
        let conditions = conditions.collect::<Option<Vec<_>>>();
        let may_select = conditions.filter(|_| !state.all_files);
        let may_select = may_select.map(|conditions| -> MaySelect {
            Arc::new(move |manifest: &Manifest| {
                let mut selects = vec![false; manifest.files.len()];
                for condition in &conditions {
                    let by_one = condition.selects(manifest);
                    for (at, selects) in selects.iter_mut().enumerate() {
                        // What a condition says nothing of it does not know.
                        *selects |= by_one.get(at).copied().unwrap_or(true);
                    }
                }
                selects
            })
        });
        Reads {
            files: state.files.clone(),
            all_files: state.all_files,
            may_select,
            isolation,
        }
    }

    /// Which rows that others add would have been read, too, by each scan, and the version that these
    /// read; None where any row would.
    ///
    /// Of a MERGE that its scan finds only those rows matter which have one of the keys that it
    /// took from its source.
    pub(super) fn wanted(
        &self,
        merged: Option<(&Keys, &Arc<SourceKeys>)>,
    ) -> Option<(Version, Vec<Wanted>)> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.all_files {
            return None;
        }
        let merged = merged.filter(|(_, known)| known.are_complete());
        let one_finds = state.scans.iter().filter(|scan| scan.finds).count() == 1;
        let of = state.of.clone()?;
        let wanted = state.scans.iter().map(|scan| {
            let merged = merged.filter(|_| scan.finds && one_finds);
            let wanted = Wanted {
                selected: scan.by_values.clone(),
                merged: merged.map(|(keys, known)| (keys.clone(), Arc::clone(known))),
            };
            wanted.tells().then_some(wanted)
        });
        Some((of, wanted.collect::<Option<_>>()?))
    }
}

impl fmt::Debug for ReadSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "ReadSet({} files)", state.files.len())
    }
}
