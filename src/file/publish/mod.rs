//! Giving what is staged its name; the steps are numbered in the [module](super).

mod append;
mod error;
mod file;
mod folder;
mod marking;
mod sync;

use std::fs::Metadata;

use self::error::exists;
use super::folders::MadeFolders;
use super::marker::Marker;
use super::options::{Existing, FileOptions, Marking};
use super::shape::Shape;
use super::staged::{StagedFile, StagedFolder};
use super::target::LocalTarget;
use crate::error::Result;

pub(super) use append::take_back;
pub(super) use error::{already_there, no_marker};
pub(super) use folder::{exchange, inode, keep};

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
