//! How DataFusion sees a table: a provider that scans one version and a sink that makes
//! the next.

mod adapter;
mod bloom_filters;
mod bounds;
mod dynamic;
mod engine_settings;
mod feed;
mod load;
mod nan;
mod options;
mod pin;
mod pin_versions;
mod provider;
mod prune;
mod reader;
mod row_sum;
mod scan;
mod sink;
mod source;
mod statistics;
mod stream;
mod target;
mod version_writer;
mod watch;
mod writing;

pub(crate) use engine_settings::{check_output, check_parquet_writer, without_panic};
pub(crate) use options::TableOptions;
pub(crate) use pin_versions::PinVersions;
pub use provider::AtioTable;
pub(crate) use sink::append_rows;
pub use stream::{StreamOptions, StreamWriter};
pub(crate) use watch::Watch;

use std::error::Error as StdError;

use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};

impl Error {
    /// The error of ours that is inside one of DataFusion's; otherwise `what` went wrong.
    pub(crate) fn from_datafusion(what: &str, error: DataFusionError) -> Self {
        let error = match error {
            DataFusionError::External(source) => match source.downcast::<Error>() {
                Ok(error) => return *error,
                Err(source) => DataFusionError::External(source),
            },
            error => error,
        };
        Error::new(kind_below(&error), what).with_source(error)
    }

    /// The error in one of DataFusion's, and before it `context`.
    pub(crate) fn of_datafusion_in(context: &str, error: DataFusionError) -> Self {
        let ours = matches!(&error, DataFusionError::External(source) if source.is::<Error>());
        let error = Self::from_datafusion(context, error);
        match ours {
            true => error.context(context),
            false => error,
        }
    }
}

/// The kind of the error of ours that lies below; without one the storage or the input is wrong.
fn kind_below(error: &(dyn StdError + 'static)) -> ErrorKind {
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

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}
