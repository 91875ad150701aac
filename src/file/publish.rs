//! Giving what is staged its name; the steps are numbered in the [module](super).

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::Path;

use super::aside::Aside;
use super::marker::Marker;
use super::mode::keep_mode;
use super::names;
use super::options::{Existing, FileOptions};
use super::staged::{Staged, remove};
use super::target::{LocalTarget, Shape};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Durability, rename_new, step, sync_folder};

/// How publishing ended where nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    Yes,
    /// Another writer was first, and the target is to be left as it is.
    Skipped,
}

/// Publishes `staged`, which is whole and durable, as `target`.
pub(super) fn publish(
    target: &LocalTarget,
    shape: Shape,
    mut staged: Staged,
    marker: Option<&Marker>,
    options: &FileOptions,
) -> Result<Published> {
    let marker = marker.map(|marker| stage_marker(target, marker, options));
    let mut marker = marker.transpose()?;
    let turn = target.lock()?;
    let old = target.find(shape)?;
    match (&old, options.existing()) {
        (Some(_), Existing::Fail) => return Err(exists(target)),
        (Some(_), Existing::Skip) => return Ok(Published::Skipped),
        _ => {}
    }
    let backup = options.backup && old.is_some();
    let cannot_write = |error| target.cannot("write", error);
    if old.is_some() && shape == Shape::Folder {
        target.check_ours(options.if_exists.is_some())?;
    }
    // Once more, for it may be another one by now.
    let changed = match &old {
        Some(old) => keep_mode(staged.as_file(), old),
        None => staged.open(),
    };
    changed
        .and_then(|changed| match changed {
            true => sync_file(staged.as_file(), staged.path(), options),
            false => Ok(()),
        })
        .map_err(|error| target.cannot("set the mode of", error))?;
    match shape {
        Shape::File if backup => {
            back_up(target, options).map_err(|error| target.cannot("back up", error))?;
        }
        Shape::Folder if backup => {
            let inode = inode(staged.as_file()).map_err(cannot_write)?;
            staged
                .rename(&names::swap(&target.name, inode))
                .map_err(cannot_write)?;
        }
        _ => {}
    }
    let old_marker = unmark(target, shape, backup, marker.as_mut(), options)
        .map_err(|error| target.cannot("remove the old marker of", error))?;

    let path = target.path();
    step("copy-publish", &path)
        .and_then(|()| show(&staged, &path, shape, old.is_some()))
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(target),
            _ => cannot_write(error),
        })?;
    staged.published();
    old_marker.into_iter().for_each(Aside::stays);
    if let (Shape::Folder, Some(marker)) = (shape, &mut marker) {
        // By this one alone the directory is known to be ours.
        marker.published();
    }
    step("copy-published", &path)
        .and_then(|()| sync(target, options))
        .map_err(|error| not_durable(target, error))?;

    let marked = mark(target, marker, options).map_err(|error| {
        let what = format!(
            "{} is written and complete, but its marker is not",
            path.display()
        );
        Error::new(ErrorKind::Storage, what).with_source(error)
    });
    if shape == Shape::Folder && old.is_some() {
        // The old directory is under the hidden name now.
        if backup {
            keep(target, staged.path()).map_err(|error| {
                let what = format!(
                    "{} is written, but the old one is still called {}",
                    path.display(),
                    staged.path().display()
                );
                Error::new(ErrorKind::Storage, what).with_source(error)
            })?;
        }
    }
    // A file that could not be marked has none either.
    let pending = (shape == Shape::File).then(|| target.pending_marker());
    for aside in [Some(target.old_marker()), pending].into_iter().flatten() {
        if let Err(error) = remove(&aside) {
            ::log::warn!("{} stays behind: {error}", aside.display());
        }
    }
    drop(turn);
    if shape == Shape::Folder
        && old.is_some()
        && !backup
        && let Err(error) = remove(staged.path())
    {
        let left = staged.path().display();
        ::log::warn!("{left} stays behind until it is cleaned up: {error}");
    }
    marked.map(|()| Published::Yes)
}

/// Takes the marker away from the old target, until the new one is seen.
///
/// That of a directory is only called otherwise, and the new one is there under another name:
/// by the two it is known, after a crash, that the directory was written by atio.
fn unmark(
    target: &LocalTarget,
    shape: Shape,
    backup: bool,
    new: Option<&mut Staged>,
    options: &FileOptions,
) -> io::Result<Option<Aside>> {
    if let (Shape::Folder, Some(new)) = (shape, new) {
        new.rename(&names::pending_marker(&target.name))?;
    }
    let marker = target.marker();
    if fs::symlink_metadata(&marker).is_err() {
        return Ok(None);
    }
    step("copy-unmark", &marker)?;
    let at = match shape {
        Shape::File if backup => target.backup_marker(),
        _ => target.old_marker(),
    };
    let aside = Aside::put(marker, at)?;
    sync(target, options)?;
    Ok(aside)
}

