//! How far a source was taken over: what a snapshot remembers, and what a commit asks of it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::format::limits::{APPS, NAME_BYTES, refused};
use crate::format::snapshot::{LOAD_SOURCE, State, is_load};
use crate::format::{Checksum, Version};
use crate::log::read::keys::SEARCHED;
use crate::log::table::Table;

/// No source of others begins so.
const RESERVED: &str = "atio.";
/// Counts are read as signed numbers.
const MOST: u64 = i64::MAX as u64;

/// How far a source was taken over (C7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Of a stream: a number that only grows.
    At(u64),
    /// Of a load that has not ended: its first rows, and a checksum over them.
    Rows {
        /// How many.
        rows: u64,
        /// Over what they hold, in order.
        checksum: Checksum,
    },
    /// Of a load that had not ended when a version overwrote its first rows: it cannot go on.
    Overwritten {
        /// How many rows it had.
        rows: u64,
        /// The version that overwrote them.
        by: Version,
    },
}

impl Position {
    /// None if another program wrote it, and only that knows what it means.
    fn parse(value: &Value) -> Option<Self> {
        let small = |number: u64| (number <= MOST).then_some(number);
        if let Some(position) = value.as_u64() {
            return small(position).map(Self::At);
        }
        let rows = small(value.get("rows")?.as_u64()?)?;
        if let Some(by) = value.get("overwritten_by") {
            let by = Version::new(by.as_u64()?)?;
            return Some(Self::Overwritten { rows, by });
        }
        let checksum = serde_json::from_value(value.get("checksum")?.clone()).ok()?;
        Some(Self::Rows { rows, checksum })
    }

    fn to_json(self) -> Value {
        match self {
            Self::At(position) => json!(position),
            Self::Rows { rows, checksum } => json!({"rows": rows, "checksum": checksum}),
            Self::Overwritten { rows, by } => json!({"rows": rows, "overwritten_by": by.get()}),
        }
    }

    /// The position, or the rows taken over.
    pub fn number(self) -> u64 {
        match self {
            Self::At(number)
            | Self::Rows { rows: number, .. }
            | Self::Overwritten { rows: number, .. } => number,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(position) => write!(f, "position {position}"),
            Self::Rows { rows, .. } | Self::Overwritten { rows, .. } => write!(f, "row {rows}"),
        }
    }
}

/// What an append takes over of a source: from where the source is to where it then is.
#[derive(Debug, Clone)]
pub struct Advance {
    source: String,
    from: Option<Position>,
    /// None: the source has ended, and is forgotten.
    to: Option<Position>,
    /// A version with this key has done all of it.
    key: Option<String>,
}

impl Advance {
    /// A stream's next rows.
    pub fn stream(source: String, from: Option<u64>, to: u64) -> Self {
        Self {
            source,
            from: from.map(Position::At),
            to: Some(Position::At(to)),
            key: None,
        }
    }

    /// The next rows of the load with `key`; the last ones if `to` is None.
    pub fn load(key: &str, from: Option<Position>, to: Option<Position>) -> Self {
        Self {
            source: load_source(key),
            from,
            to,
            key: Some(key.to_owned()),
        }
    }

    pub(in crate::log) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// Fails where no stream may be called so.
pub fn check_source(source: &str) -> Result<()> {
    NAME_BYTES
        .check(source.len())
        .map_err(refused("name of the source"))?;
    if source.is_empty() {
        return Err(Error::invalid("a source must have a name"));
    }
    match source.starts_with(RESERVED) {
        true => Err(Error::invalid(format!(
            "the source '{}' needs another name: those that begin with '{RESERVED}' are atio's own",
            source.escape_debug()
        ))),
        false => Ok(()),
    }
}

/// Fails where a position could not be read again.
pub fn check_position(position: u64) -> Result<()> {
    match position <= MOST {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the position {position} is too large: positions go up to {MOST}"
        ))),
    }
}

/// Fails where no load can remember how far it got.
pub(in crate::log) fn check_load_key(key: &str) -> Result<()> {
    NAME_BYTES
        .check(load_source(key).len())
        .map_err(refused("idempotency key of a load in chunks"))
}

fn load_source(key: &str) -> String {
    format!("{LOAD_SOURCE}{key}")
}

/// Lets a state remember that the version `by` overwrites the rows of all loads that have not
/// ended (C7).
pub(in crate::log) fn end_loads(apps: &mut BTreeMap<String, Value>, by: Version) {
    forget_loads(apps, by);
    for (source, value) in apps {
        let position = Position::parse(value).filter(|_| is_load(source));
        if let Some(Position::Rows { rows, .. }) = position {
            *value = Position::Overwritten { rows, by }.to_json();
        }
    }
}

/// Lets a state whose rows are all gone forget how far loads had come: none of their rows is
/// there, so they begin anew (C7).
pub(in crate::log) fn begin_loads_anew(apps: &mut BTreeMap<String, Value>) {
    apps.retain(|source, value| !is_load(source) || Position::parse(value).is_none());
}

