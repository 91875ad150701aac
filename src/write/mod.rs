//! How rows become data files, and files a version.

mod bloom_filters;
mod change;
mod committer;
mod data_files;
mod distinct;
mod exec;
mod fair_memory;
mod feed;
mod file_rows;
mod job;
mod load;
mod nan;
mod options;
mod outcome;
mod part;
mod positions;
mod replacement;
mod routes;
mod row_sum;
mod run;
mod sink;
mod stream;
mod stream_options;
mod target;
mod version_writer;
mod writing;

pub(crate) use change::{Change, Verb};
pub(crate) use exec::{plan_change, plan_insert};
pub(crate) use options::TableOptions;
pub(crate) use outcome::Outcome;
pub(crate) use part::prepare_part;
pub(crate) use sink::append_rows;
pub use stream::StreamWriter;
pub use stream_options::StreamOptions;
pub(crate) use target::WriteTarget;
