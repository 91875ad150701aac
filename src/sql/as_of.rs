//! AS OF: the version of a table that a FROM clause reads.

use chrono::DateTime;
use datafusion::common::{DFSchema, ScalarValue, TableReference};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, TableVersion,
};

use super::constant;
use super::wait::wait;
use crate::error::{Error, Result as AtioResult};
use crate::table::{AtioTable, VersionRef};

/// The table of this name; fails if it has no versions.
pub(super) fn versioned(
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

/// One version of `table`: the one that an AS OF behind its `name` asks for.
pub(super) fn selected(
    table: &AtioTable,
    name: &ObjectName,
    version: &TableVersion,
    context: &mut dyn RelationPlannerContext,
) -> Result<AtioTable> {
    let subject = format!("'{name}'");
    let selected = match asked(name, version)? {
        Asked::Version(expr) => {
            let value = value(name, expr, context)?;
            at(table, constant::version(&subject, "version", &value)?)?
        }
        Asked::Time(expr) => {
            let value = value(name, expr, context)?;
            let at_us = constant::timestamp(&subject, "AS OF", &value)?;
            at(table, time(at_us)?)?
        }
    };
    Ok(selected)
}

/// One version of `table`, read only.
pub(super) fn at(table: &AtioTable, version: impl Into<VersionRef>) -> AtioResult<AtioTable> {
    let (table, version) = (table.clone(), version.into());
    wait(async move { table.at(version).await })
}

/// The version of the newest at a time in microseconds.
pub(super) fn time(at_us: i64) -> AtioResult<VersionRef> {
    let time = DateTime::from_timestamp_micros(at_us);
    let time = time.ok_or_else(|| Error::invalid("AS OF: a time so far away is none"))?;
    Ok(VersionRef::AsOf(time))
}

enum Asked {
    Version(SqlExpr),
    Time(SqlExpr),
}

/// What an AS OF asks for, whatever the dialect calls it.
fn asked(name: &ObjectName, version: &TableVersion) -> AtioResult<Asked> {
    let refused = || {
        Error::unsupported(format!(
            "{name}: this form of time travel is not supported; use VERSION AS OF, TIMESTAMP AS OF, AT (VERSION => ..) or AT (TIMESTAMP => ..)"
        ))
    };
    match version {
        TableVersion::VersionAsOf(expr) => Ok(Asked::Version(expr.clone())),
        TableVersion::TimestampAsOf(expr) | TableVersion::ForSystemTimeAsOf(expr) => {
            Ok(Asked::Time(expr.clone()))
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
                ("at", "version") => Ok(Asked::Version(value.clone())),
                ("at", "timestamp") => Ok(Asked::Time(value.clone())),
                _ => Err(refused()),
            }
        }
        _ => Err(refused()),
    }
}

fn value(
    name: &ObjectName,
    expr: SqlExpr,
    context: &mut dyn RelationPlannerContext,
) -> Result<ScalarValue> {
    let text = expr.to_string();
    let not_constant = || Error::invalid(format!("'{name}': AS OF needs a constant, not {text}"));
    let expr = context
        .sql_to_expr(expr, &DFSchema::empty())
        .map_err(|error| not_constant().with_source(error))?;
    let value = constant::fold(expr).map_err(|error| not_constant().with_source(error))?;
    Ok(value.ok_or_else(not_constant)?)
}
