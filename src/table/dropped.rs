//! What a person sees of dropped tables, and says of how they come back or go.

use chrono::{DateTime, Utc};

/// A dropped table that can come back: see [`AtioCatalog::undrop_table`](crate::AtioCatalog::undrop_table).
///
/// ```
/// fn show(dropped: &atio::DroppedTable) -> String {
///     format!("{}.{} (id {})", dropped.schema, dropped.table, dropped.id)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedTable {
    /// The schema that it was in.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Tells it from others that were dropped under the same name: 32 hexadecimal digits.
    pub id: String,
    /// When it was dropped, by the clock of who dropped it and exact to a millisecond.
    pub dropped_at: DateTime<Utc>,
    /// Seven days later. The first DROP in the catalog after that deletes it.
    pub kept_until: DateTime<Utc>,
}

/// What a DROP came to.
///
/// ```
/// fn show(dropped: &atio::Dropped) -> String {
///     match dropped {
///         atio::Dropped::Kept(table) => format!("can come back by its id {}", table.id),
///         atio::Dropped::ForGood => "gone".to_owned(),
///         _ => "was a name of this session alone".to_owned(),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// The table was set aside, and can come back.
    Kept(DroppedTable),
    /// The table is gone for good: it was on an object store.
    ForGood,
    /// It was a name of the session alone. What it stood for is where it was.
    Forgotten,
}

/// How [`AtioCatalog::undrop_table`](crate::AtioCatalog::undrop_table) brings a table back.
///
/// ```
/// let options = atio::UndropOptions { new_name: Some("sales_2".into()), ..Default::default() };
/// ```
#[derive(Debug, Clone, Default)]
pub struct UndropOptions {
    /// Which of those that were dropped under the name, by [`DroppedTable::id`]; by default
    /// the one that was dropped last.
    pub id: Option<String>,
    /// The name that it gets; by default the one that it had.
    pub new_name: Option<String>,
}

/// How [`AtioCatalog::purge_table`](crate::AtioCatalog::purge_table) deletes.
///
/// ```
/// let options = atio::PurgeOptions { dry_run: false, ..Default::default() };
/// ```
#[derive(Debug, Clone)]
pub struct PurgeOptions {
    /// Which of those that were dropped under the name, by [`DroppedTable::id`]; by default all
    /// of them.
    pub id: Option<String>,
    /// Tells what would go and deletes nothing; true by default.
    pub dry_run: bool,
}

impl Default for PurgeOptions {
    fn default() -> Self {
        Self {
            id: None,
            dry_run: true,
        }
    }
}

/// What a purge found of one dropped table.
///
/// ```
/// fn show(purged: &atio::PurgedTable) -> String {
///     let done = if purged.deleted { "deleted" } else { "would go" };
///     format!("{}: {} bytes {done}", purged.table.table, purged.bytes)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgedTable {
    /// The table. Unless it was a dry run it cannot come back.
    pub table: DroppedTable,
    /// The bytes of its files.
    pub bytes: u64,
    /// False for a dry run, and where files could not be deleted: the log says which. They go
    /// with a later DROP or CREATE.
    pub deleted: bool,
}
