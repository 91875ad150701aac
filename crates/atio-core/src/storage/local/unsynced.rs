//! What a transaction has written and not yet made durable.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::{Disk, open_folder, sync_open_folder};
use super::step::step;
use crate::lock::lock;

/// Files of up to so many bytes are synced together; a larger one by itself, as soon as it is
/// written.
const LARGEST: u64 = 1024 * 1024;
/// So many files of this process are kept open to be synced with others.
const MOST_FILES: usize = 64;
/// So many syncs are under way at once.
const PARALLEL: usize = 16;

/// How many files are kept open.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Files, and directories that gained a name.
#[derive(Debug, Default)]
pub(super) struct Unsynced(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    files: Vec<Kept>,
    folders: BTreeSet<PathBuf>,
    /// Once a sync failed no later one counts: the kernel may have dropped what it could not
    /// write, and say so only once.
    failed: Option<String>,
}

/// A file that is counted in [`KEPT`].
#[derive(Debug)]
struct Kept {
    file: File,
    path: PathBuf,
}

impl Kept {
    /// The file itself, where too many are kept.
    fn new(file: File, path: PathBuf) -> Result<Self, (File, PathBuf)> {
        let free = |kept: usize| (kept < MOST_FILES).then_some(kept + 1);
        match KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free) {
            Ok(_) => Ok(Self { file, path }),
            Err(_) => Err((file, path)),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Unsynced {
    /// Notes `file`, which lies at `path`, or makes it durable now.
    pub(super) fn add_file(&self, disk: &Disk, file: File, path: PathBuf) -> io::Result<()> {
        if !disk.syncs() {
            return Ok(());
        }
        let large = file.metadata().map_or(true, |meta| meta.len() > LARGEST);
        let kept = match large {
            true => Err((file, path)),
            false => Kept::new(file, path),
        };
        match kept {
            Ok(kept) => lock(&self.0).files.push(kept),
            Err((file, path)) => {
                self.check()?;
                disk.sync_file(&file, &path)
                    .inspect_err(|error| self.fail(error))?;
            }
        }
        Ok(())
    }

    pub(super) fn add_folder(&self, folder: PathBuf) {
        lock(&self.0).folders.insert(folder);
    }

    /// Closes the files: nothing will name them.
    pub(super) fn forget_files(&self) {
        lock(&self.0).files.clear();
    }

    /// Makes all of it durable, and the file `last` with it: many at once, for a disk takes little longer
    /// for all than for one.
    ///
    /// Who calls it beside another waits for that.
    pub(super) fn sync(&self, disk: &Disk, last: Option<(&File, &Path)>) -> io::Result<()> {
        let mut state = lock(&self.0);
        state.check()?;
        if disk.syncs() {
            // If it does not come back, what it found is lost.
            state.failed = Some("a sync did not end".to_owned());
            let synced = state.sync_all(last);
            state.failed = synced.as_ref().err().map(ToString::to_string);
            synced?;
        }
        state.files.clear();
        state.folders.clear();
        Ok(())
    }

    /// The same of the names in one directory alone.
    pub(super) fn sync_folder(&self, disk: &Disk, folder: &Path) -> io::Result<()> {
        self.check()?;
        disk.sync_folder(folder)
            .inspect_err(|error| self.fail(error))
    }

    /// The same of a directory that is `open`, wherever it is called by now.
    pub(super) fn sync_open(
        &self,
        disk: &Disk,
        open: Option<&File>,
        folder: &Path,
    ) -> io::Result<()> {
        self.check()?;
        if !disk.syncs() {
            return Ok(());
        }
        let synced = step("sync-folder", folder).and_then(|()| match open {
            Some(open) => sync_open_folder(open),
            None => Ok(()),
        });
        synced.inspect_err(|error| self.fail(error))
    }

    fn check(&self) -> io::Result<()> {
        lock(&self.0).check()
    }

    fn fail(&self, error: &io::Error) {
        lock(&self.0).failed = Some(error.to_string());
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(first) => Err(io::Error::other(format!("an earlier sync failed: {first}"))),
        }
    }

    fn sync_all(&self, last: Option<(&File, &Path)>) -> io::Result<()> {
        let files = self.files.iter();
        let files = files.map(|kept| (&kept.file, kept.path.as_path()));
        let mut all: Vec<_> = files.chain(last).collect();
        for (_, path) in &all {
            step("sync-file", path)?;
        }
        let mut folders = Vec::new();
        for folder in &self.folders {
            step("sync-folder", folder)?;
            folders.extend(open_folder(folder)?.map(|open| (open, folder.as_path())));
        }
        all.extend(folders.iter().map(|(open, folder)| (open, *folder)));
        all.chunks(PARALLEL).try_for_each(sync_at_once)
    }
}

/// Syncs each of `files` on a thread of its own, or here where there is none; fails with the
/// first error.
fn sync_at_once(files: &[(&File, &Path)]) -> io::Result<()> {
    let sync = |(file, path): (&File, &Path)| {
        let synced = tracing::info_span!("fsync").in_scope(|| file.sync_all());
        synced.map_err(|error| {
            let what = format!("cannot sync {}: {error}", path.display());
            io::Error::new(error.kind(), what)
        })
    };
    let Some((first, others)) = files.split_first() else {
        return Ok(());
    };
    let span = tracing::Span::current();
    std::thread::scope(|scope| {
        let others: Vec<_> = others
            .iter()
            .map(|other| {
                let (span, other) = (span.clone(), *other);
                let work = move || span.in_scope(|| sync(other));
                match std::thread::Builder::new().spawn_scoped(scope, work) {
                    Ok(thread) => Ok(thread),
                    Err(_) => Err(sync(other)),
                }
            })
            .collect();
        let mut synced = sync(*first);
        for other in others {
            let other = other.map(|thread| thread.join());
            let other = other.unwrap_or_else(Ok);
            let panicked = |_| Err(io::Error::other("a sync panicked"));
            synced = synced.and(other.unwrap_or_else(panicked));
        }
        synced
    })
}
