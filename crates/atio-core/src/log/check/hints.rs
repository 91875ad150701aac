//! The pointer and the marker against the records that are there.

use std::time::Duration;

use uuid::Uuid;

use super::finding::{Finding, MOST_LOST, Remedy};
use crate::error::{ErrorKind, Result};
use crate::format::pointer::{Pointer, parse_pointer, parse_success};
use crate::format::{StoredRecord, Version, layout};
use crate::log::table::Table;

/// On a store the hints follow the answer of a commit: so long they are given to follow.
const FOLLOWS: Duration = Duration::from_millis(500);

const COST: &str = "Nothing is lost: finding the newest version takes longer.";
const STOPS: &str = "Nothing is lost, but the table cannot be opened.";

/// What the hints say at one moment.
pub(super) struct Hints {
    pointer: Hint<Pointer>,
    marker: Hint<Version>,
}

enum Hint<T> {
    Missing,
    Damaged {
        why: String,
        /// The version that readers take from it all the same.
        names: Option<Version>,
    },
    Says(T),
}

impl Hints {
    pub(super) async fn read(table: &Table) -> Result<Self> {
        Ok(Self {
            pointer: read(table, layout::POINTER, Pointer::parse, parse_pointer).await?,
            marker: read(table, layout::SUCCESS, parse_success, |_| None).await?,
        })
    }

    /// The largest version that they name; what is said of another table than `ours` does not count.
    pub(super) fn largest(&self, ours: Option<Uuid>) -> Option<(&'static str, Version)> {
        let pointer = match &self.pointer {
            Hint::Says(pointer) if !is_of_another(pointer, ours) => {
                Some((layout::POINTER, pointer.version))
            }
            _ => None,
        };
        let marker = match &self.marker {
            Hint::Says(version) => Some((layout::SUCCESS, *version)),
            _ => None,
        };
        match (pointer, marker) {
            (Some(pointer), Some(marker)) if marker.1 > pointer.1 => Some(marker),
            (Some(pointer), _) => Some(pointer),
            (None, marker) => marker,
        }
    }

    /// What is wrong with the hints at the end of a check, where `top` is the largest number of a
    /// record that it listed, and `newest` that record, if it could be read.
    pub(super) async fn wrong(
        table: &Table,
        top: Version,
        newest: Option<&StoredRecord>,
    ) -> Result<Vec<Finding>> {
        let mut hints = Self::read(table).await?;
        if hints.may_follow(top, newest) {
            tokio::time::sleep(FOLLOWS).await;
            hints = Self::read(table).await?;
        }
        hints.findings(table, top, newest).await
    }

    /// True if something is wrong that whoever has just committed is about to mend.
    fn may_follow(&self, top: Version, newest: Option<&StoredRecord>) -> bool {
        let ours = newest.and_then(StoredRecord::table);
        let pointer = match &self.pointer {
            Hint::Missing => true,
            Hint::Damaged { .. } => false,
            Hint::Says(pointer) => is_of_another(pointer, ours) || pointer.version < top,
        };
        let python = newest.is_some_and(|newest| newest.record.is_python());
        !python && (pointer || matches!(self.marker, Hint::Missing))
    }

