//! What a person says about one commit.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::limits::{ENTRIES, NAME_BYTES, TEXT_BYTES, check_entries, refused};
use crate::log::commit::gate::Check;
use crate::log::operation::source_position::check_load_key;

/// Properties that begin so are atio's own.
const RESERVED: &str = "atio.";
/// How many of these a chunk of a load may carry.
const OWN_PROPERTIES: usize = 2;
/// A statement is run again at most so often.
const MOST_RETRIES: u32 = 1000;

/// What one commit carries beside its rows: shown by `atio_history`, kept when the version
/// expires.
///
/// `atio::with_commit` gives it to the statements of a session; `SET atio.message` and its
/// like do so in SQL, where names of properties are lower case.
///
/// ```
/// use std::collections::BTreeMap;
///
/// let options = atio_core::log::CommitOptions {
///     message: Some("receipts of May".into()),
///     properties: BTreeMap::from([("trainedBy".into(), "run-17".into())]),
///     ..Default::default()
/// };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// Why, for people.
    pub message: Option<String>,
    /// What programs look for, by name.
    pub properties: BTreeMap<String, String>,
    /// A commit whose key the table has seen does nothing: the work is there already. It fails
    /// if that was work of another kind.
    ///
    /// Compared with the keys of the last 1,000 versions, and of every version that others
    /// commit meanwhile. A statement whose key is found there writes nothing, counts no rows, and
    /// says which version has the key: to the log, at the level info.
    ///
    /// An `INSERT INTO` that ended after some of its chunks goes on behind them, if its query
    /// gives the same rows in the same order. An `INSERT OVERWRITE` in between ends it: then it
    /// fails, for nobody can tell which of its rows are there.
    pub idempotency_key: Option<String>,
    /// `INSERT INTO` commits a version whenever so many rows are written: it is not atomic
    /// then, and keeps what it has committed if it fails later. A chunk is committed once the
    /// batch behind it has come.
    pub commit_every_rows: Option<u64>,
    /// The same whenever so many bytes have reached the storage. The encoder holds some row
    /// groups and parts of 10 MB, so chunks are larger by as much.
    pub commit_every_bytes: Option<u64>,
    /// How often a statement is run again that ends with a
    /// [`Conflict`](crate::ErrorKind::Conflict): at most 1,000 times, and never by default.
    ///
    /// Each time its query is planned and run anew, and all of it reads the newest version that there
    /// is then. A query that gives other rows each time, by `random()` for instance, does so here, too;
    /// `now()` stays what it was. A source that can be read only once is not for it, nor a query that
    /// calls a function which changes something. After no other error is anything run again.
    ///
    /// ```
    /// let options = atio_core::log::CommitOptions { retries: 3, ..Default::default() };
    /// options.check()?;
    /// # Ok::<(), atio_core::Error>(())
    /// ```
    pub retries: u32,
    /// Conditions under which the statement commits, made by `atio::check` and `atio::sql_check`.
    ///
    /// They are asked of each version that the statement is about to commit, and again whenever
    /// another came first. If one does not hold the statement fails with
    /// [`CheckFailed`](crate::ErrorKind::CheckFailed), and nothing is committed. A statement that makes no
    /// version asks nothing. Of a load in chunks each chunk is asked.
    ///
    /// ```
    /// use atio_core::log::{Check, CommitOptions};
    ///
    /// fn with(check: Check) -> CommitOptions {
    ///     CommitOptions { checks: vec![check], ..Default::default() }
    /// }
    /// ```
    pub checks: Vec<Check>,
}