/// Gives the marker its name.
fn mark(target: &LocalTarget, marker: Option<Staged>, options: &FileOptions) -> io::Result<()> {
    if let Some(mut marker) = marker {
        let at = target.marker();
        step("copy-mark", &at)?;
        fs::rename(marker.path(), &at)?;
        marker.published();
        step("copy-marked", &at)?;
        sync(target, options)?;
    }
    Ok(())
}

/// Fails, or tells that nothing is to be done, before the query runs.
pub(super) fn look(
    target: &LocalTarget,
    shape: Shape,
    options: &FileOptions,
) -> Result<Option<Metadata>> {
    // A directory and its marker do not change at once.
    let _turn = (shape == Shape::Folder)
        .then(|| target.lock())
        .transpose()?;
    target.check_outside_tables()?;
    let old = target.find(shape)?;
    if old.is_some() && shape == Shape::Folder && options.existing() == Existing::Replace {
        target.check_ours(options.if_exists.is_some())?;
    }
    match (&old, options.existing()) {
        (Some(_), Existing::Fail) => Err(exists(target)),
        _ => Ok(old),
    }
}

fn exists(target: &LocalTarget) -> Error {
    already_there(&target.path().display().to_string())
}

pub(super) fn already_there(shown: &str) -> Error {
    Error::invalid(format!(
        "{shown} is there already, and 'atio.if_exists' is 'fail': it was left as it is"
    ))
}

fn not_durable(target: &LocalTarget, error: io::Error) -> Error {
    let what = format!(
        "{} is written, but the disk failed to make that durable: a power failure may undo it; look after the disk",
        target.path().display()
    );
    Error::new(ErrorKind::CommitNotDurable, what).with_source(error)
}

/// Writes a small file under a hidden name, durably.
fn stage_marker(target: &LocalTarget, marker: &Marker, options: &FileOptions) -> Result<Staged> {
    let bytes = marker.to_bytes()?;
    let staged = || -> io::Result<Staged> {
        let staged = Staged::file(target)?;
        step("copy-write", staged.path())?;
        let mut file = staged.as_file();
        file.write_all(&bytes)?;
        sync_file(file, staged.path(), options)?;
        Ok(staged)
    };
    staged().map_err(|error| target.cannot("write the marker of", error))
}

fn sync_file(file: &File, path: &Path, options: &FileOptions) -> io::Result<()> {
    match options.durability {
        Durability::None => Ok(()),
        Durability::Full => {
            step("copy-sync", path)?;
            tracing::info_span!("fsync").in_scope(|| file.sync_all())
        }
    }
}

pub(super) fn sync(target: &LocalTarget, options: &FileOptions) -> io::Result<()> {
    match options.durability {
        Durability::None => Ok(()),
        Durability::Full => sync_folder(&target.folder),
    }
}

#[cfg(unix)]
pub(super) fn inode(file: &File) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.ino())
}

#[cfg(not(unix))]
pub(super) fn inode(_: &File) -> io::Result<u64> {
    Ok(0)
}

/// Gives the old file a second name. The backup before that is gone after it.
fn back_up(target: &LocalTarget, options: &FileOptions) -> io::Result<()> {
    let (old, backup) = (target.path(), target.backup());
    let temporary = target.folder.join(names::temporary(&target.name));
    step("copy-backup", &backup)?;
    remove(&target.backup_marker())?;
    if fs::hard_link(&old, &temporary).is_err() {
        // No hard links here: the bytes themselves.
        fs::copy(&old, &temporary)?;
        sync_file(&File::open(&temporary)?, &temporary, options)?;
    }
    // Two names of one file are not renamed over each other.
    remove(&backup)
        .and_then(|()| fs::rename(&temporary, &backup))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    sync(target, options)
}

/// Makes the old directory the backup, and its marker that of the backup.
pub(super) fn keep(target: &LocalTarget, old: &Path) -> io::Result<()> {
    let (backup, backup_marker) = (target.backup(), target.backup_marker());
    step("copy-backup", &backup)?;
    let marker = target.marker_of_folder(old)?;
    if marker.as_ref() != Some(&backup_marker) {
        remove(&backup_marker)?;
    }
    let trash = target.folder.join(names::temporary(&target.name));
    match fs::rename(&backup, &trash) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(old, &backup)?;
    if let Some(marker) = marker {
        fs::rename(&marker, &backup_marker)?;
    }
    remove(&trash)
}

/// The one step by which readers see the new target.
fn show(staged: &Staged, path: &Path, shape: Shape, replace: bool) -> io::Result<()> {
    match (shape, replace) {
        (Shape::File, true) => fs::rename(staged.path(), path),
        (Shape::File, false) => rename_new(staged.path(), path),
        (Shape::Folder, true) => exchange(staged.path(), path),
        (Shape::Folder, false) => match rename_new(staged.path(), path) {
            // Whoever could make the directory meanwhile waits for the turn to publish.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                fs::rename(staged.path(), path)
            }
            renamed => renamed,
        },
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|error| {
        let error = io::Error::from(error);
        let what = format!("cannot exchange two directories in one step: {error}");
        io::Error::new(error.kind(), what)
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system cannot exchange two directories in one step",
    ))
}
