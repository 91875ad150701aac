//! What a repair is asked to do, and what it says.

/// How to repair.
///
/// ```
/// assert!(atio_core::log::RepairOptions::default().dry_run);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairOptions {
    /// Tells what would be mended, and changes nothing. True by default.
    pub dry_run: bool,
}

impl Default for RepairOptions {
    fn default() -> Self {
        Self { dry_run: true }
    }
}

/// One thing that is wrong with a table, and what a repair did about it.
///
/// ```
/// fn show(row: &atio_core::log::RepairRow) -> String {
///     format!("{}: {}", row.problem, if row.done { "mended" } else { &row.action })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairRow {
    /// The object concerned, relative to the root of the table.
    pub object: String,
    /// What is wrong.
    pub problem: String,
    /// What a repair does about it or, where it cannot, what a person can do.
    pub action: String,
    /// True once the repair did it.
    pub done: bool,
}
