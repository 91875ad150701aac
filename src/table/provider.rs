//! The provider: what a session registers under a table's name.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use atio_core::log::{Snapshot, Table};
use atio_core::progress::Listener;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DFSchemaRef, SchemaExt};
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::dml::{InsertOp, MergeIntoClause};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use tracing::Instrument;

use super::pin::Pin;
use super::statement::Statement;
use super::watch::Watch;
use crate::engine_settings::check_parquet_reader;
use crate::error::{Error, ErrorKind, Result as AtioResult};
use crate::estimate::expected_rows;
use crate::scan::{self, Above, ReadSet, RowIds, is_row_id, with_row_ids};
use crate::write::{Change, TableOptions, Target, Verb, plan_change, plan_insert};

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
    table: Arc<Table>,
    store_url: ObjectStoreUrl,
    at: At,
    /// The newest version, and the statement that found it.
    looked: Option<(Statement, Arc<Snapshot>)>,
    /// Set where a catalog handed it out.
    watch: Option<Arc<Watch>>,
    /// What its statement does above it.
    above: Above,
    /// Those that an overwrite gives it.
    columns: Option<SchemaRef>,
    session: OfSession,
    /// Set where it has two columns more, which say where each row lies.
    row_ids: Option<RowIds>,
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
enum At {
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
        Self {
            table,
            store_url,
            at: At::Newest(Arc::new(Mutex::new(schema))),
            looked: None,
            watch: None,
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
    fn found(&self) -> Option<&Arc<Snapshot>> {
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
            table,
            store_url,
            at: At::Version(snapshot),
            looked,
            watch: None,
            above: Above::UNKNOWN,
            columns: None,
            session: OfSession::default(),
            row_ids: None,
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

    /// Where the scans of its statement note what they read.
    fn read_set(&self) -> Option<&ReadSet> {
        match &self.at {
            At::Pinned { pin, .. } => pin.reads(),
            At::Newest(_) | At::Version(_) => None,
        }
    }

    pub(crate) fn store_url(&self) -> &ObjectStoreUrl {
        &self.store_url
    }

    /// Plans a statement that changes rows, as those of `input` say.
    pub(crate) async fn plan_change(
        &self,
        change: Change,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let base = self.snapshot().await?;
        let options = TableOptions::of_table(&base.state.options)?;
        let target = Target {
            table: Arc::clone(&self.table),
            base,
            overwrite: false,
            options,
            rows: expected_rows(input.as_ref()),
            reads_itself: true,
            reads: self.read_set().cloned(),
        };
        plan_change(target, change, input)
    }

    /// The same table, telling `watch` what it is asked for.
    pub(crate) fn watched(self, watch: Arc<Watch>) -> Self {
        Self {
            watch: Some(watch),
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
            watch: None,
            above,
            ..self.clone()
        }
    }

    /// Fails if a plan was made with other columns than those known by now.
    pub(super) fn check_planned(
        &self,
        projection: Option<&[usize]>,
        projected: &DFSchema,
    ) -> Result<()> {
        let schema = self.schema();
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

    async fn snapshot(&self) -> AtioResult<Arc<Snapshot>> {
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
    async fn check_still_there(&self, snapshot: &Snapshot) -> AtioResult<()> {
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
    ) -> AtioResult<()> {
        if found.arrow.fields() == planned.fields() {
            return Ok(());
        }
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&found.arrow);
        Err(self.schema_changed())
    }

    fn schema_changed(&self) -> Error {
        Error::new(
            ErrorKind::SchemaChanged,
            format!(
                "the schema of '{}' was changed after this statement was planned: run it again (a prepared one: prepare it again)",
                self.table.name()
            ),
        )
    }

    fn refuse(&self, statement: &str) -> Error {
        Error::unsupported(format!(
            "{statement} is not supported yet for atio tables such as '{}'; INSERT OVERWRITE .. SELECT can write the rows that should stay",
            self.table.name()
        ))
    }

    /// The engine's own hooks lose parts of these statements.
    fn not_registered(&self, statement: &str) -> Error {
        Error::unsupported(format!(
            "{statement} of '{}' needs atio in the session: call atio::register(&ctx) first",
            self.table.name()
        ))
    }
}

#[async_trait]
impl TableProvider for AtioTable {
    fn schema(&self) -> SchemaRef {
        if let Some(watch) = &self.watch {
            watch.asked_for_schema();
        }
        let schema = match &self.at {
            At::Newest(known) => lock(known),
            At::Pinned { planned, .. } => Arc::clone(planned),
            At::Version(snapshot) => Arc::clone(&snapshot.arrow),
        };
        match &self.row_ids {
            Some(_) => with_row_ids(&schema),
            None => schema,
        }
    }

    fn table_type(&self) -> TableType {
        if let Some(watch) = &self.watch {
            watch.asked_for_type();
        }
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        check_parquet_reader(&state.config_options().execution.parquet)?;
        let snapshot = self.snapshot().await?;
        if let At::Pinned { pin, .. } = &self.at {
            pin.read();
        }
        let request = scan::Request {
            projection,
            filters,
            limit,
            above: self.above,
            row_ids: self.row_ids.as_ref(),
            reads: self.read_set(),
        };
        let span = tracing::info_span!("plan", table = self.table.name());
        scan::plan(state, &self.table, &self.store_url, &snapshot, request)
            .instrument(span)
            .await
    }

    /// Every filter prunes files and row groups; rows are still filtered above the scan.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let asks_where = |filter: &&Expr| {
            let columns = filter.column_refs();
            columns.into_iter().any(|column| is_row_id(&column.name))
        };
        let answers = filters.iter().map(|filter| match asks_where(filter) {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Inexact,
        });
        Ok(answers.collect())
    }

    async fn insert_into(
        &self,
        _: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.check_writable()?;
        if op == InsertOp::Replace {
            return Err(self.refuse("REPLACE INTO").into());
        }
        let mut base = self.snapshot().await?;
        if let Some(columns) = &self.columns {
            base = Arc::new(base.with_columns(columns)?);
        }
        base.arrow
            .logically_equivalent_names_and_types(&input.schema())?;
        let options = TableOptions::of_table(&base.state.options)?;
        let overwrite = op == InsertOp::Overwrite;
        let target = Target {
            table: Arc::clone(&self.table),
            base,
            overwrite,
            options,
            rows: expected_rows(input.as_ref()),
            // Its scans are planned before it is.
            reads_itself: matches!(&self.at, At::Pinned { pin, .. } if pin.is_read()),
            reads: self.read_set().cloned(),
        };
        plan_insert(target, input)
    }

    async fn delete_from(&self, _: &dyn Session, _: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.not_registered("DELETE").into())
    }

    async fn update(
        &self,
        _: &dyn Session,
        _: Vec<(String, Expr)>,
        _: Vec<Expr>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.not_registered("UPDATE").into())
    }

    async fn truncate(&self, _: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        self.check_writable()?;
        let change = Change {
            verb: Verb::Truncate,
            row_ids: RowIds::default(),
            store_url: self.store_url.clone(),
            columns: 0,
            keys: Vec::new(),
        };
        let nothing = EmptyExec::new(with_row_ids(&Schema::empty()));
        self.plan_change(change, Arc::new(nothing)).await
    }

    async fn merge_into(
        &self,
        _: &dyn Session,
        _: Arc<dyn ExecutionPlan>,
        _: DFSchemaRef,
        _: Expr,
        _: Vec<MergeIntoClause>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.not_registered("MERGE").into())
    }
}

fn lock(schema: &Mutex<SchemaRef>) -> SchemaRef {
    Arc::clone(&schema.lock().unwrap_or_else(PoisonError::into_inner))
}
