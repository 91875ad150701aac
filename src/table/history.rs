//! What became of a table, and what it consists of.

use std::collections::BTreeMap;

use atio_core::log::{HistoryEntry, Position, Table};

use super::handle::AtioTable;
use super::version_ref::VersionRef;
use crate::error::Result;

/// How much [`AtioTable::history`] tells.
///
/// ```
/// let options = atio::HistoryOptions { limit: Some(10) };
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryOptions {
    /// The newest so many versions; by default all. Those below are not read.
    pub limit: Option<u64>,
}

/// One data file of a version.
///
/// ```
/// fn show(file: &atio::DataFile) -> String {
///     format!("{}: {} rows", file.path, file.rows.unwrap_or_default())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataFile {
    /// Relative to the root of the table.
    pub path: String,
    /// `parquet`.
    pub format: String,
    /// Its size; None where Python atio wrote it and it is not known.
    pub bytes: Option<u64>,
    /// Those of its rows that are rows of the version; None where Python atio wrote it and they are not
    /// known.
    pub rows: Option<u64>,
    /// Those that are in it and are marked as deleted.
    pub deleted_rows: u64,
    /// Which of the version's lists of files names it, counted from 0.
    pub manifest: u64,
}

impl AtioTable {
    /// The versions of the table, the newest first, expired ones included.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions, HistoryOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// let rows = ctx.sql("SELECT 1 AS id").await?;
    /// let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// let commit = CommitOptions { message: Some("receipts of May".into()), ..CommitOptions::default() };
    /// table.append(rows, commit).await?;
    ///
    /// let history = table.history(HistoryOptions { limit: Some(1) }).await?;
    /// assert_eq!(history.len(), 1);
    /// assert_eq!(history[0].operation, "append");
    /// assert_eq!(history[0].message.as_deref(), Some("receipts of May"));
    /// assert_eq!(history[0].totals.map(|totals| totals.rows), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if the table was dropped. A damaged
    /// version is an entry that says so.
    pub async fn history(&self, options: HistoryOptions) -> Result<Vec<HistoryEntry>> {
        let limit = options.limit.unwrap_or(u64::MAX);
        let mut entries = self.table().last_versions(limit).await?;
        entries.reverse();
        Ok(entries)
    }

    /// The data files of a version.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions, VersionRef};
    ///
    /// # let ctx = SessionContext::new();
    /// let rows = ctx.sql("SELECT 1 AS id").await?;
    /// let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// table.append(rows, CommitOptions::default()).await?;
    /// let files = table.files(VersionRef::Newest).await?;
    /// assert_eq!((files.len(), files[0].rows), (1, Some(1)));
    /// assert!(table.files(0).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`at`](Self::at), and [`Damaged`](crate::ErrorKind::Damaged) if a list of files
    /// cannot be read.
    pub async fn files(&self, version: impl Into<VersionRef>) -> Result<Vec<DataFile>> {
        let snapshot = self.find(&version.into()).await?;
        let manifests = self.table().manifests(&snapshot).await?;
        let files = manifests.iter().zip(0..).flat_map(|(manifest, at)| {
            manifest.files.iter().map(move |file| DataFile {
                path: file.path.clone(),
                format: file.format.clone(),
                bytes: file.size,
                rows: file.live_rows().ok(),
                deleted_rows: file.marked_rows(),
                manifest: at,
            })
        });
        Ok(files.collect())
    }

    /// How far streams and unfinished loads have come, by their names: the next of their records
    /// or rows. None where nobody can go on from there, because another program wrote the position
    /// or an overwrite ended the load.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CreateOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # let schema = ctx.sql("SELECT 1 AS id").await?.schema().as_arrow().clone();
    /// let table = AtioTable::create(&ctx, location, &schema, CreateOptions::default()).await?;
    /// assert!(table.sources().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`current_version`](Self::current_version).
    pub async fn sources(&self) -> Result<BTreeMap<String, Option<u64>>> {
        let newest = self.find(&VersionRef::Newest).await?;
        let sources = Table::sources(&newest.state).into_iter();
        let sources = sources.map(|(name, at)| (name.to_owned(), at.map(Position::number)));
        Ok(sources.collect())
    }
}
