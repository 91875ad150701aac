//! Directories of tables that are being made or deleted, and what a crash leaves of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use atio_core::storage::{make_folders, remove_folder};

use crate::error::Result;

/// A table that is being made has this before a random name, one that is being deleted the next.
pub(super) const CREATING: &str = ".atio-create-";
pub(super) const DROPPING: &str = ".atio-drop-";
/// What a crash left of a table that was being made or deleted goes after a day.
pub(super) const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes what a crash left, at least `age` ago, of tables that were being made or deleted.
pub(super) fn remove_leftovers(schema: &Path, age: Duration) {
    let entries = fs::read_dir(schema).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let hidden = name
            .to_str()
            .is_some_and(|name| name.starts_with(CREATING) || name.starts_with(DROPPING));
        // Not following a link: one that is there is nobody's leftover.
        let old = entry.metadata().is_ok_and(|meta| {
            let idle = meta.modified().ok().and_then(|at| at.elapsed().ok());
            meta.is_dir() && idle.unwrap_or_default() >= age
        });
        if hidden && old && !is_held(&entry.path()) {
            remove_aside(&entry.path());
        }
    }
}

/// The hidden directory in which a table is being made, however long its query runs.
///
/// It goes when this is dropped, unless it was given its name.
#[must_use = "the directory goes when this is dropped"]
pub(super) struct Building {
    path: PathBuf,
    /// Locked, so that nobody takes it for a leftover. None where directories cannot be locked.
    _held: Option<File>,
}

impl Building {
    pub(super) fn begin(path: &Path) -> Result<Self> {
        make_folders(path)?;
        let held = File::open(path).ok();
        Ok(Self {
            path: path.to_owned(),
            _held: held.filter(|held| held.try_lock().is_ok()),
        })
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if self.path.exists() {
            remove_aside(&self.path);
        }
    }
}

/// True while somebody makes a table in it.
fn is_held(path: &Path) -> bool {
    let locked = File::open(path).map(|directory| directory.try_lock());
    matches!(locked, Ok(Err(fs::TryLockError::WouldBlock)))
}

/// The table is gone already; what stays under the hidden name is in nobody's way. True if nothing
/// does.
pub(super) fn remove_aside(path: &Path) -> bool {
    let removed = remove_folder(path);
    if let Err(error) = &removed {
        log::warn!("{} stays behind: {error}", path.display());
    }
    removed.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_made_is_no_leftover_and_goes_when_it_is_given_up() {
        let schema = tempfile::tempdir().unwrap();
        let path = schema.path().join(format!("{CREATING}1"));
        let building = Building::begin(&path).unwrap();
        remove_leftovers(schema.path(), Duration::ZERO);
        assert!(path.exists());
        drop(building);
        assert!(!path.exists());

        fs::create_dir(&path).unwrap();
        remove_leftovers(schema.path(), Duration::ZERO);
        assert!(!path.exists());

        let building = Building::begin(&path).unwrap();
        let named = schema.path().join("sales");
        fs::rename(&path, &named).unwrap();
        drop(building);
        assert!(named.exists());
    }
}
