//! Files that are added to a directory: all of them, or none.
//!
//! The staged directory says what is under way, so that whoever finds it knows what a writer
//! that died has done:
//!
//! 1. It is called `.<name>.atio-<id>.add`, durably; `.within` at the end where it lies in the
//!    target, because nothing can lie beside it. A file in it may be in the target, too.
//! 2. Each file is given a second name in the target. **Readers see that file**, whole.
//! 3. The directories of the target that gained a name are synced.
//! 4. The staged directory is called `.<name>.atio-<id>.done`, durably. **The files stay.**
//! 5. It is removed, and with it the first name of each file.
//!
//! What a writer that died before step 4 has put into the target is [taken back](take_back):
//! it is known by being the same file, so nothing of anybody else's is touched.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use atio_core::storage::{step, sync_folder};

use super::error::{no_marker, not_durable};
use super::marking::{self, Marking};
use super::sync::sync;
use crate::error::{Error, ErrorKind, Result};
use crate::file::displaced::Displaced;
use crate::file::folders::MadeFolders;
use crate::file::names;
use crate::file::options::{self, FileOptions};
use crate::file::staged::{StagedFolder, name_new, remove};
use crate::file::target::{LocalTarget, walk};
use crate::file::unnamed;

/// Adds the files of `staged` to the directory that is there.
pub(super) fn publish(
    target: &LocalTarget,
    mut staged: StagedFolder,
    marking: Option<Marking>,
    options: &FileOptions,
) -> Result<()> {
    target.check_no_table()?;
    // The directory may have come while the query ran.
    if options.marker == options::Marking::Beside {
        return Err(no_marker(&target.path().display().to_string()));
    }
    let cannot = |error| target.cannot("add files to", error);
    let displaced = forget_markers(target, marking.as_ref(), options)
        .map_err(|error| target.cannot("remove the old marker of", error))?;
    let (around, name) = match staged.path().parent() {
        Some(around) if around == target.path() => {
            (target.path(), names::adding_within(&target.name))
        }
        _ => (target.folder.clone(), names::adding(&target.name)),
    };
    staged
        .rename(&name)
        .and_then(|()| sync(&around, options))
        .map_err(cannot)?;
    let mut adding = Adding {
        target,
        staged: Some(staged),
        moved: Vec::new(),
        made: MadeFolders::default(),
    };
    if let Err(error) = adding.add(options) {
        return Err(match adding.give_up() {
            Ok(()) => cannot(error),
            Err(left) => left.with_source(error),
        });
    }
    // That they stay must be known before what could take them back goes.
    let synced = step("copy-published", &target.path()).and_then(|()| sync(&around, options));
    adding.stays(synced.is_ok());
    displaced.into_iter().for_each(Displaced::stays);
    synced.map_err(|error| not_durable(target, error))?;
    if let Err(error) = marking::forget(&target.old_marker()) {
        ::log::warn!("{} stays behind: {error}", target.old_marker().display());
    }
    marking
        .map_or(Ok(()), |marking| marking.put(options))
        .map_err(|error| {
            // Of a kind that nobody runs the statement again for: it would add all files twice.
            let what = format!(
                "files were added to {}, but the marker of them is not written",
                target.path().display()
            );
            Error::new(ErrorKind::CommitNotDurable, what).with_source(error)
        })
}

/// Removes from the directory `target` every file that is in `folder`, too, where a writer
/// that died has left it, and then `folder`.
pub(in crate::file) fn take_back(target: &Path, folder: &Path) -> io::Result<()> {
    let mut changed = BTreeSet::new();
    for name in walk(folder)? {
        let (staged, shown) = (folder.join(&name), target.join(&name));
        if is_same(&staged, &shown)? {
            step("copy-take-back", &shown)?;
            remove(&shown)?;
            changed.extend(shown.parent().map(Path::to_owned));
        }
    }
    // Else a power failure could bring back what nothing would know any more.
    changed.iter().try_for_each(|folder| sync_folder(folder))?;
    remove(folder)
}

