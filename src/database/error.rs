//! What reads and writes of all databases fail with.

#[cfg(any(feature = "postgres", feature = "mysql"))]
use std::time::Duration;

use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};

/// Why nothing was written.
pub(super) enum Failed {
    /// The rows ended with an error, or one of them does not fit.
    Rows(DataFusionError),
    Database(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<DataFusionError> for Failed {
    fn from(error: DataFusionError) -> Self {
        Self::Rows(error)
    }
}

/// The error of a table that was to be opened, not made.
pub(super) fn no_such_table() -> Error {
    Error::new(ErrorKind::TableNotFound, "there is no such table")
}

/// The error of a commit that may have happened.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) fn unknown(lost: &Error) -> Error {
    Error::new(
        ErrorKind::CommitUnknown,
        format!(
            "nothing tells whether the transaction committed, so its rows are there completely or not at all: look before writing them again: {lost}"
        ),
    )
}

/// The error of a server that takes too long to commit.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) fn unanswered(after: Duration) -> Error {
    let message = format!(
        "the server did not answer the commit in {} seconds",
        after.as_secs_f64()
    );
    Error::new(ErrorKind::Storage, message)
}

/// The error of [`IfExists::Fail`](super::IfExists::Fail).
pub(super) fn table_exists() -> Error {
    Error::new(
        ErrorKind::TableExists,
        "the table exists; append to it or replace it (if_exists)",
    )
}
