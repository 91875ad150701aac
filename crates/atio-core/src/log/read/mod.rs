//! Finding and loading versions.

pub(in crate::log) mod as_of;
pub(in crate::log) mod changed;
pub(in crate::log) mod changes;
mod columns;
mod difference;
pub(in crate::log) mod footer;
pub(in crate::log) mod gone;
pub(in crate::log) mod history;
pub(in crate::log) mod keys;
pub(in crate::log) mod load;
pub(in crate::log) mod locate;
pub(in crate::log) mod nested;
mod net_changes;
pub(in crate::log) mod newest;
pub(in crate::log) mod seen_keys;
pub(in crate::log) mod snapshot;
pub(in crate::log) mod time;
mod undone;
pub(in crate::log) mod unreadable;
pub(in crate::log) mod vectors;
pub(in crate::log) mod version;
pub(in crate::log) mod way;
