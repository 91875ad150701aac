//! What publishing fails with.

use std::io;

use crate::error::{Error, ErrorKind};
use crate::file::target::LocalTarget;

/// The error of a target that is to be left as it is.
pub(super) fn exists(target: &LocalTarget) -> Error {
    already_there(&target.path().display().to_string())
}

pub(in crate::file) fn already_there(shown: &str) -> Error {
    Error::invalid(format!(
        "{shown} is there already, and 'atio.if_exists' is 'fail': it was left as it is"
    ))
}

pub(super) fn not_durable(target: &LocalTarget, error: io::Error) -> Error {
    let what = format!(
        "{} is written, but the disk failed to make that durable: a power failure may undo it; look after the disk",
        target.path().display()
    );
    Error::new(ErrorKind::CommitNotDurable, what).with_source(error)
}

pub(super) fn not_marked(target: &LocalTarget, error: io::Error) -> Error {
    let what = format!(
        "{} is written and complete, but its marker is not",
        target.path().display()
    );
    Error::new(ErrorKind::Storage, what).with_source(error)
}

/// A marker of its own would be the only one of the directory, and name a part of the files.
pub(in crate::file) fn no_marker(shown: &str) -> Error {
    Error::invalid(format!(
        "{shown} is there, so files are added to it, and a marker beside it would have to tell all its files: give 'atio.if_exists' 'replace', or a path for 'atio.marker'"
    ))
}
