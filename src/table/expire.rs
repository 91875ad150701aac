//! Expiry: removing old versions and what only they need.

use std::sync::Arc;
use std::time::Duration;

use atio_core::log::{Expiry, ExpiryRow};
use atio_core::progress::Listener;
use chrono::Utc;

use super::handle::AtioTable;
use crate::error::{Error, Result};

/// The kind of a row that is about a version, not a file.
const TAGGED_VERSION: &str = "tagged version";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What [`AtioTable::expire`] removes.
///
/// The newest version and those with a tag always stay.
///
/// ```
/// use std::time::Duration;
///
/// let options = atio::ExpireOptions {
///     keep_for: Duration::from_secs(30 * 24 * 60 * 60),
///     dry_run: false,
///     ..Default::default()
/// };
/// assert_eq!(options.retain_last, 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpireOptions {
    /// A version stays readable for so long after another replaced it; by default seven days.
    pub keep_for: Duration,
    /// The newest so many versions that changed rows stay, whatever their age; by default 1, which
    /// is the least.
    pub retain_last: u64,
    /// Files of a writer that died go once they are so old; by default a day.
    pub orphan_age: Duration,
    /// Tells what would go, and removes nothing. True by default, as in SQL.
    pub dry_run: bool,
}

impl Default for ExpireOptions {
    fn default() -> Self {
        Self {
            keep_for: 7 * DAY,
            retain_last: 1,
            orphan_age: DAY,
            dry_run: true,
        }
    }
}

/// What an expiry found and did.
///
/// ```
/// let expired = atio::Expired::default();
/// assert_eq!((expired.files(), expired.deleted_bytes()), (0, 0));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired {
    /// One for each file that goes, and one for each version that stays because of its tags alone.
    pub rows: Vec<ExpiryRow>,
}

impl Expired {
    /// How many files go.
    ///
    /// ```
    /// assert_eq!(atio::Expired::default().files(), 0);
    /// ```
    pub fn files(&self) -> u64 {
        self.of_files().count() as u64
    }

    /// Their sizes, as far as they are known.
    ///
    /// ```
    /// assert_eq!(atio::Expired::default().bytes(), 0);
    /// ```
    pub fn bytes(&self) -> u64 {
        self.of_files().filter_map(|row| row.bytes).sum()
    }

    /// How many of them are deleted: none in a dry run, all of them otherwise, unless the storage
    /// failed. The next expiry tries again.
    ///
    /// ```
    /// assert_eq!(atio::Expired::default().deleted(), 0);
    /// ```
    pub fn deleted(&self) -> u64 {
        self.of_files().filter(|row| row.deleted).count() as u64
    }

    /// The sizes of those that are deleted, as far as they are known.
    ///
    /// ```
    /// assert_eq!(atio::Expired::default().deleted_bytes(), 0);
    /// ```
    pub fn deleted_bytes(&self) -> u64 {
        let deleted = self.of_files().filter(|row| row.deleted);
        deleted.filter_map(|row| row.bytes).sum()
    }

    fn of_files(&self) -> impl Iterator<Item = &ExpiryRow> {
        self.rows.iter().filter(|row| row.kind != TAGGED_VERSION)
    }
}

impl AtioTable {
    /// Makes old versions unreadable, and deletes every file that only they needed. It runs to its
    /// end even if the caller stops waiting.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use std::time::Duration;
    ///
    /// use atio::{AtioTable, CommitOptions, CreateOptions, ExpireOptions, OverwriteOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # let rows = ctx.sql("SELECT 1 AS id").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// table.append(rows.clone(), CommitOptions::default()).await?;
    /// table.overwrite(rows, OverwriteOptions::default()).await?;
    ///
    /// let mut options = ExpireOptions { keep_for: Duration::ZERO, ..ExpireOptions::default() };
    /// let found = table.expire(options.clone()).await?;
    /// assert!(found.files() > 0 && found.deleted() == 0);
    ///
    /// options.dry_run = false;
    /// let expired = table.expire(options).await?;
    /// assert_eq!(expired.deleted(), expired.files());
    /// assert_eq!(table.at(1).await.unwrap_err().kind(), atio::ErrorKind::VersionExpired);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if [`retain_last`](ExpireOptions::retain_last)
    /// is 0; [`Damaged`](crate::ErrorKind::Damaged), before anything is deleted, if a version that
    /// stays cannot be read; [`Conflict`](crate::ErrorKind::Conflict) if other writers kept coming
    /// first. Running it again finishes the job.
    pub async fn expire(&self, options: ExpireOptions) -> Result<Expired> {
        let listener = self.session().listener.clone();
        self.expire_telling(options, listener).await
    }

    /// The same, and tells `listener` how far it is.
    pub(crate) async fn expire_telling(
        &self,
        options: ExpireOptions,
        listener: Option<Arc<Listener>>,
    ) -> Result<Expired> {
        if options.retain_last == 0 {
            return Err(Error::invalid(
                "an expiry keeps at least one version: retain_last must be 1 or more",
            ));
        }
        match options.dry_run {
            true => self.check_whole("expire")?,
            false => self.check_writable()?,
        }
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let expiry = Expiry {
            keep_for_us: micros(options.keep_for),
            retain_last: options.retain_last,
            orphan_age_us: micros(options.orphan_age),
            dry_run: options.dry_run,
            now_us: Utc::now().timestamp_micros(),
        };
        let table = Arc::clone(self.table());
        // To its end, even if the caller stops waiting.
        let expired = tokio::spawn(async move { table.expire(&expiry, listener).await }).await;
        let rows = expired.map_err(|error| {
            Error::invalid("the expiry was cut off; run it again").with_source(error)
        })?;
        Ok(Expired { rows: rows? })
    }
}
