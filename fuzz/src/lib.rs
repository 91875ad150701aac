//! The format of tables as the library has it, from the same files, without the query engine.

#![expect(
    dead_code,
    unused_imports,
    reason = "the library uses what parsers alone do not"
)]

// The format takes its types from `arrow`, of which it needs the smallest part: here that name
// is this crate, which has just that.
extern crate self as arrow;

/// Types of columns.
pub mod datatypes {
    pub use arrow_schema::*;
}

#[path = "../../crates/atio-core/src/error.rs"]
mod error;
#[path = "../../crates/atio-core/src/format/mod.rs"]
mod format;
#[path = "../../crates/atio-core/src/format/properties.rs"]
mod properties;
#[path = "../../crates/atio-core/src/redact.rs"]
mod redact;

/// Panics if `bytes` show that what is promised of the target does not hold.
pub fn check(target: &str, bytes: &[u8]) {
    for (name, property) in properties::ALL {
        if name == target {
            return property(bytes);
        }
    }
    panic!("there is no property '{target}'");
}
