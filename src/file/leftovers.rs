//! What dead writers left: recognised by its name, and dead because nobody holds its lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::names;
use super::publish::{inode, keep};
use super::staged::remove;
use super::target::LocalTarget;
use crate::error::{Error, ErrorKind, Result};

/// Something that a dead writer left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) removed: bool,
}

/// What dead writers left in `folder`, removed unless it is only looked for.
///
/// Where files cannot be locked nobody can tell the dead from the living, and nothing is
/// removed.
pub(crate) fn clean(folder: &Path, dry_run: bool) -> Result<Vec<Leftover>> {
    let cannot = |error: io::Error| {
        let what = format!("cannot clean up {}", folder.display());
        Error::new(ErrorKind::Storage, what).with_source(error)
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        if let Some(left) = look(&entry.path(), None, dry_run).map_err(cannot)? {
            found.push(left);
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Removes what dead writers of `target` left. That it cannot be removed is no reason not
/// to write.
pub(super) fn clean_target(target: &LocalTarget) {
    for entry in fs::read_dir(&target.folder).into_iter().flatten().flatten() {
        if let Err(error) = look(&entry.path(), Some(&target.name), false) {
            ::log::warn!("{} stays behind: {error}", entry.path().display());
        }
    }
}

/// Looks at one name in a directory; at those for `only` alone, if it is given.
fn look(path: &Path, only: Option<&str>, dry_run: bool) -> io::Result<Option<Leftover>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(temporary) = names::parse(&name) else {
        return Ok(None);
    };
    if only.is_some_and(|only| only != temporary.target) {
        return Ok(None);
    }
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    };
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() || meta.is_dir() => meta,
        Ok(_) => return Ok(None),
        Err(error) => return gone(error),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        // Another user's: who may not read it could not remove it either.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            ::log::debug!("{} is passed over: {error}", path.display());
            return Ok(None);
        }
        Err(error) => return gone(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => {
            ::log::debug!("{} cannot be locked: {error}", path.display());
            return Ok(None);
        }
    }
    let target = LocalTarget {
        folder: path.parent().unwrap_or(path).to_owned(),
        name: temporary.target.to_owned(),
    };
    // A writer that has just exchanged two directories holds no lock on the old one, and is
    // not yet done with it.
    let turn = meta.is_dir().then(|| target.lock()).transpose();
    let _turn = turn.map_err(io::Error::other)?;
    if !is_at(&file, path)? {
        return Ok(None);
    }
    let bytes = match size(path, &meta) {
        Ok(bytes) => bytes,
        // A writer that has exchanged two directories removes the old one, in its own time.
        Err(error) => return gone(error),
    };
    if !dry_run {
        match temporary.swap {
            // Exchanged already: the writer was to make this the backup.
            Some(new) if new != inode(&file)? => keep(&target, path)?,
            _ => remove(path)?,
        }
    }
    Ok(Some(Leftover {
        path: path.to_owned(),
        bytes,
        removed: !dry_run,
    }))
}

/// True if the open file still has this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(meta.ino() == inode(file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

fn size(path: &Path, meta: &fs::Metadata) -> io::Result<u64> {
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    fs::read_dir(path)?.try_fold(0, |sum, entry| {
        let entry = entry?;
        Ok(sum + size(&entry.path(), &entry.metadata()?)?)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn directory_that_its_writer_removes_meanwhile_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10 {
                    let old = at.join(names::temporary("a"));
                    fs::create_dir(&old).unwrap();
                    let files: Vec<_> = (0..200).map(|n| old.join(format!("{n:03}"))).collect();
                    for file in &files {
                        fs::write(file, "x").unwrap();
                    }
                    // In another order than that in which they are listed.
                    for file in &files {
                        fs::remove_file(file).unwrap();
                    }
                    fs::remove_dir(&old).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            let mut cleaned = Vec::new();
            while !done.load(Ordering::Relaxed) {
                cleaned.push(clean(at, true));
            }
            for found in cleaned {
                found.unwrap();
            }
        });
    }
}
