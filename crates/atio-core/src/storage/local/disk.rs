//! The system calls that a table on a local disk needs, by names relative to its root.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::rename::{rename_new, rename_new_in};
use super::step::step;
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout;
use crate::storage::durability::Durability;
use crate::storage::open_files::blocking_with_open_files;

/// What expiry gives free before it begins: enough for its directory, its record, the
/// pointer and the marker. XFS makes a directory only where it has some 200 KiB for it.
const RESERVE_FILES: usize = 4;
const RESERVE_BYTES: usize = 64 * 1024;

/// The directory of a table.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    root: PathBuf,
    durability: Durability,
}

/// A file that a walk found, or a directory of a transaction that holds none.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
}

/// How a file is put under its final name.
#[derive(Debug, Clone, Copy)]
pub(super) enum PublishMode<'a> {
    /// Fails if the name is taken.
    New,
    /// The same in the directory that is open here, whatever is at its path by now.
    NewIn(&'a File),
    /// Replaces what is there.
    Over,
}

impl Disk {
    pub(crate) fn new(root: PathBuf, durability: Durability) -> Self {
        Self { root, durability }
    }

    /// Where `name` is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The first of `name` and the directories on the way to it that is a symbolic link: it
    /// could lead out of the table, and to files of another.
    pub(crate) fn link(&self, name: &str) -> Option<PathBuf> {
        let mut path = self.root.clone();
        name.split('/').find_map(|part| {
            path.push(part);
            let link = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink());
            link.then(|| path.clone())
        })
    }

    /// Makes the directories of a new table, and all above them that are missing.
    pub(crate) fn make_table(&self) -> io::Result<()> {
        make_all(&self.root, self.durability, &mut Vec::new())?;
        if let Some(above) = self.root.parent() {
            // Whoever made the root may have died before this. If it may not be opened, it was
            // made by somebody else, long ago.
            self.sync_folder(above).ok();
        }
        for folder in [layout::METADATA, layout::DATA, layout::STAGING] {
            self.make_folder(folder)?;
        }
        self.sync_folder(&self.root)?;
        // Without it expiry still works on all but a full disk.
        if let Err(error) = self.keep_reserve() {
            ::log::warn!("no space is kept in reserve for expiry: {error}");
        }
        Ok(())
    }

    /// Makes the directory `name`, whose parent must be there; true if it was missing.
    pub(super) fn make_folder(&self, name: &str) -> io::Result<bool> {
        let path = self.path(name);
        match step("make-folder", &path).and_then(|()| fs::create_dir(&path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(cannot_make(&path, &error)),
        }
    }

    /// Begins a file that nobody else has; it is readable by whom the umask allows.
    pub(super) fn begin(&self, path: &Path) -> io::Result<File> {
        step("begin-file", path)
            .and_then(|()| {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true);
                blocking_with_open_files(|| options.open(path))
            })
            .map_err(|error| cannot_make(path, &error))
    }

    /// False if nothing is made durable here.
    pub(super) fn syncs(&self) -> bool {
        self.durability == Durability::Full
    }

    /// Makes the bytes of `file` durable.
    ///
    /// Never tried again on a failure: the kernel may then count lost pages as written.
    pub(super) fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        if !self.syncs() {
            return Ok(());
        }
        step("sync-file", path)?;
        tracing::info_span!("fsync").in_scope(|| file.sync_all())
    }

    /// Makes the names in `folder` durable.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if !self.syncs() {
            return Ok(());
        }
        sync_folder(folder)
    }

    /// Renames the file `from` to `to`, both on one file system.
    pub(super) fn publish(&self, from: &Path, to: &Path, mode: PublishMode<'_>) -> io::Result<()> {
        step("publish", to)?;
        match mode {
            PublishMode::New => rename_new(from, to),
            PublishMode::NewIn(folder) => rename_new_in(from, folder, to),
            PublishMode::Over => fs::rename(from, to),
        }?;
        step("published", to)
    }

    /// Removes a file, or the directory of a transaction that holds nothing any more; with
    /// the last file of a transaction its directory goes.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        step("remove", &path)?;
        let removed = fs::symlink_metadata(&path).and_then(|meta| match meta.is_dir() {
            true => fs::remove_dir(&path),
            false => fs::remove_file(&path),
        });
        let removed = removed.and_then(|()| step("removed", &path));
        // What is left is not empty until the last file is gone, and then nobody needs it.
        if let Some((above, _)) = name.rsplit_once('/')
            && above.contains('/')
        {
            fs::remove_dir(self.path(above)).ok();
        }
        self.remove_if_empty(name);
        removed
    }

    /// Removes the directory for data files of the transaction that `name` was staged by, if
    /// it holds none: it was made before its first file was to come.
    pub(super) fn remove_if_empty(&self, name: &str) {
        let mut parts = name.split('/');
        if let (Some(layout::STAGING), Some(txn)) = (parts.next(), parts.next()) {
            fs::remove_dir(self.path(layout::DATA).join(txn)).ok();
        }
    }

    /// Every file below `folder`, and the directories of transactions that hold none, but
    /// nothing behind a symbolic link. A folder that is missing holds nothing.
    ///
    /// A transaction has a directory for data files and one for the rest. Whichever is empty, it
    /// is told by the name of the second: [`remove`](Self::remove) takes both away.
    pub(crate) fn walk(&self, folder: &str) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        self.walk_into(folder, &mut found)?;
        Ok(found)
    }

    fn walk_into(&self, folder: &str, found: &mut Vec<Found>) -> io::Result<()> {
        if let Some(link) = self.link(folder) {
            ::log::warn!(
                "{} is a symbolic link, which is not followed",
                link.display()
            );
            return Ok(());
        }
        let entries = match fs::read_dir(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| {
                let what = format!("the name {name:?} in {folder} is not UTF-8");
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?;
            let name = format!("{folder}/{name}");
            let meta = match entry.metadata() {
                // Another process removed it just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                meta => meta?,
            };
            if meta.is_dir() {
                let before = found.len();
                self.walk_into(&name, found)?;
                if found.len() > before {
                    continue;
                }
                let name = match folder {
                    layout::DATA => name.replacen(layout::DATA, layout::STAGING, 1),
                    _ => name,
                };
                if folder_of_transaction(&name) && is_empty_or_missing(&self.path(&name)) {
                    found.push(Found {
                        size: 0,
                        modified: meta.modified()?,
                        name,
                    });
                }
                continue;
            } else if !meta.is_file() {
                ::log::warn!("{name} is neither a file nor a directory, which is passed over");
                continue;
            }
            found.push(Found {
                size: meta.len(),
                modified: meta.modified()?,
                name,
            });
        }
        Ok(())
    }

    /// Names of the files in the root, and of its directories. One that is not UTF-8 is
    /// given as far as it can be shown.
    pub(crate) fn top(&self) -> io::Result<(Vec<String>, Vec<String>)> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            entries => entries?,
        };
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.file_type()?.is_dir() {
                true => folders.push(name),
                false => files.push(name),
            }
        }
        Ok((files, folders))
    }

    /// Sets space and file names aside that [`release_reserve`](Self::release_reserve) gives
    /// free. Nothing is made where there is no table.
    pub(crate) fn keep_reserve(&self) -> io::Result<()> {
        self.make_folder(layout::RESERVE)?;
        for number in 0..RESERVE_FILES {
            let path = self.path(layout::RESERVE).join(number.to_string());
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => {
                    // Not zeros, which some file systems do not store.
                    let written = file?.write_all(&[b'.'; RESERVE_BYTES]);
                    written.inspect_err(|_| drop(fs::remove_file(&path)))?;
                }
            }
        }
        Ok(())
    }

    /// Gives the reserve free.
    pub(crate) fn release_reserve(&self) -> io::Result<()> {
        match self.link(layout::RESERVE) {
            Some(_) => Ok(()),
            None => fs::remove_dir_all(self.path(layout::RESERVE)),
        }
    }
}

