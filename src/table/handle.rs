//! The handle: a table of a session, or one version of it.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use atio_core::log::{Snapshot, Table};
use atio_core::progress::Listener;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;

use super::lookup::Lookup;
use super::pin::Pin;
use super::statement::Statement;
use crate::error::{Error, ErrorKind, Result as AtioResult};
use crate::scan::{Above, ReadSet, RowIds};

/// A versioned table, or one version of it, as DataFusion reads and writes it.
///
/// Made by `CREATE EXTERNAL TABLE .. STORED AS ATIO`, by an [`AtioCatalog`], or by
/// [`AtioTable::open`]. Every statement reads one version, the newest at that moment, in
/// all places where it names the table, provided that [`register`] was called on the
/// session. It sees the session's own writes and those of other processes.
///
/// [`AtioCatalog`]: crate::AtioCatalog
/// [`register`]: crate::register
///
/// ```
/// # use datafusion::prelude::SessionContext;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let sales = directory.path().join("sales");
/// # let location = sales.to_str().unwrap_or_default();
/// # let ctx = SessionContext::new();
/// # atio::register(&ctx)?;
/// use atio::{AtioTable, CommitOptions, CreateOptions};
///
/// let rows = ctx.sql("SELECT 'tea' AS item, 2.5 AS price").await?;
/// let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
/// table.append(rows, CommitOptions::default()).await?;
/// assert_eq!(table.read(&ctx)?.count().await?, 1);
/// assert_eq!(table.at(0).await?.read(&ctx)?.count().await?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AtioTable {
    pub(super) table: Arc<Table>,
    pub(super) store_url: ObjectStoreUrl,
    pub(super) at: At,
    /// The newest version, and the statement that found it.
    looked: Option<(Statement, Arc<Snapshot>)>,
    /// Set where a catalog handed it out.
    pub(super) lookup: Option<Arc<Lookup>>,
    /// What its statement does above it.
    pub(super) above: Above,
    /// Those that an overwrite gives it.
    pub(super) columns: Option<SchemaRef>,
    session: OfSession,
    /// Set where it has two columns more, which say where each row lies.
    pub(super) row_ids: Option<RowIds>,
}

/// What a table has of the session that opened it.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfSession {
    /// The host does not let the session write.
    pub(crate) read_only: bool,
    /// Who is told how far an expiry is.
    pub(crate) listener: Option<Arc<Listener>>,
}

#[derive(Debug, Clone)]
pub(super) enum At {
    /// The newest version; the schema is the last one known.
    Newest(Arc<Mutex<SchemaRef>>),
    /// The newest version when the statement began, planned with this schema.
    Pinned {
        pin: Pin,
        planned: SchemaRef,
        known: Arc<Mutex<SchemaRef>>,
    },
    /// One version for ever, read only.
    Version(Arc<Snapshot>),
}

impl AtioTable {
    /// The newest version, whatever it is when a statement runs; `schema` is that of now.
    pub(crate) fn newest(table: Arc<Table>, store_url: ObjectStoreUrl, schema: SchemaRef) -> Self {
        Self::of(table, store_url, At::Newest(Arc::new(Mutex::new(schema))))
    }

    fn of(table: Arc<Table>, store_url: ObjectStoreUrl, at: At) -> Self {
        Self {
            table,
            store_url,
            at,
            looked: None,
            lookup: None,
            above: Above::UNKNOWN,
            columns: None,
            session: OfSession::default(),
            row_ids: None,
        }
    }

    /// The same table, of which this statement found `newest`.
    pub(crate) fn looked(self, newest: Arc<Snapshot>) -> Self {
        let looked = Statement::current().map(|statement| (statement, newest));
        Self { looked, ..self }
    }

    /// The newest version, if the statement that this task is at has found it already, and nobody
    /// in this process another.
    pub(super) fn found(&self) -> Option<&Arc<Snapshot>> {
        let (statement, newest) = self.looked.as_ref()?;
        let last = self.table.last_seen()?;
        (statement.is_current() && Arc::ptr_eq(&last, newest)).then_some(newest)
    }

    /// One version, read only, which was just looked for.
    pub(crate) fn version(
        table: Arc<Table>,
        store_url: ObjectStoreUrl,
        snapshot: Arc<Snapshot>,
    ) -> Self {
        let looked = Statement::current().zip(table.last_seen());
        Self {
            looked,
            ..Self::of(table, store_url, At::Version(snapshot))
        }
    }

    /// The same table, held to one version.
    pub(super) fn held_to(&self, snapshot: Arc<Snapshot>) -> Self {
        let (table, store_url) = (Arc::clone(&self.table), self.store_url.clone());
        Self::version(table, store_url, snapshot).of_session(self.session.clone())
    }

    /// The same table, as this session opened it.
    pub(crate) fn of_session(self, session: OfSession) -> Self {
        Self { session, ..self }
    }

    pub(super) fn session(&self) -> &OfSession {
        &self.session
    }

    /// Plans of later statements are made with these columns.
    pub(super) fn has_now(&self, schema: &SchemaRef) {
        if let At::Newest(known) = &self.at {
            *known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(schema);
        }
    }

