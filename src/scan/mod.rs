//! How a version is read: which of its files, and how the engine reads them.

mod adapter;
mod bounds;
mod dynamic;
mod plan;
mod prune;
mod reader;
mod row_count;
mod source;
mod statistics;

pub(crate) use dynamic::Above;
pub(crate) use plan::{Request, plan};
