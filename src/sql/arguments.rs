//! Arguments of table functions: by position, `name => value` or `name := value`.

use std::fmt;

use atio_core::format::Version;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr};

use super::constant::{duration_us, fold, shown, timestamp, version, whole};
use crate::error::{Error, Result as AtioResult};
use crate::table::VersionRef;

/// The values that one call gives, by the names of the function's parameters.
pub(super) struct Arguments {
    function: &'static str,
    values: Vec<(&'static str, Option<ScalarValue>)>,
}

impl Arguments {
    /// Evaluates the arguments of a call to `function`, whose parameters are `names`.
    ///
    /// The values must be constants: a function's table is known before the query runs.
    pub(super) fn evaluate(
        function: &'static str,
        names: &[&'static str],
        arguments: Vec<FunctionArg>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Self> {
        let mut values: Vec<_> = names.iter().map(|name| (*name, None)).collect();
        let mut named = false;
        for (position, argument) in arguments.into_iter().enumerate() {
            let (name, value) = match argument {
                FunctionArg::Named { name, arg, .. } => (Some(name.value.to_lowercase()), arg),
                FunctionArg::ExprNamed { name, arg, .. } => {
                    (Some(name.to_string().to_lowercase()), arg)
                }
                FunctionArg::Unnamed(arg) => (None, arg),
            };
            let list = || names.join(", ");
            if names.is_empty() {
                return Err(Error::invalid(format!("{function} takes no arguments")).into());
            }
            let slot = match &name {
                Some(name) => values
                    .iter_mut()
                    .find(|(known, _)| known == name)
                    .ok_or_else(|| {
                        Error::invalid(format!(
                            "{function} has no argument '{name}'; its arguments are {}",
                            list()
                        ))
                    })?,
                None if named => {
                    return Err(Error::invalid(format!(
                        "{function}: an argument without a name cannot follow one with a name"
                    ))
                    .into());
                }
                None => values.get_mut(position).ok_or_else(|| {
                    Error::invalid(format!(
                        "{function} takes no more than {} argument(s): {}",
                        names.len(),
                        list()
                    ))
                })?,
            };
            named = named || name.is_some();
            if slot.1.is_some() {
                return Err(Error::invalid(format!(
                    "{function}: argument '{}' is given twice",
                    slot.0
                ))
                .into());
            }
            let FunctionArgExpr::Expr(value) = value else {
                return Err(Error::invalid(format!(
                    "{function}: argument '{}' must be a value",
                    slot.0
                ))
                .into());
            };
            slot.1 = Some(constant(function, slot.0, value, context)?);
        }
        Ok(Self { function, values })
    }

    fn get(&self, name: &str) -> Option<&ScalarValue> {
        self.values
            .iter()
            .find(|(known, _)| *known == name)
            .and_then(|(_, value)| value.as_ref())
    }

    fn wrong(&self, name: &str, needed: &str, value: &ScalarValue) -> Error {
        Error::invalid(format!(
            "{}: {name} must be {needed}, not {}",
            self.function,
            shown(value)
        ))
    }

    /// The table that the call is about: a registered name, a path or a URL.
    pub(super) fn table(&self) -> AtioResult<&str> {
        let missing = || {
            Error::invalid(format!(
                "{} needs a table: its name, path or URL as text, as in {}('sales')",
                self.function, self.function
            ))
        };
        let value = self.get("table").ok_or_else(missing)?;
        value
            .try_as_str()
            .flatten()
            .ok_or_else(|| self.wrong("the table", "text, such as 'sales'", value))
    }

    /// A text; None where it is not given.
    pub(super) fn text(&self, name: &str) -> AtioResult<Option<&str>> {
        let text = |value: &ScalarValue| match value.try_as_str().flatten() {
            Some(_) => Ok(()),
            None => Err(self.wrong(name, "text", value)),
        };
        self.get(name).map(text).transpose()?;
        Ok(self
            .get(name)
            .and_then(|value| value.try_as_str().flatten()))
    }

    pub(super) fn version(&self) -> AtioResult<Option<Version>> {
        self.version_of("version")
    }

    /// The number of a version.
    pub(super) fn version_of(&self, name: &str) -> AtioResult<Option<Version>> {
        self.get(name)
            .map(|value| version(self.function, name, value))
            .transpose()
    }

    /// A version by its number, or by its tag as text.
    pub(super) fn version_or_tag(&self, name: &str) -> AtioResult<Option<VersionRef>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.try_as_str().flatten() {
            Some(digits) if digits.parse::<u64>().is_ok() => {
                let needed = "a number without quotes, or a tag as text";
                Err(self.wrong(name, needed, value))
            }
            Some(tag) => Ok(Some(VersionRef::from(tag))),
            None if whole(value).is_some() => {
                let version = version(self.function, name, value)?;
                Ok(Some(VersionRef::Version(version)))
            }
            None => {
                let needed = "the number of a version, or a tag as text";
                Err(self.wrong(name, needed, value))
            }
        }
    }

    /// Text that must be given; `example` is one.
    pub(super) fn needed_text(&self, name: &str, example: &str) -> AtioResult<&str> {
        let value = self.get(name).ok_or_else(|| {
            Error::invalid(format!(
                "{} needs a {name} as text, as in {}('{example}')",
                self.function, self.function
            ))
        })?;
        value
            .try_as_str()
            .flatten()
            .ok_or_else(|| self.wrong(name, &format!("text, such as '{example}'"), value))
    }

    pub(super) fn as_of(&self) -> AtioResult<Option<i64>> {
        self.time("as_of")
    }

    /// Microseconds since 1970.
    pub(super) fn time(&self, name: &str) -> AtioResult<Option<i64>> {
        self.get(name)
            .map(|value| timestamp(self.function, name, value))
            .transpose()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> AtioResult<bool> {
        match self.get(name) {
            None => Ok(default),
            Some(ScalarValue::Boolean(Some(flag))) => Ok(*flag),
            Some(value) => Err(self.wrong(name, "true or false", value)),
        }
    }

    pub(super) fn count(&self, name: &str, default: u64) -> AtioResult<u64> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => match whole(value) {
                Some(count) if count > 0 => {
                    u64::try_from(count).map_err(|_| self.wrong(name, "a smaller number", value))
                }
                _ => Err(self.wrong(name, "a whole number from 1 up", value)),
            },
        }
    }

