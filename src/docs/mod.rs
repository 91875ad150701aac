//! The documents of the project, as pages.

pub use atio_core::docs::format;

#[doc = include_str!("design.md")]
pub mod design {}
