//! How versions are made and found, on any object store.
//!
//! The only place that touches the store's metadata, and the only one where "already
//! exists" and "not found" of a store are looked at. Knows nothing of the query engine.

mod adopt;
mod advance;
mod commit;
mod commit_options;
mod create;
mod draft;
mod drop;
mod expire;
mod footer;
mod gone;
mod history;
mod keys;
mod load;
mod local;
mod locate;
mod mark;
mod merge;
mod nested;
mod objects;
mod open_files;
mod open_options;
mod output;
mod probe;
mod rebase;
mod remote;
mod resolve;
mod rollback;
mod snapshot;
mod staging;
mod store_error;
mod table;
mod tags;
mod transaction;
mod unreadable;

pub(crate) use advance::{Advance, Position, check_position, check_source};
pub(crate) use commit::{Change, Committed};
pub use commit_options::CommitOptions;
pub(crate) use create::NewTable;
pub(crate) use expire::{Expiry, ExpiryRow};
pub(crate) use footer::{Footer, stats_columns};
pub(crate) use history::HistoryEntry;
pub(crate) use local::{
    LocalUpload, blocking, cannot_write, make_all, make_folders, rename_new, step, sync_folder,
    sync_rename,
};
pub(crate) use mark::{Mark, Target};
pub(crate) use merge::StagedMerge;
pub(crate) use objects::Objects;
pub(crate) use open_options::{Durability, OpenOptions};
pub(crate) use remote::RemoteStore;
pub(crate) use snapshot::Snapshot;
pub(crate) use store_error::{explain, is_refused, is_taken};
pub(crate) use table::Table;
pub(crate) use transaction::Transaction;
pub(crate) use unreadable::Unreadable;
