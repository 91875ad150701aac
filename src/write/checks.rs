//! The checks of a statement: what must hold of the version that it is about to commit.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use atio_core::log::{Candidate, Check, CommitOptions, Gate, Snapshot, Table};
use atio_core::redact;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::FutureExt;

use super::moved::Moved;
use super::overlay::{self, Tables};
use super::planned::Planned;
use super::target::WriteTarget;
use crate::condition::Condition;
use crate::error::{self, Error, ErrorKind, Result};
use crate::scan::{Chosen, Relation};
use crate::settings::CommitSettings;

/// The table as the statement would leave it, and as it found it.
const NEW: &str = "new";
const OLD: &str = "old";
/// The rows that come, and those that go.
const ADDED: &str = "added";
const REMOVED: &str = "removed";

const FALSE: &str = "gave false, and must be true";

/// Messages show so many characters of a query.
const SHOWN: usize = 200;

/// The checks of one statement, and the session in which they are asked.
#[derive(Clone)]
pub(crate) struct Checks {
    table: Arc<Table>,
    store_url: ObjectStoreUrl,
    session: SessionState,
    checks: Vec<Check>,
}

impl Checks {
    /// None where `options` have none. Fails if the statement was planned before they were set.
    pub(super) fn of(target: &WriteTarget, options: &CommitOptions) -> Result<Option<Self>> {
        if options.checks.is_empty() {
            return Ok(None);
        }
        let table = &target.table;
        let Some(planned) = &target.planned else {
            return Err(Error::invalid(format!(
                "this write to '{}' cannot be checked: atio.checks are for statements that are planned after they were set, in a session with atio; nothing was written",
                table.name()
            )));
        };
        Ok(Some(Self::of_planned(table, planned, options)))
    }

    pub(super) fn of_planned(
        table: &Arc<Table>,
        planned: &Planned,
        options: &CommitOptions,
    ) -> Self {
        let Planned {
            session, store_url, ..
        } = planned;
        Self::new(table, store_url, session, options)
    }

    pub(crate) fn new(
        table: &Arc<Table>,
        store_url: &ObjectStoreUrl,
        session: &SessionState,
        options: &CommitOptions,
    ) -> Self {
        Self {
            table: Arc::clone(table),
            store_url: store_url.clone(),
            session: session.clone(),
            checks: options.checks.clone(),
        }
    }

    /// Fails if one of them is no query, or none that gives a truth value; `base` is the version that
    /// the statement is planned on. Reads no rows.
    pub(crate) async fn prepare(&self, base: &Snapshot) -> Result<()> {
        let old = match base.new_columns() {
            Some(_) => Arc::clone(&self.table.version(base.version).await?.arrow),
            None => Arc::clone(&base.arrow),
        };
        let empty = |schema: &SchemaRef| -> Arc<dyn TableProvider> {
            Arc::new(EmptyTable::new(Arc::clone(schema)))
        };
        let tables = HashMap::from([
            (NEW, empty(&base.arrow)),
            (OLD, empty(&old)),
            (ADDED, empty(&base.arrow)),
            (REMOVED, empty(&old)),
        ]);
        let session = self.session_with(&Arc::new(tables));
        for check in &self.checks {
            match Condition::of(check) {
                Some(Condition::Sql) => {
                    let plan = self.plan(check, &session).await?;
                    check_truth(&plan).map_err(|what| {
                        let asked = self.asked(check);
                        Error::invalid(format!("{asked} {what}; nothing was written"))
                    })?;
                }
                Some(Condition::Function(_)) => {}
                None => {
                    return Err(Error::invalid(format!(
                        "{} was not made by atio",
                        self.asked(check)
                    )));
                }
            }
        }
        Ok(())
    }

    /// What the core asks before each attempt to commit; `moved` is set where rows of files change.
    pub(crate) fn gate(self, moved: Option<Moved>) -> Gate {
        let this = Arc::new((self, moved));
        Gate::new(move |candidate| {
            let this = Arc::clone(&this);
            Box::pin(async move {
                let (checks, moved) = &*this;
                checks.ask(candidate, moved.as_ref()).await
            })
        })
    }

    async fn ask(&self, candidate: Candidate, moved: Option<&Moved>) -> Result<()> {
        let tables = self.relations(candidate, moved).await?;
        for check in &self.checks {
            let asked = AssertUnwindSafe(self.ask_one(check, &tables));
            let asked = asked.catch_unwind().await;
            asked.unwrap_or_else(|_| Err(self.panicked(check)))?;
        }
        Ok(())
    }

    async fn ask_one(&self, check: &Check, tables: &Tables) -> Result<()> {
        let session = self.session_with(tables);
        let said = match Condition::of(check) {
            Some(Condition::Sql) => {
                let plan = self.plan(check, &session).await?;
                answer(session, plan).await
            }
            Some(Condition::Function(holds)) => {
                let ctx = SessionContext::new_with_state(session);
                holds(ctx).await.map(|holds| match holds {
                    true => Ok(()),
                    false => Err(FALSE),
                })
            }
            None => Ok(Err("was not made by atio, which must ask it")),
        };
        match said {
            Ok(Ok(())) => Ok(()),
            Ok(Err(said)) => Err(self.failed(check, said)),
            Err(error) => Err(self.broken(check, error)),
        }
    }

