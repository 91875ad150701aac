//! What a handle remembers of versions that may not be the newest any more.

use std::sync::Arc;

use crate::format::Version;
use crate::log::read::snapshot::Snapshot;
use crate::storage::Stamp;

/// The newest version as last seen, and what its record looked like on the store.
#[derive(Clone)]
pub(in crate::log) struct Known {
    pub(in crate::log) snapshot: Arc<Snapshot>,
    pub(in crate::log) stamp: Stamp,
}

/// What a fence says has expired.
#[derive(Clone)]
pub(in crate::log) struct Fence {
    pub(in crate::log) table: uuid::Uuid,
    pub(in crate::log) version: Version,
    pub(in crate::log) expired: Arc<[(Version, Version)]>,
}
