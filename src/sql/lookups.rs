//! Telling DROP TABLE from everything else that deregisters a table.
//!
//! DataFusion calls `SchemaProvider::deregister_table` for `DROP TABLE`, but also for
//! `CREATE OR REPLACE TABLE`, before it computes what is to take the table's place, and for
//! `SessionContext::deregister_table`. Only DROP may drop. It is known by what it asks
//! the provider that it looked up just before: whether that is a table (and not a view),
//! and nothing else. The others ask for the columns, or look nothing up. Should this ever be
//! wrong, nothing is lost on a local disk: what was dropped is set aside, and `atio_undrop`
//! brings it back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::table::Lookup;

/// The providers that a schema has handed out and that are still in use.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    by_name: Mutex<HashMap<String, Vec<Weak<Lookup>>>>,
}

impl Lookups {
    /// A lookup for a provider that is handed out under `name`.
    pub(super) fn hand_out(&self, name: &str) -> Arc<Lookup> {
        let lookup = Arc::new(Lookup::default());
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let lookups = by_name.entry(name.to_owned()).or_default();
        lookups.retain(|lookup| lookup.strong_count() > 0);
        lookups.push(Arc::downgrade(&lookup));
        lookup
    }

    /// True while a DROP TABLE of `name` is under way: by the provider that was handed out
    /// last, and on its thread, for DROP asks and deregisters without a pause.
    pub(super) fn is_dropping(&self, name: &str) -> bool {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = by_name.get(name).and_then(|lookups| lookups.last());
        newest
            .and_then(Weak::upgrade)
            .is_some_and(|lookup| lookup.is_drop())
    }
}
