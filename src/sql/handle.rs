//! Tables for a program: opened, made, or found by name, with what the session's policy allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use atio_core::log::{CommitOptions, NewTable, OpenOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::prelude::SessionContext;

use super::location::Location;
use super::named::named;
use super::open::OpenTables;
use super::policy::{Access, AtioPolicy};
use crate::error::{Error, ErrorKind, Result};
use crate::table::{AtioTable, OfSession};
use crate::write::TableOptions;

/// How messages call it.
const ASKER: &str = "atio";

impl OfSession {
    /// What the tables have that this session opens.
    pub(super) fn of(state: &dyn Session) -> Self {
        Self {
            read_only: AtioPolicy::of(state).check_access(Access::Write).is_err(),
            listener: state.config().get_extension(),
        }
    }
}

/// How [`AtioTable::create`] makes a table.
///
/// ```
/// let mut options = atio::CreateOptions::default();
/// options.options.insert("compression".into(), "zstd(9)".into());
/// options.commit.message = Some("receipts".into());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// How data files are written, by the names that `OPTIONS` has in SQL, without `atio.`:
    /// `compression`, `target_file_size`, `max_row_group_rows`, `delete_mode`, `compatibility`. The
    /// table keeps them.
    pub options: BTreeMap<String, String>,
    /// How this session uses it, which is not stored.
    pub open: OpenOptions,
    /// What its first version carries.
    pub commit: CommitOptions,
}

impl AtioTable {
    /// Opens the table at `location`: a local path, a `file://` URL, the URL of a store that
    /// is registered in `ctx`, or one that [`connect`](crate::connect) knows.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use std::sync::Arc;
    ///
    /// use atio::{AtioTable, CreateOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// # let schema = ctx.sql("SELECT 1 AS id").await?.schema().as_arrow().clone();
    /// # AtioTable::create(&ctx, location, &schema, CreateOptions::default()).await?;
    /// let table = AtioTable::open(&ctx, location).await?;
    /// assert_eq!(table.read(&ctx)?.count().await?, 0);
    /// // In SQL it has the name that it is registered by.
    /// ctx.register_table("sales", Arc::new(table))?;
    /// ctx.sql("INSERT INTO sales VALUES (1)").await?.collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if there is none;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the location cannot be used;
    /// [`NotAllowed`](crate::ErrorKind::NotAllowed) if the session's policy forbids it.
    pub async fn open(ctx: &SessionContext, location: &str) -> Result<Self> {
        Self::open_with(ctx, location, OpenOptions::default()).await
    }

    /// Opens the table at `location` to use it so.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CreateOptions, Durability, OpenOptions};
    ///
    /// # let ctx = SessionContext::new();
    /// # let schema = ctx.sql("SELECT 1 AS id").await?.schema().as_arrow().clone();
    /// # AtioTable::create(&ctx, location, &schema, CreateOptions::default()).await?;
    /// // Scratch data: a power failure may damage it.
    /// let options = OpenOptions { durability: Durability::None, ..OpenOptions::default() };
    /// let table = AtioTable::open_with(&ctx, location, options).await?;
    /// # assert_eq!(table.current_version().await?.get(), 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub async fn open_with(
        ctx: &SessionContext,
        location: &str,
        options: OpenOptions,
    ) -> Result<Self> {
        let location = Location::parse(location)?;
        let state = ctx.state();
        AtioPolicy::of(&state).check(&location, Access::Read)?;
        let opened = OpenTables::of(&state)
            .open(&ctx.runtime_env(), &location, options)
            .await?;
        Ok(opened.of_session(OfSession::of(&state)))
    }

    /// Makes an empty table with these columns at `location`, which is like that of
    /// [`open`](Self::open) and holds nothing yet. That is version 0.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// use arrow::datatypes::{DataType, Field, Schema};
    /// use atio::{AtioTable, CreateOptions, ErrorKind};
    ///
    /// # let ctx = SessionContext::new();
    /// let schema = Schema::new(vec![
    ///     Field::new("item", DataType::Utf8, false),
    ///     Field::new("price", DataType::Float64, true),
    /// ]);
    /// let table = AtioTable::create(&ctx, location, &schema, CreateOptions::default()).await?;
    /// assert_eq!(table.current_version().await?.get(), 0);
    ///
    /// let twice = AtioTable::create(&ctx, location, &schema, CreateOptions::default()).await;
    /// assert_eq!(twice.unwrap_err().kind(), ErrorKind::TableExists);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableExists`](crate::ErrorKind::TableExists) if there is one, also if somebody else is
    /// first; [`InvalidInput`](crate::ErrorKind::InvalidInput) if the location, an option or a
    /// column cannot be used; [`NotAllowed`](crate::ErrorKind::NotAllowed) if the session's policy
    /// forbids it.
    pub async fn create(
        ctx: &SessionContext,
        location: &str,
        columns: &Schema,
        options: CreateOptions,
    ) -> Result<Self> {
        let location = Location::parse(location)?;
        let state = ctx.state();
        AtioPolicy::of(&state).check(&location, Access::Create)?;
        options.commit.check()?;
        TableOptions::check(&options.options)?;
        let table = OpenTables::of(&state).handle(&ctx.runtime_env(), &location, options.open)?;
        let new = NewTable {
            schema: Arc::new(columns.clone()),
            options: options.options,
            commit: options.commit,
        };
        table.create(&new).await?;
        let opened = OpenTables::opened(Arc::clone(&table), &location, table.newest().await?);
        Ok(opened.of_session(OfSession::of(&state)))
    }

    /// The table that `table` names: one that is registered in the session, or else a path or URL
    /// with a `/`, as in `atio_history('sales')`.
    ///
    /// One whose newest version is damaged is found, too, so that its history and its older
    /// versions can be read.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let location = directory.path().display();
    /// use atio::AtioTable;
    ///
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// ctx.sql(&format!("CREATE EXTERNAL TABLE sales (item TEXT) STORED AS ATIO LOCATION '{location}/sales'")).await?;
    /// let table = AtioTable::named(&ctx, "sales").await?;
    /// assert_eq!(table.location(), format!("{location}/sales"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if no atio table is registered by this
    /// name; otherwise those of [`open`](Self::open).
    pub async fn named(ctx: &SessionContext, table: &str) -> Result<Self> {
        let state = ctx.state();
        let find = |newest| named(ctx.state(), ASKER, Access::Read, table, newest);
        let found = match find(true).await {
            Err(error) if says_damaged(&error) => find(false).await?,
            found => found?,
        };
        Ok(found.of_session(OfSession::of(&state)))
    }
}

/// True if a table is there whose newest version cannot be read.
fn says_damaged(error: &Error) -> bool {
    use ErrorKind::{Damaged, ForeignWrite, Unsupported};
    matches!(error.kind(), Damaged | ForeignWrite | Unsupported)
}
