//! How versions are made and found, on any object store.

mod check;
mod commit;
mod known;
mod metadata_cache;
mod open_options;
mod operation;
mod python;
mod read;
mod table;

pub use crate::format::reads::{Isolation, MaySelect, Reads};
pub use check::{CheckOptions, Finding, Severity};
pub use commit::announcer::flush;
pub use commit::does_select::DoesSelect;
#[doc(hidden)]
pub use commit::engine::pause;
pub use commit::gate::{Candidate, Check, Gate};
pub use commit::merge::StagedMerge;
pub use commit::options::CommitOptions;
pub use commit::transaction::Transaction;
pub use metadata_cache::set_metadata_cache_limit;
pub use open_options::OpenOptions;
pub use operation::columns::NewColumns;
pub use operation::create::NewTable;
pub use operation::expire::{Expiry, ExpiryRow};
pub use operation::ref_update::{RefUpdate, RefUpdated, RollbackTarget};
pub use operation::repair::{RepairOptions, RepairRow};
pub use operation::row_change::RowChange;
pub use operation::rows::Committed;
pub use operation::source_position::{Advance, Position, check_position, check_source};
pub use read::changes::{RowsOfFile, VersionChanges};
pub use read::footer::{Footer, stats_columns};
pub use read::history::HistoryEntry;
pub use read::snapshot::Snapshot;
pub use read::unreadable::Unreadable;
pub use read::way::{ChangesAfter, Way};
pub use table::Table;
