//! Writing to a local disk so that what was acknowledged survives a power failure.
//!
//! `object_store` renames without ever syncing: after a power failure a committed name may
//! be gone, or be there without its bytes. So the writes to a table on a local disk are made
//! here, in this order, and a crash after any step leaves the version below intact:
//!
//! 1. The transaction makes `_atio_tmp/<txn>/`. Nothing else ever holds half a file.
//! 2. A data file, manifest or snapshot is written there and renamed to its name. A crash, or a
//!    power failure, leaves an orphan, whole or not: nothing names it.
//! 3. The record is written in `_atio_tmp/<txn>/`.
//! 4. Those files, the record, and every directory that gained a name are synced, all at once:
//!    the record and all that it names is durable.
//! 5. It is renamed to its name unless that is taken. **The commit: readers see the version.**
//! 6. `metadata/` is synced. **The version is durable; only then is it acknowledged.**
//! 7. The pointer and the marker are replaced, which are hints.
//!
//! From step 3 on no directory is made, so a writer whose table was dropped and made again
//! under the same path finds its own directory gone and fails (A9). `metadata/` is opened before
//! step 5: the names that step 6 syncs are those of the table that has the record, also if a DROP
//! sets it aside in between.

mod disk;
mod error;
mod folder;
mod rename;
mod step;
mod unsynced;
mod upload;
mod writer;

pub(crate) use disk::Disk;
pub use disk::{blocking, make_all, make_folders, sync_folder};
pub use error::cannot_write;
pub use folder::{remove_folder, rename_folder, sync_rename};
pub use rename::rename_new;
pub use step::step;
pub use upload::LocalUpload;
pub(crate) use writer::LocalWriter;

#[cfg(test)]
mod tests;
