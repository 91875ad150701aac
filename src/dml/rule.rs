//! The analyzer rule that rewrites statements which change rows.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::{ConfigOptions, Dialect};
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::{DmlStatement, Expr, LogicalPlan, WriteOp, lit};
use datafusion::optimizer::AnalyzerRule;

use super::assemble::{insert, with_row_ids};
use super::merge;
use crate::error::Error;
use crate::scan::RowIds;
use crate::table::{AtioTable, ChangeTarget};
use crate::write::Verb;

/// Rewrites DELETE, UPDATE and MERGE on atio tables. Runs behind the rule that pins versions.
#[derive(Debug)]
pub(crate) struct RowChanges;

impl AnalyzerRule for RowChanges {
    fn name(&self) -> &str {
        "atio_row_changes"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_down(|node| {
            let LogicalPlan::Dml(dml) = &node else {
                return Ok(Transformed::no(node));
            };
            let changed = match &dml.op {
                WriteOp::Delete => {
                    let table = changes(dml)?;
                    if table.is_some() {
                        check_version_was_seen(dml, config.sql_parser.dialect)?;
                    }
                    table.map(|table| delete(dml, &table)).transpose()?
                }
                WriteOp::Update => changes(dml)?.map(|table| update(dml, &table)).transpose()?,
                WriteOp::MergeInto(merge) => changes(dml)?
                    .map(|table| merge::plan(dml, merge, &table))
                    .transpose()?,
                _ => None,
            };
            Ok(match changed {
                Some(changed) => Transformed::yes(changed),
                None => Transformed::no(node),
            })
        })?;
        Ok(plan.data)
    }
}

/// The atio table whose rows the statement changes; None for all others.
fn changes(dml: &DmlStatement) -> Result<Option<AtioTable>> {
    let Ok(provider) = source_as_provider(&dml.target) else {
        return Ok(None);
    };
    let table = AtioTable::downcast(provider.as_ref()).cloned();
    if let Some(table) = &table {
        table.check_writable()?;
    }
    Ok(table)
}

/// Fails where the text may have said `DELETE FROM t VERSION AS OF 1`: the engine drops that, and
/// the rows of the newest version would go.
fn check_version_was_seen(dml: &DmlStatement, dialect: Dialect) -> Result<()> {
    match loses_versions(dialect) {
        false => Ok(()),
        true => Err(Error::unsupported(format!(
            "DELETE FROM '{}' is refused in the dialect {dialect}, where the engine would pass over a VERSION AS OF: SET datafusion.sql_parser.dialect = 'generic' first",
            dml.table_name
        ))
        .into()),
    }
}

/// True for a dialect in which a DELETE may have an AS OF.
fn loses_versions(dialect: Dialect) -> bool {
    matches!(
        dialect,
        Dialect::BigQuery | Dialect::Databricks | Dialect::MsSQL | Dialect::Snowflake
    )
}

/// The session for a DELETE of which it is known that it has no AS OF.
pub(crate) fn without_version(mut session: SessionState) -> SessionState {
    let dialect = &mut session.config_mut().options_mut().sql_parser.dialect;
    if loses_versions(*dialect) {
        *dialect = Dialect::Generic;
    }
    session
}

fn delete(dml: &DmlStatement, table: &AtioTable) -> Result<LogicalPlan> {
    let row_ids = match condition(&dml.input) {
        Some(condition) => RowIds::without_whole(condition),
        None => RowIds::default(),
    };
    let input = with_row_ids(&dml.input, &row_ids)?;
    let target = ChangeTarget::new(table, Verb::Delete, row_ids, 0, Vec::new());
    insert(dml, target, input, Vec::new())
}

/// The condition of the rows, where nothing but the rows themselves decides.
fn condition(input: &LogicalPlan) -> Option<Expr> {
    match input {
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() && scan.filters.is_empty() => {
            Some(lit(true))
        }
        LogicalPlan::SubqueryAlias(alias) => condition(&alias.input),
        LogicalPlan::Filter(filter) => {
            let below = condition(&filter.input)?;
            // A scan knows its columns without the name of the table.
            (below == lit(true)).then(|| unnormalize_col(filter.predicate.clone()))
        }
        _ => None,
    }
}

fn update(dml: &DmlStatement, table: &AtioTable) -> Result<LogicalPlan> {
    let row_ids = RowIds::default();
    let (input, values) = match dml.input.as_ref() {
        LogicalPlan::Projection(values) => {
            let input = with_row_ids(&values.input, &row_ids)?;
            (input, values.expr.clone())
        }
        // What the optimizer made of it.
        other => {
            let values = other.schema().columns().into_iter().map(Expr::Column);
            (with_row_ids(other, &row_ids)?, values.collect())
        }
    };
    let target = ChangeTarget::new(table, Verb::Update, row_ids, values.len(), Vec::new());
    insert(dml, target, input, values)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::col;
    use datafusion::logical_expr::{LogicalPlanBuilder, logical_plan::table_scan};

    use super::*;

    #[test]
    fn condition_is_known_only_where_rows_alone_decide() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        let scan = || table_scan(Some("t"), &schema, None).unwrap();
        let filter = col("t.a").gt(lit(1_i64));
        let plan = |builder: LogicalPlanBuilder| builder.build().unwrap();
        assert_eq!(condition(&plan(scan())), Some(lit(true)));
        let filtered = scan().filter(filter.clone()).unwrap();
        let unqualified = col("a").gt(lit(1_i64));
        assert_eq!(condition(&plan(filtered.clone())), Some(unqualified));
        assert_eq!(condition(&plan(filtered.limit(0, Some(1)).unwrap())), None);
        assert_eq!(condition(&plan(scan().limit(0, Some(1)).unwrap())), None);
    }
}
