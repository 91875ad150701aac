//! Deletion vectors: whether those that manifests list are there, and are what was written.

use crate::error::{Error, Result};
use crate::format::FileEntry;
use crate::log::read::vectors::{Wanted, parts};
use crate::storage::Objects;

/// Looks at the deletion vectors of `files`, which are in one object. Reads them if the check is `deep`.
///
/// Fails with what is wrong.
pub(super) async fn check(objects: &Objects, files: &[&FileEntry], deep: bool) -> Result<()> {
    let mut wanted = Vec::with_capacity(files.len());
    for (at, file) in files.iter().enumerate() {
        if let Some(named) = &file.dv {
            let of = file.stored_rows()?;
            wanted.push(Wanted { at, named, of });
        }
    }
    let Some(path) = wanted.first().map(|wanted| wanted.named.path.as_str()) else {
        return Ok(());
    };
    objects.check_no_link(path)?;
    let size = objects.size(path).await?;
    let size = size.ok_or_else(|| Error::damaged(format!("{path} is missing")))?;
    let ends = wanted.iter().map(|wanted| wanted.named.range().end);
    if let Some(end) = ends.max().filter(|end| *end > size) {
        return Err(Error::damaged(format!(
            "{path} has {size} bytes, {end} were written"
        )));
    }
    if deep {
        for part in parts(wanted) {
            part.read(objects).await?;
        }
    }
    Ok(())
}
