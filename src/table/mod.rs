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
mod row_count;
mod row_sum;
mod scan;
mod sink;
mod source;
mod statement;
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
pub(crate) use statement::Statement;
pub use statement::one_statement;
pub use stream::{StreamOptions, StreamWriter};
pub(crate) use watch::Watch;
