//! What a person sees of dropped tables, and says of how they come back or go.

/// A dropped table that can come back: see [`AtioCatalog::undrop_table`](crate::AtioCatalog::undrop_table).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedTable {
    /// The schema that it was in.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Tells it from others that were dropped under the same name: 32 hexadecimal digits.
    pub id: String,
    /// When it was dropped, in microseconds since 1970 UTC, by the clock of who dropped it and
    /// exact to a millisecond.
    pub dropped_at_us: i64,
    /// Seven days later, in microseconds since 1970 UTC. The first DROP in the catalog after that
    /// deletes it.
    pub kept_until_us: i64,
}

/// What a DROP came to.
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
#[derive(Debug, Clone, Default)]
pub struct UndropOptions {
    /// Which of those that were dropped under the name, by [`DroppedTable::id`]; by default
    /// the one that was dropped last.
    pub id: Option<String>,
    /// The name that it gets; by default the one that it had.
    pub new_name: Option<String>,
}

/// How [`AtioCatalog::purge_table`](crate::AtioCatalog::purge_table) deletes.
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
