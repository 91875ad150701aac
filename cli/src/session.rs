//! The session: how one statement runs in it.

use std::sync::Arc;

use atio::{AtioCatalog, AtioTable, Dropped, ErrorKind};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::instant::Instant;
use datafusion::common::{ResolvedTableReference, TableReference, plan_datafusion_err, plan_err};
use datafusion::config::Dialect as DialectName;
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{ObjectType, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::{Dialect, dialect_from_str};
use datafusion_cli::print_format::PrintFormat;
use datafusion_cli::print_options::{MaxRows, PrintOptions};

use crate::failure::Failure;
use crate::output;
use crate::progress::Bars;
use crate::stores::Stores;
use crate::tell::tell;

/// The name of the catalog that `--warehouse` makes.
pub(crate) const WAREHOUSE_CATALOG: &str = "atio";

/// The schema that statements mean when they name none.
pub(crate) const DEFAULT_SCHEMA: &str = "public";

/// A DataFusion session with atio in it, and how it prints.
#[derive(Clone)]
pub(crate) struct Session {
    /// The engine.
    pub(crate) ctx: SessionContext,
    /// How results are shown; the prompt can change it.
    pub(crate) print: PrintOptions,
    stores: Arc<Stores>,
    warehouse: Option<Arc<AtioCatalog>>,
    bars: Arc<Bars>,
}

impl Session {
    /// `ctx` has atio in it, and the catalog `warehouse` if there is one.
    pub(crate) fn new(
        ctx: SessionContext,
        print: PrintOptions,
        stores: Stores,
        warehouse: Option<Arc<AtioCatalog>>,
        bars: Arc<Bars>,
    ) -> Self {
        Self {
            ctx,
            print,
            stores: Arc::new(stores),
            warehouse,
            bars,
        }
    }

    /// The dialect in force, which `SET datafusion.sql_parser.dialect` changes.
    pub(crate) fn dialect(&self) -> Result<(DialectName, Box<dyn Dialect>)> {
        let name = self.ctx.state().config_options().sql_parser.dialect;
        let dialect = dialect_from_str(name).ok_or_else(|| {
            plan_datafusion_err!(
                "there is no SQL dialect '{name}'; there are {}",
                DialectName::available()
            )
        })?;
        Ok((name, dialect))
    }

    /// Runs one statement to its end and prints its rows.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<(), Failure> {
        atio::one_statement(self.execute_one(statement)).await
    }

    async fn execute_one(&self, mut statement: Statement) -> Result<(), Failure> {
        let start = Instant::now();
        self.show_bars();
        if let Some(warehouse) = &self.warehouse
            && let Some((table, if_exists)) = self.drops_from_warehouse(&statement)
        {
            // DataFusion would say "doesn't exist" whatever went wrong, or nothing at all.
            let dropped = warehouse.drop_table(&table.schema, &table.table).await;
            let dropped = match dropped {
                Err(error) if if_exists && error.kind() == ErrorKind::TableNotFound => None,
                dropped => Some(dropped.map_err(DataFusionError::from)?),
            };
            output::print_nothing(&self.ctx, &self.print, start)?;
            if let Some(sentence) = dropped.and_then(|dropped| what_became_of(&dropped)) {
                tell(&self.print, sentence);
            }
            return Ok(());
        }

        check_format(&self.ctx, &statement)?;
        self.stores.connect(&self.ctx, &mut statement).await?;
        let mut print = self.print.clone();
        if matches!(&statement, Statement::Statement(sql)
            if matches!(sql.as_ref(), SqlStatement::ShowVariable { .. }))
        {
            print.maxrows = MaxRows::Unlimited;
        }
        // No hint begins with INSERT, and its values may be many.
        let is_insert = matches!(&statement, Statement::Statement(sql)
            if matches!(sql.as_ref(), SqlStatement::Insert(_)));
        let text = (!is_insert).then(|| statement.to_string());
        let plan = self.ctx.state().statement_to_plan(statement).await;
        let plan = plan.map_err(|error| match &text {
            Some(text) => atio::with_hint(text, error),
            None => error,
        })?;
        if matches!(
            plan,
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)
        ) {
            print.maxrows = MaxRows::Unlimited;
        }
        check_explained_copy(&self.ctx, &plan)?;
        let frame = match atio::deletes(&plan) {
            true => atio::delete_as_seen(&self.ctx, plan),
            false => atio::execute_logical_plan(&self.ctx, plan).await?,
        };
        output::print(&self.ctx, frame, print, start).await
    }

    /// What SQL calls the table that a person names `text` outside SQL: one of the warehouse if
    /// that is a name, or else a path or URL. Connects to its store.
    pub(crate) async fn table(&self, text: &str) -> Result<String> {
        if self.names_table(text) {
            return Ok(text.to_owned());
        }
        self.stores.register(&self.ctx, text).await?;
        Ok(match is_place(text) {
            true => text.to_owned(),
            // Without a slash SQL would take it for a name.
            false => format!("./{text}"),
        })
    }

    /// True if `text` is the name of a table in the warehouse, be it there or not.
    pub(crate) fn names_table(&self, text: &str) -> bool {
        self.warehouse.is_some() && !is_place(text)
    }

    /// The catalog of the warehouse.
    pub(crate) fn warehouse(&self) -> Option<&AtioCatalog> {
        self.warehouse.as_deref()
    }

    /// The table of the warehouse that a person names `text`: its schema and its name.
    pub(crate) fn in_warehouse(&self, text: &str) -> ResolvedTableReference {
        self.resolved(TableReference::parse_str(text))
    }

    fn resolved(&self, table: TableReference) -> ResolvedTableReference {
        let state = self.ctx.state();
        let defaults = &state.config_options().catalog;
        table.resolve(&defaults.default_catalog, &defaults.default_schema)
    }

    /// Connects to the store of files that are to be read; returns their location.
    pub(crate) async fn input(&self, location: &str, file_type: &str) -> Result<String> {
        let mut location = location.to_owned();
        let stores = &self.stores;
        stores.read(&self.ctx, &mut location, file_type).await?;
        Ok(location)
    }

    /// Connects to the store that is to be written to.
    pub(crate) async fn output(&self, location: &str) -> Result<()> {
        self.stores.register(&self.ctx, location).await
    }

    /// The table that a person names `text`, as [`table`](Self::table) takes it.
    pub(crate) async fn open(&self, text: &str) -> Result<AtioTable> {
        let name = self.table(text).await?;
        self.show_bars();
        Ok(AtioTable::named(&self.ctx, &name).await?)
    }

    /// Shows how far the writes are that come next.
    pub(crate) fn show_bars(&self) {
        self.bars.show(!self.print.quiet);
    }

    /// Prints rows that are the result of what began at `start`.
    pub(crate) async fn show(&self, rows: DataFrame, start: Instant) -> Result<(), Failure> {
        output::print(&self.ctx, rows, self.print_rows(), start).await
    }

    /// The same of rows that are in memory.
    pub(crate) async fn show_batch(
        &self,
        rows: RecordBatch,
        start: Instant,
    ) -> Result<(), Failure> {
        self.show(self.ctx.read_batch(rows)?, start).await
    }

    /// Only a person reads how long it took: a program that reads a format reads nothing else.
    fn print_rows(&self) -> PrintOptions {
        let mut print = self.print.clone();
        print.quiet |= !matches!(print.format, PrintFormat::Table | PrintFormat::Automatic);
        print
    }

    /// The table that a `DROP TABLE` removes from the warehouse, and whether it may be missing.
    fn drops_from_warehouse(
        &self,
        statement: &Statement,
    ) -> Option<(ResolvedTableReference, bool)> {
        let Statement::Statement(sql) = statement else {
            return None;
        };
        let SqlStatement::Drop {
            object_type: ObjectType::Table,
            if_exists,
            names,
            ..
        } = sql.as_ref()
        else {
            return None;
        };
        let [name] = names.as_slice() else {
            return None;
        };
        let normalize = self.ctx.enable_ident_normalization();
        let table = object_name_to_table_reference(name.clone(), normalize).ok()?;
        let table = self.resolved(table);
        (*table.catalog == *WAREHOUSE_CATALOG).then_some((table, *if_exists))
    }
}

