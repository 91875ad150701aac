//! Finding the newest version: a hint, then probing forward. No LIST on this path.

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Version, layout, pointer};
use crate::storage::Objects;

/// The newest version of the table, or None if there is no table here.
///
/// The pointer is only where the search begins: versions are contiguous and their keys are
/// never removed, so probing forward from any existing one ends at the newest. Without a
/// usable pointer the metadata is listed.
pub(in crate::log) async fn newest(objects: &Objects) -> Result<Option<Version>> {
    let hint = hint(objects).await?;
    let start = match hint {
        Some(hint) if exists(objects, hint).await? => Some(hint),
        hint => {
            let listed = largest(objects).await?;
            match hint {
                Some(hint) if listed < Some(hint) => return Err(ahead(hint, listed)),
                _ => listed,
            }
        }
    };
    match start {
        Some(start) => Ok(Some(forward(objects, start).await?)),
        None => Ok(None),
    }
}

/// The version that the pointer names. One that is damaged is no use, and no harm.
async fn hint(objects: &Objects) -> Result<Option<Version>> {
    let hint = match objects.get(layout::POINTER).await {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => pointer::parse_pointer(&bytes),
        Err(error) if error.kind() == ErrorKind::Damaged => None,
        Err(error) => return Err(error),
    };
    if hint.is_none() {
        ::log::warn!(
            "{} cannot be understood; the newest version is looked for without it",
            layout::POINTER
        );
    }
    Ok(hint)
}

/// The newest version, probing from `known`, which exists: in steps that double, then back.
pub(in crate::log) async fn forward(objects: &Objects, known: Version) -> Result<Version> {
    let at = |number: u64| Version::new(number).filter(|version| *version <= Version::MAX);
    let mut present = known;
    let mut step = 1;
    let mut absent = loop {
        match at(present.get() + step) {
            Some(next) if exists(objects, next).await? => {
                present = next;
                step *= 2;
            }
            _ => break present.get() + step,
        }
    };
    while absent - present.get() > 1 {
        let middle = present.get() + (absent - present.get()) / 2;
        match at(middle) {
            Some(middle) if exists(objects, middle).await? => present = middle,
            _ => absent = middle,
        }
    }
    Ok(present)
}

async fn exists(objects: &Objects, version: Version) -> Result<bool> {
    objects.exists(&layout::record(version)).await
}

async fn largest(objects: &Objects) -> Result<Option<Version>> {
    Ok(listed(objects).await?.into_iter().max())
}

/// The first of the versions that lead up to the newest without a gap.
pub(in crate::log) async fn start_of_run(objects: &Objects) -> Result<Option<Version>> {
    let mut listed = listed(objects).await?;
    listed.sort_unstable();
    let mut start = listed.pop();
    while let Some(below) = listed.pop() {
        if start.and_then(Version::previous) != Some(below) {
            break;
        }
        start = Some(below);
    }
    Ok(start)
}

/// All versions whose records are there, in no order.
pub(in crate::log) async fn listed(objects: &Objects) -> Result<Vec<Version>> {
    let listed = objects.list(layout::METADATA).await?;
    let names = listed
        .iter()
        .filter_map(|object| object.path.split_once('/'));
    Ok(names
        .filter_map(|(_, name)| layout::parse_record(name))
        .collect())
}

fn ahead(pointer: Version, newest: Option<Version>) -> Error {
    let found = newest.map_or("there is no commit record".to_owned(), |newest| {
        format!("the newest commit record is version {newest}, which stays readable by number")
    });
    Error::damaged(format!(
        "{} names version {pointer}, but {found}: the directory looks partly copied or restored",
        layout::POINTER
    ))
}
