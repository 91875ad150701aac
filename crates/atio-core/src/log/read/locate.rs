//! Finding the newest version: a hint, then probing forward. No LIST on this path.

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Record, StoredRecord, Version, layout, pointer};
use crate::storage::{Objects, Stamp};

/// A commit record as it lies on the store, not yet understood.
pub(in crate::log) struct Found {
    pub(in crate::log) version: Version,
    /// The bytes, and what identifies them; an error if nobody could use them.
    pub(in crate::log) content: Result<(Bytes, Stamp)>,
    /// The bytes of the record below; None if there are none that could be read.
    pub(in crate::log) below: Option<Bytes>,
}

impl Found {
    /// The record, what identifies it, and the bytes of the one below.
    pub(in crate::log) fn parse(self) -> Result<(StoredRecord, Stamp, Option<Bytes>)> {
        let (bytes, stamp) = self.content?;
        let record = Record::parse(self.version, &bytes)?;
        Ok((record, stamp, self.below))
    }
}

/// The newest record of the table, or None if there is no table here.
///
/// The pointer is only where the search begins: versions are contiguous and their keys are
/// never removed, so probing forward from any existing one ends at the newest. Without a
/// usable pointer the metadata is listed.
pub(in crate::log) async fn newest(objects: &Objects) -> Result<Option<Found>> {
    let hint = hint(objects).await?;
    if let Some(hint) = hint {
        let next = async {
            match hint.next() {
                Ok(next) => read(objects, next).await,
                Err(_) => Ok(None),
            }
        };
        // The pointer is nearly always right: what is then read is all that is needed.
        let (found, next) = futures::try_join!(read_with_below(objects, hint), next)?;
        match (found, next) {
            (Some(found), None) => return Ok(Some(found)),
            (Some(found), Some(next)) => return beyond(objects, found, next).await.map(Some),
            (None, _) => {}
        }
    }
    let listed = largest(objects).await?;
    if let Some(hint) = hint.filter(|hint| listed < Some(*hint)) {
        return Err(ahead(hint, listed));
    }
    let Some(listed) = listed else {
        return Ok(None);
    };
    let newest = probe_forward(objects, listed).await?;
    read_with_below(objects, newest).await
}

/// The record of `version`; None if there is none.
pub(in crate::log) async fn read(objects: &Objects, version: Version) -> Result<Option<Found>> {
    let content = match objects.get_stamped(&layout::record(version)).await {
        Ok(None) => return Ok(None),
        Ok(Some(content)) => Ok(content),
        Err(error) if error.kind() == ErrorKind::Damaged => Err(error),
        Err(error) => return Err(error),
    };
    Ok(Some(Found {
        version,
        content,
        below: None,
    }))
}

pub(in crate::log) async fn read_with_below(
    objects: &Objects,
    version: Version,
) -> Result<Option<Found>> {
    let below = async {
        match version.previous() {
            Some(below) => objects.get(&layout::record(below)).await,
            None => Ok(None),
        }
    };
    let (found, below) = futures::join!(read(objects, version), below);
    let Some(found) = found? else {
        return Ok(None);
    };
    let below = match below {
        // One below that is damaged is no reason not to read this one.
        Err(error) if error.kind() == ErrorKind::Damaged => None,
        below => below?,
    };
    Ok(Some(Found { below, ..found }))
}

/// The newest record, from `next` on, which is the one above `found`.
async fn beyond(objects: &Objects, found: Found, next: Found) -> Result<Found> {
    let below = found.content.ok().map(|(bytes, _)| bytes);
    forward(objects, Found { below, ..next }).await
}

/// The newest record, from `found` on, which exists.
pub(in crate::log) async fn forward(objects: &Objects, found: Found) -> Result<Found> {
    let newest = probe_forward(objects, found.version).await?;
    if newest == found.version {
        return Ok(found);
    }
    match read_with_below(objects, newest).await? {
        Some(newest) => Ok(newest),
        // The table is being dropped.
        None => Err(Error::damaged(format!(
            "{} is gone again",
            layout::record(newest)
        ))),
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
async fn probe_forward(objects: &Objects, known: Version) -> Result<Version> {
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
    let (found, what_now) = match newest {
        None => (
            "there is no commit record".to_owned(),
            "restore it from a copy",
        ),
        Some(newest) => (
            format!("the newest commit record is version {newest}, which stays readable by number"),
            "atio_check('path') says what is missing, and atio_repair('path') mends it",
        ),
    };
    Error::damaged(format!(
        "{} names version {pointer}, but {found}: the directory looks partly copied or restored; {what_now}",
        layout::POINTER
    ))
}
