//! Whole directories that get other names: a table that is made, dropped or brought back.

use std::fs;
use std::io;
use std::path::Path;

use super::disk::{Disk, folder_of_transaction, sync_folder};
use super::step::step;
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout;

/// Renames the directory `from` to `to`, in one step. Replaces an empty directory and nothing else.
pub fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
    step("rename-folder", to)?;
    fs::rename(from, to)
}

/// Removes the directory `path` and all that is in it.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    step("remove-folder", path)?;
    fs::remove_dir_all(path)
}

/// Makes durable that the directory `from` is called `to`.
///
/// # Errors
///
/// [`ErrorKind::CommitNotDurable`]: the name is the new one until the power fails.
pub fn sync_rename(from: &Path, to: &Path) -> Result<()> {
    let above = from.parent().into_iter().chain(to.parent());
    above.into_iter().try_for_each(sync_folder).map_err(|error| {
        let what = format!(
            "{} was renamed, but the disk failed to make that durable: a power failure may undo it; look after the disk",
            from.display()
        );
        Error::new(ErrorKind::CommitNotDurable, what).with_source(error)
    })
}

impl Disk {
    /// Removes the directories of transactions, which can commit nothing from here on (A9).
    pub(crate) fn end_transactions(&self) -> io::Result<()> {
        let staging = self.path(layout::STAGING);
        let entries = match fs::read_dir(&staging) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = format!(
                "{}/{}",
                layout::STAGING,
                entry.file_name().to_string_lossy()
            );
            // A link is not followed, and no directory of a transaction.
            if entry.file_type()?.is_dir() && folder_of_transaction(&name) {
                remove_folder(&entry.path())?;
            }
        }
        Ok(())
    }
}
