//! Errors of ours on their way through DataFusion.

use std::error::Error as StdError;

use datafusion::error::DataFusionError;

pub use atio_core::{Error, ErrorKind, Result};

/// The error of ours that is inside one of DataFusion's; otherwise `what` went wrong.
pub(crate) fn from_datafusion(what: &str, error: DataFusionError) -> Error {
    match ours(error) {
        Ok(error) => error,
        Err(error) => Error::new(kind_below(&error), what).with_source(error),
    }
}

/// The error of ours in one of DataFusion's, without the names of the engine's rules around it.
fn ours(error: DataFusionError) -> std::result::Result<Error, DataFusionError> {
    match error {
        DataFusionError::External(source) => match source.downcast::<Error>() {
            Ok(error) => Ok(*error),
            Err(source) => Err(DataFusionError::External(source)),
        },
        DataFusionError::Context(context, inner) => match ours(*inner) {
            Ok(error) => Ok(error),
            Err(inner) => Err(DataFusionError::Context(context, Box::new(inner))),
        },
        error => Err(error),
    }
}

/// The error in one of DataFusion's, and before it `context`.
pub(crate) fn of_datafusion_in(context: &str, error: DataFusionError) -> Error {
    let ours = matches!(&error, DataFusionError::External(source) if source.is::<Error>());
    let error = from_datafusion(context, error);
    match ours {
        true => error.context(context),
        false => error,
    }
}

/// The kind of the error of ours that lies below; without one the storage or the input is wrong.
pub(crate) fn kind_below(error: &(dyn StdError + 'static)) -> ErrorKind {
    let mut kind = ErrorKind::InvalidInput;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return ours.kind();
        }
        if error.is::<object_store::Error>() || error.is::<std::io::Error>() {
            kind = ErrorKind::Storage;
        }
        next = error.source();
    }
    kind
}
