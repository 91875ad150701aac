//! The call of a function of atio's in a FROM clause.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::{FunctionArg, ObjectName};

use super::arguments::Arguments;
use super::drop_functions::DropFunction;
use super::file_functions::FileFunction;
use super::function::Function;
use super::named::named;
use super::policy::AtioPolicy;
use super::wait::wait;

/// A function of ours.
#[derive(Clone, Copy)]
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

impl Called {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Table(function) => function.name(),
            Self::File(function) => function.name(),
            Self::Drop(function) => function.name(),
        }
    }

    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Table(function) => function.parameters(),
            Self::File(function) => function.parameters(),
            Self::Drop(function) => function.parameters(),
        }
    }

    /// The provider of the rows that a call gives, and the call as plans show it. Changes nothing.
    pub(super) fn provider(
        self,
        arguments: Vec<FunctionArg>,
        state: SessionState,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<(String, Arc<dyn TableProvider>)> {
        let name = self.name();
        let arguments = Arguments::evaluate(name, self.parameters(), arguments, context)?;
        let shown = format!("{name}({arguments})");
        Ok(match self {
            Self::Table(function) => {
                let (access, text) = (function.access(&arguments)?, arguments.table()?.to_owned());
                let needs_newest = function.needs_newest(&arguments);
                let table =
                    wait(async move { named(state, name, access, &text, needs_newest).await })?;
                let shown = format!("{name}({}, {arguments})", table.location());
                (shown, function.provider(&table, &arguments)?)
            }
            Self::File(function) => {
                let policy = AtioPolicy::of(&state);
                let provider = function.provider(&arguments, &policy, state.runtime_env())?;
                (shown, provider)
            }
            Self::Drop(function) => (shown, function.provider(&arguments, &state)?),
        })
    }
}
