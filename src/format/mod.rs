//! What the bytes mean.
//!
//! Pure: no store, no clock, no async, nothing of the query engine. Everything here takes
//! bytes or values and gives bytes or values; time, randomness and ids are arguments. The
//! rules cited by letter and number (A1, B3, C2 ...) are those of
//! [the format document](crate::docs::format).

pub(crate) mod checksum;
pub(crate) mod json;
mod kept;
pub(crate) mod layout;
pub(crate) mod limits;
pub(crate) mod manifest;
pub(crate) mod merge;
pub(crate) mod pointer;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod randomly;
pub(crate) mod record;
pub(crate) mod refs;
pub(crate) mod schema;
pub(crate) mod snapshot;
pub(crate) mod stats;
pub(crate) mod stored;
pub(crate) mod tombstone;
pub(crate) mod type_json;
pub(crate) mod version;

pub(crate) use checksum::{Checksum, ObjectRef};
pub(crate) use json::{parse_json, to_json};
pub(crate) use manifest::{FileEntry, Manifest};
pub(crate) use record::{Changes, CommitRecord, Operation, PythonRecord, Record, Totals};
pub(crate) use schema::TableSchema;
pub(crate) use snapshot::ManifestRef;
pub(crate) use stored::StoredRecord;
pub use version::{Txn, Version};

/// The format version that this release writes and the newest one that it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
