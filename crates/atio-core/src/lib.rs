//! The table format and the commit protocol of atio, without a query engine.
//!
//! **Unstable.** The crate `atio` re-exports what its users need; any release may change what is
//! here. The [format](docs::format) is stable.
//!
//! ```text
//! log  ->  storage  ->  format  ->  error
//! ```
//!
//! * [`mod@format`]: what the bytes mean; pure functions.
//! * [`storage`]: objects on the local disk or on a store, durable when they are acknowledged.
//! * [`log`]: how versions are made, found and removed.

pub mod docs;
mod error;
pub mod format;
mod lock;
pub mod log;
pub mod progress;
mod redact;
pub mod storage;

pub use error::{Error, ErrorKind, Result};
pub use redact::redact;
