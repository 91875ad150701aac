//! What is being written, under a hidden name beside its target.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::names;
use super::target::LocalTarget;
use crate::log::step;

/// How often a name may be taken away between making and locking it.
const TRIES: usize = 16;

/// A hidden file or directory, locked while its writer lives; removed unless it is published.
#[derive(Debug)]
#[must_use = "what is staged is removed when this is dropped"]
pub(super) struct Staged {
    path: PathBuf,
    /// Open for as long as the lock is to be held.
    file: File,
    /// What a new directory is to be read by; until then its writer alone may.
    mode: Option<u32>,
    published: bool,
}

impl Staged {
    /// An empty file, readable by whom the umask allows.
    pub(super) fn file(target: &LocalTarget) -> io::Result<Self> {
        Self::begin(target, |path| new_file().open(path))
    }

    /// An empty file that its writer alone may read until it is given another mode.
    pub(super) fn private_file(target: &LocalTarget) -> io::Result<Self> {
        Self::begin(target, |path| {
            let mut options = new_file();
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path)
        })
    }

    /// An empty directory that its writer alone may read until it is [opened](Self::open).
    pub(super) fn folder(target: &LocalTarget) -> io::Result<Self> {
        let mut staged = Self::begin(target, |path| {
            fs::create_dir(path)?;
            // Elsewhere a directory cannot be opened, nor locked.
            match cfg!(unix) {
                true => File::open(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => io::ErrorKind::Interrupted.into(),
                    _ => error,
                }),
                false => File::open(std::env::current_exe()?),
            }
        })?;
        staged.hide();
        Ok(staged)
    }

    /// Some file systems have no modes.
    #[cfg(unix)]
    fn hide(&mut self) {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};

        let hidden = self.file.metadata().and_then(|meta| {
            let mode = meta.mode() & 0o7777;
            let private = fs::Permissions::from_mode((mode & 0o7000) | 0o700);
            self.file.set_permissions(private).map(|()| mode)
        });
        self.mode = hidden.ok();
    }

    #[cfg(not(unix))]
    fn hide(&mut self) {}

    /// Lets others read a new directory as they may read what else is made here; true if that
    /// changed anything.
    #[cfg(unix)]
    pub(super) fn open(&mut self) -> io::Result<bool> {
        let Some(mode) = self.mode.take() else {
            return Ok(false);
        };
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        self.file.set_permissions(mode).map(|()| true)
    }

    #[cfg(not(unix))]
    pub(super) fn open(&mut self) -> io::Result<bool> {
        Ok(self.mode.take().is_some())
    }

    fn begin(target: &LocalTarget, make: impl Fn(&Path) -> io::Result<File>) -> io::Result<Self> {
        for _ in 0..TRIES {
            let path = target.folder.join(names::temporary(&target.name));
            step("copy-begin", &path)?;
            let file = match make(&path) {
                // Whoever cleans up took it before it was open.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                made => made?,
            };
            let staged = Self {
                file,
                path,
                mode: None,
                published: false,
            };
            // Whoever cleans up may have found it before it was locked.
            match staged.file.try_lock() {
                Ok(()) if staged.is_there() => return Ok(staged),
                Ok(()) | Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => {
                    ::log::debug!("{} cannot be locked: {error}", staged.path.display());
                    return Ok(staged);
                }
            }
        }
        Err(io::Error::other(
            "every temporary file was removed by another program at once",
        ))
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn as_file(&self) -> &File {
        &self.file
    }

    /// Gives it another hidden name.
    pub(super) fn rename(&mut self, name: &str) -> io::Result<()> {
        let path = self.path.with_file_name(name);
        fs::rename(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    /// It has its name now: what is under the hidden one, if anything, is not this.
    pub(super) fn published(&mut self) {
        self.published = true;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = remove(&self.path)
        {
            ::log::warn!(
                "{} stays behind until it is cleaned up: {error}",
                self.path.display()
            );
        }
    }
}

fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    options
}

/// Removes a file, or a directory with all that is in it; that it is gone is success.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            // A writer that has not noticed yet may add to it meanwhile.
            fs::remove_dir_all(path).or_else(|_| fs::remove_dir_all(path))
        }
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
