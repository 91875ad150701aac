//! Finding what is wrong with a table, and mending what can be mended.

use std::sync::Arc;

use atio_core::log::{CheckOptions, Finding, RepairOptions, RepairRow};

use super::handle::AtioTable;
use crate::error::{Error, Result};

impl AtioTable {
    /// Looks at every object that a version needs which has not expired, and says what is wrong.
    /// Changes nothing. A table that is whole gives no finding.
    ///
    /// It works on a table whose newest version cannot be opened, too: find it with
    /// [`named`](Self::named). Each object is looked at once, however many versions name it.
    /// [`deep`](CheckOptions::deep) reads all data files and deletion vectors. Files that no version
    /// names are no findings: a dry run of [`expire`](Self::expire) shows them.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CheckOptions, CommitOptions, CreateOptions, Severity, VersionRef};
    ///
    /// # let ctx = SessionContext::new();
    /// let rows = ctx.sql("SELECT 1 AS id").await?;
    /// let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// table.append(rows, CommitOptions::default()).await?;
    /// assert!(table.check(CheckOptions { deep: true }).await?.is_empty());
    ///
    /// let file = table.files(VersionRef::Newest).await?.remove(0);
    /// std::fs::remove_file(sales.join(&file.path))?;
    /// let findings = table.check(CheckOptions::default()).await?;
    /// assert_eq!(findings[0].severity, Severity::Error);
    /// assert_eq!(findings[0].finding, format!("{} is missing", file.path));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if there is none;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the handle is held to one version;
    /// [`Storage`](crate::ErrorKind::Storage) if the storage gives no answer.
    pub async fn check(&self, options: CheckOptions) -> Result<Vec<Finding>> {
        self.check_whole("check")?;
        self.table().check(options).await
    }

    /// Mends what can be mended without losing anything that is still there: the pointer and the
    /// marker, and numbers whose records are lost, so that they are never used again. Gives one row for
    /// each problem; what cannot be mended is told with what to do. It runs to its end even if the
    /// caller stops waiting.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CheckOptions, CreateOptions, RepairOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # let schema = ctx.sql("SELECT 1 AS id").await?.schema().as_arrow().clone();
    /// let table = AtioTable::create(&ctx, location, &schema, CreateOptions::default()).await?;
    /// std::fs::remove_file(sales.join("_current_version.json"))?;
    ///
    /// let would = table.repair(RepairOptions::default()).await?;
    /// assert_eq!((would[0].object.as_str(), would[0].done), ("_current_version.json", false));
    ///
    /// let repaired = table.repair(RepairOptions { dry_run: false }).await?;
    /// assert!(repaired[0].done);
    /// assert!(table.check(CheckOptions::default()).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if there is none;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the handle is held to one version;
    /// [`NotAllowed`](crate::ErrorKind::NotAllowed) if it is no dry run and the session may not write;
    /// [`Conflict`](crate::ErrorKind::Conflict) if other writers kept coming first;
    /// [`Storage`](crate::ErrorKind::Storage), [`CommitUnknown`](crate::ErrorKind::CommitUnknown) or
    /// [`CommitNotDurable`](crate::ErrorKind::CommitNotDurable) if the storage gives no answer. Running it
    /// again finishes the job.
    pub async fn repair(&self, options: RepairOptions) -> Result<Vec<RepairRow>> {
        match options.dry_run {
            true => self.check_whole("repair")?,
            false => self.check_writable()?,
        }
        let table = Arc::clone(self.table());
        // To its end, even if the caller stops waiting.
        let repaired = tokio::spawn(async move { table.repair(&options).await }).await;
        repaired.map_err(|error| {
            Error::invalid("the repair was cut off; run it again").with_source(error)
        })?
    }
}
