//! What a transaction has written and not yet made durable.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, open_folder, step};

/// So many files are kept open to be synced with others; one more is synced by itself.
const MOST_FILES: usize = 8;
/// So many syncs are under way at once.
const PARALLEL: usize = 16;

/// Files, and directories that gained a name.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    files: Vec<(File, PathBuf)>,
    folders: BTreeSet<PathBuf>,
    /// Once a sync failed no later one counts: the kernel may have dropped what it could not
    /// write, and say so only once.
    failed: Option<String>,
}

impl Unsynced {
    /// Notes `file`, which lies at `path`, or syncs it now where too many are noted.
    pub(super) fn add_file(&mut self, disk: &Disk, file: File, path: PathBuf) -> io::Result<()> {
        if disk.syncs() && self.files.len() < MOST_FILES {
            self.files.push((file, path));
            return Ok(());
        }
        disk.sync_file(&file, &path)
    }

    pub(super) fn add_folder(&mut self, folder: PathBuf) {
        self.folders.insert(folder);
    }

    /// Makes all of it durable, and `last` with it: many at once, for a disk takes little longer
    /// for all than for one.
    pub(super) fn sync(&mut self, disk: &Disk, last: (&File, &Path)) -> io::Result<()> {
        self.check()?;
        if !disk.syncs() {
            self.folders.clear();
            return Ok(());
        }
        let synced = self.sync_all(last);
        match &synced {
            Ok(()) => {
                self.files.clear();
                self.folders.clear();
            }
            Err(error) => self.failed = Some(error.to_string()),
        }
        synced
    }

    fn sync_all(&self, last: (&File, &Path)) -> io::Result<()> {
        let files = self.files.iter().map(|(file, path)| (file, path.as_path()));
        for (_, path) in files.clone().chain([last]) {
            step("sync-file", path)?;
        }
        let mut folders = Vec::new();
        for folder in &self.folders {
            step("sync-folder", folder)?;
            folders.extend(open_folder(folder)?);
        }
        let all: Vec<_> = (files.map(|(file, _)| file))
            .chain([last.0])
            .chain(&folders)
            .collect();
        all.chunks(PARALLEL).try_for_each(sync_at_once)
    }

    /// The same of the names in one directory alone.
    pub(super) fn sync_folder(&mut self, disk: &Disk, folder: &Path) -> io::Result<()> {
        self.check()?;
        disk.sync_folder(folder)
            .inspect_err(|error| self.failed = Some(error.to_string()))
    }

    fn check(&self) -> io::Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(first) => Err(io::Error::other(format!("an earlier sync failed: {first}"))),
        }
    }
}

/// Syncs each of `files` on a thread of its own; fails with the first error.
fn sync_at_once(files: &[&File]) -> io::Result<()> {
    std::thread::scope(|scope| {
        let (last, others) = match files.split_last() {
            Some(split) => split,
            None => return Ok(()),
        };
        let others: Vec<_> = others
            .iter()
            .map(|file| {
                let span = tracing::info_span!("fsync");
                scope.spawn(move || span.in_scope(|| file.sync_all()))
            })
            .collect();
        let last = tracing::info_span!("fsync").in_scope(|| last.sync_all());
        let mut synced = last;
        for other in others {
            let other = other.join();
            synced = synced.and(other.unwrap_or_else(|_| Err(io::Error::other("a sync panicked"))));
        }
        synced
    })
}
