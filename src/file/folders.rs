//! Directories above a target that were missing.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use atio_core::storage::{Durability, make_all};

use super::target::LocalTarget;

/// How often a directory that was made may be taken away before it is used.
const TRIES: usize = 16;

/// Directories that a statement made. Those that are empty go again, unless they are
/// [kept](Self::keep).
#[derive(Debug, Default)]
#[must_use = "directories that were made are removed when this is dropped"]
pub(super) struct MadeFolders(Vec<PathBuf>);

impl MadeFolders {
    /// Makes `folder` and all above it, as far as they are missing. One may go again while those below
    /// it are made: whoever made it has failed, and it was empty.
    pub(super) fn make(&mut self, folder: &Path, durability: Durability) -> io::Result<()> {
        use io::ErrorKind::{AlreadyExists, NotFound};
        for _ in 1..TRIES {
            match make_all(folder, durability, &mut self.0) {
                Err(error) if matches!(error.kind(), AlreadyExists | NotFound) => {}
                made => return made,
            }
        }
        make_all(folder, durability, &mut self.0)
    }

    /// Waits for the turn to publish in the directory of `target`, and makes it once more if
    /// whoever made it first has failed and removed it.
    pub(super) fn turn(
        &mut self,
        target: &LocalTarget,
        durability: Durability,
    ) -> crate::error::Result<Option<File>> {
        for _ in 0..TRIES {
            self.make(&target.folder, durability)
                .map_err(|error| target.cannot("make the directory of", error))?;
            let turn = match target.lock() {
                Err(_) if !target.folder.exists() => continue,
                turn => turn?,
            };
            if turn.as_ref().is_none_or(|folder| target.is_in(folder)) {
                return Ok(turn);
            }
        }
        let error = io::Error::other("other programs removed it again and again");
        Err(target.cannot("make the directory of", error))
    }

    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // Who holds the lock is about to publish in it.
            let Ok(open) = File::open(folder) else { return };
            let taken = matches!(open.try_lock(), Err(TryLockError::WouldBlock));
            if taken || fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_others_take_away_are_made_again() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("a/b/c");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let mut made = MadeFolders::default();
                        made.make(&folder, Durability::None).unwrap();
                    }
                });
            }
        });
        assert!(!folder.exists());
    }
}