fn cannot_make(path: &Path, error: &io::Error) -> io::Error {
    let what = format!("cannot make {}: {error}", path.display());
    io::Error::new(error.kind(), what)
}

fn is_empty_or_missing(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// True for the name of a directory that one transaction stages in.
pub(super) fn folder_of_transaction(name: &str) -> bool {
    layout::parse(name).is_some_and(|object| object.kind == layout::Kind::Staging)
}

/// Makes the directory `path`, and all above it that is missing, for good.
pub fn make_folders(path: &Path) -> Result<()> {
    make_all(path, Durability::Full, &mut Vec::new()).map_err(|error| {
        let what = format!("cannot make the directory {}", path.display());
        Error::new(ErrorKind::Storage, what).with_source(error)
    })
}

/// Makes `path` and all above it that is missing, each durable in the one above. Those that
/// this made are in `made`, the outermost first, also if it fails.
pub fn make_all(path: &Path, durability: Durability, made: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent();
    if let Some(above) = above {
        make_all(above, durability, made)?;
    }
    match step("make-folder", path).and_then(|()| fs::create_dir(path)) {
        Ok(()) => made.push(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(error),
    }
    match (above, durability) {
        (Some(above), Durability::Full) => sync_folder(above),
        _ => Ok(()),
    }
}

/// Makes the names in `folder` durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    step("sync-folder", folder)?;
    match open_folder(folder)? {
        Some(folder) => sync_open_folder(&folder),
        None => Ok(()),
    }
}

/// The same of a directory that is open.
///
/// Where XFS has shut itself down, because it could not write its journal, it says of a directory
/// that is open already that it is synced. It fails to tell anything else of it.
pub(super) fn sync_open_folder(folder: &File) -> io::Result<()> {
    tracing::info_span!("fsync").in_scope(|| folder.sync_all())?;
    folder.metadata().map(drop)
}

/// A directory, to be synced; None where a directory cannot be opened: there the journal orders
/// names.
pub(super) fn open_folder(folder: &Path) -> io::Result<Option<File>> {
    if cfg!(not(unix)) {
        return Ok(None);
    }
    blocking_with_open_files(|| File::open(folder)).map(Some)
}

/// Runs `work`, which waits for the disk, where that holds up nobody else.
///
/// It runs to its end even if the caller stops waiting.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let span = tracing::Span::current();
    let work = move || span.in_scope(work);
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error))),
        Err(_) => work(),
    }
}
