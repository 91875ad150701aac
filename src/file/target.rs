//! Where to: a name in a directory of the local disk, or on an object store.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use atio_core::format::layout::{self, Kind};
use atio_core::storage::Objects;

use super::marker::Marker;
use super::names;
use super::shape::Shape;
use crate::error::{Error, ErrorKind, Result};

/// How long to wait for others that publish in the same directory.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where it is written.
#[derive(Debug, Clone)]
pub(crate) enum FileTarget {
    Disk(LocalTarget),
    Store(StoreTarget),
}

/// A name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct LocalTarget {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    /// Whether something may be staged in the directory, and beside it.
    pub(super) here: bool,
    pub(super) beside: bool,
}

/// An object, or what begins with its name and a slash.
#[derive(Debug, Clone)]
pub(crate) struct StoreTarget {
    /// From the parent on.
    pub(super) objects: Objects,
    pub(super) name: String,
    pub(super) shown: String,
}

impl FileTarget {
    /// How messages call it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Disk(target) => target.path().display().to_string(),
            Self::Store(target) => target.shown.clone(),
        }
    }
}

impl StoreTarget {
    /// `objects` begin at the parent; `shown` is the URL of the target, without secrets.
    pub(crate) fn new(objects: Objects, name: &str, shown: String) -> Result<Self> {
        names::check(name)?;
        Ok(Self {
            objects,
            name: name.to_owned(),
            shown,
        })
    }
}

impl LocalTarget {
    /// Nothing is looked for in the directory, which need not be there. Files, and what is added
    /// to a directory, are staged in directories alone that `may_stage` allows; a directory that
    /// is made or replaced is staged beside itself.
    pub(crate) fn new(path: &Path, may_stage: impl Fn(&Path) -> bool) -> Result<Self> {
        let unusable = || Error::invalid(format!("'{}' names no file", path.display()));
        let absolute = std::path::absolute(path).map_err(|error| unusable().with_source(error))?;
        let (Some(above), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(unusable());
        };
        let name = name
            .to_str()
            .ok_or_else(|| Error::invalid(format!("the path '{}' is not UTF-8", path.display())))?;
        names::check(name)?;
        let folder = resolve(above)?;
        let here = may_stage(&folder);
        let beside = folder.parent().is_some_and(may_stage);
        Ok(Self {
            folder,
            name: name.to_owned(),
            here,
            beside,
        })
    }

    /// The directory as a target beside which something can be staged; None if it is a place
    /// of its own where files are mounted, or has a name that leaves no room for others.
    pub(super) fn beside(&self) -> Option<Self> {
        let name = self.folder.file_name()?.to_str()?;
        let possible = self.beside && names::check(name).is_ok() && !is_mounted(&self.folder);
        possible.then(|| Self {
            folder: self.folder.parent().unwrap_or(&self.folder).to_owned(),
            name: name.to_owned(),
            here: true,
            beside: false,
        })
    }

    /// The directory that is there as one in which something can be staged.
    pub(super) fn within(&self) -> Self {
        Self {
            folder: self.path(),
            name: self.name.clone(),
            here: true,
            beside: false,
        }
    }

