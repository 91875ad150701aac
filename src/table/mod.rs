//! What DataFusion asks: a provider that scans one version and writes the next; and what a program
//! asks: the same without SQL.

pub mod batches;
mod change_target;
mod changes;
mod check;
mod compact;
mod dropped;
mod expire;
mod fitting;
mod handle;
mod health_batches;
mod history;
mod lookup;
mod merge_join;
mod merge_keys;
mod nullable_values;
mod pin;
mod pin_versions;
mod provider;
mod refs;
mod rows;
mod statement;
mod stats;
mod version_ref;

pub(crate) use change_target::ChangeTarget;
pub use changes::ChangesOptions;
pub(crate) use changes::ChangesTable;
pub use compact::{CompactOptions, Compacted};
pub use dropped::{Dropped, DroppedTable, PurgeOptions, PurgedTable, UndropOptions};
pub use expire::{ExpireOptions, Expired};
pub(crate) use fitting::{as_column, check_known, check_names, no_column};
pub use handle::AtioTable;
pub(crate) use handle::OfSession;
pub use history::{DataFile, HistoryOptions};
pub(crate) use lookup::Lookup;
pub(crate) use nullable_values::NullableValues;
pub(crate) use pin_versions::PinVersions;
pub use refs::{Tag, TagOptions};
pub(crate) use rows::nullable;
pub use rows::{OverwriteOptions, Written};
pub(crate) use statement::Statement;
pub use statement::one_statement;
pub use stats::TableStats;
pub(crate) use stats::Wanted;
pub use version_ref::VersionRef;
