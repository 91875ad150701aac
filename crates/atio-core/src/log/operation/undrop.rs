//! What a table that was dropped on a local disk needs before it comes back.

use crate::error::{Error, ErrorKind, Result};
use crate::log::table::Table;
use crate::storage::blocking;

impl Table {
    /// Ends every transaction that was under way when the table was dropped: none of them can
    /// commit any more, neither here nor, by a path that led elsewhere meanwhile, in another
    /// table (A9). Versions and data files stay as they are.
    ///
    /// Only for a table to which no path leads that a writer may use. Nothing happens on a store.
    pub async fn end_transactions(&self) -> Result<()> {
        let Some(disk) = self.objects.disk().cloned() else {
            return Ok(());
        };
        let ended = blocking(move || disk.end_transactions()).await;
        ended.map_err(|error| {
            let what = format!("cannot end the transactions of {}", self.location());
            Error::new(ErrorKind::Storage, what).with_source(error)
        })
    }
}
