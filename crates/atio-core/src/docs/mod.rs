//! The documents of the core, as pages.

#[doc = include_str!("format.md")]
pub mod format {}
