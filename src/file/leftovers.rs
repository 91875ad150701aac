//! What dead writers left: recognised by its name, and dead because nobody holds its lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::names::{self, Stage};
use super::publish::{inode, keep, take_back};
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

/// What dead writers left in `folder`, and of what they wrote into it in the directory above
/// if one `may_look` there, removed unless it is only looked for.
///
/// Where files cannot be locked nobody can tell the dead from the living, and nothing is
/// removed.
pub(crate) fn clean(
    folder: &Path,
    may_look: impl Fn(&Path) -> bool,
    dry_run: bool,
) -> Result<Vec<Leftover>> {
    let cannot = |error: io::Error| {
        let what = format!("cannot clean up {}", folder.display());
        Error::new(ErrorKind::Storage, what).with_source(error)
    };
    let mut found = Vec::new();
    let resolved = folder.canonicalize().map_err(cannot)?;
    let beside = resolved
        .parent()
        .zip(resolved.file_name())
        .filter(|(above, _)| may_look(above));
    let beside = beside.map(|(above, name)| (above, Some(name.to_string_lossy())));
    for (folder, only) in [Some((folder, None)), beside].into_iter().flatten() {
        // Above it there may be what one may not look into, and then nothing was staged there.
        let entries = match fs::read_dir(folder) {
            Err(_) if only.is_some() => continue,
            entries => entries.map_err(cannot)?,
        };
        for entry in entries {
            let entry = entry.map_err(cannot)?;
            match look(&entry.path(), only.as_deref(), dry_run).map_err(cannot)? {
                Look::Dead(leftover) => found.push(leftover),
                Look::NotOurs => ::log::debug!("{} is passed over", entry.path().display()),
                Look::Nothing => {}
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Removes what dead writers of `target` left. That it cannot be removed is no reason not to
/// write; but fails if `appends` says that files are to be added, and some of a dead writer's
/// stay, which would be there twice.
pub(super) fn clean_target(target: &LocalTarget, appends: bool) -> Result<()> {
    let places = [Some(target.clone()), target.beside(), Some(target.within())];
    for place in places.into_iter().flatten() {
        for entry in fs::read_dir(&place.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let why = match look(&path, Some(&place.name), false) {
                Ok(Look::Nothing | Look::Dead(_)) => continue,
                Ok(Look::NotOurs) => io::Error::from(io::ErrorKind::PermissionDenied),
                Err(error) => error,
            };
            if appends && adds_to(&path) == Some(target.path()) {
                // Who adds files has the turn, so what is there when we have it is a dead one's.
                let _turn = target.lock()?;
                if fs::symlink_metadata(&path).is_err() {
                    continue;
                }
                let what = format!(
                    "a statement that died has added some of its files to {}, and they cannot be taken back: let the owner of {} call atio_clean('{}')",
                    target.path().display(),
                    path.display(),
                    target.path().display()
                );
                return Err(Error::new(ErrorKind::Storage, what).with_source(why));
            }
            ::log::warn!("{} stays behind: {why}", path.display());
        }
    }
    Ok(())
}

/// The directory in which the files of this one may be, too.
fn adds_to(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    let (temporary, folder) = (names::parse(&name)?, path.parent()?);
    match temporary.stage {
        Stage::Add => Some(folder.join(temporary.target)),
        Stage::AddWithin => Some(folder.to_owned()),
        Stage::Begun | Stage::Swap(_) => None,
    }
}

/// What a name in a directory is.
enum Look {
    /// Nothing of ours, or gone, or a living writer's.
    Nothing,
    /// Another user's, who alone may say what becomes of it.
    NotOurs,
    Dead(Leftover),
}

/// Looks at one name in a directory; at those for `only` alone, if it is given.
fn look(path: &Path, only: Option<&str>, dry_run: bool) -> io::Result<Look> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(temporary) = names::parse(&name) else {
        return Ok(Look::Nothing);
    };
    if only.is_some_and(|only| only != temporary.target) {
        return Ok(Look::Nothing);
    }
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Look::Nothing),
        _ => Err(error),
    };
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() || meta.is_dir() => meta,
        Ok(_) => return Ok(Look::Nothing),
        Err(error) => return gone(error),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        // Elsewhere no directory can be opened, and nobody tells the dead from the living.
        Err(_) if cfg!(not(unix)) => return Ok(Look::Nothing),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Look::NotOurs),
        Err(error) => return gone(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Look::Nothing),
        Err(TryLockError::Error(error)) => {
            ::log::debug!("{} cannot be locked: {error}", path.display());
            return Ok(Look::Nothing);
        }
    }
    let target = LocalTarget {
        folder: path.parent().unwrap_or(path).to_owned(),
        name: temporary.target.to_owned(),
        here: true,
        beside: false,
    };
    // A writer that has just exchanged two directories holds no lock on the old one, and is
    // not yet done with it.
    let turn = meta.is_dir().then(|| target.lock()).transpose();
    let _turn = turn.map_err(io::Error::other)?;
    if !is_at(&file, path)? {
        return Ok(Look::Nothing);
    }
    // What lies there decides which files are taken back, so another user must not have put it
    // there, nor be able to exchange it meanwhile.
    let added = adds_to(path);
    if added.is_some() && !is_own(&file)? {
        return Ok(Look::NotOurs);
    }
    let bytes = match size(path, &meta) {
        Ok(bytes) => bytes,
        // A writer that has exchanged two directories removes the old one, in its own time.
        Err(error) => return gone(error),
    };
    if !dry_run {
        match (temporary.stage, added) {
            // Exchanged already: the writer was to make this the backup.
            (Stage::Swap(new), _) if new != inode(&file)? => keep(&target, path)?,
            (_, Some(folder)) => take_back(&folder, path)?,
            (_, None) => remove(path)?,
        }
    }
    Ok(Look::Dead(Leftover {
        path: path.to_owned(),
        bytes,
        removed: !dry_run,
    }))
}

/// True if this user made the open file.
#[cfg(unix)]
fn is_own(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn is_own(_: &File) -> io::Result<bool> {
    Ok(true)
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
                cleaned.push(clean(at, |_| true, true));
            }
            for found in cleaned {
                found.unwrap();
            }
        });
    }
}
