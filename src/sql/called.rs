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
use crate::error::Error;
use crate::spelling::is_close;

/// What the names of most of our functions begin with.
const PREFIX: &str = "atio_";
/// The least letters by which a name that is cut off is known.
const SHORTEST: usize = 4;

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
    let name = plain(name, context)?;
    Called::all().find(|function| function.name() == name)
}

/// The name of a function that is not one of ours, and what to say of it if it is nobody's: None
/// where it does not look as if ours were meant.
pub(super) fn unknown(
    name: &ObjectName,
    context: &dyn RelationPlannerContext,
) -> Option<(String, Error)> {
    let name = plain(name, context)?;
    // Another name may be that of a function which only a session made from this one has.
    if !name.starts_with(PREFIX) && !is_close(&name, Function::Expire.name()) {
        return None;
    }
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let short = bare(&name);
    let meant = Called::all().map(Called::name).find(|known| {
        let begins = short.len() >= SHORTEST && bare(known).starts_with(&short);
        begins || is_close(&name, known)
    });
    let meant = match meant {
        Some(meant) => format!(": did you mean {meant}?"),
        None => {
            let names: Vec<_> = Called::all().map(Called::name).collect();
            format!("; the functions of atio are {}", names.join(", "))
        }
    };
    let error = Error::invalid(format!(
        "there is no function '{}'{meant}",
        name.escape_debug()
    ));
    Some((name, error))
}

/// A name of one part.
fn plain(name: &ObjectName, context: &dyn RelationPlannerContext) -> Option<String> {
    match name.0.as_slice() {
        [part] => Some(context.normalize_ident(part.as_ident()?.clone())),
        _ => None,
    }
}

impl Called {
    fn all() -> impl Iterator<Item = Self> {
        let tables = Function::ALL.into_iter().map(Self::Table);
        let files = FileFunction::ALL.into_iter().map(Self::File);
        let drops = DropFunction::ALL.into_iter().map(Self::Drop);
        tables.chain(files).chain(drops)
    }

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
                let session = state.clone();
                let table =
                    wait(async move { named(session, name, access, &text, needs_newest).await })?;
                let shown = format!("{name}({}, {arguments})", table.location());
                (shown, function.provider(&table, &arguments, &state)?)
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