/// Forgets the loads that were overwritten as long before the version `now` as a key is
/// remembered.
fn forget_loads(apps: &mut BTreeMap<String, Value>, now: Version) {
    apps.retain(|source, value| {
        let position = Position::parse(value).filter(|_| is_load(source));
        match position {
            Some(Position::Overwritten { by, .. }) => now.get().saturating_sub(by.get()) < SEARCHED,
            _ => true,
        }
    });
}

/// The loads that cannot go on because their rows were overwritten.
pub(in crate::log) fn overwritten_loads(apps: &BTreeMap<String, Value>) -> Vec<(&str, Position)> {
    let loads = apps.iter().filter(|(source, _)| is_load(source));
    let positions = loads.filter_map(|(source, value)| {
        let position = Position::parse(value)?;
        Some((source.as_str(), position))
    });
    positions
        .filter(|(_, position)| matches!(position, Position::Overwritten { .. }))
        .collect()
}

impl Table {
    /// How far `state` has taken `source` over; None if it knows nothing of it.
    fn position(&self, state: &State, source: &str) -> Result<Option<Position>> {
        let parsed = state
            .apps
            .get(source)
            .map(|value| Position::parse(value).ok_or_else(|| self.of_another_program(source)));
        parsed.transpose()
    }

    /// How far `state` has taken the stream `source` over; None if it knows nothing of it.
    pub fn stream_position(&self, state: &State, source: &str) -> Result<Option<u64>> {
        match self.position(state, source)? {
            None => Ok(None),
            Some(Position::At(position)) => Ok(Some(position)),
            Some(Position::Rows { .. } | Position::Overwritten { .. }) => {
                Err(self.of_another_program(source))
            }
        }
    }

    /// How far `state` has taken the load with `key` over; None if it has not begun, or ended.
    ///
    /// Fails if its rows were overwritten before it ended: then nobody can tell which are there.
    pub fn load_position(&self, state: &State, key: &str) -> Result<Option<Position>> {
        match self.position(state, &load_source(key))? {
            Some(Position::Overwritten { rows, by }) => Err(self.overwritten(key, rows, by)),
            position => Ok(position),
        }
    }

    /// The error of the load with `key` if `state` says that its rows were overwritten.
    pub fn overwritten_load(&self, state: &State, key: &str) -> Option<Error> {
        match self.position(state, &load_source(key)) {
            Ok(Some(Position::Overwritten { rows, by })) => Some(self.overwritten(key, rows, by)),
            _ => None,
        }
    }

    /// The sources that `state` knows; None where nobody can go on from the position: it is of
    /// another program, or of a load whose rows were overwritten.
    pub fn sources(state: &State) -> Vec<(&str, Option<Position>)> {
        let apps = state.apps.iter();
        let position = |value| match Position::parse(value) {
            Some(Position::Overwritten { .. }) => None,
            position => position,
        };
        apps.map(|(source, value)| (source.as_str(), position(value)))
            .collect()
    }

    /// True if `state` knows how far a load has come, or that one was overwritten.
    pub fn has_loads(state: &State) -> bool {
        let mut apps = state.apps.iter();
        apps.any(|(source, value)| is_load(source) && Position::parse(value).is_some())
    }

    /// Lets `state`, which is to follow `base`, remember `advance`; fails if the source is
    /// elsewhere than the advance begins.
    pub(in crate::log) fn advance(
        &self,
        state: &mut State,
        base: Version,
        by: &Advance,
    ) -> Result<()> {
        let found = self.position(state, &by.source)?;
        if found != by.from {
            return Err(self.taken_by_another(by, found, base));
        }
        let Some(to) = by.to else {
            state.apps.remove(&by.source);
            return Ok(());
        };
        if found.is_none() && state.apps.len() >= APPS.most {
            forget_loads(&mut state.apps, base);
        }
        if found.is_none() && state.apps.len() >= APPS.most {
            return Err(self.too_many_sources(state));
        }
        state.apps.insert(by.source.clone(), to.to_json());
        Ok(())
    }

    fn too_many_sources(&self, state: &State) -> Error {
        let ended = match overwritten_loads(&state.apps).len() {
            0 => String::new(),
            ended => format!(
                ". {ended} of them are loads that an INSERT OVERWRITE ended: each is forgotten {SEARCHED} versions after that"
            ),
        };
        Error::invalid(format!(
            "'{}' remembers {} sources, and no table remembers more: use the name of one of them (SELECT * FROM atio_sources), end loads that stopped by running them again, or write to another table; nothing was written{ended}",
            self.name(),
            state.apps.len()
        ))
    }

    fn of_another_program(&self, source: &str) -> Error {
        Error::unsupported(format!(
            "'{}' knows the source '{}', but by a position of another program: choose another name",
            self.name(),
            source.escape_debug()
        ))
    }

    fn overwritten(&self, key: &str, rows: u64, by: Version) -> Error {
        let before = by.previous().unwrap_or(Version::ZERO);
        Error::invalid(format!(
            "cannot go on with the load with the key '{}' into '{}': it stopped at row {rows}, and version {by} overwrote the table, so atio cannot know which of its rows are there; nothing more was written. Look at what is there (atio_history shows the versions by their property atio.load) and go on under another key; or go back to the version before the overwrite (SELECT * FROM atio_rollback('..', version => {before})), which takes back what came since, and run it again with its key",
            key.escape_debug(),
            self.name()
        ))
    }

