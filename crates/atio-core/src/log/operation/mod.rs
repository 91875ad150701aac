//! What can be done to a table.

pub(in crate::log) mod columns;
pub(in crate::log) mod create;
pub(in crate::log) mod drop;
pub(in crate::log) mod expire;
pub(in crate::log) mod ref_update;
pub(in crate::log) mod repair;
pub(in crate::log) mod rewrite;
pub(in crate::log) mod rollback;
pub(in crate::log) mod row_change;
pub(in crate::log) mod rows;
pub(in crate::log) mod source_position;
pub(in crate::log) mod tags;
mod tombstones;
pub(in crate::log) mod two_phase;
mod undrop;
