//! A directory as a whole: a new one, or one that takes the place of another.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

use atio_core::storage::step;

use super::error::{exists, not_durable, not_marked};
use super::marking::{self, Marking};
use super::sync::{sync, sync_file};
use crate::error::{Error, ErrorKind, Result};
use crate::file::displaced::Displaced;
use crate::file::mode::keep_mode;
use crate::file::names;
use crate::file::options::FileOptions;
use crate::file::staged::{StagedFolder, name_new, remove};
use crate::file::target::LocalTarget;

/// Calls `staged` as the target is called, exchanged with `old` if that is there, and puts its
/// marker in place.
///
/// The old marker is only called otherwise until then, and the new one is there under another
/// name: by the two it is known, after a crash, that the directory was written by atio.
pub(super) fn publish(
    target: &LocalTarget,
    mut staged: StagedFolder,
    old: Option<Metadata>,
    mut marking: Option<Marking>,
    turn: Option<File>,
    options: &FileOptions,
) -> Result<()> {
    let path = target.path();
    let cannot_write = |error| target.cannot("write", error);
    let replace = old.is_some();
    if replace {
        target.check_ours(options.if_exists.is_some())?;
    }
    let changed = match &old {
        Some(old) => keep_mode(staged.as_file(), old),
        None => staged.unhide(),
    };
    changed
        .and_then(|changed| match changed {
            true => sync_file(staged.as_file(), staged.path(), options),
            false => Ok(()),
        })
        .map_err(|error| target.cannot("set the mode of", error))?;
    let backup = options.backup && replace;
    if backup {
        let inode = inode(staged.as_file()).map_err(cannot_write)?;
        staged
            .rename(&names::swap(&target.name, inode))
            .map_err(cannot_write)?;
    }
    if let Some(marking) = &mut marking {
        marking.wait_beside(target, options).map_err(cannot_write)?;
    }
    let displaced = marking::put_aside(target, marking.as_ref(), target.old_marker(), options)
        .map_err(|error| target.cannot("remove the old marker of", error))?;

    step("copy-publish", &path)
        .and_then(|()| match replace {
            true => exchange(staged.path(), &path),
            false => name_new(staged.path(), &path),
        })
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(target),
            _ => cannot_write(error),
        })?;
    staged.published();
    displaced.into_iter().for_each(Displaced::stays);
    if let Some(marking) = &mut marking {
        marking.stays();
    }
    step("copy-published", &path)
        .and_then(|()| sync(&target.folder, options))
        .map_err(|error| not_durable(target, error))?;

    let marked = marking.map_or(Ok(()), |marking| marking.put(options));
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
    if let Err(error) = marking::forget(&target.old_marker()) {
        ::log::warn!("{} stays behind: {error}", target.old_marker().display());
    }
    drop(turn);
    if replace
        && !backup
        && let Err(error) = remove(staged.path())
    {
        let left = staged.path().display();
        ::log::warn!("{left} stays behind until it is cleaned up: {error}");
    }
    marked.map_err(|error| not_marked(target, error))
}

/// Makes the old directory the backup, and its marker that of the backup.
pub(in crate::file) fn keep(target: &LocalTarget, old: &Path) -> io::Result<()> {
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

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(in crate::file) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|error| {
        let error = io::Error::from(error);
        let what = format!("cannot exchange two directories in one step: {error}");
        io::Error::new(error.kind(), what)
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(in crate::file) fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system cannot exchange two directories in one step",
    ))
}

/// The number by which a file system knows an open file or directory.
#[cfg(unix)]
pub(in crate::file) fn inode(file: &File) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.ino())
}

#[cfg(not(unix))]
pub(in crate::file) fn inode(_: &File) -> io::Result<u64> {
    Ok(0)
}
