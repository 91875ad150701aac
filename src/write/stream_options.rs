//! Options of a stream: what it writes, and when it commits.

use std::collections::BTreeMap;
use std::time::Duration;

use atio_core::log::{Check, CommitOptions, check_source};

use crate::error::{Error, Result};

/// What a [`StreamWriter`](crate::StreamWriter) writes, and when it commits.
///
/// ```
/// let options = atio::StreamOptions {
///     source: Some("sensor-7".into()),
///     commit_every: Some(std::time::Duration::from_secs(2)),
///     ..Default::default()
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// What the rows are of. The table remembers its position, so that every row of it is
    /// written once, whatever happens; without a name it remembers none.
    pub source: Option<String>,
    /// Commits once so many rows wait.
    pub commit_rows: u64,
    /// Commits before more bytes wait, as batches take them in memory. One more batch waits
    /// beside them at most.
    pub commit_bytes: u64,
    /// Commits once the oldest row has waited so long; None: never for that.
    pub commit_every: Option<Duration>,
    /// The message of every commit.
    pub message: Option<String>,
    /// The properties of every commit, by name.
    pub properties: BTreeMap<String, String>,
    /// Conditions of every commit, as [`CommitOptions::checks`] are: where one does not hold the
    /// writer stops, and what it would have committed is not there.
    ///
    /// ```
    /// let positive = "SELECT count(*) = 0 FROM added WHERE value < 0";
    /// let options = atio::StreamOptions {
    ///     checks: vec![atio::sql_check("positive", positive)],
    ///     ..Default::default()
    /// };
    /// ```
    pub checks: Vec<Check>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            source: None,
            commit_rows: 1_000_000,
            commit_bytes: 64 * 1024 * 1024,
            commit_every: Some(Duration::from_secs(10)),
            message: None,
            properties: BTreeMap::new(),
            checks: Vec::new(),
        }
    }
}

impl StreamOptions {
    pub(super) fn check(&self) -> Result<()> {
        self.source.as_deref().map(check_source).transpose()?;
        if self.commit_rows == 0
            || self.commit_bytes == 0
            || self.commit_every == Some(Duration::ZERO)
        {
            return Err(Error::invalid(
                "a stream cannot be committed every 0 rows, bytes or seconds: give more",
            ));
        }
        self.of_commit().check()
    }

    pub(super) fn of_commit(&self) -> CommitOptions {
        CommitOptions {
            message: self.message.clone(),
            properties: self.properties.clone(),
            checks: self.checks.clone(),
            ..CommitOptions::default()
        }
    }
}
