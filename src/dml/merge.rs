//! MERGE: a join of the table with the source, of which each row says what becomes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema, JoinType, Result, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::dml::{
    MergeIntoAction, MergeIntoClause, MergeIntoClauseKind, MergeIntoOp,
};
use datafusion::logical_expr::{Case, DmlStatement, Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::assemble::{row_id_columns, statement};
use crate::error::Error;
use crate::scan::{ROW, RowIds};
use crate::table::{AtioTable, ChangeTarget};
use crate::write::Verb;

/// True in each row of the source, and NULL where a row of the table has none.
const SOURCE: &str = "__atio_source";
/// The number of the clause that takes the row; NULL where none does.
const CLAUSE: &str = "__atio_clause";
/// Whether the row is written.
const WRITES: &str = "__atio_writes";
/// What the columns that name a row in errors begin with.
const KEY: &str = "__atio_key_";
/// What the columns of a source begin with that no two rows may share which are inserted. Behind it
/// is the name of the column that they are a copy of.
pub(super) const UNIQUE: &str = "__atio_unique_";

/// The statement that does what `merge` says.
pub(super) fn plan(
    dml: &DmlStatement,
    merge: &MergeIntoOp,
    table: &AtioTable,
) -> Result<LogicalPlan> {
    let (target, name, source) = (&dml.table_name, table.table().name(), dml.input.schema());
    check_order(name, &merge.clauses)?;
    for clause in &merge.clauses {
        check_columns((name, target), source, clause)?;
    }
    let on = merge.on.clone().unalias();
    let (keys, unique) = (keys(target, &on), unique(source));
    let row_ids = match matches_decide(&merge.clauses) {
        true => RowIds::deciding_more(),
        false => RowIds::default(),
    };
    let taken = taken_rows(
        dml,
        &merge.clauses,
        on,
        &table.with_row_ids(row_ids.clone()),
    )?;

    let mut written = values(dml, &merge.clauses)?;
    let width = written.len();
    written.extend(row_id_columns(taken.schema())?);
    written.push(writes(&merge.clauses).alias(WRITES));
    for (at, name) in keys.iter().enumerate() {
        let key = Expr::Column(Column::new(Some(target.clone()), name));
        written.push(key.alias(format!("{KEY}{at}")));
    }
    written.extend(unique.iter().map(|(column, _)| column.clone()));
    let unique = unique.into_iter().map(|(_, name)| name).collect();
    let input = LogicalPlanBuilder::from(taken).project(written)?.build()?;
    let target = ChangeTarget::new(table, Verb::Merge, row_ids, width, keys).with_unique(unique);
    Ok(statement(dml, target, input))
}

/// The rows of the join that a clause takes, with its number.
fn taken_rows(
    dml: &DmlStatement,
    clauses: &[MergeIntoClause],
    on: Expr,
    table: &AtioTable,
) -> Result<LogicalPlan> {
    let provider = provider_as_source(Arc::new(table.clone()));
    let rows = LogicalPlanBuilder::scan(dml.table_name.clone(), provider, None)?.build()?;
    let source = with_column(dml.input.as_ref().clone(), lit(true).alias(SOURCE))?;
    // The left side is the one that the engine holds in memory where it knows nothing of their sizes.
    let joined = LogicalPlanBuilder::from(source)
        .join_on(rows, join_type(clauses), [on])?
        .build()?;
    let clause = clause_of_row(joined.schema(), clauses)?.alias(CLAUSE);
    LogicalPlanBuilder::from(with_column(joined, clause)?)
        .filter(unqualified(CLAUSE).is_not_null())?
        .build()
}

/// The rows of `plan` with one column more.
fn with_column(plan: LogicalPlan, column: Expr) -> Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().map(Expr::Column);
    let columns: Vec<_> = columns.chain([column]).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The columns of the table in the rows that are written.
fn values(dml: &DmlStatement, clauses: &[MergeIntoClause]) -> Result<Vec<Expr>> {
    let schema = dml.target.schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let value = value(
            &dml.table_name,
            clauses,
            at,
            field.name(),
            field.data_type(),
        )?;
        Ok(value.alias(field.name()))
    });
    columns.collect()
}

/// Which rows without a partner matter: those of the source are on the left.
fn join_type(clauses: &[MergeIntoClause]) -> JoinType {
    let any = |by: fn(&MergeIntoClause) -> bool| clauses.iter().any(by);
    match (any(is_not_matched), any(is_not_matched_by_source)) {
        (false, false) => JoinType::Inner,
        (true, false) => JoinType::Left,
        (false, true) => JoinType::Right,
        (true, true) => JoinType::Full,
    }
}