impl CommitOptions {
    /// Fails where no reader would take it.
    ///
    /// ```
    /// let mut options = atio_core::log::CommitOptions::default();
    /// options.check()?;
    /// options.commit_every_rows = Some(0);
    /// assert!(options.check().is_err());
    /// # Ok::<(), atio_core::Error>(())
    /// ```
    pub fn check(&self) -> Result<()> {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        TEXT_BYTES
            .check(text(&self.message))
            .map_err(refused("message"))?;
        NAME_BYTES
            .check(text(&self.idempotency_key))
            .map_err(refused("idempotency key"))?;
        check_entries(self.properties.iter()).map_err(refused("properties"))?;
        if let Some(name) = self
            .properties
            .keys()
            .find(|name| name.starts_with(RESERVED))
        {
            return Err(Error::invalid(format!(
                "the property '{}' needs another name: those that begin with '{RESERVED}' are atio's own",
                name.escape_debug()
            )));
        }
        if [self.commit_every_rows, self.commit_every_bytes].contains(&Some(0)) {
            return Err(Error::invalid(
                "a load cannot be committed every 0 rows or bytes: give a number from 1 up",
            ));
        }
        for (at, check) in self.checks.iter().enumerate() {
            let name = check.name();
            NAME_BYTES
                .check(name.len())
                .map_err(refused("name of a check"))?;
            TEXT_BYTES
                .check(check.sql().map_or(0, str::len))
                .map_err(refused("query of a check"))?;
            if name.is_empty() {
                return Err(Error::invalid("a check must have a name"));
            }
            if self.checks[..at].iter().any(|other| other.name() == name) {
                return Err(Error::invalid(format!(
                    "there are two checks called '{}': give each its own name",
                    name.escape_debug()
                )));
            }
        }
        if self.retries > MOST_RETRIES {
            return Err(Error::invalid(format!(
                "a statement is run again at most {MOST_RETRIES} times, not {}",
                self.retries
            )));
        }
        if self.has_chunks() {
            if self.retries > 0 {
                return Err(Error::invalid(
                    "a load in chunks is not run again from its beginning: with an idempotency key in place of retries it goes on where it stopped",
                ));
            }
            // Each chunk carries these and atio's own.
            ENTRIES
                .check(self.properties.len() + OWN_PROPERTIES)
                .map_err(refused("properties"))?;
            if let Some(key) = &self.idempotency_key {
                check_load_key(key)?;
            }
        }
        if self.idempotency_key.as_deref() == Some("") {
            return Err(Error::invalid("an idempotency key must not be empty"));
        }
        match self.properties.contains_key("") {
            true => Err(Error::invalid("a property must have a name")),
            false => Ok(()),
        }
    }

    /// True if a load is to become several versions.
    ///
    /// ```
    /// let mut options = atio_core::log::CommitOptions::default();
    /// options.commit_every_rows = Some(1_000_000);
    /// assert!(options.has_chunks());
    /// ```
    pub fn has_chunks(&self) -> bool {
        self.commit_every_rows.is_some() || self.commit_every_bytes.is_some()
    }

    /// Fails if any is set: `target` has no versions that they could describe.
    #[doc(hidden)]
    pub fn check_no_version(&self, target: &str) -> Result<()> {
        match self.set() {
            None => Ok(()),
            Some(set) => Err(Error::invalid(format!(
                "{target} is no atio table: {set} is for the version that a statement commits, and here there is none; nothing was written, and it is used up: set it again for the statement that it is meant for"
            ))),
        }
    }

    /// Fails if anything is set, which stays set: `target` makes no version.
    #[doc(hidden)]
    pub fn check_unset(&self, target: &str) -> Result<()> {
        match self.set() {
            None => Ok(()),
            Some(set) => Err(Error::invalid(format!(
                "{target} is no atio table: {set} is for the version that a statement commits, and here there is none; nothing was written, and it stays set: SET it to '' to take it back"
            ))),
        }
    }

    /// The names of what is set; None if nothing is.
    fn set(&self) -> Option<String> {
        let set = [
            ("message", self.message.is_some()),
            ("idempotency_key", self.idempotency_key.is_some()),
            ("properties", !self.properties.is_empty()),
            ("commit_every_rows", self.commit_every_rows.is_some()),
            ("commit_every_bytes", self.commit_every_bytes.is_some()),
            ("retries", self.retries > 0),
            ("checks", !self.checks.is_empty()),
        ];
        let set = set.iter().filter(|(_, set)| *set);
        let set: Vec<_> = set.map(|(name, _)| format!("atio.{name}")).collect();
        (!set.is_empty()).then(|| set.join(", "))
    }

