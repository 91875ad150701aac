//! Files that are out of the way while something may still fail.

use std::fs;
use std::io;
use std::path::PathBuf;

use atio_core::storage::sync_folder;

/// A file under another name, which gets its own back unless it [stays](Self::stays) there.
#[must_use = "a file that was put aside goes back when this is dropped"]
pub(super) struct Displaced {
    from: PathBuf,
    /// None once it stays.
    at: Option<PathBuf>,
}

impl Displaced {
    /// None if there is no such file.
    pub(super) fn put(from: PathBuf, at: PathBuf) -> io::Result<Option<Self>> {
        match fs::rename(&from, &at) {
            Ok(()) => Ok(Some(Self { from, at: Some(at) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn stays(mut self) {
        self.at = None;
    }
}

impl Drop for Displaced {
    fn drop(&mut self) {
        let Some(at) = self.at.take() else { return };
        let back = fs::rename(&at, &self.from);
        // That it is durable is worth a try, and no more.
        let synced = back.and_then(|()| self.from.parent().map_or(Ok(()), sync_folder));
        if let Err(error) = synced {
            ::log::warn!("{} is not put back safely: {error}", self.from.display());
        }
    }
}
