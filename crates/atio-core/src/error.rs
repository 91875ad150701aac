//! The one error type. A kind exists only where a caller would act differently.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use crate::redact::redact;

/// The result of everything below the SQL layer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, to what, and what to do now.
///
/// The message names the table, the version and the object concerned. It never holds a
/// credential: locations are stripped of user information before they get here.
///
/// ```
/// use atio_core::{Error, ErrorKind};
///
/// fn should_run_again(error: &Error) -> bool {
///     matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Revoked)
/// }
/// assert!(should_run_again(&Error::new(ErrorKind::Conflict, "version 8 came first")));
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a caller can do about an [`Error`].
///
/// ```
/// use atio_core::{Error, ErrorKind};
///
/// assert_eq!(Error::invalid("no such option").kind(), ErrorKind::InvalidInput);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no table at this place: create it, or correct the name.
    TableNotFound,
    /// A table is there already: open it instead.
    TableExists,
    /// This version never existed: ask for one that does.
    VersionNotFound,
    /// This version existed and has expired: its rows are gone for good.
    VersionExpired,
    /// Bytes on storage are not what was written: restore them from a copy.
    Damaged,
    /// Another program overwrote a commit of this table: older versions stay readable.
    ForeignWrite,
    /// Written by a newer release: upgrade.
    Unsupported,
    /// The argument, option or statement is wrong: correct it.
    InvalidInput,
    /// Another commit came first and this change depends on what it read: run it again.
    Conflict,
    /// A check of the statement does not hold of what it would commit: correct the rows, or the check.
    CheckFailed,
    /// The table is not the one the statement was planned on: run it again.
    SchemaChanged,
    /// Expiry revoked this transaction because it looked abandoned, the table was dropped and
    /// brought back while it was under way, or a repair found that versions are lost on which it may
    /// count: run it again.
    Revoked,
    /// The commit may or may not have happened, for good, at the version named: read the
    /// history to find out. Nothing was deleted.
    CommitUnknown,
    /// The version is committed and readers see it, but the disk could not promise to keep
    /// it through a power failure: do not write the rows again; look after the disk.
    CommitNotDurable,
    /// The bucket, container or account does not exist, or these credentials do not see it.
    StoreNotFound,
    /// The store lets one writer overwrite the commit of another: use one with conditional
    /// writes, or declare that there is a single writer.
    UnsafeStore,
    /// The host of the session does not allow this place or statement.
    NotAllowed,
    /// The storage failed: see the source.
    Storage,
}

impl Error {
    /// Makes an error of `kind` that says `message`.
    ///
    /// ```
    /// use atio_core::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::TableNotFound, "there is no table 'sales'");
    /// assert_eq!(error.to_string(), "there is no table 'sales'");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the error that caused this one, without the secrets that [`redact`] finds in it.
    ///
    /// ```
    /// use atio_core::Error;
    ///
    /// let error = Error::invalid("the time is wrong").with_source("no such month");
    /// assert_eq!(error.to_string(), "the time is wrong: no such month");
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        self.source = Some(match redact(&source.to_string()) {
            Cow::Owned(plain) => plain.into(),
            Cow::Borrowed(_) => source,
        });
        self
    }

    /// The error of atio's that is `error` or caused it; None if another program failed.
    ///
    /// DataFusion and Parquet wrap errors on their way out:
    ///
    /// ```
    /// use atio_core::{Error, ErrorKind};
    ///
    /// let ours = Error::new(ErrorKind::VersionNotFound, "version 99 of 't' does not exist");
    /// let theirs = object_store::Error::Generic { store: "s3", source: ours.into() };
    /// assert_eq!(Error::find(&theirs).map(Error::kind), Some(ErrorKind::VersionNotFound));
    /// ```
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(ours) = error.downcast_ref() {
                return Some(ours);
            }
            next = error.source();
        }
        None
    }

    /// Puts `context` and a colon before the message; kind and source stay.
    ///
    /// ```
    /// use atio_core::Error;
    ///
    /// let error = Error::invalid("no such month").context("the time is wrong");
    /// assert_eq!(error.to_string(), "the time is wrong: no such month");
    /// ```
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What a caller can do about it.
    ///
    /// ```
    /// use atio_core::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::damaged("no JSON").kind(), ErrorKind::Damaged);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without its sources.
    ///
    /// ```
    /// use atio_core::Error;
    ///
    /// let error = Error::invalid("the time is wrong").with_source("no such month");
    /// assert_eq!(error.message(), "the time is wrong");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// An error of the kind [`ErrorKind::Damaged`].
    ///
    /// ```
    /// use atio_core::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::damaged("no JSON").kind(), ErrorKind::Damaged);
    /// ```
    pub fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    /// An error of the kind [`ErrorKind::InvalidInput`].
    ///
    /// ```
    /// use atio_core::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::invalid("no such option").kind(), ErrorKind::InvalidInput);
    /// ```
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// An error of the kind [`ErrorKind::Unsupported`].
    ///
    /// ```
    /// use atio_core::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::unsupported("not yet").kind(), ErrorKind::Unsupported);
    /// ```
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(feature = "datafusion")]
impl From<Error> for datafusion_common::DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_error_is_found_behind_others() {
        let ours = Error::new(ErrorKind::Conflict, "x");
        let wrapped = Error::new(ErrorKind::Storage, "y").with_source(ours);
        assert_eq!(Error::find(&wrapped).unwrap().kind(), ErrorKind::Storage);
        assert!(Error::find(&std::io::Error::other("none")).is_none());
    }

    #[test]
    fn message_shows_the_source_once() {
        let error = Error::new(ErrorKind::Storage, "cannot read metadata/v3.metadata.json")
            .with_source("disk on fire")
            .context("table 'sales'");
        assert_eq!(
            error.to_string(),
            "table 'sales': cannot read metadata/v3.metadata.json: disk on fire"
        );
        assert_eq!(error.kind(), ErrorKind::Storage);
    }
}
