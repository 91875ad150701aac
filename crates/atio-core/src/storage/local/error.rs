//! Errors of writing a file, for callers that know stores alone.

use std::fmt;
use std::io;

use object_store::Error as StoreError;

/// The error of a file `name` that cannot be written.
pub fn cannot_write(name: impl fmt::Display, error: impl fmt::Display) -> io::Error {
    io::Error::other(format!("cannot write {name}: {error}"))
}

/// What an error of the disk is to a caller that knows stores alone.
pub(super) fn generic(error: io::Error) -> StoreError {
    StoreError::Generic {
        store: "the local disk",
        source: error.into(),
    }
}
