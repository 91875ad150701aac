//! How large a table is, and what could be cleared up.

use atio_core::log::{Snapshot, Table};

use super::expire::ExpireOptions;
use super::handle::AtioTable;
use super::version_ref::VersionRef;
use crate::error::{Error, ErrorKind, Result};
use crate::write::TableOptions;

/// The size of a table, as [`AtioTable::stats`] tells it.
///
/// ```
/// fn wants_rewriting(stats: &atio::TableStats) -> bool {
///     stats.small_files.is_some_and(|small| small > 100)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// The newest version, of which the rest is told.
    pub version: atio_core::format::Version,
    /// Its rows.
    pub rows: u64,
    /// Rows that its data files hold and that are marked as deleted: they are not among `rows`.
    pub deleted_rows: u64,
    /// Its data files.
    pub files: u64,
    /// Their sizes, together.
    pub bytes: u64,
    /// Those of them that have less than half of the table's `target_file_size`; None if a list of
    /// files is damaged.
    pub small_files: Option<u64>,
    /// Their sizes, together.
    pub small_bytes: Option<u64>,
    /// The lists of its files.
    pub manifests: u64,
    /// The versions that have not expired, this one included; None if it is not known where the table
    /// begins because records are lost.
    pub versions: Option<u64>,
    /// The names of versions; None if what holds them is damaged.
    pub tags: Option<u64>,
    /// The files that [`expire`](AtioTable::expire) removes with its default options; None if it
    /// refuses because a version is damaged.
    pub expirable_files: Option<u64>,
    /// Their sizes, together, as far as they are known.
    pub expirable_bytes: Option<u64>,
}

/// Which numbers are asked for, beside those that the snapshot tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) small: bool,
    pub(crate) versions: bool,
    pub(crate) tags: bool,
    pub(crate) expirable: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Self {
        small: true,
        versions: true,
        tags: true,
        expirable: true,
    };
}

impl AtioTable {
    /// Tells how many rows, files, versions and tags the table has, which of its files are small,
    /// and what an expiry would remove. Changes nothing.
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
    /// let rows = ctx.sql("SELECT 1 AS id").await?;
    /// let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// table.append(rows, CommitOptions::default()).await?;
    ///
    /// let stats = table.stats().await?;
    /// assert_eq!((stats.rows, stats.files, stats.versions), (1, 1, Some(2)));
    /// // A file of one row is far from the size that files are meant to have.
    /// assert_eq!(stats.small_files, Some(1));
    /// assert_eq!(stats.expirable_files, Some(0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the handle is held to one version;
    /// otherwise those of [`current_version`](Self::current_version).
    pub async fn stats(&self) -> Result<TableStats> {
        self.stats_of(Wanted::ALL).await
    }

    /// The same; what is not `wanted` is None, and costs nothing.
    pub(crate) async fn stats_of(&self, wanted: Wanted) -> Result<TableStats> {
        self.check_whole("stats")?;
        let table = self.table();
        let newest = self.find(&VersionRef::Newest).await?;
        let small = match wanted.small {
            true => unless_damaged(small_files(table, &newest).await)?,
            false => None,
        };
        let versions = match wanted.versions {
            true => unless_damaged(table.readable_versions(&newest).await)?,
            false => None,
        };
        let tags = match wanted.tags {
            true => unless_damaged(table.tags().await)?.map(|tags| tags.len() as u64),
            false => None,
        };
        let expirable = match wanted.expirable {
            true => unless_damaged(self.expirable().await)?,
            false => None,
        };
        let totals = newest.totals();
        let listed = &newest.state.manifests;
        let manifests = match &newest.python {
            Some(python) => python.len(),
            None => listed.len(),
        };
        let marked = listed.iter().map(|manifest| manifest.marked);
        Ok(TableStats {
            version: newest.version,
            rows: totals.rows,
            deleted_rows: marked.fold(0, u64::saturating_add),
            files: totals.files,
            bytes: totals.bytes,
            small_files: small.map(|(files, _)| files),
            small_bytes: small.map(|(_, bytes)| bytes),
            manifests: manifests as u64,
            versions,
            tags,
            expirable_files: expirable.map(|(files, _)| files),
            expirable_bytes: expirable.map(|(_, bytes)| bytes),
        })
    }

    async fn expirable(&self) -> Result<(u64, u64)> {
        let expired = self.expire_telling(ExpireOptions::default(), None).await?;
        Ok((expired.files(), expired.bytes()))
    }
}

/// The files of a version that are small, and their bytes.
async fn small_files(table: &Table, version: &Snapshot) -> Result<(u64, u64)> {
    let small = TableOptions::of_table(&version.state.options)?.small_file_size();
    let manifests = table.manifests(version).await?;
    let sizes = manifests.iter().flat_map(|manifest| &manifest.files);
    let sizes = sizes.filter_map(|file| file.size.filter(|size| *size < small));
    Ok(sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size)))
}

/// What damage keeps from being known is None: `check` says what is damaged.
fn unless_damaged<T>(found: Result<T>) -> Result<Option<T>> {
    let damaged =
        |error: &Error| matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Unsupported);
    match found {
        Err(error) if damaged(&error) => Ok(None),
        found => found.map(Some),
    }
}
