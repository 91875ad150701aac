//! Relations of a FROM clause that are atio's to plan: its functions, and AS OF.

use std::fmt;
use std::sync::{Arc, Weak};

use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, TableAlias,
    TableFactor, TableVersion,
};
use parking_lot::RwLock;

use super::arguments::{self, Arguments};
use super::called::{Called, function};
use super::damaged::DamagedTable;
use super::function::Function;
use super::functions;
use super::named::named;
use super::policy::{Access, AtioPolicy};
use super::wait::wait;
use crate::error::{Error, Result as AtioResult};
use crate::table::AtioTable;

/// Plans atio's functions with named arguments, and every AS OF: honoured for atio tables,
/// refused for others, never ignored.
pub(super) struct AtioRelations {
    session: Weak<RwLock<SessionState>>,
}

impl AtioRelations {
    pub(super) fn new(session: Weak<RwLock<SessionState>>) -> Self {
        Self { session }
    }

    fn plan_call(
        &self,
        function: Called,
        arguments: Vec<FunctionArg>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        match function {
            Called::Table(function) => self.plan_function(function, arguments, context),
            Called::File(function) => {
                let (name, names) = (function.name(), function.parameters());
                let arguments = Arguments::evaluate(name, names, arguments, context)?;
                let state = self.state()?;
                let policy = AtioPolicy::of(&state);
                let provider = function.provider(&arguments, &policy, state.runtime_env())?;
                scan_call(name, &arguments, provider)
            }
            Called::Drop(function) => {
                let (name, names) = (function.name(), function.parameters());
                let arguments = Arguments::evaluate(name, names, arguments, context)?;
                let provider = function.provider(&arguments, &self.state()?)?;
                scan_call(name, &arguments, provider)
            }
        }
    }

    fn state(&self) -> AtioResult<SessionState> {
        let session = self.session.upgrade();
        let session = session.ok_or_else(|| Error::invalid("the session has ended"))?;
        Ok(session.read().clone())
    }

    /// What the planners of the host that come after this one make of a relation that is not
    /// atio's; fails with `refusal` if it is none of theirs either.
    fn leave_to_others(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
        refusal: Error,
    ) -> Result<RelationPlanning> {
        let state = self.state()?;
        let ours =
            |planner: &Arc<dyn RelationPlanner>| std::ptr::addr_eq(Arc::as_ptr(planner), self);
        let after = state
            .relation_planners()
            .iter()
            .skip_while(|planner| !ours(planner));
        for planner in after.skip(1) {
            match planner.plan_relation(relation, context)? {
                RelationPlanning::Original(original) => relation = *original,
                planned => return Ok(planned),
            }
        }
        // The engine itself would read the table as it is now.
        Err(refusal.into())
    }

    fn plan_function(
        &self,
        function: Function,
        arguments: Vec<FunctionArg>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let arguments =
            Arguments::evaluate(function.name(), function.parameters(), arguments, context)?;
        let table = self.resolve(
            function,
            function.access(&arguments)?,
            arguments.table()?,
            function.needs_newest(&arguments),
        )?;
        let provider = function.provider(&table, &arguments)?;
        let scanned = format!("{}({}, {arguments})", function.name(), table.location());
        scan(scanned, TableReference::bare(function.name()), provider)
    }

    /// The table that a function is told of: a registered name, or else a path or URL.
    fn resolve(
        &self,
        function: Function,
        access: Access,
        text: &str,
        needs_newest: bool,
    ) -> Result<AtioTable> {
        let (state, text) = (self.state()?, text.to_owned());
        let name = function.name();
        Ok(wait(async move {
            named(state, name, access, &text, needs_newest).await
        })?)
    }
}