    fn taken_by_another(&self, by: &Advance, found: Option<Position>, base: Version) -> Error {
        if let (Some(key), Some(Position::Overwritten { rows, by })) = (&by.key, found) {
            return self.overwritten(key, rows, by);
        }
        let message = match &by.key {
            Some(key) => format!(
                "cannot commit to '{}': others have taken the load with the key '{}' to {}, by version {base}, and this one goes on from {}; nothing more was written: run it again, and it goes on from where it is",
                self.name(),
                key.escape_debug(),
                words(found, "its end, or back to its beginning"),
                words(by.from, "its beginning"),
            ),
            None => format!(
                "cannot commit to '{}': another writer has taken '{}' to {}, by version {base}, and this one goes on from {}; nothing more was written: open the source again, and go on from there",
                self.name(),
                by.source.escape_debug(),
                words(found, "no position"),
                words(by.from, "its beginning"),
            ),
        };
        Error::new(ErrorKind::Conflict, message)
    }
}

fn words(position: Option<Position>, none: &str) -> String {
    position.map_or_else(|| none.to_owned(), |position| position.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_round_trip_and_those_of_others_are_unknown() {
        let checksum = Checksum::of(b"rows");
        for position in [
            Position::At(0),
            Position::At(MOST),
            Position::Rows { rows: 7, checksum },
            Position::Overwritten {
                rows: 7,
                by: Version::MAX,
            },
        ] {
            assert_eq!(Position::parse(&position.to_json()), Some(position));
        }
        for other in [
            json!(-1),
            json!(1.5),
            json!("7"),
            json!(MOST + 1),
            json!({"rows": 7}),
            json!({"rows": 7, "checksum": "7"}),
            json!({"rows": -7, "checksum": checksum}),
            json!({"rows": 7, "checksum": checksum, "overwritten_by": "4"}),
            json!({"rows": 7, "overwritten_by": Version::MAX.get() + 1}),
            json!({"overwritten_by": 4}),
            Value::Null,
        ] {
            assert_eq!(Position::parse(&other), None, "{other}");
        }
    }

    #[test]
    fn overwrite_ends_loads_and_leaves_streams_and_what_others_wrote() {
        let version = |number| Version::new(number).unwrap();
        let load = Position::Rows {
            rows: 8,
            checksum: Checksum::of(b"rows"),
        };
        let apps = [
            ("atio.load:a", load.to_json()),
            ("atio.load:b", json!({"rows": 2, "overwritten_by": 3})),
            ("atio.load:c", json!({"later": true})),
            ("stream", json!(7)),
            ("others", load.to_json()),
        ];
        let apps: BTreeMap<_, _> = apps.map(|(name, value)| (name.to_owned(), value)).into();
        let (mut apps, mut ended) = (apps.clone(), apps);
        end_loads(&mut apps, version(1002));
        // What an older atio takes for another program's, and so neither goes on from nor removes.
        ended.insert(
            "atio.load:a".to_owned(),
            json!({"rows": 8, "overwritten_by": 1002}),
        );
        assert_eq!(apps, ended);
        let named = overwritten_loads(&apps).into_iter().map(|(name, _)| name);
        assert_eq!(named.collect::<Vec<_>>(), ["atio.load:a", "atio.load:b"]);
        end_loads(&mut apps, version(1003));
        ended.remove("atio.load:b");
        assert_eq!(apps, ended);
    }

    #[test]
    fn truncate_lets_loads_begin_anew_and_leaves_streams_and_what_others_wrote() {
        let load = Position::Rows {
            rows: 8,
            checksum: Checksum::of(b"rows"),
        };
        let apps = [
            ("atio.load:a", load.to_json()),
            ("atio.load:b", json!({"rows": 2, "overwritten_by": 3})),
            ("atio.load:c", json!({"later": true})),
            ("stream", json!(7)),
            ("others", load.to_json()),
        ];
        let mut apps: BTreeMap<_, _> = apps.map(|(name, value)| (name.to_owned(), value)).into();
        begin_loads_anew(&mut apps);
        let left: Vec<_> = apps.keys().collect();
        assert_eq!(left, ["atio.load:c", "others", "stream"]);
    }

    #[test]
    fn names_and_positions_that_cannot_be_kept_are_refused() {
        check_source("sensor-7").unwrap();
        check_position(MOST).unwrap();
        for (source, says) in [
            ("", "a source must have a name"),
            (
                "atio.load:x",
                "the source 'atio.load:x' needs another name: those that begin with 'atio.' are atio's own",
            ),
        ] {
            assert_eq!(check_source(source).unwrap_err().message(), says);
        }
        assert_eq!(
            check_source(&"x".repeat(65_537)).unwrap_err().message(),
            "the name of the source cannot be stored: 65537 bytes of a name are more than the limit of 65536"
        );
        check_load_key(&"x".repeat(65_536)).unwrap_err();
        check_position(MOST + 1).unwrap_err();
    }
}
