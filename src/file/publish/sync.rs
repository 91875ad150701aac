//! Making durable what was written, where the options say so.

use std::fs::File;
use std::io;
use std::path::Path;

use atio_core::storage::{Durability, step, sync_folder};

use crate::file::options::FileOptions;

/// Makes the bytes of a file durable.
pub(super) fn sync_file(file: &File, path: &Path, options: &FileOptions) -> io::Result<()> {
    match options.durability {
        Durability::None => Ok(()),
        Durability::Full => {
            step("copy-sync", path)?;
            tracing::info_span!("fsync").in_scope(|| file.sync_all())
        }
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync(folder: &Path, options: &FileOptions) -> io::Result<()> {
    match options.durability {
        Durability::None => Ok(()),
        Durability::Full => sync_folder(folder),
    }
}
