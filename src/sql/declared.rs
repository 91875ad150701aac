//! Which columns a statement declares, and which a query happens to have.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use datafusion::prelude::SessionContext;

const RULE: &str = "atio_declared_columns";

/// The empty relations of all sessions that are still there, and whether a statement declares
/// each: a catalog may be registered in other sessions than the one that it was opened in.
static SEEN: Mutex<Vec<(Weak<Schema>, bool)>> = Mutex::new(Vec::new());

/// The rules by which the columns that statements declare are known.
///
/// `CREATE TABLE t (x INT NOT NULL)` and `CREATE TABLE t AS SELECT 1 AS x WHERE false` reach a
/// catalog alike: as a table in memory without batches, with a column that is not nullable. They
/// differ in the plan of their rows. That of the former is an empty relation as the statement gives
/// it, where an analyzer rule sees it first; that of the latter becomes one, where an optimizer rule
/// does. The schema of the relation reaches the catalog as the same object, so it is known there by
/// its address. Neither rule changes a plan.
#[derive(Debug)]
pub(super) struct DeclaredColumns;

impl DeclaredColumns {
    /// Gives the rules to a session that has not got them.
    pub(super) fn register(ctx: &SessionContext) {
        let state = ctx.state();
        if state
            .analyzer()
            .rules
            .iter()
            .any(|rule| rule.name() == RULE)
        {
            return;
        }
        ctx.add_analyzer_rule(Arc::new(Self));
        ctx.add_optimizer_rule(Arc::new(Self));
    }

    /// True if a statement declares these columns. False where that cannot be told, as in a
    /// session without the rules: to be nullable is no promise.
    pub(super) fn has(columns: &SchemaRef) -> bool {
        let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter()
            .any(|(seen, declared)| *declared && is(seen, columns))
    }

    /// What an empty relation was seen as first, it is.
    fn see(plan: &LogicalPlan, declared: bool) {
        let LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            schema,
        }) = plan
        else {
            return;
        };
        let columns = schema.inner();
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|(seen, _)| seen.strong_count() > 0);
        if !seen.iter().any(|(seen, _)| is(seen, columns)) {
            seen.push((Arc::downgrade(columns), declared));
        }
    }
}

fn is(seen: &Weak<Schema>, columns: &SchemaRef) -> bool {
    std::ptr::eq(seen.as_ptr(), Arc::as_ptr(columns))
}

impl AnalyzerRule for DeclaredColumns {
    fn name(&self) -> &str {
        RULE
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Self::see(&plan, true);
        Ok(plan)
    }
}

impl OptimizerRule for DeclaredColumns {
    fn name(&self) -> &str {
        RULE
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        Self::see(&plan, false);
        Ok(Transformed::no(plan))
    }
}
