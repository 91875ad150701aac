//! Giving what is staged its name; the steps are numbered in the [module](super).

mod append;
mod file;
mod folder;
mod marking;

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use super::folders::MadeFolders;
use super::marker::Marker;
use super::options::{Existing, FileOptions, Marking};
use super::staged::{StagedFile, StagedFolder};
use super::target::{LocalTarget, Shape};
use crate::error::{Error, ErrorKind, Result};
use atio_core::storage::{Durability, step, sync_folder};

pub(super) use append::{no_marker, take_back};
pub(super) use folder::{exchange, keep};

/// How publishing ended where nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    Yes,
    /// Another writer was first, and the target is to be left as it is.
    Skipped,
}

/// What is to become the target.
#[derive(Debug)]
pub(super) enum Staged {
    File(StagedFile),
    Folder(StagedFolder),
}

impl Staged {
    fn shape(&self) -> Shape {
        match self {
            Self::File(_) => Shape::File,
            Self::Folder(_) => Shape::Folder,
        }
    }
}

/// What a write on a local disk made, which goes if it is not published.
#[derive(Debug)]
pub(super) struct OnDisk {
    // Goes before the directories in which it lies.
    pub(super) staged: Staged,
    pub(super) made: MadeFolders,
}

/// Publishes what is staged, which is whole and durable, as `target`.
pub(super) fn publish(
    target: &LocalTarget,
    on_disk: OnDisk,
    marker: Option<&Marker>,
    options: &FileOptions,
) -> Result<Published> {
    // What is staged goes first, if anything fails.
    let OnDisk { mut made, staged } = on_disk;
    let shape = staged.shape();
    let marking = marker.map(|marker| marking::stage(target, marker, options));
    let marking = marking.transpose()?;
    let turn = made.turn(target, options.durability)?;
    let old = target.find(shape)?;
    let existing = options.existing(shape);
    match (&old, existing) {
        (Some(_), Existing::Fail) => return Err(exists(target)),
        (Some(_), Existing::Skip) => return Ok(Published::Skipped),
        _ => {}
    }
    match (staged, old) {
        (Staged::File(staged), old) => file::publish(target, staged, old, marking, options),
        (Staged::Folder(staged), Some(_)) if existing == Existing::Append => {
            append::publish(target, staged, marking, options)
        }
        (Staged::Folder(staged), old) => {
            folder::publish(target, staged, old, marking, turn, options)
        }
    }?;
    made.keep();
    Ok(Published::Yes)
}

/// Fails, or tells that nothing is to be done, before the query runs.
pub(super) fn look(
    target: &LocalTarget,
    shape: Shape,
    options: &FileOptions,
) -> Result<Option<Metadata>> {
    // A directory and its marker do not change at once.
    let _turn = (shape == Shape::Folder && target.folder.exists())
        .then(|| target.lock())
        .transpose()?;
    target.check_outside_tables()?;
    let old = target.find(shape)?;
    let existing = options.existing(shape);
    match (&old, shape, existing) {
        (Some(_), _, Existing::Fail) => return Err(exists(target)),
        (Some(_), Shape::Folder, Existing::Replace) => {
            target.check_ours(options.if_exists.is_some())?;
        }
        (Some(_), Shape::Folder, Existing::Append) => {
            target.check_no_table()?;
            if options.marker == Marking::Beside {
                return Err(no_marker(&target.path().display().to_string()));
            }
        }
        _ => {}
    }
    if let Marking::At(path) = &options.marker {
        marking::check(target, path)?;
    }
    Ok(old)
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

fn not_marked(target: &LocalTarget, error: io::Error) -> Error {
    let what = format!(
        "{} is written and complete, but its marker is not",
        target.path().display()
    );
    Error::new(ErrorKind::Storage, what).with_source(error)
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

fn sync(folder: &Path, options: &FileOptions) -> io::Result<()> {
    match options.durability {
        Durability::None => Ok(()),
        Durability::Full => sync_folder(folder),
    }
}

/// The number by which a file system knows an open file or directory.
#[cfg(unix)]
pub(super) fn inode(file: &File) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.ino())
}

#[cfg(not(unix))]
pub(super) fn inode(_: &File) -> io::Result<u64> {
    Ok(0)
}
