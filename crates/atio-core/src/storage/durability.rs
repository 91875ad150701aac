//! What a write to the local disk has been through when it is acknowledged.

/// What an acknowledged commit to a local disk has been through.
///
/// ```
/// use atio_core::storage::Durability;
///
/// assert_eq!(Durability::default(), Durability::Full);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// It is on the disk: a power failure takes nothing of it.
    #[default]
    Full,
    /// The operating system has it: a crash of the process takes nothing of it. One such
    /// writer waives durability for the whole table: later versions name its files.
    None,
}
