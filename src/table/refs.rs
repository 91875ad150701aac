//! Tags, and going back: commits without rows of their own.

use atio_core::format::Version;
use atio_core::log::{CommitOptions, RefUpdate, RefUpdated, RollbackTarget};
use chrono::{DateTime, Utc};

use super::handle::AtioTable;
use super::version_ref::VersionRef;
use crate::error::Result;

/// A name of a version.
///
/// ```
/// fn show(tag: &atio::Tag) -> String {
///     format!("{} is version {}", tag.name, tag.version)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tag {
    /// The name.
    pub name: String,
    /// The version that has it.
    pub version: Version,
    /// When it was given; None where Python atio did it.
    pub tagged_at: Option<DateTime<Utc>>,
    /// What it stands for, for people.
    pub message: Option<String>,
}

/// How [`AtioTable::tag`] names a version.
///
/// ```
/// let options = atio::TagOptions {
///     version: 3.into(),
///     message: Some("the lowest loss".into()),
///     ..Default::default()
/// };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagOptions {
    /// Which one is named; by default the newest.
    pub version: VersionRef,
    /// What the name stands for, for people.
    pub message: Option<String>,
    /// Takes the name away from another version that has it, which is an error otherwise.
    pub replace: bool,
    /// What the commit carries that gives the name.
    pub commit: CommitOptions,
}

impl AtioTable {
    /// The names of versions, in alphabetical order.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CreateOptions, TagOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # let schema = ctx.sql("SELECT 1 AS id").await?.schema().as_arrow().clone();
    /// let table = AtioTable::create(&ctx, location, &schema, CreateOptions::default()).await?;
    /// table.tag("empty", TagOptions::default()).await?;
    /// let tags = table.tags().await?;
    /// assert_eq!((tags[0].name.as_str(), tags[0].version.get()), ("empty", 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if the table was dropped;
    /// [`Damaged`](crate::ErrorKind::Damaged) if they cannot be read.
    pub async fn tags(&self) -> Result<Vec<Tag>> {
        let tags = self.table().tags().await?.into_iter();
        let tags = tags.map(|(name, tag)| Tag {
            name,
            version: tag.version,
            tagged_at: tag.at_us.and_then(DateTime::from_timestamp_micros),
            message: tag.message,
        });
        Ok(tags.collect())
    }

    /// Gives a version the name `tag`: it is read by it, and does not expire while it has it.
    ///
    /// That is a commit, with a version of its own; none is made if the version has the name
    /// already.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions, TagOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # let rows = ctx.sql("SELECT 1 AS id").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// # table.append(rows, CommitOptions::default()).await?;
    /// let options = TagOptions { version: 1.into(), ..TagOptions::default() };
    /// let tagged = table.tag("best", options).await?;
    /// assert_eq!(tagged.version.get(), 1);
    /// assert_eq!(tagged.committed.map(|version| version.get()), Some(2));
    /// assert_eq!(table.at("best").await?.current_version().await?.get(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the name cannot be one, or another
    /// version has it and [`replace`](TagOptions::replace) is not set;
    /// [`VersionNotFound`](crate::ErrorKind::VersionNotFound) and
    /// [`VersionExpired`](crate::ErrorKind::VersionExpired) if there is no such version, also if it
    /// expires meanwhile; otherwise as [`append`](Self::append).
    pub async fn tag(&self, tag: &str, options: TagOptions) -> Result<RefUpdated> {
        let version = match options.version {
            VersionRef::Newest => None,
            VersionRef::Version(version) => Some(version),
            other => Some(self.find(&other).await?.version),
        };
        let update = RefUpdate::Tag {
            name: tag.to_owned(),
            version,
            message: options.message,
            replace: options.replace,
        };
        self.update_refs(update, options.commit).await
    }

    /// Takes a name back; the version stays.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions, TagOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # let schema = ctx.sql("SELECT 1 AS id").await?.schema().as_arrow().clone();
    /// # let table = AtioTable::create(&ctx, location, &schema, CreateOptions::default()).await?;
    /// table.tag("best", TagOptions::default()).await?;
    /// table.untag("best", CommitOptions::default()).await?;
    /// assert!(table.tags().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`VersionNotFound`](crate::ErrorKind::VersionNotFound) if no version has the name; otherwise as
    /// [`append`](Self::append).
    pub async fn untag(&self, tag: &str, commit: CommitOptions) -> Result<RefUpdated> {
        let name = tag.to_owned();
        self.update_refs(RefUpdate::Untag { name }, commit).await
    }

    /// Makes the table what it was at a version, as a new version with the old rows, columns and
    /// options. What was undone stays in the history, and can be gone back to.
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
    /// # let rows = ctx.sql("SELECT 1 AS id").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// table.append(rows.clone(), CommitOptions::default()).await?;
    /// table.append(rows, CommitOptions::default()).await?;
    /// table.rollback(1, CommitOptions::default()).await?;
    /// assert_eq!(table.read(&ctx)?.count().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if somebody changes the rows meanwhile;
    /// [`VersionNotFound`](crate::ErrorKind::VersionNotFound) and
    /// [`VersionExpired`](crate::ErrorKind::VersionExpired) if there is no such version; otherwise
    /// as [`append`](Self::append).
    pub async fn rollback(
        &self,
        to: impl Into<VersionRef>,
        commit: CommitOptions,
    ) -> Result<RefUpdated> {
        let to = match to.into() {
            VersionRef::Version(version) => RollbackTarget::Version(version),
            VersionRef::Tag(tag) => RollbackTarget::Tag(tag),
            other => RollbackTarget::Version(self.find(&other).await?.version),
        };
        self.update_refs(RefUpdate::Rollback { to }, commit).await
    }

    async fn update_refs(&self, update: RefUpdate, commit: CommitOptions) -> Result<RefUpdated> {
        self.check_writable()?;
        self.table().update_refs(update, commit).await
    }
}
