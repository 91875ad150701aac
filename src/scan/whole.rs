//! Which files hold nothing but rows that meet a condition, by the statistics in the manifests.

use std::collections::HashSet;
use std::ptr;
use std::sync::Arc;

use atio_core::log::Snapshot;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::catalog::Session;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{Between, Cast, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, not};

use super::prune::{self, Listed};
use super::statistics::column;

/// Those of `files` of which every row meets `condition`.
pub(super) fn whole<'a>(
    state: &dyn Session,
    snapshot: &Arc<Snapshot>,
    condition: &Expr,
    files: &[Listed<'a>],
) -> Result<Vec<Listed<'a>>> {
    if is_true(condition) {
        return Ok(files.to_vec());
    }
    if !is_plain(condition, &snapshot.arrow) {
        return Ok(Vec::new());
    }
    // A row for which it is unknown does not meet it, and does not meet its contrary either.
    let columns = condition.column_refs();
    let known: Vec<_> = files
        .iter()
        .filter(|file| columns.iter().all(|name| has_no_null(snapshot, file, name)))
        .copied()
        .collect();
    let contrary = [contrary(condition.clone())];
    let others = prune::matching(state, snapshot, &contrary, known.clone())?;
    let others: HashSet<_> = others
        .iter()
        .map(|(_, file)| ptr::from_ref(*file))
        .collect();
    let whole = known.into_iter();
    let whole = whole.filter(|(_, file)| !others.contains(&ptr::from_ref(*file)));
    Ok(whole.collect())
}

fn is_true(condition: &Expr) -> bool {
    matches!(condition, Expr::Literal(value, _) if *value == Some(true).into())
}

/// What is true where a plain condition is false. The engine sees through a NOT above a column alone.
fn contrary(condition: Expr) -> Expr {
    match condition {
        Expr::Not(inner) => *inner,
        Expr::IsNull(inner) => Expr::IsNotNull(inner),
        Expr::IsNotNull(inner) => Expr::IsNull(inner),
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => Expr::InList(InList::new(expr, list, !negated)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op.negate() {
            Some(negated) => Expr::BinaryExpr(BinaryExpr::new(left, negated, right)),
            None if op == Operator::And => contrary(*left).or(contrary(*right)),
            None if op == Operator::Or => contrary(*left).and(contrary(*right)),
            None => not(Expr::BinaryExpr(BinaryExpr::new(left, op, right))),
        },
        other => not(other),
    }
}

/// True if it is never NULL where none of its columns is, and never fails.
fn is_plain(condition: &Expr, schema: &Schema) -> bool {
    let mut plain = true;
    let walked = condition.apply(|expr| {
        plain &= match expr {
            Expr::Column(_) | Expr::Not(_) | Expr::Between(Between { .. }) => true,
            Expr::InList(InList { .. }) | Expr::IsNull(_) | Expr::IsNotNull(_) => true,
            Expr::Literal(value, _) => !value.is_null(),
            Expr::Cast(cast) => only_widens(cast, schema),
            Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(
                op,
                Operator::And
                    | Operator::Or
                    | Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
            ),
            _ => false,
        };
        Ok(match plain {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
        })
    });
    plain && walked.is_ok()
}

/// True for a column that is cast to a type which has all of its values, as the engine does to compare
/// it with a literal.
fn only_widens(cast: &Cast, schema: &Schema) -> bool {
    let Expr::Column(column) = cast.expr.as_ref() else {
        return false;
    };
    let Ok(field) = schema.field_with_name(&column.name) else {
        return false;
    };
    let (from, to) = (field.data_type(), cast.field.data_type());
    match (from, to) {
        (DataType::Int8 | DataType::Int16 | DataType::Int32, DataType::Int64) => true,
        (DataType::UInt8 | DataType::UInt16 | DataType::UInt32, DataType::Int64) => true,
        _ => from.is_string() && to.is_string(),
    }
}

fn has_no_null(snapshot: &Snapshot, (manifest, file): &Listed<'_>, name: &Column) -> bool {
    let Ok(at) = snapshot.arrow.index_of(&name.name) else {
        return false;
    };
    let field = snapshot.schema.fields.get(at);
    let stats = field.and_then(|field| column(manifest, file, field.id, &snapshot.schema));
    stats.and_then(|stats| stats.nulls) == Some(0)
}
