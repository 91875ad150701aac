//! Statements that change rows: DELETE, UPDATE and MERGE become queries that say which rows go and
//! which come.
//!
//! The hooks that the engine offers a provider lose parts of these statements. An analyzer rule
//! sees them whole, before anything is optimized.

mod assemble;
mod merge;
mod rule;
mod target;

pub(crate) use rule::RowChanges;