    /// Fails if they ask for more than `statement` has: a query to run again.
    #[doc(hidden)]
    pub fn check_no_query(&self, statement: &str) -> Result<()> {
        match self.retries {
            0 => Ok(()),
            _ => Err(Error::invalid(format!(
                "{statement} has no query that could be run again: atio.retries is for statements that write rows; nothing was written"
            ))),
        }
    }

    /// Fails if they have checks: `statement` writes no rows that could be looked at.
    #[doc(hidden)]
    pub fn check_no_checks(&self, statement: &str) -> Result<()> {
        match self.checks.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "{statement} cannot be checked: atio.checks are for statements that write rows; nothing was written"
            ))),
        }
    }

    /// Fails if they ask for several versions of `statement`, which is one.
    #[doc(hidden)]
    pub fn check_one_version(&self, statement: &str) -> Result<()> {
        match self.has_chunks() {
            false => Ok(()),
            true => Err(Error::invalid(format!(
                "{statement} is one version, whole or not at all: atio.commit_every_rows and atio.commit_every_bytes are for INSERT INTO; nothing was written"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_reader_would_take_is_refused() {
        let long = |bytes| Some("x".repeat(bytes));
        let message = |message| CommitOptions {
            message,
            ..CommitOptions::default()
        };
        message(long(1024 * 1024)).check().unwrap();
        let key = |key| CommitOptions {
            idempotency_key: key,
            ..CommitOptions::default()
        };
        let properties = |count, name: &str| CommitOptions {
            properties: (0..count)
                .map(|n| (format!("{name}{}", "x".repeat(n)), String::new()))
                .collect(),
            ..CommitOptions::default()
        };
        properties(1000, "").check().unwrap_err();
        properties(1000, "p").check().unwrap();
        for (options, says) in [
            (
                message(long(1024 * 1024 + 1)),
                "the message cannot be stored: 1048577 bytes of text are more than the limit of 1048576",
            ),
            (
                key(long(64 * 1024 + 1)),
                "the idempotency key cannot be stored: 65537 bytes of a name are more than the limit of 65536",
            ),
            (key(long(0)), "an idempotency key must not be empty"),
            (
                properties(1001, "p"),
                "the properties cannot be stored: 1001 entries are more than the limit of 1000",
            ),
            (properties(1, ""), "a property must have a name"),
            (
                properties(1, "atio.x"),
                "the property 'atio.x' needs another name: those that begin with 'atio.' are atio's own",
            ),
            (
                CommitOptions {
                    commit_every_bytes: Some(0),
                    ..CommitOptions::default()
                },
                "a load cannot be committed every 0 rows or bytes: give a number from 1 up",
            ),
            (
                CommitOptions {
                    checks: vec![
                        Check::new("c", std::sync::Arc::new(()))
                            .with_sql("x".repeat(1024 * 1024 + 1)),
                    ],
                    ..CommitOptions::default()
                },
                "the query of a check cannot be stored: 1048577 bytes of text are more than the limit of 1048576",
            ),
            (
                CommitOptions {
                    retries: 1001,
                    ..CommitOptions::default()
                },
                "a statement is run again at most 1000 times, not 1001",
            ),
            (
                CommitOptions {
                    commit_every_rows: Some(1),
                    retries: 1,
                    ..CommitOptions::default()
                },
                "a load in chunks is not run again from its beginning: with an idempotency key in place of retries it goes on where it stopped",
            ),
            (
                CommitOptions {
                    commit_every_rows: Some(1),
                    ..properties(999, "p")
                },
                "the properties cannot be stored: 1001 entries are more than the limit of 1000",
            ),
            (
                CommitOptions {
                    commit_every_rows: Some(1),
                    ..key(long(64 * 1024))
                },
                "the idempotency key of a load in chunks cannot be stored: 65546 bytes of a name are more than the limit of 65536",
            ),
        ] {
            assert_eq!(options.check().unwrap_err().message(), says);
        }
    }
}
