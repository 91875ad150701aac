//! How DataFusion sees a table: a provider that scans one version and a sink that makes
//! the next.

mod adapter;
mod nan;
mod options;
mod pin;
mod provider;
mod prune;
mod reader;
mod scan;
mod sink;
mod statistics;
mod watch;

pub(crate) use options::TableOptions;
pub(crate) use pin::PinVersions;
pub use provider::AtioTable;
pub(crate) use sink::append_rows;
pub(crate) use watch::Watch;

use datafusion::error::DataFusionError;

use crate::error::Error;

impl Error {
    /// The error of ours that is inside one of DataFusion's; otherwise `what` went wrong.
    pub(crate) fn from_datafusion(what: &str, error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(source) => match source.downcast::<Error>() {
                Ok(error) => *error,
                Err(source) => Error::invalid(what).with_source(source),
            },
            error => Error::invalid(what).with_source(error),
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}