    /// The same table, which an overwrite gives these columns.
    pub(super) fn with_columns(self, columns: Option<SchemaRef>) -> Self {
        Self { columns, ..self }
    }

    /// The same table with two columns more, which say where each row lies.
    pub(crate) fn with_row_ids(&self, row_ids: RowIds) -> Self {
        Self {
            row_ids: Some(row_ids),
            ..self.clone()
        }
    }

    /// Who is told where rows lie, if its scans say so.
    pub(super) fn row_ids(&self) -> Option<&RowIds> {
        self.row_ids.as_ref()
    }

    /// Where the scans of its statement note what they read.
    pub(super) fn read_set(&self) -> Option<&ReadSet> {
        match &self.at {
            At::Pinned { pin, .. } => pin.reads(),
            At::Newest(_) | At::Version(_) => None,
        }
    }

    pub(crate) fn store_url(&self) -> &ObjectStoreUrl {
        &self.store_url
    }

    /// The same table, telling `lookup` what it is asked for.
    pub(crate) fn of_lookup(self, lookup: Arc<Lookup>) -> Self {
        Self {
            lookup: Some(lookup),
            ..self
        }
    }

    /// The atio table behind a provider; None for all others.
    pub(crate) fn downcast(provider: &dyn TableProvider) -> Option<&Self> {
        (provider as &dyn Any).downcast_ref()
    }

    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Where the table is, as a URL or a path without credentials.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let sales = directory.path().join("sales");
    /// # let location = sales.to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// # let columns = ctx.sql("SELECT 1 AS id").await?.schema().as_arrow().clone();
    /// let table = atio::AtioTable::create(&ctx, location, &columns, Default::default()).await?;
    /// assert_eq!(table.location(), location);
    /// # Ok(())
    /// # }
    /// ```
    pub fn location(&self) -> &str {
        self.table.location()
    }

    /// The version that it reads for ever; None where it follows the newest.
    pub(crate) fn fixed(&self) -> Option<&Arc<Snapshot>> {
        match &self.at {
            At::Version(snapshot) => Some(snapshot),
            _ => None,
        }
    }

    /// Fails where `what` is to be done to one version of the table.
    pub(crate) fn check_whole(&self, what: &str) -> AtioResult<()> {
        match self.fixed() {
            None => Ok(()),
            Some(snapshot) => Err(Error::invalid(format!(
                "{what}: version {} is not a whole table",
                snapshot.version
            ))),
        }
    }

    /// Fails if it reads one version for ever, on which nothing can be written, or if the session
    /// that opened it may not write.
    pub(crate) fn check_writable(&self) -> AtioResult<()> {
        if self.session.read_only {
            return Err(Error::new(
                ErrorKind::NotAllowed,
                "this session may read and not write: its host does not allow it",
            ));
        }
        match self.fixed() {
            None => Ok(()),
            Some(snapshot) => Err(Error::invalid(format!(
                "cannot write to version {} of '{}': only the newest version can be written",
                snapshot.version,
                self.table.name()
            ))),
        }
    }

    /// The same table in one statement: held to `pin`, unless it reads a fixed version anyway.
    pub(super) fn in_statement(&self, pin: Pin, above: Above) -> Self {
        if let (At::Newest(_), Some(newest)) = (&self.at, self.found()) {
            pin.set(Arc::clone(newest));
        }
        let pinned = |planned, known: &Arc<_>| At::Pinned {
            pin,
            planned,
            known: Arc::clone(known),
        };
        let at = match &self.at {
            At::Newest(known) => pinned(lock(known), known),
            At::Pinned { planned, known, .. } => pinned(Arc::clone(planned), known),
            At::Version(snapshot) => At::Version(Arc::clone(snapshot)),
        };
        Self {
            at,
            lookup: None,
            above,
            ..self.clone()
        }
    }

    /// Fails if a plan was made with other columns than `schema`, which are those known by now.
    pub(super) fn check_planned(
        &self,
        schema: SchemaRef,
        projection: Option<&[usize]>,
        projected: &DFSchema,
    ) -> Result<()> {
        let known = match projection {
            Some(projection) => schema.project(projection).ok(),
            None => Some(schema.as_ref().clone()),
        };
        let same = known.is_some_and(|known| {
            let (known, planned) = (known.fields(), projected.fields());
            known.len() == planned.len()
                && known.iter().zip(planned).all(|(known, planned)| {
                    known.name() == planned.name() && known.data_type() == planned.data_type()
                })
        });
        match same {
            true => Ok(()),
            false => Err(self.schema_changed().into()),
        }
    }

    pub(super) fn schema_changed(&self) -> Error {
        Error::new(
            ErrorKind::SchemaChanged,
            format!(
                "the schema of '{}' was changed after this statement was planned: run it again (a prepared one: prepare it again)",
                self.table.name()
            ),
        )
    }
}

pub(super) fn lock(schema: &Mutex<SchemaRef>) -> SchemaRef {
    Arc::clone(&schema.lock().unwrap_or_else(PoisonError::into_inner))
}
