//! atio

pub mod docs {
    //! The documents
    pub mod format {
        //! format
    }
}
mod error;
mod format;
mod log;
mod sql;
mod table;
pub use error::{Error, ErrorKind, Result};
pub use format::{Txn, Version};
pub use sql::{AtioCatalog, register};
pub use table::AtioTable;