    /// True if files can have a second name in the directory that is there.
    pub(super) fn can_link(&self) -> bool {
        self.here && !is_mounted(&self.path())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    pub(super) fn marker(&self) -> PathBuf {
        self.folder.join(names::marker(&self.name))
    }

    pub(super) fn backup(&self) -> PathBuf {
        self.folder.join(names::backup(&self.name))
    }

    pub(super) fn backup_marker(&self) -> PathBuf {
        self.folder.join(names::backup_marker(&self.name))
    }

    pub(super) fn pending_marker(&self) -> PathBuf {
        self.folder.join(names::pending_marker(&self.name))
    }

    pub(super) fn old_marker(&self) -> PathBuf {
        self.folder.join(names::old_marker(&self.name))
    }

    /// What is there; fails if it is not of this shape.
    pub(super) fn find(&self, shape: Shape) -> Result<Option<Metadata>> {
        let path = self.path();
        let shown = path.display();
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.cannot("look for", error)),
        };
        let kind = meta.file_type();
        let wrong = match shape {
            _ if kind.is_symlink() => {
                "is a symbolic link, which is not written through: give the path that it leads to"
            }
            Shape::File if kind.is_dir() => "is a directory: give the name of a file",
            Shape::Folder if kind.is_file() => {
                "is a file, and this statement writes a directory: give another name, or one that ends like .csv or .parquet"
            }
            _ if !kind.is_file() && !kind.is_dir() => {
                "is neither a file nor a directory, so it cannot be replaced"
            }
            _ => return Ok(Some(meta)),
        };
        Err(Error::invalid(format!("{shown} {wrong}")))
    }

    /// Fails if it lies where the files of a table do: in its directory, or in `metadata` or
    /// `data` there.
    pub(super) fn check_outside_tables(&self) -> Result<()> {
        let called = |folder: &Path, names: &[&str]| {
            let name = folder.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| names.contains(&name))
        };
        // One that is missing would be made.
        let existing = self.folder.ancestors().find(|folder| folder.is_dir());
        let folder = existing.unwrap_or(&self.folder);
        let mut roots = vec![folder];
        if let Some(above) = folder.parent() {
            if called(folder, &[layout::METADATA, layout::DATA]) {
                roots.push(above);
            }
            // The files of each transaction have a directory.
            if called(above, &[layout::DATA]) {
                roots.extend(above.parent());
            }
        }
        match roots.into_iter().any(holds_table) {
            false => Ok(()),
            true => Err(Error::invalid(format!(
                "{} lies in the directory of a table, which holds the table's own files alone: give another place",
                self.path().display()
            ))),
        }
    }

    /// Fails if the directory that is there is a table.
    pub(super) fn check_no_table(&self) -> Result<()> {
        let path = self.path();
        match holds_table(&path) {
            false => Ok(()),
            true => Err(table(&path)),
        }
    }

    /// Fails if the directory that is there holds anything that atio did not write, or, where
    /// that was asked for explicitly, if it is a table.
    pub(super) fn check_ours(&self, explicit: bool) -> Result<()> {
        let path = self.path();
        let found = walk(&path).map_err(|error| self.cannot("look into", error))?;
        if is_table(found.iter().map(String::as_str)) {
            return Err(table(&path));
        }
        if explicit || found.is_empty() {
            return Ok(());
        }
        match self.marker_of(&found).is_some() {
            true => Ok(()),
            false => Err(foreign(&path.display().to_string())),
        }
    }

    /// The marker of a directory that holds these files, wherever a writer that died has left
    /// it. Names of files are never used again, so no other one names them.
    ///
    /// Of no files any marker would be that one, so there is none.
    fn marker_of(&self, files: &[String]) -> Option<PathBuf> {
        if files.is_empty() {
            return None;
        }
        let candidates = [
            self.marker(),
            self.pending_marker(),
            self.old_marker(),
            self.backup_marker(),
        ];
        candidates.into_iter().find(|path| {
            let marker = Marker::read_file(path).ok().flatten();
            marker.is_some_and(|marker| marker.names_all(files.iter().map(String::as_str)))
        })
    }

    /// The same for a directory that is called otherwise by now.
    pub(super) fn marker_of_folder(&self, folder: &Path) -> io::Result<Option<PathBuf>> {
        Ok(self.marker_of(&walk(folder)?))
    }

    /// Waits for the turn to publish in the directory. None where nothing can be locked.
    pub(super) fn lock(&self) -> Result<Option<File>> {
        let folder = match File::open(&self.folder) {
            Ok(folder) => folder,
            Err(_) if cfg!(not(unix)) => return Ok(None),
            Err(error) => return Err(self.cannot("open the directory of", error)),
        };
        let begun = Instant::now();
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(Some(folder)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(
                        ErrorKind::Storage,
                        format!(
                            "another program has held {} locked for a minute, so nothing can be published in it",
                            self.folder.display()
                        ),
                    ));
                }
                Err(TryLockError::Error(error)) => {
                    ::log::warn!(
                        "{} cannot be locked, so writers in it do not take turns: of several at once the marker of one may lie beside the file of another ({error})",
                        self.folder.display()
                    );
                    return Ok(None);
                }
            }
        }
    }

    /// True if `folder`, which is open, still is the directory.
    #[cfg(unix)]
    pub(super) fn is_in(&self, folder: &File) -> bool {
        use std::os::unix::fs::MetadataExt;

        let of = |meta: io::Result<Metadata>| meta.ok().map(|meta| (meta.dev(), meta.ino()));
        of(folder.metadata()) == of(fs::metadata(&self.folder))
    }

    #[cfg(not(unix))]
    pub(super) fn is_in(&self, _: &File) -> bool {
        self.folder.is_dir()
    }

    pub(super) fn cannot(&self, verb: &str, error: io::Error) -> Error {
        let what = format!("cannot {verb} {}", self.path().display());
        Error::new(ErrorKind::Storage, what).with_source(error)
    }
}

