//! Files that hold the result of one statement.

#[cfg(feature = "xlsx")]
mod xlsx;

#[cfg(feature = "xlsx")]
pub(crate) use xlsx::register_xlsx;
