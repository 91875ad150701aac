//! Relations of a FROM clause that are atio's to plan: its functions, and AS OF.

use std::fmt;
use std::sync::{Arc, Weak};

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::sql::sqlparser::ast::{
    FunctionArg, ObjectName, TableAlias, TableFactor, TableVersion,
};
use parking_lot::RwLock;

use super::as_of::{self, versioned};
use super::called::{self, Called, function};
use super::damaged::DamagedTable;
use super::function::Function;
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

    /// What to say of a function that the session does not have, if ours may have been meant.
    fn unknown(
        &self,
        name: &ObjectName,
        context: &dyn RelationPlannerContext,
    ) -> AtioResult<Option<Error>> {
        let Some((normal, error)) = called::unknown(name, context) else {
            return Ok(None);
        };
        // The engine looks for a function by its name as it is written.
        let state = self.state()?;
        let known = [normal, name.to_string()];
        let known = known
            .iter()
            .any(|name| state.table_functions().contains_key(name));
        Ok((!known).then_some(error))
    }

    fn plan_call(
        &self,
        function: Called,
        arguments: Vec<FunctionArg>,
        alias: &Option<TableAlias>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (scanned, provider) = function.provider(arguments, self.state()?, context)?;
        scan(
            scanned,
            TableReference::bare(function.name()),
            provider,
            alias,
        )
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
            } => match (function(name, context), version) {
                (None, None) => {
                    if let Some(refusal) = self.unknown(name, context)? {
                        return self.leave_to_others(relation, context, refusal);
                    }
                }
                (None, Some(_)) => {
                    let refusal = as_of_call(name);
                    return self.leave_to_others(relation, context, refusal);
                }
                (Some(_), Some(_)) => return Err(as_of_call(name).into()),
                (Some(_), None) if sample.is_some() => {
                    return Err(refused(name, "TABLESAMPLE is not supported"));
                }
                (Some(function), None) => {
                    return self.plan_call(function, call.args.clone(), alias, context);
                }
            },
            TableFactor::Function {
                name, args, alias, ..
            } => {
                if let Some(function) = function(name, context) {
                    return self.plan_call(function, args.clone(), alias, context);
                }
                if let Some(refusal) = self.unknown(name, context)? {
                    return self.leave_to_others(relation, context, refusal);
                }
            }
            TableFactor::Table {
                name,
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
                    return Err(refused(name, "TABLESAMPLE cannot be combined with AS OF"));
                }
                return plan_as_of(&table, reference, (name, version), alias, context);
            }
            TableFactor::Table {
                name,
                sample,
                partitions,
                ..
            } => {
                refuse_damaged(name, context)?;
                if sample.is_some() || !partitions.is_empty() {
                    refuse_part(name, context)?;
                }
            }
            _ => {}
        }
        Ok(RelationPlanning::Original(Box::new(relation)))
    }
}

fn as_of_call(name: &ObjectName) -> Error {
    Error::unsupported(format!("{name}: AS OF cannot follow a function call"))
}

fn refused(name: &ObjectName, why: &str) -> DataFusionError {
    Error::unsupported(format!("{name}: {why}")).into()
}

fn plan_as_of(
    table: &AtioTable,
    reference: TableReference,
    (name, version): (&ObjectName, &TableVersion),
    alias: &Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
) -> Result<RelationPlanning> {
    let selected = as_of::selected(table, name, version, context)?;
    let version = selected
        .fixed()
        .map_or(String::new(), |snapshot| snapshot.version.to_string());
    let (function, location) = (Function::Table.name(), selected.location());
    let scanned = format!("{function}({location}, {version})");
    scan(scanned, reference, Arc::new(selected), alias)
}

/// A scan that the plan calls `name`. DataFusion takes two scans of one name and one set of
/// columns for the same, so each is named by what it reads first.
fn scan(
    scanned: String,
    name: TableReference,
    provider: Arc<dyn TableProvider>,
    alias: &Option<TableAlias>,
) -> Result<RelationPlanning> {
    let (scanned, source) = (TableReference::bare(scanned), provider_as_source(provider));
    let plan = LogicalPlanBuilder::scan(scanned, source, None)?
        .alias(name)?
        .build()?;
    let planned = PlannedRelation::new(plan, alias.clone());
    Ok(RelationPlanning::Planned(Box::new(planned)))
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
        Ok(_) => Err(refused(name, "TABLESAMPLE and PARTITION are not supported")),
        // Of another's table it is the engine's to say what they mean.
        Err(_) => Ok(()),
    }
}

impl fmt::Debug for AtioRelations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtioRelations")
    }
}