/// The path with links resolved as far as it exists. What is missing may be made, so nothing
/// but directories may be on the way.
fn resolve(folder: &Path) -> Result<PathBuf> {
    let mut missing = Vec::new();
    let mut existing = folder;
    let found = loop {
        match existing.canonicalize() {
            Ok(found) => break found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => {
                let what = format!("cannot look into {}", existing.display());
                return Err(Error::new(ErrorKind::Storage, what).with_source(error));
            }
        }
        if existing.is_symlink() {
            return Err(Error::invalid(format!(
                "{} is a symbolic link to nothing, so nothing can be written in it",
                existing.display()
            )));
        }
        let (Some(above), Some(name)) = (existing.parent(), existing.file_name()) else {
            return Err(Error::invalid(format!(
                "{} leads back out of a directory that does not exist",
                folder.display()
            )));
        };
        missing.push(name);
        existing = above;
    };
    if !found.is_dir() {
        return Err(Error::invalid(format!(
            "{} is a file, so nothing can be written in it",
            existing.display()
        )));
    }
    Ok(missing
        .into_iter()
        .rev()
        .fold(found, |path, name| path.join(name)))
}

/// True if files here cannot be renamed to the directory above, nor the other way: others are
/// mounted here, or it is a volume of its own.
#[cfg(unix)]
fn is_mounted(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
    is_mount_root(folder) || folder.parent().map(device) != Some(device(folder))
}

/// What is mounted may be another directory of the same file system.
#[cfg(target_os = "linux")]
fn is_mount_root(folder: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    statx(CWD, folder, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_mount_root(_: &Path) -> bool {
    false
}

#[cfg(not(unix))]
fn is_mounted(_: &Path) -> bool {
    false
}

/// True if these paths in a directory, or names of objects below a prefix, are of a table.
pub(super) fn is_table<'a>(mut paths: impl Iterator<Item = &'a str>) -> bool {
    paths.any(|path| {
        path.strip_prefix(layout::METADATA)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|rest| rest.ends_with(".metadata.json"))
    })
}

/// True if the directory is that of a table. One that cannot be read is none.
fn holds_table(folder: &Path) -> bool {
    let metadata = folder.join(layout::METADATA);
    let is_folder = fs::symlink_metadata(&metadata).is_ok_and(|meta| meta.is_dir());
    let entries = is_folder.then(|| fs::read_dir(&metadata).ok()).flatten();
    let mut names = entries.into_iter().flatten().flatten();
    names.any(|entry| {
        let name = entry.file_name();
        let path = format!("{}/{}", layout::METADATA, name.to_string_lossy());
        layout::parse(&path).is_some_and(|object| matches!(object.kind, Kind::Record(_)))
    })
}

fn table(path: &Path) -> Error {
    Error::invalid(format!(
        "{} is a table of atio: use INSERT INTO or INSERT OVERWRITE",
        path.display()
    ))
}

pub(super) fn foreign(shown: &str) -> Error {
    Error::invalid(format!(
        "{shown} is a directory with files in it that atio did not write: give another name, or the option 'atio.if_exists' 'replace' to replace it with all that is in it"
    ))
}

/// The paths of all files below `folder`, and of what is neither file nor directory.
pub(super) fn walk(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.file_type()?.is_dir() {
                true => folders.push((entry.path(), format!("{path}/"))),
                false => found.push(path),
            }
        }
    }
    Ok(found)
}
