//! How a change becomes a version.

pub(in crate::log) mod announce;
pub(in crate::log) mod announcer;
pub(in crate::log) mod does_select;
pub(in crate::log) mod engine;
pub(in crate::log) mod gate;
pub(in crate::log) mod merge;
pub(in crate::log) mod options;
pub(in crate::log) mod outcome;
pub(in crate::log) mod rebase;
pub(in crate::log) mod record;
pub(in crate::log) mod removed;
pub(in crate::log) mod transaction;