/// True if rows of the table decide more than what becomes of themselves: a row that matches one of the
/// source keeps that from being inserted. Where each such row is changed, that says so already.
fn matches_decide(clauses: &[MergeIntoClause]) -> bool {
    let takes_all = |clause: &MergeIntoClause| is_matched(clause) && clause.predicate.is_none();
    clauses.iter().any(is_not_matched) && !clauses.iter().any(takes_all)
}

fn is_matched(clause: &MergeIntoClause) -> bool {
    clause.kind == MergeIntoClauseKind::Matched
}

fn is_not_matched(clause: &MergeIntoClause) -> bool {
    matches!(
        clause.kind,
        MergeIntoClauseKind::NotMatched | MergeIntoClauseKind::NotMatchedByTarget
    )
}

fn is_not_matched_by_source(clause: &MergeIntoClause) -> bool {
    clause.kind == MergeIntoClauseKind::NotMatchedBySource
}

/// What people call the kind of a clause.
fn words(clause: &MergeIntoClause) -> &'static str {
    match clause.kind {
        MergeIntoClauseKind::Matched => "WHEN MATCHED",
        MergeIntoClauseKind::NotMatched | MergeIntoClauseKind::NotMatchedByTarget => {
            "WHEN NOT MATCHED"
        }
        MergeIntoClauseKind::NotMatchedBySource => "WHEN NOT MATCHED BY SOURCE",
    }
}

/// Fails if a clause is never reached, or does what its kind cannot.
fn check_order(name: &str, clauses: &[MergeIntoClause]) -> Result<()> {
    let mut ended = BTreeSet::new();
    for clause in clauses {
        let words = words(clause);
        if ended.contains(words) {
            return Err(Error::invalid(format!(
                "MERGE INTO '{name}': a clause {words} follows one without a condition, which takes all of its rows: put that one last"
            ))
            .into());
        }
        if clause.predicate.is_none() {
            ended.insert(words);
        }
        let inserts = matches!(clause.action, MergeIntoAction::Insert { .. });
        if inserts != is_not_matched(clause) {
            let (action, instead) = match inserts {
                true => ("INSERT", "UPDATE or DELETE"),
                false => ("UPDATE or DELETE", "INSERT"),
            };
            return Err(Error::invalid(format!(
                "MERGE INTO '{name}': {words} cannot {action}: it takes {instead}"
            ))
            .into());
        }
    }
    Ok(())
}

/// Fails if a clause reads a row that its kind has not.
fn check_columns(
    (name, target): (&str, &TableReference),
    source: &DFSchema,
    clause: &MergeIntoClause,
) -> Result<()> {
    let (has_target, has_source) = (!is_not_matched(clause), !is_not_matched_by_source(clause));
    let values: Vec<&Expr> = match &clause.action {
        MergeIntoAction::Update(assignments) => {
            assignments.iter().map(|(_, value)| value).collect()
        }
        MergeIntoAction::Insert { values, .. } => values.iter().collect(),
        MergeIntoAction::Delete => Vec::new(),
    };
    for expr in values.into_iter().chain(&clause.predicate) {
        check_subqueries(name, clause, expr)?;
        for column in expr.column_refs() {
            let of_target = is_of(column, target);
            let of_source = !of_target && source.has_column(column);
            let missing = match (of_target && !has_target, of_source && !has_source) {
                (true, _) => "the table",
                (_, true) => "the source",
                _ => continue,
            };
            return Err(Error::invalid(format!(
                "MERGE INTO '{name}': {} has no row of {missing}, and reads its column '{}'",
                words(clause),
                column.name
            ))
            .into());
        }
    }
    Ok(())
}

/// Fails if a clause has a subquery that the engine plans in a filter alone.
fn check_subqueries(name: &str, clause: &MergeIntoClause, expr: &Expr) -> Result<()> {
    let is_filter = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)
        ))
    };
    match expr.exists(is_filter)? {
        false => Ok(()),
        true => Err(Error::unsupported(format!(
            "MERGE INTO '{name}': {} has IN or EXISTS with a subquery, which the engine computes in ON and in the source alone: put it there",
            words(clause)
        ))
        .into()),
    }
}

/// The columns of a source that no two rows may share which are inserted, and how they are called.
fn unique(source: &DFSchema) -> Vec<(Expr, String)> {
    let unique = source.columns().into_iter().filter_map(|column| {
        let name = column.name.strip_prefix(UNIQUE)?.to_owned();
        Some((Expr::Column(column), name))
    });
    unique.collect()
}

