//! Where to: a name in a directory of the local disk, or on an object store.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::marker::Marker;
use super::names;
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{self, Kind};
use crate::log::Objects;

/// How long to wait for others that publish in the same directory.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    File,
    Folder,
}

/// Where it is written.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Disk(LocalTarget),
    Store(StoreTarget),
}

/// A name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct LocalTarget {
    pub(super) folder: PathBuf,
    pub(super) name: String,
}

/// An object, or what begins with its name and a slash.
#[derive(Debug, Clone)]
pub(crate) struct StoreTarget {
    /// From the parent on.
    pub(super) objects: Objects,
    pub(super) name: String,
    pub(super) shown: String,
}

impl Shape {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "directory",
        }
    }
}

impl Target {
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
    /// The directory must be there. Nothing is looked for in it.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let unusable = || Error::invalid(format!("'{}' names no file", path.display()));
        let absolute = std::path::absolute(path).map_err(|error| unusable().with_source(error))?;
        let (Some(above), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(unusable());
        };
        let name = name
            .to_str()
            .ok_or_else(|| Error::invalid(format!("the path '{}' is not UTF-8", path.display())))?;
        names::check(name)?;
        let folder = above.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::invalid(format!(
                "the directory {} does not exist: make it first",
                above.display()
            )),
            _ => Error::new(
                ErrorKind::Storage,
                format!("cannot look into {}", above.display()),
            )
            .with_source(error),
        })?;
        if !folder.is_dir() {
            return Err(Error::invalid(format!(
                "{} is a file, so nothing can be written in it",
                above.display()
            )));
        }
        Ok(Self {
            folder,
            name: name.to_owned(),
        })
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
        let mut roots = vec![self.folder.as_path()];
        if let Some(above) = self.folder.parent() {
            if called(&self.folder, &[layout::METADATA, layout::DATA]) {
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

    /// Fails if the directory that is there holds anything that atio did not write.
    pub(super) fn check_ours(&self, explicit: bool) -> Result<()> {
        let path = self.path();
        let found = walk(&path).map_err(|error| self.cannot("look into", error))?;
        if is_table(found.iter().map(String::as_str)) {
            return Err(Error::invalid(format!(
                "{} is a table of atio: use INSERT INTO or INSERT OVERWRITE",
                path.display()
            )));
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

    pub(super) fn cannot(&self, verb: &str, error: io::Error) -> Error {
        let what = format!("cannot {verb} {}", self.path().display());
        Error::new(ErrorKind::Storage, what).with_source(error)
    }
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

pub(super) fn foreign(shown: &str) -> Error {
    Error::invalid(format!(
        "{shown} is a directory with files in it that atio did not write: give another name, or the option 'atio.if_exists' 'replace' to replace it with all that is in it"
    ))
}

/// The paths of all files below `folder`, and of what is neither file nor directory.
fn walk(folder: &Path) -> io::Result<Vec<String>> {
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
