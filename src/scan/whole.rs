//! Which files hold nothing but rows that meet a condition, by the statistics in the manifests.

use std::collections::HashSet;
use std::ptr;
use std::sync::Arc;

use atio_core::log::Snapshot;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{Between, InList};
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
    if !is_plain(condition) {
        return Ok(Vec::new());
    }
    // A row for which it is unknown does not meet it, and does not meet its contrary either.
    let columns = condition.column_refs();
    let known: Vec<_> = files
        .iter()
        .filter(|file| columns.iter().all(|name| has_no_null(snapshot, file, name)))
        .copied()
        .collect();
    let contrary = [not(condition.clone())];
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

/// True if it is never NULL where none of its columns is, and never fails.
fn is_plain(condition: &Expr) -> bool {
    let mut plain = true;
    let walked = condition.apply(|expr| {
        plain &= match expr {
            Expr::Column(_) | Expr::Not(_) | Expr::Between(Between { .. }) => true,
            Expr::InList(InList { .. }) | Expr::IsNull(_) | Expr::IsNotNull(_) => true,
            Expr::Literal(value, _) => !value.is_null(),
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

fn has_no_null(snapshot: &Snapshot, (manifest, file): &Listed<'_>, name: &Column) -> bool {
    let Ok(at) = snapshot.arrow.index_of(&name.name) else {
        return false;
    };
    let field = snapshot.schema.fields.get(at);
    let stats = field.and_then(|field| column(manifest, file, field.id, &snapshot.schema));
    stats.and_then(|stats| stats.nulls) == Some(0)
}