    async fn relations(&self, candidate: Candidate, moved: Option<&Moved>) -> Result<Tables> {
        let Candidate {
            old,
            new,
            adds,
            removes_all,
        } = candidate;
        let added = match (&adds, moved) {
            (Some(adds), Some(moved)) => moved.added(adds),
            (Some(adds), None) => Chosen::of(adds.clone()),
            (None, _) => Chosen::default(),
        };
        let removed = match moved {
            _ if removes_all => None,
            Some(moved) if !moved.removes_none() => {
                Some(moved.removed(&self.table.manifests(&old).await?))
            }
            _ => Some(Chosen::default()),
        };
        let relation = |snapshot, files| -> Arc<dyn TableProvider> {
            Arc::new(Relation::new(&self.table, &self.store_url, snapshot, files))
        };
        Ok(Arc::new(HashMap::from([
            (ADDED, relation(&new, Some(added))),
            (REMOVED, relation(&old, removed)),
            (NEW, relation(&new, None)),
            (OLD, relation(&old, None)),
        ])))
    }

    /// The session of the statement with these tables, for one who only reads.
    fn session_with(&self, tables: &Tables) -> SessionState {
        let mut session = self.session.clone();
        CommitSettings::of_reader().install(session.config_mut());
        overlay::add(&mut session, tables);
        session
    }

    async fn plan(&self, check: &Check, session: &SessionState) -> Result<LogicalPlan> {
        let sql = check.sql().unwrap_or_default();
        let plan = session.create_logical_plan(sql).await;
        let plan = plan.map_err(|error| {
            let asked = self.asked(check);
            let what = format!("{asked} cannot be planned; nothing was written");
            match keeps_its_kind(error::kind_below(&error)) {
                true => error::of_datafusion_in(&what, error),
                false => Error::invalid(what).with_source(error),
            }
        })?;
        let only_reads = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        only_reads.verify_plan(&plan).map_err(|error| {
            let what = format!(
                "{} cannot be asked, it must be a query; nothing was written",
                self.asked(check)
            );
            Error::invalid(what).with_source(error)
        })?;
        Ok(plan)
    }

    fn failed(&self, check: &Check, said: &str) -> Error {
        Error::new(
            ErrorKind::CheckFailed,
            format!(
                "{} {said}; nothing was committed to '{}': correct the rows and set the check again, or leave it out",
                self.asked(check),
                self.table.name()
            ),
        )
    }

    /// `check` could not be answered.
    fn broken(&self, check: &Check, error: DataFusionError) -> Error {
        let what = format!(
            "{} was not answered, and nothing was committed to '{}'",
            self.asked(check),
            self.table.name()
        );
        // What became of something else says nothing of this commit.
        let kind = Error::find(&error).map(Error::kind);
        match kind.is_none_or(keeps_its_kind) {
            true => error::of_datafusion_in(&what, error),
            false => Error::new(ErrorKind::CheckFailed, what).with_source(error),
        }
    }

    fn panicked(&self, check: &Check) -> Error {
        Error::new(
            ErrorKind::CheckFailed,
            format!(
                "{} panicked, and nothing was committed to '{}'",
                self.asked(check),
                self.table.name()
            ),
        )
    }

    /// What errors call `check`.
    fn asked(&self, check: &Check) -> String {
        let name = check.name().escape_debug();
        match check.sql() {
            Some(sql) => format!("the check '{name}' ({})", one_line(&redact(sql))),
            None => format!("the check '{name}'"),
        }
    }
}

/// True if an error of this kind means the same of the statement as of its check.
fn keeps_its_kind(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Storage | ErrorKind::NotAllowed)
}

/// The beginning of `sql`, as messages show it.
fn one_line(sql: &str) -> String {
    let words: Vec<_> = sql.split_whitespace().collect();
    let words = words.join(" ");
    let mut chars = words.chars();
    let mut shown = String::new();
    for char in chars.by_ref().take(SHOWN) {
        match char {
            '\'' | '"' | '\\' => shown.push(char),
            char => shown.extend(char.escape_debug()),
        }
    }
    if chars.next().is_some() {
        shown.push_str("..");
    }
    shown
}

/// Fails unless `plan` gives one column of truth values.
fn check_truth(plan: &LogicalPlan) -> std::result::Result<(), String> {
    match plan.schema().fields().as_ref() {
        [field] if field.data_type() == &DataType::Boolean => Ok(()),
        [field] => Err(format!(
            "gives a value of the type {}, and must give true or false",
            field.data_type()
        )),
        fields => Err(format!(
            "gives {} columns, and must give one, which is true or false",
            fields.len()
        )),
    }
}

/// Runs `plan`; the inner error says what it gave instead of true.
async fn answer(
    session: SessionState,
    plan: LogicalPlan,
) -> EngineResult<std::result::Result<(), &'static str>> {
    // Two rows are one too many already.
    let rows = DataFrame::new(session, plan).limit(0, Some(2))?;
    let batches = rows.collect().await?;
    let values = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    let first = batches.iter().find(|batch| batch.num_rows() > 0);
    let value = first.and_then(|batch| batch.columns().first()?.as_boolean_opt());
    Ok(match (values, value) {
        (0, _) => Err("gave no row, and must give one, which is true"),
        (1, Some(value)) if value.is_null(0) => Err("gave NULL, and must be true"),
        (1, Some(value)) if value.value(0) => Ok(()),
        (1, _) => Err(FALSE),
        _ => Err("gave several rows, and must give one, as by bool_and(..)"),
    })
}