/// The columns of the table in the condition: by them a row is named.
fn keys(target: &TableReference, on: &Expr) -> Vec<String> {
    let columns = on.column_refs();
    let of_target = columns.into_iter().filter(|column| is_of(column, target));
    let names: BTreeSet<_> = of_target.map(|column| column.name.clone()).collect();
    names.into_iter().collect()
}

/// True for a column of the table, by whatever part of the table's name it is qualified.
fn is_of(column: &Column, target: &TableReference) -> bool {
    let relation = column.relation.as_ref();
    relation.is_some_and(|relation| relation.resolved_eq(target))
}

fn unqualified(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The number of the first clause that takes a row of the join.
fn clause_of_row(joined: &DFSchema, clauses: &[MergeIntoClause]) -> Result<Expr> {
    let (qualifier, field) = joined.qualified_field_with_unqualified_name(ROW)?;
    let in_table = Expr::Column(Column::from((qualifier, field))).is_not_null();
    let (qualifier, field) = joined.qualified_field_with_unqualified_name(SOURCE)?;
    let in_source = Expr::Column(Column::from((qualifier, field))).is_not_null();
    // A condition is computed for rows of its kind alone: for others it may fail.
    type Kind = fn(&MergeIntoClause) -> bool;
    let kinds: [(Expr, Kind); 3] = [
        (!in_table, is_not_matched),
        (!in_source, is_not_matched_by_source),
        (lit(true), is_matched),
    ];
    let mut cases = Vec::with_capacity(kinds.len());
    for (is_of_kind, kind) in kinds {
        let of_kind = (0_i32..).zip(clauses).filter(|(_, clause)| kind(clause));
        let of_kind = of_kind.map(|(number, clause)| {
            let takes = clause.predicate.clone().map_or(lit(true), Expr::unalias);
            (Box::new(takes), Box::new(lit(number)))
        });
        let of_kind: Vec<_> = of_kind.collect();
        let number = match of_kind.is_empty() {
            true => Expr::Literal(ScalarValue::Int32(None), None),
            false => Expr::Case(Case::new(None, of_kind, None)),
        };
        cases.push((Box::new(is_of_kind), Box::new(number)));
    }
    Ok(Expr::Case(Case::new(None, cases, None)))
}

/// Whether a row is written by its clause.
fn writes(clauses: &[MergeIntoClause]) -> Expr {
    let deletes = (0_i32..).zip(clauses);
    let deletes = deletes.filter(|(_, clause)| matches!(clause.action, MergeIntoAction::Delete));
    let deletes: Vec<_> = deletes.map(|(number, _)| lit(number)).collect();
    match deletes.is_empty() {
        true => lit(true),
        false => unqualified(CLAUSE).in_list(deletes, true),
    }
}

/// The value of a column of the table, `at` this place, in the row that a clause writes.
fn value(
    target: &TableReference,
    clauses: &[MergeIntoClause],
    at: usize,
    name: &str,
    data_type: &datafusion::arrow::datatypes::DataType,
) -> Result<Expr> {
    let mut cases = Vec::new();
    let mut stays = false;
    for (number, clause) in (0_i32..).zip(clauses) {
        let new = match &clause.action {
            MergeIntoAction::Update(assignments) => {
                let assigned = assignments.iter().find(|(column, _)| column == name);
                stays |= assigned.is_none();
                assigned.map(|(_, value)| value.clone())
            }
            MergeIntoAction::Insert { columns, values } => {
                let given = match columns.is_empty() {
                    true => Some(at),
                    false => columns.iter().position(|column| column == name),
                };
                let value = given.and_then(|at| values.get(at)).cloned();
                Some(match value {
                    Some(value) => value,
                    None => Expr::Literal(ScalarValue::try_from(data_type)?, None),
                })
            }
            MergeIntoAction::Delete => None,
        };
        if let Some(new) = new {
            cases.push((Box::new(lit(number)), Box::new(new.unalias())));
        }
    }
    let old = match stays {
        true => Expr::Column(Column::new(Some(target.clone()), name)),
        // Nobody reads the old one, which would be most of the work of a statement that changes few rows.
        false => Expr::Literal(ScalarValue::try_from(data_type)?, None),
    };
    Ok(match cases.is_empty() {
        true => old,
        false => Expr::Case(Case::new(
            Some(Box::new(unqualified(CLAUSE))),
            cases,
            Some(Box::new(old)),
        )),
    })
}
