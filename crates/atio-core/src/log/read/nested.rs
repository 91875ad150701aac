//! Tables inside of tables: refused, for what one of them deletes the other may need.

use std::path::Path as LocalPath;
use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Version, layout};
use crate::log::open_options::OpenOptions;
use crate::log::table::Table;

impl Table {
    /// Fails if this place is inside the directory of another table, as far as can be seen:
    /// credentials may not reach above it.
    ///
    /// Asked before a table is made. That nothing is below is told by the place being empty.
    pub async fn check_outside_of_tables(&self) -> Result<()> {
        let marks = [layout::POINTER.to_owned(), layout::record(Version::ZERO)];
        let place = LocalPath::new(self.location());
        // Where it is not a path on the local disk it is a URL.
        let around = match place.is_absolute() {
            true => place
                .ancestors()
                .skip(1)
                .find(|place| marks.iter().any(|mark| place.join(mark).is_file()))
                .map(|place| place.display().to_string()),
            false => self.table_around(&marks).await?,
        };
        match around {
            None => Ok(()),
            Some(around) => Err(Error::invalid(format!(
                "{} is inside the table at {around}: choose a place outside of it",
                self.location()
            ))),
        }
    }

    async fn table_around(&self, marks: &[String]) -> Result<Option<String>> {
        let below = self.objects.key(layout::POINTER)?;
        let parts: Vec<_> = below.parts().collect();
        // The last part is the pointer, the one before it the table itself.
        for count in (0..parts.len().saturating_sub(1)).rev() {
            let place: Path = parts.iter().take(count).cloned().collect();
            let found = marks.iter().map(|mark| {
                let parts = mark.split('/').map(Into::into);
                let mark: Path = place.parts().chain(parts).collect();
                async move { self.store().head(&mark).await.is_ok() }
            });
            if futures::future::join_all(found).await.contains(&true)
                && !self.was_dropped_at(&place).await
            {
                let place = place.as_ref();
                let shown = match place.is_empty() {
                    true => "the root of the store",
                    false => place,
                };
                return Ok(Some(shown.to_owned()));
            }
        }
        Ok(None)
    }

    /// True if what lies there is the log that a dropped table leaves behind.
    async fn was_dropped_at(&self, place: &Path) -> bool {
        let store = Arc::clone(self.store());
        let options = OpenOptions::default();
        let table = Self::new(store, place.clone(), place.to_string(), None, options);
        let newest = table.newest().await;
        newest.is_err_and(|error| error.kind() == ErrorKind::TableNotFound)
    }
}