    /// A duration before `now`, in microseconds.
    pub(super) fn duration(
        &self,
        name: &str,
        default_us: i64,
        now: DateTime<Utc>,
    ) -> AtioResult<i64> {
        let Some(value) = self.get(name) else {
            return Ok(default_us);
        };
        let wrong = || self.wrong(name, "an interval such as '7 days'", value);
        let interval = match value.try_as_str().flatten() {
            // A number without a unit would be one of seconds.
            Some(text) if !text.contains(char::is_alphabetic) => return Err(wrong()),
            Some(_) => (value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano)))
                .map_err(|error| wrong().with_source(error))?,
            None => value.clone(),
        };
        let micros = duration_us(&interval, now).ok_or_else(wrong)?;
        match micros < 0 {
            true => Err(self.wrong(name, "an interval that is not negative", value)),
            false => Ok(micros),
        }
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.values.iter().filter(|(name, _)| *name != "table");
        let given = given.filter_map(|(name, value)| {
            value
                .as_ref()
                .map(|value| format!("{name} => {}", shown(value)))
        });
        f.write_str(&given.collect::<Vec<_>>().join(", "))
    }
}

fn constant(
    function: &str,
    name: &str,
    value: SqlExpr,
    context: &mut dyn RelationPlannerContext,
) -> Result<ScalarValue> {
    let text = value.to_string();
    let not_constant = || {
        Error::invalid(format!(
            "{function}: argument '{name}' must be a constant, not {text}"
        ))
    };
    let no_value = || {
        Error::invalid(format!(
            "{function}: argument '{name}' has no value: {text}"
        ))
    };
    let schema = DFSchema::empty();
    let expr = context
        .sql_to_expr(value, &schema)
        .map_err(|error| not_constant().with_source(error))?;
    fold(expr)
        .map_err(|error| no_value().with_source(error))?
        .ok_or_else(|| not_constant().into())
}
