//! The marker of a target, on its way to its name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use atio_core::storage::step;

use super::sync::{sync, sync_file};
use crate::error::{Error, Result};
use crate::file::displaced::Displaced;
use crate::file::marker::Marker;
use crate::file::options::{self, FileOptions};
use crate::file::staged::StagedFile;
use crate::file::target::LocalTarget;

/// A marker that is written, durably, and has no name yet.
#[derive(Debug)]
pub(super) struct Marking {
    staged: StagedFile,
    /// Whose directory it lies in: the target, or itself at a place of its own.
    of: LocalTarget,
    at: PathBuf,
    /// Its name while a directory is exchanged that it lies beside: by this the new one is
    /// known to be atio's.
    pending: Option<Pending>,
}

/// A name that goes again unless it is [kept](Self::stays).
#[derive(Debug)]
struct Pending(Option<PathBuf>);

/// Writes the marker of `target`; that the disk is full is found out now.
pub(super) fn stage(
    target: &LocalTarget,
    marker: &Marker,
    options: &FileOptions,
) -> Result<Marking> {
    let (of, at) = match &options.marker {
        options::Marking::At(path) => {
            let of = place(path)?;
            let at = of.path();
            (of, at)
        }
        _ => (target.clone(), target.marker()),
    };
    let bytes = marker.to_bytes()?;
    let staged = || -> io::Result<StagedFile> {
        let staged = StagedFile::new(&of, false)?;
        step("copy-write", &at)?;
        let mut file = staged.as_file();
        file.write_all(&bytes)?;
        sync_file(file, &at, options)?;
        Ok(staged)
    };
    let staged = staged().map_err(|error| target.cannot("write the marker of", error))?;
    Ok(Marking {
        staged,
        of,
        at,
        pending: None,
    })
}

/// Puts the markers of the old target aside, durably, until the new one is seen: the one
/// beside it as `old`, and the one at the place of the new marker.
pub(super) fn put_aside(
    target: &LocalTarget,
    new: Option<&Marking>,
    old: PathBuf,
    options: &FileOptions,
) -> io::Result<Vec<Displaced>> {
    let mut displaced = Vec::new();
    // What has come there since it was looked at is not ours to move.
    if let Some(new) = new.filter(|new| new.at != target.marker() && !is_free(&new.at)) {
        let what = format!("{} is no marker", new.at.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    let mut put = |marker: PathBuf, to: PathBuf, folder: &Path| -> io::Result<()> {
        if fs::symlink_metadata(&marker).is_err() {
            return Ok(());
        }
        step("copy-unmark", &marker)?;
        displaced.extend(Displaced::put(marker, to)?);
        sync(folder, options)
    };
    put(target.marker(), old, &target.folder)?;
    if let Some(new) = new.filter(|new| new.at != target.marker()) {
        put(new.at.clone(), new.of.old_marker(), &new.of.folder)?;
    }
    Ok(displaced)
}

/// Fails if the marker of `target` cannot be put at `path`, or would take the place of
/// something else.
pub(super) fn check(target: &LocalTarget, path: &Path) -> Result<()> {
    let at = place(path)?;
    at.check_outside_tables()?;
    if at.path() == target.path() {
        return Err(Error::invalid(format!(
            "the marker {} would take the place of what it is about: give another place",
            path.display()
        )));
    }
    if at.path().starts_with(target.path()) {
        return Err(Error::invalid(format!(
            "the marker {} would lie in the directory that it is about, where it would be read as data: give another place",
            path.display()
        )));
    }
    match is_free(&at.path()) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{} is there and is no marker, so the marker is not put in its place: give another place",
            path.display()
        ))),
    }
}

/// True if there is nothing, or another marker.
fn is_free(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(meta) => meta.is_file() && matches!(Marker::read_file(path), Ok(Some(_))),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn place(path: &Path) -> Result<LocalTarget> {
    let at = LocalTarget::new(path, |_| false).map_err(|error| error.context("the marker"))?;
    match at.folder.is_dir() {
        true => Ok(at),
        false => Err(Error::invalid(format!(
            "the directory of the marker {} does not exist: make it first",
            path.display()
        ))),
    }
}

impl Marking {
    /// Calls it so that a directory that is about to be seen is known to be atio's.
    pub(super) fn wait_beside(
        &mut self,
        target: &LocalTarget,
        options: &FileOptions,
    ) -> io::Result<()> {
        if self.at != target.marker() {
            return Ok(());
        }
        let pending = target.pending_marker();
        // What a writer that died has left.
        forget(&pending)?;
        self.staged.show_new(&pending)?;
        sync_file(self.staged.as_file(), &pending, options)?;
        self.pending = Some(Pending(Some(pending)));
        Ok(())
    }

    /// The new directory is seen: its marker stays, under whatever name.
    pub(super) fn stays(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.0.take();
        }
    }

    /// Puts it in its place, and what was put aside there goes.
    pub(super) fn put(self, options: &FileOptions) -> io::Result<()> {
        step("copy-mark", &self.at)?;
        let synced = |file: &File| sync_file(file, &self.at, options);
        match &self.pending {
            Some(_) => fs::rename(self.of.pending_marker(), &self.at)?,
            None => match self.staged.show_new(&self.at) {
                // Another writer's, for what was there is aside.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_free(&self.at) => {
                    self.staged.show(&self.of, &self.at, synced)?;
                }
                shown => {
                    shown?;
                    if self.staged.was_unnamed() {
                        synced(self.staged.as_file())?;
                    }
                }
            },
        }
        step("copy-marked", &self.at)?;
        sync(&self.of.folder, options)?;
        // That of a target is still needed, as the marker of its backup.
        match self.of.path() == self.at {
            true => forget(&self.of.old_marker()),
            false => Ok(()),
        }
    }
}

/// Removes a marker. What has come in its place and is a directory is nobody's to remove.
pub(super) fn forget(marker: &Path) -> io::Result<()> {
    match fs::remove_file(marker) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = forget(path)
        {
            ::log::warn!("{} stays behind: {error}", path.display());
        }
    }
}
