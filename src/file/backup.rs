//! Going back to what a write replaced.

use std::fs;
use std::io::{self, Read};

use super::content::{Content, Hash};
use super::marker::Marker;
use super::names;
use super::options::FileOptions;
use super::publish::{exchange, stage_marker, sync};
use super::remote::copy;
use super::staged::remove;
use super::target::{LocalTarget, StoreTarget, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{blocking, step};

/// Puts the backup of `target` in its place; true if what was there is the backup now.
///
/// On a local disk the two change places, so that doing it again undoes it, and a marker is
/// checked first. On an object store the backup is copied over the target.
pub(crate) async fn restore(target: &Target) -> Result<bool> {
    match target {
        Target::Store(target) => restore_object(target).await.map(|()| false),
        Target::Disk(target) => {
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
    let options = FileOptions::default();
    let failed = |error| target.cannot("restore", error);
    let (path, backup) = (target.path(), target.backup());
    let _turn = target.lock()?;
    match fs::symlink_metadata(&backup) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(none(&path.display().to_string()));
        }
        Err(error) => return Err(failed(error)),
    }
    let old_marker = Marker::read_file(&target.backup_marker())?;
    if let Some(marker) = &old_marker {
        check(&backup, marker)?;
    }
    let staged = old_marker
        .as_ref()
        .map(|marker| stage_marker(target, marker, &options));
    let staged = staged.transpose()?;
    let there = fs::symlink_metadata(&path).is_ok();
    let moved = || -> io::Result<()> {
        let mut staged = staged;
        if let Some(staged) = &mut staged {
            staged.rename(&names::pending_marker(&target.name))?;
        }
        step("copy-unmark", &target.marker())?;
        remove(&target.backup_marker())?;
        // It goes with what is there now.
        let marked = match fs::rename(target.marker(), target.old_marker()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            renamed => renamed.map(|()| true)?,
        };
        sync(target, &options)?;
        step("copy-publish", &path)?;
        match there {
            true => exchange(&backup, &path)?,
            false => fs::rename(&backup, &path)?,
        }
        if let Some(staged) = &mut staged {
            staged.published();
        }
        sync(target, &options)?;
        if marked {
            fs::rename(target.old_marker(), target.backup_marker())?;
        }
        if let Some(staged) = staged {
            fs::rename(staged.path(), target.marker())?;
        }
        sync(target, &options)
    };
    moved().map_err(failed)?;
    Ok(there)
}

/// Fails if the file is not what its marker says. Of a directory the sizes are compared.
fn check(path: &std::path::Path, marker: &Marker) -> Result<()> {
    let damaged = || {
        Error::damaged(format!(
            "the backup {} is not what its marker says; nothing was changed",
            path.display()
        ))
    };
    let failed = |error: io::Error| damaged().with_source(error);
    for file in &marker.files {
        let size = fs::metadata(path.join(&file.path)).map_err(failed)?.len();
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
