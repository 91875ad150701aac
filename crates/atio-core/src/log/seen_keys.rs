//! The idempotency keys that a handle knows.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::format::Version;

/// The keys of the versions that were searched last.
#[derive(Debug, Default)]
pub(super) struct SeenKeys {
    pub(super) table: Uuid,
    pub(super) keys: BTreeMap<Version, Option<String>>,
}
