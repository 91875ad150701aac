//! The function of atio's that a FROM clause calls.

use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::ObjectName;

use super::drop_functions::DropFunction;
use super::file_functions::FileFunction;
use super::function::Function;

/// A function of ours.
pub(super) enum Called {
    /// About a table.
    Table(Function),
    /// About files that COPY writes.
    File(FileFunction),
    /// About dropped tables of catalogs.
    Drop(DropFunction),
}

/// The function of this name; None if it is not one of ours.
pub(super) fn function(name: &ObjectName, context: &dyn RelationPlannerContext) -> Option<Called> {
    let [part] = name.0.as_slice() else {
        return None;
    };
    let name = context.normalize_ident(part.as_ident()?.clone());
    let table = Function::of(&name).map(Called::Table);
    let file = || FileFunction::of(&name).map(Called::File);
    let drop = || DropFunction::of(&name).map(Called::Drop);
    table.or_else(file).or_else(drop)
}