impl RelationPlanner for AtioRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match &relation {
            TableFactor::Table {
                name,
                args: Some(call),
                version,
                alias,
                sample,
                ..
            } => {
                let refused = version.is_some().then(|| {
                    Error::unsupported(format!("{name}: AS OF cannot follow a function call"))
                });
                let Some(function) = function(name, context) else {
                    return match refused {
                        None => Ok(RelationPlanning::Original(Box::new(relation))),
                        Some(refusal) => self.leave_to_others(relation, context, refusal),
                    };
                };
                if let Some(refusal) = refused {
                    return Err(refusal.into());
                }
                if sample.is_some() {
                    return Err(Error::unsupported(format!(
                        "{name}: TABLESAMPLE is not supported"
                    ))
                    .into());
                }
                let plan = self.plan_call(function, call.args.clone(), context)?;
                Ok(planned(plan, alias))
            }
            TableFactor::Function {
                name, args, alias, ..
            } => match function(name, context) {
                Some(function) => {
                    let plan = self.plan_call(function, args.clone(), context)?;
                    Ok(planned(plan, alias))
                }
                None => Ok(RelationPlanning::Original(Box::new(relation))),
            },
            TableFactor::Table {
                name,
                args: None,
                version: Some(version),
                alias,
                sample,
                ..
            } => {
                refuse_damaged(name, context)?;
                let reference = context.object_name_to_table_reference(name.clone())?;
                let table = match versioned(&reference, context) {
                    Ok(table) => table,
                    Err(refusal) => return self.leave_to_others(relation, context, refusal),
                };
                if sample.is_some() {
                    return Err(Error::unsupported(format!(
                        "{name}: TABLESAMPLE cannot be combined with AS OF"
                    ))
                    .into());
                }
                let plan = plan_as_of(&table, reference, name, version, context)?;
                Ok(planned(plan, alias))
            }
            TableFactor::Table {
                name,
                args: None,
                version: None,
                sample,
                partitions,
                ..
            } => {
                refuse_damaged(name, context)?;
                if sample.is_some() || !partitions.is_empty() {
                    refuse_part(name, context)?;
                }
                Ok(RelationPlanning::Original(Box::new(relation)))
            }
            _ => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}

fn planned(plan: LogicalPlan, alias: &Option<TableAlias>) -> RelationPlanning {
    RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone())))
}

/// A scan that the plan calls `name`. DataFusion takes two scans of one name and one set of
/// columns for the same, so each is named by what it reads first.
fn scan(
    scanned: String,
    name: TableReference,
    provider: Arc<dyn TableProvider>,
) -> Result<LogicalPlan> {
    LogicalPlanBuilder::scan(
        TableReference::bare(scanned),
        provider_as_source(provider),
        None,
    )?
    .alias(name)?
    .build()
}

/// The scan of a function that is about no one table.
fn scan_call(
    name: &str,
    arguments: &Arguments,
    provider: Arc<dyn TableProvider>,
) -> Result<LogicalPlan> {
    let scanned = format!("{name}({arguments})");
    scan(scanned, TableReference::bare(name), provider)
}

/// A table of a catalog that cannot be opened says why, not that it has no columns.
fn refuse_damaged(name: &ObjectName, context: &dyn RelationPlannerContext) -> Result<()> {
    let reference = context.object_name_to_table_reference(name.clone())?;
    let Ok(source) = context.context_provider().get_table_source(reference) else {
        return Ok(());
    };
    let Ok(provider) = source_as_provider(&source) else {
        return Ok(());
    };
    match DamagedTable::downcast(provider.as_ref()) {
        Some(damaged) => Err(damaged.error().into()),
        None => Ok(()),
    }
}

/// The engine passes over TABLESAMPLE and PARTITION, and would take all rows.
fn refuse_part(name: &ObjectName, context: &dyn RelationPlannerContext) -> Result<()> {
    let reference = context.object_name_to_table_reference(name.clone())?;
    match versioned(&reference, context) {
        Ok(_) => Err(Error::unsupported(format!(
            "{name}: TABLESAMPLE and PARTITION are not supported"
        ))
        .into()),
        // Of another's table it is the engine's to say what they mean.
        Err(_) => Ok(()),
    }
}

