//! The lookup of a table in a catalog: what the provider that was handed out was asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

/// What the provider of one lookup was asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    schema: AtomicBool,
    /// The thread that asked for the kind of table last.
    table_type: Mutex<Option<ThreadId>>,
}

impl Lookup {
    pub(crate) fn asked_for_schema(&self) {
        self.schema.store(true, Ordering::Release);
    }

    pub(crate) fn asked_for_type(&self) {
        let mut thread = self
            .table_type
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *thread = Some(std::thread::current().id());
    }

    /// True if nothing but the kind of table was asked, by this thread.
    pub(crate) fn is_drop(&self) -> bool {
        let thread = self
            .table_type
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *thread == Some(std::thread::current().id()) && !self.schema.load(Ordering::Acquire)
    }
}