    async fn findings(
        &self,
        table: &Table,
        top: Version,
        newest: Option<&StoredRecord>,
    ) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if let Some((wrong, names)) = self.wrong_pointer(top, newest) {
            // Readers believe it, whatever else is wrong with it.
            let stops = match names.filter(|named| *named > top) {
                Some(named) => !table.objects.exists(&layout::record(named)).await?,
                None => false,
            };
            let finding = match stops {
                true => Finding::error(layout::POINTER, None, wrong, STOPS),
                false => Finding::warning(layout::POINTER, None, wrong, COST),
            };
            findings.push(rewritten(finding, newest, Remedy::Pointer));
        }
        let python = newest.is_some_and(|newest| newest.record.is_python());
        let wrong = match &self.marker {
            // Python writes none.
            Hint::Missing if python => None,
            Hint::Missing => Some((
                format!("{} is missing", layout::SUCCESS),
                "Schedulers that wait for it wait for ever.",
            )),
            Hint::Damaged { why, .. } => Some((
                why.clone(),
                "In atio only checks and repairs read it, to find commit records that are lost.",
            )),
            Hint::Says(_) => None,
        };
        findings.extend(wrong.map(|(wrong, cost)| {
            let finding = Finding::warning(layout::SUCCESS, None, wrong, cost);
            rewritten(finding, newest, Remedy::Marker)
        }));
        Ok(findings)
    }

    /// What is wrong with the pointer, and the version that readers take from it.
    fn wrong_pointer(
        &self,
        top: Version,
        newest: Option<&StoredRecord>,
    ) -> Option<(String, Option<Version>)> {
        let name = layout::POINTER;
        let pointer = match &self.pointer {
            Hint::Missing => return Some((format!("{name} is missing"), None)),
            Hint::Damaged { why, names } => return Some((why.clone(), *names)),
            Hint::Says(pointer) => pointer,
        };
        // Python's own readers need theirs.
        let ours = newest.and_then(StoredRecord::table)?;
        let (version, named) = (pointer.version, Some(pointer.version));
        match pointer.table.filter(|table| *table != ours) {
            Some(other) => Some((
                format!("{name} is of another table ({other}) than version {top} ({ours})"),
                named,
            )),
            None if version < top => Some((
                format!("{name} names version {version}, but the newest is version {top}"),
                named,
            )),
            None => None,
        }
    }

    /// Versions that were committed and have no record: what these hints name was there before the
    /// records were listed.
    pub(super) async fn lost(
        &self,
        table: &Table,
        top: Version,
        newest: Option<&StoredRecord>,
    ) -> Result<Option<Finding>> {
        let largest = self.largest(newest.and_then(StoredRecord::table));
        let Some((name, named)) = largest.filter(|(_, named)| *named > top) else {
            return Ok(None);
        };
        let first = top.next()?;
        // A listing may be older than a hint, as on a network file system.
        if table.objects.exists(&layout::record(first)).await? {
            return Ok(None);
        }
        let lost = named.get() - top.get();
        let which = match first == named {
            true => format!("the commit record of version {named} is"),
            false => format!("the commit records of versions {first} to {named} are"),
        };
        let python = newest.is_some_and(|newest| newest.record.is_python());
        let can_fill = newest.is_some() && !python && lost <= MOST_LOST;
        let action = match can_fill {
            true => {
                "Restore the rest of the table from the same copy. If it is lost, a repair goes on from the \
                 newest version that is there, and no number is used twice."
                    .to_owned()
            }
            false if lost <= MOST_LOST => {
                "Restore the rest of the table from the same copy.".to_owned()
            }
            false => format!(
                "Restore the rest of the table from the same copy. If there never was such a version, \
                 delete {name}."
            ),
        };
        let finding = format!(
            "{name} names version {named}, but {which} missing: the table looks partly copied or restored"
        );
        let finding = Finding::error(layout::record(first), None, finding, action);
        Ok(Some(match can_fill {
            true => finding.with(Remedy::Fill(first, named)),
            false => finding,
        }))
    }
}

fn is_of_another(pointer: &Pointer, ours: Option<Uuid>) -> bool {
    let tables = pointer.table.zip(ours);
    tables.is_some_and(|(table, ours)| table != ours)
}

/// The same finding with who writes the hint anew.
fn rewritten(finding: Finding, newest: Option<&StoredRecord>, remedy: Remedy) -> Finding {
    // Python's own atio goes by its pointer, and writes it in a form of its own.
    let python = newest.is_some_and(|newest| newest.record.is_python());
    let usable = newest.is_some_and(|newest| !newest.is_tombstone() || newest.is_lost());
    let cost = &finding.action;
    let (action, remedy) = match (python, usable) {
        (true, _) if cost == STOPS => (
            format!("{cost} Restore it from a copy of the table."),
            Remedy::None,
        ),
        (true, _) => (
            "The first commit of atio writes it.".to_owned(),
            Remedy::None,
        ),
        (false, false) => (
            format!("{cost} Restore the newest commit record first."),
            Remedy::None,
        ),
        (false, true) if cost == STOPS => (format!("{cost} A repair writes it anew."), remedy),
        (false, true) => (
            format!("{cost} The next commit writes it anew, and so does a repair."),
            remedy,
        ),
    };
    Finding {
        action,
        remedy,
        ..finding
    }
}

async fn read<T>(
    table: &Table,
    name: &str,
    parse: impl FnOnce(&[u8]) -> Result<T>,
    names: impl FnOnce(&[u8]) -> Option<Version>,
) -> Result<Hint<T>> {
    let damaged = |why: String, names| Ok(Hint::Damaged { why, names });
    let bytes = match table.objects.get(name).await {
        Ok(None) => return Ok(Hint::Missing),
        Ok(Some(bytes)) => bytes,
        Err(error) if error.kind() == ErrorKind::Damaged => {
            return damaged(error.to_string(), None);
        }
        Err(error) => return Err(error),
    };
    match parse(&bytes) {
        Ok(parsed) => Ok(Hint::Says(parsed)),
        Err(error) => damaged(error.to_string(), names(&bytes)),
    }
}
