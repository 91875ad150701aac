//! What is being written: files that have no name, or lie in a hidden directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use atio_core::storage::{rename_new, step};

use super::names;
use super::target::LocalTarget;
use super::unnamed;

/// How often a name may be taken away between making and locking it.
const TRIES: usize = 16;

/// A file that is to become the target or its marker; nothing is left of it unless it is shown.
#[derive(Debug)]
#[must_use = "what is staged is removed when this is dropped"]
pub(super) struct StagedFile {
    file: File,
    /// Where it lies, if there are no unnamed files here.
    named: Option<(PathBuf, StagedFolder)>,
}

impl StagedFile {
    /// An empty file on the file system of `target`, which its writer alone may read if it is
    /// `private`, and else whom the umask allows.
    pub(super) fn new(target: &LocalTarget, private: bool) -> io::Result<Self> {
        let mode = if private { 0o600 } else { 0o666 };
        step("copy-begin", &target.path())?;
        if let Some(file) = unnamed::open(&target.folder, mode)? {
            return Ok(Self { file, named: None });
        }
        let folder = StagedFolder::aside(target)?;
        let path = folder.path().join(&target.name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        let file = options.open(&path)?;
        Ok(Self {
            file,
            named: Some((path, folder)),
        })
    }

    pub(super) fn as_file(&self) -> &File {
        &self.file
    }

    /// Calls it `to`, which is in the directory of `target`; fails if that name is taken.
    pub(super) fn show_new(&self, to: &Path) -> io::Result<()> {
        match &self.named {
            None => unnamed::link(&self.file, to),
            Some((path, _)) => name_new(path, to),
        }
    }

    /// True if a file that has just been shown must be synced once more: a file system need not
    /// make anything durable of one that has no name.
    pub(super) fn was_unnamed(&self) -> bool {
        self.named.is_none()
    }

    /// Calls it `to`, which is in the directory of `target`, in place of what is called so.
    /// `sync` makes it durable before that if it had no name.
    pub(super) fn show(
        &self,
        target: &LocalTarget,
        to: &Path,
        sync: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Some((path, _)) = &self.named {
            return fs::rename(path, to);
        }
        // What has no name cannot be renamed, and nothing but a rename replaces in one step.
        let (path, _folder) = self.name_aside(target)?;
        sync(&self.file)?;
        step("copy-rename", to)?;
        fs::rename(path, to)
    }

    /// Gives an unnamed file a name where nobody looks.
    fn name_aside(&self, target: &LocalTarget) -> io::Result<(PathBuf, StagedFolder)> {
        let named = |folder: StagedFolder| {
            let path = folder.path().join(&target.name);
            unnamed::link(&self.file, &path).map(|()| (path, folder))
        };
        match named(StagedFolder::aside(target)?) {
            // Mounted elsewhere, too.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                named(StagedFolder::inside(target)?)
            }
            named => named,
        }
    }
}

/// A hidden directory, locked while its writer lives; removed unless it is published.
#[derive(Debug)]
#[must_use = "what is staged is removed when this is dropped"]
pub(super) struct StagedFolder {
    path: PathBuf,
    /// Open for as long as the lock is to be held.
    file: File,
    /// What a new directory is to be read by; until then its writer alone may.
    mode: Option<u32>,
    published: bool,
}

impl StagedFolder {
    /// An empty directory beside `target`, which its writer alone may read until it is
    /// [shown](Self::unhide).
    pub(super) fn new(target: &LocalTarget) -> io::Result<Self> {
        let mut staged = Self::new_open(target)?;
        staged.hide();
        Ok(staged)
    }

    /// The same, which others may read: whoever lists all below the directory around it would
    /// fail otherwise.
    fn new_open(target: &LocalTarget) -> io::Result<Self> {
        Self::begin(target, |path| {
            fs::create_dir(path)?;
            // Elsewhere a directory cannot be opened, nor locked.
            match cfg!(unix) {
                true => File::open(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => io::ErrorKind::Interrupted.into(),
                    _ => error,
                }),
                false => File::open(std::env::current_exe()?),
            }
        })
    }

    /// An empty directory for files that are added to the directory `target`, which is there:
    /// beside it, or in it where that cannot be.
    pub(super) fn adding_to(target: &LocalTarget) -> io::Result<Self> {
        let beside = target.can_link().then(|| {
            let made = Self::new(target)?;
            made.inherit(&target.path())?;
            io::Result::Ok(made)
        });
        match beside {
            Some(Err(error)) if may_not(&error) => Self::within(target, &error),
            Some(made) => made,
            None => Self::within(
                target,
                "it is mounted, or the directory above may not be used",
            ),
        }
    }

    fn within(target: &LocalTarget, why: impl std::fmt::Display) -> io::Result<Self> {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            ::log::warn!(
                "beside {} nothing can be staged ({why}): who reads all files below it while some are added finds those early or twice",
                target.path().display()
            );
        });
        Self::new_open(&target.within())
    }

    /// Gives new files in it the group that they would have in `folder`; fails if this user may
    /// not give it.
    #[cfg(unix)]
    fn inherit(&self, folder: &Path) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

        const SET_GROUP: u32 = 0o2000;
        let meta = fs::metadata(folder)?;
        if meta.mode() & SET_GROUP == 0 {
            return Ok(());
        }
        let mode = self.file.metadata()?.mode() & 0o7777;
        // The bit comes last: to give a group takes it away.
        fchown(&self.file, None, Some(meta.gid())).and_then(|()| {
            self.file
                .set_permissions(fs::Permissions::from_mode(mode | SET_GROUP))
        })
    }

    #[cfg(not(unix))]
    fn inherit(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    /// An empty directory beside that of `target`, where nobody looks who reads the latter; in
    /// it where that cannot be.
    fn aside(target: &LocalTarget) -> io::Result<Self> {
        let beside = target.beside().map(|beside| Self::new(&beside));
        match beside {
            Some(Ok(folder)) => Ok(folder),
            refused => {
                ::log::debug!(
                    "no directory beside {}: {refused:?}",
                    target.folder.display()
                );
                Self::inside(target)
            }
        }
    }

    /// An empty directory in that of `target`.
    fn inside(target: &LocalTarget) -> io::Result<Self> {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            ::log::info!(
                "beside {} nothing can be staged: who reads all files below it just when one of them is replaced finds that one twice",
                target.folder.display()
            );
        });
        Self::new_open(target)
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
    pub(super) fn unhide(&mut self) -> io::Result<bool> {
        let Some(mode) = self.mode.take() else {
            return Ok(false);
        };
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        self.file.set_permissions(mode).map(|()| true)
    }

    #[cfg(not(unix))]
    pub(super) fn unhide(&mut self) -> io::Result<bool> {
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
            // Elsewhere what is open is no file of its own.
            if cfg!(not(unix)) {
                return Ok(staged);
            }
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

impl Drop for StagedFolder {
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

/// Calls a file or directory otherwise, unless the name is taken.
pub(super) fn name_new(from: &Path, to: &Path) -> io::Result<()> {
    match rename_new(from, to) {
        // A file system that cannot tell. Other writers wait for their turn to publish.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => match to.try_exists()? {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => fs::rename(from, to),
        },
        renamed => renamed,
    }
}

/// True if this user may make nothing in the directory.
fn may_not(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
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
