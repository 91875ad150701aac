//! Directories of tables that are being made or deleted, and what a crash leaves of them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use atio_core::storage::remove_folder;

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
        if hidden && old {
            remove_aside(&entry.path());
        }
    }
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
