//! How DataFusion sees a table: a provider that scans one version and a sink that makes
//! the next.

mod adapter;
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
pub(crate) use sink::append_rows;
pub use provider::AtioTable;
pub(crate) use watch::Watch;

use datafusion::error::DataFusionError;

use crate::error::Error;

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}
