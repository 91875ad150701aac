//! The idempotency keys that a handle knows.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::format::Version;

/// The keys of the versions that were searched last.
#[derive(Debug, Default)]
pub(in crate::log) struct SeenKeys {
    pub(in crate::log) table: Uuid,
    pub(in crate::log) keys: BTreeMap<Version, Option<String>>,
}