/// The table of this name; fails if it has no versions.
fn versioned(
    reference: &TableReference,
    context: &dyn RelationPlannerContext,
) -> AtioResult<AtioTable> {
    let refused = |why: &str| {
        Error::unsupported(format!(
            "'{reference}' {why}: only atio tables can be read AS OF"
        ))
    };
    let Ok(source) = context
        .context_provider()
        .get_table_source(reference.clone())
    else {
        return Err(refused("is not a table of this session"));
    };
    let provider = source_as_provider(&source);
    let table = provider
        .as_ref()
        .ok()
        .and_then(|provider| AtioTable::downcast(provider.as_ref()))
        .filter(|table| table.fixed().is_none());
    table
        .cloned()
        .ok_or_else(|| refused("has no versions to go back to"))
}

fn plan_as_of(
    table: &AtioTable,
    reference: TableReference,
    name: &ObjectName,
    version: &TableVersion,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let selected = match at(name, version)? {
        At::Version(expr) => {
            let value = constant(name, expr, context)?;
            functions::at(table, arguments::version(&format!("'{name}'"), &value)?)?
        }
        At::Time(expr) => {
            let value = constant(name, expr, context)?;
            let at_us = arguments::timestamp(&format!("'{name}'"), "AS OF", &value)?;
            functions::at(table, functions::time(at_us)?)?
        }
    };
    let version = selected
        .fixed()
        .map_or(String::new(), |snapshot| snapshot.version.to_string());
    let scanned = format!(
        "{}({}, {version})",
        Function::Table.name(),
        selected.location()
    );
    scan(scanned, reference, Arc::new(selected))
}

enum At {
    Version(SqlExpr),
    Time(SqlExpr),
}

/// What an AS OF asks for, whatever the dialect calls it.
fn at(name: &ObjectName, version: &TableVersion) -> AtioResult<At> {
    let refused = || {
        Error::unsupported(format!(
            "{name}: this form of time travel is not supported; use VERSION AS OF, TIMESTAMP AS OF, AT (VERSION => ..) or AT (TIMESTAMP => ..)"
        ))
    };
    match version {
        TableVersion::VersionAsOf(expr) => Ok(At::Version(expr.clone())),
        TableVersion::TimestampAsOf(expr) | TableVersion::ForSystemTimeAsOf(expr) => {
            Ok(At::Time(expr.clone()))
        }
        TableVersion::Function(SqlExpr::Function(call)) => {
            let FunctionArguments::List(list) = &call.args else {
                return Err(refused());
            };
            let [argument] = list.args.as_slice() else {
                return Err(refused());
            };
            let (key, value) = match argument {
                FunctionArg::Named {
                    name,
                    arg: FunctionArgExpr::Expr(value),
                    ..
                } => (name.value.to_lowercase(), value),
                FunctionArg::ExprNamed {
                    name,
                    arg: FunctionArgExpr::Expr(value),
                    ..
                } => (name.to_string().to_lowercase(), value),
                _ => return Err(refused()),
            };
            match (call.name.to_string().to_lowercase().as_str(), key.as_str()) {
                ("at", "version") => Ok(At::Version(value.clone())),
                ("at", "timestamp") => Ok(At::Time(value.clone())),
                _ => Err(refused()),
            }
        }
        _ => Err(refused()),
    }
}

fn constant(
    name: &ObjectName,
    expr: SqlExpr,
    context: &mut dyn RelationPlannerContext,
) -> Result<datafusion::common::ScalarValue> {
    let text = expr.to_string();
    let not_constant = || Error::invalid(format!("'{name}': AS OF needs a constant, not {text}"));
    let expr = context
        .sql_to_expr(expr, &DFSchema::empty())
        .map_err(|error| not_constant().with_source(error))?;
    let value = arguments::fold(expr).map_err(|error| not_constant().with_source(error))?;
    Ok(value.ok_or_else(not_constant)?)
}

impl fmt::Debug for AtioRelations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtioRelations")
    }
}
