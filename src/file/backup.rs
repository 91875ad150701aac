//! Going back to what a write replaced.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use atio_core::storage::{blocking, step, sync_folder};

use super::content::{Content, Hash};
use super::displaced::Displaced;
use super::marker::Marker;
use super::names;
use super::publish::exchange;
use super::remote::copy;
use super::target::{FileTarget, LocalTarget, StoreTarget};
use crate::error::{Error, ErrorKind, Result};

/// Puts the backup of `target` in its place; true if what was there is the backup now.
///
/// On a local disk the two change places, so that doing it again undoes it, and a marker is
/// checked first. On an object store the backup is copied over the target.
pub(crate) async fn restore(target: &FileTarget) -> Result<bool> {
    match target {
        FileTarget::Store(target) => restore_object(target).await.map(|()| false),
        FileTarget::Disk(target) => {
            let target = target.clone();
            let done = blocking(move || Ok(restore_local(&target))).await;
            done.unwrap_or_else(|error| Err(cannot(error)))
        }
    }
}

fn cannot(error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, "cannot restore a backup").with_source(error)
}

fn none(shown: &str) -> Error {
    Error::invalid(format!(
        "{shown} has no backup: one is kept by a write with the option 'atio.backup' 'true'"
    ))
}

fn restore_local(target: &LocalTarget) -> Result<bool> {
    let failed = |error| target.cannot("restore", error);
    let (path, backup, backup_marker) = (target.path(), target.backup(), target.backup_marker());
    if !target.folder.exists() {
        return Err(none(&path.display().to_string()));
    }
    let _turn = target.lock()?;
    if !is_plain(&backup)? {
        return Err(none(&path.display().to_string()));
    }
    let there = is_plain(&path)?;
    if is_plain(&backup_marker)?
        && let Some(marker) = Marker::read_file(&backup_marker)?
    {
        check(&backup, &marker)?;
    }
    // The markers go back if the two cannot change places. A crash leaves them aside, where
    // that of a directory is still known.
    let exchanged = || -> io::Result<[Option<Displaced>; 2]> {
        step("copy-unmark", &target.marker())?;
        let new = Displaced::put(backup_marker.clone(), target.pending_marker())?;
        let old = Displaced::put(target.marker(), target.old_marker())?;
        sync_folder(&target.folder)?;
        step("copy-publish", &path)?;
        match there {
            true => exchange(&backup, &path)?,
            false => fs::rename(&backup, &path)?,
        }
        Ok([new, old])
    };
    let [new, old] = exchanged().map_err(failed)?;
    let (marked, kept) = (new.is_some(), old.is_some());
    [new, old].into_iter().flatten().for_each(Displaced::stays);
    let named = || -> io::Result<()> {
        sync_folder(&target.folder)?;
        if kept {
            fs::rename(target.old_marker(), &backup_marker)?;
        }
        if marked {
            fs::rename(target.pending_marker(), target.marker())?;
        }
        sync_folder(&target.folder)
    };
    named().map_err(|error| {
        let what = format!("{} is restored, but not its marker", path.display());
        Error::new(ErrorKind::Storage, what).with_source(error)
    })?;
    Ok(there)
}

/// True if there is a file or directory. Fails if there is anything else: what a link leads to
/// is not atio's.
fn is_plain(path: &Path) -> Result<bool> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() || meta.is_dir() => Ok(true),
        Ok(_) => Err(Error::invalid(format!(
            "{shown} is neither a file nor a directory, so nothing is restored: look who put it there"
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            let what = format!("cannot look for {shown}");
            Err(Error::new(ErrorKind::Storage, what).with_source(error))
        }
    }
}

/// Fails if the file is not what its marker says. Of a directory the sizes are compared.
fn check(path: &Path, marker: &Marker) -> Result<()> {
    let damaged = || {
        Error::damaged(format!(
            "the backup {} is not what its marker says; nothing was changed",
            path.display()
        ))
    };
    let failed = |error: io::Error| damaged().with_source(error);
    for file in &marker.files {
        let meta = fs::symlink_metadata(path.join(&file.path));
        let size = meta.map_err(failed)?.len();
        if size != file.size {
            return Err(damaged());
        }
    }
    let Some(hash) = Hash::of(&marker.hash).filter(|_| path.is_file()) else {
        return Ok(());
    };
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut content = Content::new(hash);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => content.append(&buffer[..read]),
        }
    }
    match (content.size, content.hash()) == (marker.size, marker.hash.clone()) {
        true => Ok(()),
        false => Err(damaged()),
    }
}

async fn restore_object(target: &StoreTarget) -> Result<()> {
    let (objects, name) = (&target.objects, &target.name);
    if !objects.exists(&names::backup(name)).await? {
        return Err(none(&target.shown));
    }
    objects.delete(&names::marker(name)).await?;
    copy(objects, &names::backup(name), name).await?;
    copy(objects, &names::backup_marker(name), &names::marker(name)).await
}
