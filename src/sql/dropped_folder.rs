//! Dropped tables that are kept: each is a hidden directory, whose name says which table it was
//! and when it was dropped. Nothing else says so, so one rename keeps a table, brings it back,
//! or gives it up.

use std::fs;
use std::io;
use std::path::Path as LocalPath;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use uuid::Uuid;

use super::location::Location;
use crate::error::{Error, ErrorKind, Result};
use crate::table::DroppedTable;

/// A dropped table has this before its id, a hyphen and its name.
pub(super) const DROPPED: &str = ".atio-dropped-";
/// Those of a schema that was dropped as well lie in a directory with this before its name.
pub(super) const DROPPED_SCHEMA: &str = ".atio-dropped-schema-";
/// How long a dropped table is kept.
const KEEP_FOR: TimeDelta = TimeDelta::days(7);
/// Hexadecimal digits of an id.
const ID_LENGTH: usize = 32;

/// A dropped table.
#[derive(Debug, Clone)]
pub(super) struct DroppedFolder {
    pub(super) schema: String,
    pub(super) table: String,
    /// Of version 7: it tells when the table was dropped, and two of one process are in order.
    pub(super) id: Uuid,
    /// The hidden directory.
    pub(super) place: Location,
}

impl DroppedFolder {
    /// What `table` of `schema`, which lies in `folder`, is to be called when it is dropped.
    pub(super) fn new(folder: &Location, schema: &str, table: &str, id: Uuid) -> Self {
        Self {
            schema: schema.to_owned(),
            table: table.to_owned(),
            id,
            place: folder.child(&name(table, id)),
        }
    }

    /// The dropped tables in `folder` that were in `schema`, in no order; none if there is no such
    /// directory.
    pub(super) fn in_folder(folder: &Location, schema: &str) -> Result<Vec<Self>> {
        let Some(path) = &folder.local else {
            return Ok(Vec::new());
        };
        let listed = names(path).map_err(|error| {
            let what = format!("cannot look for dropped tables in {}", folder.shown());
            Error::new(ErrorKind::Storage, what).with_source(error)
        })?;
        let dropped = listed.iter().filter_map(|name| parse(name));
        Ok(dropped
            .map(|(id, table)| Self::new(folder, schema, table, id))
            .collect())
    }

    /// True if it need not be kept any longer.
    pub(super) fn is_old(&self, now: DateTime<Utc>) -> bool {
        now >= self.kept_until()
    }

    fn dropped_at(&self) -> DateTime<Utc> {
        let at = self.id.get_timestamp().and_then(|time| {
            let (seconds, nanos) = time.to_unix();
            let seconds = i64::try_from(seconds).ok()?;
            DateTime::from_timestamp(seconds, nanos / 1_000_000 * 1_000_000)
        });
        at.unwrap_or_default()
    }

    fn kept_until(&self) -> DateTime<Utc> {
        let until = self.dropped_at().checked_add_signed(KEEP_FOR);
        until.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The table as messages call it.
    pub(super) fn words(&self) -> String {
        format!(
            "table '{}', which was dropped at {} (id {}),",
            self.table,
            self.dropped_at()
                .to_rfc3339_opts(SecondsFormat::Millis, true),
            self.id.simple()
        )
    }

    pub(super) fn shown(&self) -> DroppedTable {
        DroppedTable {
            schema: self.schema.clone(),
            table: self.table.clone(),
            id: self.id.simple().to_string(),
            dropped_at: self.dropped_at(),
            kept_until: self.kept_until(),
        }
    }
}

fn name(table: &str, id: Uuid) -> String {
    format!("{DROPPED}{}-{table}", id.simple())
}

/// The id and the table that the name of a directory tells; None if it is not one of ours.
fn parse(text: &str) -> Option<(Uuid, &str)> {
    let (id, table) = text.strip_prefix(DROPPED)?.split_at_checked(ID_LENGTH)?;
    let id = Uuid::try_parse(id)
        .ok()
        .filter(|id| id.get_version_num() == 7)?;
    let table = table.strip_prefix('-')?;
    // One spelling: what is listed is what is there.
    (!table.is_empty() && name(table, id) == text).then_some((id, table))
}

/// The names of the directories in `folder`, but of no links; none if it is not there.
pub(super) fn names(folder: &LocalPath) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        // What another process took away meanwhile is no directory.
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// The bytes of the files in `folder`, but behind no link.
pub(super) fn bytes(folder: &LocalPath) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes = bytes.saturating_add(match meta.is_dir() {
            true => self::bytes(&entry.path())?,
            false => meta.len(),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::{NoContext, Timestamp};

    fn at(seconds: u64) -> Uuid {
        Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 5_000_000))
    }

    #[test]
    fn name_tells_the_table_and_when_it_was_dropped() {
        let folder = Location::parse("/none").unwrap();
        for table in ["t", "a b", "a-b", "Größe", "-", "2026"] {
            let dropped = DroppedFolder::new(&folder, "s", table, at(1_795_000_000));
            let name = name(table, dropped.id);
            assert_eq!(parse(&name), Some((dropped.id, table)), "{name}");
            assert_eq!(
                dropped.shown().dropped_at.timestamp_micros(),
                1_795_000_000_005_000
            );
            assert!(name.len() <= 255);
        }
    }

    #[test]
    fn other_names_are_nobodys() {
        let id = at(1_795_000_000).simple().to_string();
        let random = Uuid::new_v4().simple();
        for name in [
            format!("{DROPPED}{id}"),
            format!("{DROPPED}{id}-"),
            format!("{DROPPED}{id}t"),
            format!("{DROPPED}{}-t", id.to_uppercase()),
            format!("{DROPPED}{random}-t"),
            format!("{DROPPED}{}-t", &id[1..]),
            format!("{DROPPED_SCHEMA}{id}"),
            format!("x{DROPPED}{id}-t"),
            format!("{DROPPED}éééééééééééééééé-t"),
            ".atio-drop-0123".to_owned(),
            "t".to_owned(),
        ] {
            assert_eq!(parse(&name), None, "{name}");
        }
    }

    #[test]
    fn dropped_table_is_old_after_seven_days_and_not_before() {
        let folder = Location::parse("/none").unwrap();
        let dropped = DroppedFolder::new(&folder, "s", "t", at(1_795_000_000));
        let until = dropped.shown().kept_until;
        assert_eq!(
            until.timestamp_micros(),
            1_795_000_000_005_000 + 604_800_000_000
        );
        assert!(!dropped.is_old(until - TimeDelta::microseconds(1)));
        assert!(dropped.is_old(until));
        // A clock that was ahead keeps it for longer, and loses nothing.
        assert!(!dropped.is_old(DateTime::UNIX_EPOCH));
    }
}
