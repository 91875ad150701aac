//! What a provider that a catalog handed out was asked for.

use std::sync::atomic::{AtomicBool, Ordering};

/// What one provider was asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    schema: AtomicBool,
    table_type: AtomicBool,
}

impl Watch {
    pub(crate) fn asked_for_schema(&self) {
        self.schema.store(true, Ordering::Release);
    }

    pub(crate) fn asked_for_type(&self) {
        self.table_type.store(true, Ordering::Release);
    }

    /// True if nothing but the kind of table was asked.
    pub(crate) fn is_drop(&self) -> bool {
        self.table_type.load(Ordering::Acquire) && !self.schema.load(Ordering::Acquire)
    }
}