/// The marker of a directory says nothing true any more once there are more files in it.
fn forget_markers(
    target: &LocalTarget,
    new: Option<&Marking>,
    options: &FileOptions,
) -> io::Result<Vec<Displaced>> {
    let marker = target.marker();
    if fs::symlink_metadata(&marker).is_ok() {
        ::log::warn!(
            "{} is removed: files are added to the directory that it tells all files of",
            marker.display()
        );
    }
    marking::put_aside(target, new, target.old_marker(), options)
}

/// Files on their way into a directory, which are taken back unless all of them
/// [stay](Self::stays).
struct Adding<'a> {
    target: &'a LocalTarget,
    /// None once that is decided.
    staged: Option<StagedFolder>,
    /// Files in the target that have no other name.
    moved: Vec<PathBuf>,
    made: MadeFolders,
}

impl Adding<'_> {
    fn add(&mut self, options: &FileOptions) -> io::Result<()> {
        let Some(staged) = &mut self.staged else {
            return Ok(());
        };
        let path = self.target.path();
        let mut gained: BTreeSet<PathBuf> = BTreeSet::new();
        for name in walk(staged.path())? {
            let shown = path.join(&name);
            if let Some(folder) = shown.parent() {
                self.made.make(folder, options.durability)?;
                gained.insert(folder.to_owned());
            }
            step("copy-publish", &shown)?;
            if give_second_name(&staged.path().join(&name), &shown)? == Given::Moved {
                self.moved.push(shown);
            }
        }
        gained.iter().try_for_each(|folder| sync(folder, options))?;
        staged.rename(&names::added(&self.target.name))
    }

    /// Takes back what was added. If that fails it is left for whoever cleans up.
    fn give_up(&mut self) -> Result<()> {
        let Some(mut staged) = self.staged.take() else {
            return Ok(());
        };
        let moved = std::mem::take(&mut self.moved);
        let taken = moved.iter().try_for_each(|path| {
            remove(path).and_then(|()| path.parent().map_or(Ok(()), sync_folder))
        });
        let taken = taken.and_then(|()| take_back(&self.target.path(), staged.path()));
        taken.map_err(|error| {
            staged.published();
            ::log::warn!("{} stays behind: {error}", staged.path().display());
            let what = format!(
                "some files of a statement that failed are still in {}: SELECT * FROM atio_clean('{}') takes them back",
                self.target.path().display(),
                self.target.path().display()
            );
            Error::new(ErrorKind::CommitUnknown, what)
        })
    }

    /// Nothing is taken back. The staged directory goes if that is `durable`; else it is left
    /// for whoever cleans up, for a power failure may still call it as if files were under way.
    fn stays(mut self, durable: bool) {
        std::mem::take(&mut self.made).keep();
        if let (Some(staged), false) = (&mut self.staged, durable) {
            staged.published();
        }
        self.staged.take();
    }
}

impl Drop for Adding<'_> {
    fn drop(&mut self) {
        // What that fails with is in the log.
        self.give_up().ok();
    }
}

/// What became of a file that was given a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Second,
    Moved,
}

/// Calls the file `from` also `to`; where there are no second names, only `to`.
fn give_second_name(from: &Path, to: &Path) -> io::Result<Given> {
    match step("copy-link", to).and_then(|()| fs::hard_link(from, to)) {
        Err(error) if has_no_links(&error) => {
            static SAID: std::sync::Once = std::sync::Once::new();
            SAID.call_once(|| {
                ::log::warn!(
                    "the file system of {} has no hard links: of files that are added to a directory some stay there if the process dies meanwhile",
                    to.display()
                );
            });
            name_new(from, to).map(|()| Given::Moved)
        }
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy(from, to).map(|()| Given::Moved)
        }
        linked => linked.map(|()| Given::Second),
    }
}

/// Copies the file to another file system, where it gets its name when it is whole.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(to);
    let mut file = unnamed::open(folder, 0o666)?
        .ok_or_else(|| io::Error::from(io::ErrorKind::CrossesDevices))?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.sync_all()?;
    unnamed::link(&file, to)?;
    file.sync_all()
}

/// Linux says EPERM where a file system has none.
fn has_no_links(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(1)
}

/// True if the two names are of one file.
#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let of = |path: &Path| match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    };
    let number = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let one = of(one)?.map(number);
    Ok(one.is_some() && one == of(other)?.map(number))
}

#[cfg(not(unix))]
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    // Names of staged files are never used again.
    Ok(one.exists() && other.exists())
}