/// What a person should know of a table that was dropped from the warehouse.
fn what_became_of(dropped: &Dropped) -> Option<String> {
    match dropped {
        Dropped::Kept(table) => {
            let name = TableReference::partial(&*table.schema, &*table.table);
            let name = name.to_quoted_string().replace('\'', "''");
            Some(format!(
                "Kept for seven days: SELECT * FROM atio_undrop('{name}') brings it back."
            ))
        }
        Dropped::ForGood => {
            Some("Dropped for good: on an object store a DROP is final.".to_owned())
        }
        _ => None,
    }
}

/// As atio's functions tell a path or URL from a name.
fn is_place(text: &str) -> bool {
    text.contains(['/', '\\'])
}

/// Fails if a COPY names a format that is not there: DataFusion would go by the ending of the
/// target instead.
fn check_format(ctx: &SessionContext, statement: &Statement) -> Result<()> {
    match statement {
        Statement::Explain(explain) => check_format(ctx, &explain.statement),
        Statement::CopyTo(copy) => {
            // Of two the engine would take the last without a word.
            let mut names: Vec<_> = copy.options.iter().map(|(key, _)| plain(key)).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return plan_err!("the option '{}' is given twice", twice[0].escape_debug());
            }
            match &copy.stored_as {
                Some(name) if ctx.state().get_file_format_factory(name).is_none() => plan_err!(
                    "COPY cannot write the format {name} in this session: it writes CSV, JSON, \
                     PARQUET, ARROW and XLSX, and tables of POSTGRES, SQLITE and MYSQL"
                ),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// An option of COPY without what may be left out before its name.
fn plain(key: &str) -> String {
    let key = key.to_lowercase();
    let name = key.strip_prefix("format.").unwrap_or(&key);
    name.strip_prefix("atio.").unwrap_or(name).to_owned()
}

/// Fails if atio refuses a COPY that is to be explained: DataFusion would show the plan from
/// before that, with all that its target holds.
fn check_explained_copy(ctx: &SessionContext, plan: &LogicalPlan) -> Result<()> {
    let LogicalPlan::Explain(explain) = plan else {
        return Ok(());
    };
    if !matches!(explain.plan.as_ref(), LogicalPlan::Copy(_)) {
        return Ok(());
    }
    let state = ctx.state();
    let copy = explain.plan.as_ref().clone();
    let analyzed = state
        .analyzer()
        .execute_and_check(copy, state.config_options(), |_, _| {});
    analyzed.map(drop)
}
