//! Records of versions: what lies under `metadata/v{N}.metadata.json`.

mod chain;
mod header;
mod live;
mod operation;
mod tombstone;
mod totals;

pub use chain::{PythonRecord, Record, StoredRecord, foreign_write};
pub use header::{DELETION_VECTORS, Features, Previous};
pub use live::{Changes, CommitRecord};
pub use operation::Operation;
pub use tombstone::Tombstone;
pub use totals::Totals;
