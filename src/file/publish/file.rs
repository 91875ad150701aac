//! A single file.

use std::fs::{self, File, Metadata};
use std::io;

use atio_core::storage::step;

use super::error::{exists, not_durable, not_marked};
use super::marking::{self, Marking};
use super::sync::{sync, sync_file};
use crate::error::Result;
use crate::file::displaced::Displaced;
use crate::file::mode::keep_mode;
use crate::file::names;
use crate::file::options::FileOptions;
use crate::file::staged::{StagedFile, remove};
use crate::file::target::LocalTarget;

/// Calls `staged` as the target is called, in place of `old`, and puts its marker in place.
pub(super) fn publish(
    target: &LocalTarget,
    staged: StagedFile,
    old: Option<Metadata>,
    marking: Option<Marking>,
    options: &FileOptions,
) -> Result<()> {
    let path = target.path();
    if let Some(old) = &old {
        // Once more, for it may be another one by now.
        keep_mode(staged.as_file(), old)
            .and_then(|changed| match changed {
                true => sync_file(staged.as_file(), &path, options),
                false => Ok(()),
            })
            .map_err(|error| target.cannot("set the mode of", error))?;
    }
    let backup = options.backup && old.is_some();
    if backup {
        back_up(target, options).map_err(|error| target.cannot("back up", error))?;
    }
    let kept = match backup {
        true => target.backup_marker(),
        false => target.old_marker(),
    };
    let displaced = marking::put_aside(target, marking.as_ref(), kept, options)
        .map_err(|error| target.cannot("remove the old marker of", error))?;

    let synced = |file: &File| sync_file(file, &path, options);
    step("copy-publish", &path)
        .and_then(|()| match old.is_some() {
            true => staged.show(target, &path, synced),
            false => staged.show_new(&path),
        })
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(target),
            _ => target.cannot("write", error),
        })?;
    displaced.into_iter().for_each(Displaced::stays);
    step("copy-published", &path)
        .and_then(|()| match old.is_none() && staged.was_unnamed() {
            true => synced(staged.as_file()),
            false => Ok(()),
        })
        .and_then(|()| sync(&target.folder, options))
        .map_err(|error| not_durable(target, error))?;

    let marked = marking.map_or(Ok(()), |marking| marking.put(options));
    // A file that could not be marked has none of these either.
    for aside in [target.old_marker(), target.pending_marker()] {
        if let Err(error) = remove(&aside) {
            ::log::warn!("{} stays behind: {error}", aside.display());
        }
    }
    marked.map_err(|error| not_marked(target, error))
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
    sync(&target.folder, options)
}
