//! Statements that change rows: DELETE, UPDATE and MERGE become queries that say which rows go and
//! which come. What a program asks for by methods becomes the same statements.
//!
//! The hooks that the engine offers a provider lose parts of these statements. An analyzer rule
//! sees them whole, before anything is optimized.

mod assemble;
mod builder;
mod changes;
mod clause;
mod merge;
mod rule;

pub use builder::Merge;
pub use changes::RowsChanged;
pub(crate) use rule::{RowChanges, without_version};
