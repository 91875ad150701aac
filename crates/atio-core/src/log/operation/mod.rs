//! What can be done to a table.

pub(in crate::log) mod advance;
pub(in crate::log) mod create;
pub(in crate::log) mod drop;
pub(in crate::log) mod expire;
pub(in crate::log) mod mark;
pub(in crate::log) mod rollback;
pub(in crate::log) mod rows;
pub(in crate::log) mod tags;
