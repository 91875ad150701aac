//! Which version of a table is meant, and which one a statement reads.

use std::sync::{Arc, Mutex, PoisonError};

use atio_core::format::Version;
use atio_core::log::Snapshot;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::SchemaRef;

use super::handle::{At, AtioTable, lock};
use crate::error::Result;

/// A version of a table, as people name one.
///
/// ```
/// use atio::VersionRef;
/// use chrono::{TimeZone, Utc};
///
/// assert_eq!(VersionRef::from("best"), VersionRef::Tag("best".into()));
/// assert!(matches!(VersionRef::from(2), VersionRef::Version(version) if version.get() == 2));
/// let noon = Utc.with_ymd_and_hms(2026, 1, 31, 12, 0, 0).single();
/// assert!(matches!(noon.map(VersionRef::from), Some(VersionRef::AsOf(_))));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionRef {
    /// The newest one.
    #[default]
    Newest,
    /// By its number.
    Version(Version),
    /// By a name that it was given.
    Tag(String),
    /// The one that was the newest at a time, which may not be in the future.
    AsOf(DateTime<Utc>),
}

impl From<Version> for VersionRef {
    fn from(version: Version) -> Self {
        Self::Version(version)
    }
}

impl From<u64> for VersionRef {
    /// The version with this number; above 2^53 - 1 there is none, and the largest is meant.
    fn from(number: u64) -> Self {
        Self::Version(Version::new(number).unwrap_or(Version::MAX))
    }
}

impl From<&str> for VersionRef {
    fn from(tag: &str) -> Self {
        Self::Tag(tag.to_owned())
    }
}

impl From<String> for VersionRef {
    fn from(tag: String) -> Self {
        Self::Tag(tag)
    }
}

impl From<DateTime<Utc>> for VersionRef {
    fn from(time: DateTime<Utc>) -> Self {
        Self::AsOf(time)
    }
}

impl AtioTable {
    /// The table as it was at a version: read only, and the same whatever is committed later.
    ///
    /// [`Newest`](VersionRef::Newest) holds the table to the version that is the newest now.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// let rows = ctx.sql("SELECT 'tea' AS item, 2.5 AS price").await?;
    /// let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// table.append(rows.clone(), CommitOptions::default()).await?;
    /// table.append(rows, CommitOptions::default()).await?;
    ///
    /// let before = table.at(1).await?;
    /// assert_eq!(before.read(&ctx)?.count().await?, 1);
    /// assert_eq!(table.read(&ctx)?.count().await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`VersionNotFound`](crate::ErrorKind::VersionNotFound) if it never existed, or none has the
    /// tag; [`VersionExpired`](crate::ErrorKind::VersionExpired) if it has expired;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the time is in the future.
    pub async fn at(&self, version: impl Into<VersionRef>) -> Result<Self> {
        let snapshot = self.find(&version.into()).await?;
        Ok(self.held_to(snapshot))
    }

    /// The version that is meant; [`Newest`](VersionRef::Newest) is what this table reads.
    pub(super) async fn find(&self, version: &VersionRef) -> Result<Arc<Snapshot>> {
        let table = self.table();
        match version {
            VersionRef::Newest => match self.fixed() {
                Some(snapshot) => Ok(Arc::clone(snapshot)),
                None => table.newest().await,
            },
            VersionRef::Version(version) => table.version(*version).await,
            VersionRef::Tag(tag) => table.tagged(tag).await,
            VersionRef::AsOf(time) => table.as_of(time.timestamp_micros()).await,
        }
    }

    /// The version that the statement reads.
    ///
    /// Fails if its columns are not those that the statement was planned with, or if it has expired
    /// since it was found.
    pub(super) async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        match &self.at {
            At::Version(snapshot) => {
                if self.found().is_none() {
                    self.check_still_there(snapshot).await?;
                }
                Ok(Arc::clone(snapshot))
            }
            At::Newest(known) => {
                let newest = self.table.newest().await?;
                self.check_schema(&newest, &lock(known), known)?;
                Ok(newest)
            }
            At::Pinned {
                pin,
                planned,
                known,
            } => {
                let pinned = pin.get(&self.table).await?;
                self.check_schema(&pinned, planned, known)?;
                Ok(pinned)
            }
        }
    }

    /// A version that a view or a prepared statement holds may have expired since.
    async fn check_still_there(&self, snapshot: &Snapshot) -> Result<()> {
        // If the newest version cannot be read, an older one may be all the same.
        let Ok(newest) = self.table.newest().await else {
            return Ok(());
        };
        if newest.table != snapshot.table && !snapshot.table.is_nil() {
            return Err(self.schema_changed());
        }
        match newest.has_expired(snapshot.version) {
            true => Err(self
                .table
                .has_expired(snapshot.version, newest.version, &newest.expired)),
            false => Ok(()),
        }
    }

    /// The statement was planned with `planned`; if that is not the schema any more, the
    /// next statement is planned with the right one.
    fn check_schema(
        &self,
        found: &Snapshot,
        planned: &SchemaRef,
        known: &Mutex<SchemaRef>,
    ) -> Result<()> {
        if found.arrow.fields() == planned.fields() {
            return Ok(());
        }
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&found.arrow);
        Err(self.schema_changed())
    }

    /// The number of the version that a statement would read now.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// let rows = ctx.sql("SELECT 1 AS id").await?;
    /// let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// assert_eq!(table.current_version().await?.get(), 0);
    /// table.append(rows, CommitOptions::default()).await?;
    /// assert_eq!(table.current_version().await?.get(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if the table was dropped;
    /// [`Damaged`](crate::ErrorKind::Damaged) if its newest version cannot be read.
    pub async fn current_version(&self) -> Result<Version> {
        Ok(self.find(&VersionRef::Newest).await?.version)
    }
}
