//! What each session of a run does, one statement after the other.

#![cfg(test)]

use std::collections::BTreeSet;

use crate::faults::invariants::EXPIRE_ALL;
use crate::random::Random;

/// Rows are numbers that no two statements share.
pub(super) type Row = i64;
pub(super) type Rows = BTreeSet<Row>;

/// How a statement changes the rows, or what it looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Adds rows.
    Append(Rows),
    /// Replaces everything by rows of its own.
    Replace(Rows),
    /// Writes what it reads again, and rows of its own.
    Rewrite(Rows),
    /// Adds consecutive rows in chunks, under a key that only this load has. It may be run several
    /// times; the query of some runs fails at a row.
    Load {
        rows: Rows,
        fails_at: Option<Row>,
    },
    /// Removes rows of others, if they are there.
    Delete(Rows),
    /// Names the version so many below the newest, by a name that nobody else gives.
    Tag(u64, Row),
    /// Goes back to the version so many below the newest.
    Rollback(u64),
    Expire,
    /// Reads the newest version.
    Scan,
    /// Counts the newest version, joined with itself.
    Join,
    /// Reads the version so many below the newest, by number.
    Version(u64),
    /// The same by its time.
    AsOf(u64),
    /// Reads which versions there are, and how many rows each has.
    History,
}

impl Effect {
    /// The rows that are the statement's own, if it writes.
    pub(super) fn own(&self) -> Option<&Rows> {
        match self {
            Self::Append(rows)
            | Self::Replace(rows)
            | Self::Rewrite(rows)
            | Self::Load { rows, .. } => Some(rows),
            _ => None,
        }
    }

    /// The key of a load.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::Load { rows, .. } => rows.first().map(|row| format!("load {row}")),
            _ => None,
        }
    }

    /// The statement; `version` and `at` are for those that name one.
    pub(super) fn sql(&self, version: u64, at: &str) -> String {
        let values = |rows: &Rows| {
            let rows: Vec<_> = rows.iter().map(|row| format!("({row})")).collect();
            rows.join(", ")
        };
        match self {
            // Half of the appends read the table too, without a use for it.
            Self::Append(rows) if rows.len() == 1 => format!(
                "INSERT INTO t SELECT {} + 0 * count(*) FROM t",
                rows.first().unwrap()
            ),
            Self::Append(rows) => format!("INSERT INTO t VALUES {}", values(rows)),
            Self::Replace(rows) => format!("INSERT OVERWRITE t VALUES {}", values(rows)),
            Self::Rewrite(rows) => format!(
                "INSERT OVERWRITE t SELECT a FROM t UNION ALL SELECT * FROM (VALUES {})",
                values(rows)
            ),
            Self::Load { rows, fails_at } => {
                // Where it fails it divides by zero; elsewhere it adds nothing.
                let fails = fails_at.map(|at| format!(" + 1 / (5000 + 1000 / (value - {at}))"));
                format!(
                    "INSERT INTO t SELECT value{} FROM generate_series({}, {})",
                    fails.unwrap_or_default(),
                    rows.first().unwrap(),
                    rows.last().unwrap()
                )
            }
            Self::Delete(rows) => {
                let rows: Vec<_> = rows.iter().map(Row::to_string).collect();
                format!("DELETE FROM t WHERE a IN ({})", rows.join(", "))
            }
            Self::Tag(_, name) => format!(
                "SELECT committed_as FROM atio_tag('t', tag => 'n{name}', version => {version})"
            ),
            Self::Rollback(_) => {
                format!("SELECT committed_as FROM atio_rollback('t', version => {version})")
            }
            Self::Expire => EXPIRE_ALL.to_owned(),
            Self::Scan => "SELECT a FROM t".to_owned(),
            Self::Join => "SELECT count(*) FROM t x JOIN t y ON x.a = y.a".to_owned(),
            Self::Version(_) => format!("SELECT a FROM atio_table('t', version => {version})"),
            Self::AsOf(_) => format!("SELECT a FROM atio_table('t', as_of => TIMESTAMP '{at}')"),
            Self::History => "SELECT version, rows FROM atio_history('t')".to_owned(),
        }
    }
}

/// How many rows a chunk of a load has.
pub(super) const CHUNK: usize = 2;
/// How many rows a load has.
const LOADED: i64 = 5;

/// The sessions of a run: two writers, an expirer, a reader.
pub(super) const ACTORS: usize = 4;
const EXPIRER: usize = 2;
const READER: usize = 3;

/// How a session removes rows: mostly by marks, for files have few rows.
pub(super) fn delete_mode(random: &mut Random) -> &'static str {
    random.pick::<&str>(&["mark", "mark", "auto"])
}

/// What the session `actor` does.
pub(super) fn program(actor: usize, random: &mut Random) -> Vec<Effect> {
    let mut statements = Vec::new();
    match actor {
        EXPIRER => statements.extend([Effect::Expire, Effect::Expire]),
        READER => {
            for _ in 0..4 {
                let back = random.below(4) as u64;
                statements.push(match random.below(6) {
                    0 | 1 => Effect::Scan,
                    2 => Effect::Join,
                    3 => Effect::Version(back),
                    4 => Effect::AsOf(back),
                    _ => Effect::History,
                });
            }
        }
        _ => {
            // A third of the writers run a load, once or twice, or three times, between the others.
            let loads = match random.below(3) {
                0 => 1 + random.below(3) as i64,
                _ => 0,
            };
            let first = (actor as i64 + 1) * 1000 + 100;
            let load = |fails_at| Effect::Load {
                rows: (first..first + LOADED).collect(),
                fails_at,
            };
            for n in 1..=3 {
                if n <= loads {
                    let fails_at = first + random.below(LOADED as usize) as i64;
                    statements.push(load((n < loads).then_some(fails_at)));
                }
                let first = (actor as i64 + 1) * 1000 + n * 10;
                let two = Rows::from([first, first + 1]);
                let back = random.below(3) as u64;
                // Of each statement the other writer removes one row, and this one the other.
                let theirs = (2 - actor as i64) * 1000 + n * 10;
                let goes = Rows::from([theirs, first - 9]);
                statements.push(match random.below(13) {
                    8 => Effect::Tag(back, first),
                    9 => Effect::Rollback(back),
                    10..=12 => Effect::Delete(goes),
                    0..=3 => Effect::Append(two),
                    4 => Effect::Append(Rows::from([first])),
                    5 => Effect::Replace(two),
                    _ => Effect::Rewrite(two),
                });
            }
        }
    }
    statements
}
