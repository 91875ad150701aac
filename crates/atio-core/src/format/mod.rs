//! What the bytes mean.
//!
//! Pure: no store, no clock, no async, nothing of the query engine. Everything here takes
//! bytes or values and gives bytes or values; time, randomness and ids are arguments. The
//! rules cited by letter and number (A1, B3, C2 ...) are those of
//! [the format document](crate::docs::format).

#![expect(
    missing_docs,
    reason = "fields and variants are the members that the format document defines"
)]

pub mod change;
pub mod checksum;
pub mod conflict;
pub mod deletion_vector;
#[cfg(test)]
mod examples;
pub mod intent;
pub mod json;
pub mod layout;
pub mod limits;
pub mod manifest;
pub mod memory;
pub mod merge;
pub mod pointer;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod proptests;
pub mod python_snapshot;
pub mod reads;
pub mod record;
pub mod refs;
pub mod schema;
pub mod snapshot;
pub mod stats;
pub mod store_note;
pub mod ticket;
pub mod type_json;
pub mod version;

pub use checksum::{Checksum, ObjectRef};
pub use deletion_vector::{DeletionVector, VectorRef};
pub use json::{parse_json, to_json};
pub use manifest::{FileEntry, Manifest};
pub use reads::{Isolation, MaySelect, Reads};
pub use record::{
    Changes, CommitRecord, Operation, PythonRecord, Record, StoredRecord, Tombstone, Totals,
};
pub use schema::TableSchema;
pub use snapshot::ManifestRef;
pub use version::{Txn, Version};

/// The format version that this release writes and the newest one that it reads.
pub const FORMAT_VERSION: u32 = 1;
