//! What the scans of one statement read of one table, for the versions that come before its own.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use atio_core::format::{Isolation, Manifest, MaySelect, Reads};

/// The data files of which every row counts that a statement read, and the conditions by which it
/// chose what it read.
///
/// Clones are the same set.
#[derive(Clone, Default)]
pub(crate) struct ReadSet(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeSet<String>,
    /// Of each scan, which other files it would have read.
    conditions: Vec<MaySelect>,
    /// A scan would have read any.
    reads_all: bool,
    /// Every row of the table counts.
    all_files: bool,
}

impl ReadSet {
    /// Adds a scan: `files` of which every row counts, and by which condition it chose what it read;
    /// None if it would have read any file.
    pub(super) fn add<'a>(
        &self,
        files: impl Iterator<Item = &'a str>,
        condition: Option<MaySelect>,
    ) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.files.extend(files.map(str::to_owned));
        match condition {
            Some(condition) => state.conditions.push(condition),
            None => state.reads_all = true,
        }
    }

    /// Adds a scan of what changed: whatever others change is more of it.
    pub(super) fn add_all(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.reads_all, state.all_files) = (true, true);
    }

    /// All of it, once the statement is planned.
    pub(crate) fn reads(&self, isolation: Isolation) -> Reads {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let conditions = state.conditions.clone();
        let selects = move |manifest: &Manifest| {
            let mut selects = vec![false; manifest.files.len()];
            for condition in &conditions {
                let by_one = condition(manifest);
                for (at, selects) in selects.iter_mut().enumerate() {
                    // What a condition says nothing of it does not know.
                    *selects |= by_one.get(at).copied().unwrap_or(true);
                }
            }
            selects
        };
        Reads {
            files: state.files.clone(),
            all_files: state.all_files,
            may_select: (!state.reads_all).then(|| Arc::new(selects) as MaySelect),
            isolation,
        }
    }
}

impl fmt::Debug for ReadSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "ReadSet({} files)", state.files.len())
    }
}
