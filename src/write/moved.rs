//! Which rows come and which go with the files that a statement rewrites or marks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use atio_core::format::{FileEntry, Manifest};

use super::positions::Positions;
use crate::scan::Chosen;

/// The rows of a statement that changes some: what is in new files and in old ones alike neither comes
/// nor goes, and neither does what was marked as deleted before.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// The paths of the new files whose rows come.
    added: HashSet<String>,
    /// By the path of an old file, where its rows are in `gone`; None: all that it has left go.
    removed: HashMap<String, Option<InFile>>,
    /// The rows that go of files of which others stay.
    pub(super) gone: Positions,
}

/// Some rows of a file.
#[derive(Debug, Clone, Copy)]
struct InFile {
    /// The number of the file.
    number: u32,
    /// How many rows are in it.
    of: usize,
}

impl Moved {
    /// All rows of `files` come.
    pub(super) fn coming(files: &[FileEntry]) -> Self {
        Self {
            added: files.iter().map(|file| file.path.clone()).collect(),
            ..Self::default()
        }
    }

    /// All rows go that an old file has left.
    pub(super) fn goes(&mut self, file: &FileEntry) {
        self.removed.insert(file.path.clone(), None);
    }

    /// Of an old file of this number, in which `of` rows are, some go.
    pub(super) fn loses(&mut self, file: &FileEntry, number: u32, of: usize) {
        let rows = InFile { number, of };
        self.removed.insert(file.path.clone(), Some(rows));
    }

    /// The files of `manifest` whose rows come.
    pub(super) fn added(&self, manifest: &Manifest) -> Chosen {
        Chosen {
            manifests: vec![some(manifest, |path| self.added.contains(path))],
            rows: HashMap::new(),
        }
    }

    /// The files of `manifests` that lose rows.
    pub(super) fn removed(&self, manifests: &[Arc<Manifest>]) -> Chosen {
        let goes = |path: &str| self.removed.contains_key(path);
        let manifests = manifests.iter().map(|manifest| some(manifest, goes));
        let rows = self.removed.iter().filter_map(|(path, rows)| {
            let InFile { number, of } = (*rows)?;
            Some((path.clone(), self.gone.of_file(number, of)))
        });
        Chosen {
            manifests: manifests.collect(),
            rows: rows.collect(),
        }
    }

    /// True if no row goes.
    pub(super) fn removes_none(&self) -> bool {
        self.removed.is_empty()
    }
}

/// The files of `manifest` that are `chosen` by their path.
fn some(manifest: &Manifest, chosen: impl Fn(&str) -> bool) -> Arc<Manifest> {
    let files = manifest.files.iter().filter(|file| chosen(&file.path));
    let ids = manifest.stats_ids.clone();
    let files = files.cloned().collect();
    Arc::new(Manifest::new(manifest.schema, ids, files))
}
