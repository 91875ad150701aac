//! Objects of a table, on the local disk or on a store: written whole, and durable when they
//! are acknowledged.
//!
//! The only place where "already exists" and "not found" of a store are looked at.

#[cfg(test)]
mod careless;
mod durability;
mod local;
mod objects;
mod open_files;
mod output;
mod probe;
mod remote;
mod staging;
mod store_error;

pub use durability::Durability;
pub use local::{
    LocalUpload, blocking, cannot_write, make_all, make_folders, remove_folder, rename_folder,
    rename_new, step, sync_folder, sync_rename,
};
pub use objects::{Created, Listed, Objects, Stamp};
pub(crate) use open_files::with_open_files;
pub(crate) use output::Output;
pub(crate) use probe::Probe;
pub use remote::RemoteStore;
pub use staging::{StagingStore, run_to_end};
pub use store_error::{explain, is_refused, is_taken};
