//! How rows become data files, and files a version.

mod bloom_filters;
mod feed;
mod load;
mod nan;
mod options;
mod row_sum;
mod sink;
mod stream;
mod target;
mod version_writer;
mod writing;

pub(crate) use options::TableOptions;
pub(crate) use sink::{AtioSink, append_rows};
pub use stream::{StreamOptions, StreamWriter};
pub(crate) use target::Target;
