//! Arguments of table functions: by position, `name => value` or `name := value`.

use std::fmt;

use atio_core::format::Version;
use chrono::{DateTime, Months, Utc};
use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr};

use crate::error::{Error, Result as AtioResult};

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
        self.get("version")
            .map(|value| version(self.function, value))
            .transpose()
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

    /// Microseconds since 1970.
    pub(super) fn as_of(&self) -> AtioResult<Option<i64>> {
        self.get("as_of")
            .map(|value| timestamp(self.function, "as_of", value))
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

/// The value of a constant expression; None if it is not constant.
pub(super) fn fold(expr: Expr) -> Result<Option<ScalarValue>> {
    let schema = DFSchema::empty();
    let info = SimplifyContext::builder()
        .with_schema(std::sync::Arc::new(DFSchema::empty()))
        .with_current_time()
        .build();
    let simplifier = ExprSimplifier::new(info);
    let expr = simplifier.simplify(simplifier.coerce(expr, &schema)?)?;
    Ok(match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    })
}

/// A version number from 0 to 2^53 - 1.
pub(super) fn version(subject: &str, value: &ScalarValue) -> AtioResult<Version> {
    let version = whole(value)
        .and_then(|number| u64::try_from(number).ok())
        .and_then(Version::new);
    version.ok_or_else(|| {
        Error::invalid(format!(
            "{subject}: version must be a whole number from 0 to 2^53 - 1, not {}{}",
            shown(value),
            match value.try_as_str().flatten() {
                Some(_) => "; a tag is given as tag => '..', where one is taken",
                None => "",
            }
        ))
    })
}

/// A time as microseconds since 1970; one without a zone is taken for UTC.
pub(super) fn timestamp(subject: &str, name: &str, value: &ScalarValue) -> AtioResult<i64> {
    let wrong = || {
        Error::invalid(format!(
            "{subject}: {name} must be a time such as TIMESTAMP '2026-01-31 12:00:00', not {}",
            shown(value)
        ))
    };
    let temporal = matches!(
        value.data_type(),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    ) || value.try_as_str().flatten().is_some();
    if !temporal || value.is_null() {
        return Err(wrong());
    }
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    match value.cast_to(&micros) {
        Ok(ScalarValue::TimestampMicrosecond(Some(micros), _)) => Ok(micros),
        _ => Err(wrong()),
    }
}

fn whole(value: &ScalarValue) -> Option<i128> {
    if !value.data_type().is_integer() || value.is_null() {
        return None;
    }
    value.to_string().parse().ok()
}

fn duration_us(value: &ScalarValue, now: DateTime<Utc>) -> Option<i64> {
    let (months, days, nanos) = match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) => (v.months, v.days, i128::from(v.nanoseconds)),
        ScalarValue::IntervalDayTime(Some(v)) => {
            (0, v.days, i128::from(v.milliseconds) * 1_000_000)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => (*months, 0, 0),
        ScalarValue::DurationSecond(Some(v)) => (0, 0, i128::from(*v) * 1_000_000_000),
        ScalarValue::DurationMillisecond(Some(v)) => (0, 0, i128::from(*v) * 1_000_000),
        ScalarValue::DurationMicrosecond(Some(v)) => (0, 0, i128::from(*v) * 1_000),
        ScalarValue::DurationNanosecond(Some(v)) => (0, 0, i128::from(*v)),
        _ => return None,
    };
    // A month is as long as it was before now.
    let shifted = match u32::try_from(months) {
        Ok(months) => now.checked_sub_months(Months::new(months))?,
        Err(_) => now.checked_add_months(Months::new(months.unsigned_abs()))?,
    };
    let micros = i128::from((now - shifted).num_microseconds()?)
        + i128::from(days) * 86_400_000_000
        + nanos / 1000;
    i64::try_from(micros).ok()
}

/// A value as messages show it.
fn shown(value: &ScalarValue) -> String {
    match value {
        value if value.is_null() => "NULL".to_owned(),
        ScalarValue::IntervalMonthDayNano(_)
        | ScalarValue::IntervalDayTime(_)
        | ScalarValue::IntervalYearMonth(_) => {
            let text = value
                .to_array()
                .and_then(|array| Ok(array_value_to_string(&array, 0)?));
            text.map_or_else(|_| value.to_string(), |text| format!("INTERVAL '{text}'"))
        }
        value => match value.try_as_str().flatten() {
            Some(text) => format!("'{}'", text.escape_debug()),
            None => value.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{IntervalDayTime, IntervalMonthDayNano, IntervalUnit};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000, 0).unwrap()
    }

    #[test]
    fn intervals_become_microseconds() {
        let day = 86_400_000_000;
        let interval = |months, days, nanos| {
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
        };
        assert_eq!(duration_us(&interval(0, 7, 0), now()), Some(7 * day));
        assert_eq!(duration_us(&interval(0, 0, 1_500), now()), Some(1));
        assert_eq!(duration_us(&interval(0, -1, 0), now()), Some(-day));
        assert_eq!(
            duration_us(&interval(-1, 0, 0), now()).map(i64::signum),
            Some(-1)
        );
        let month = duration_us(&interval(1, 0, 0), now()).unwrap();
        assert!((28 * day..=31 * day).contains(&month));
        let day_time = ScalarValue::IntervalDayTime(Some(IntervalDayTime::new(1, 5)));
        assert_eq!(duration_us(&day_time, now()), Some(day + 5_000));
        assert_eq!(
            duration_us(&ScalarValue::Utf8(Some("7 days".into())), now()),
            None
        );
    }

    #[test]
    fn versions_are_whole_numbers_from_zero() {
        assert_eq!(version("f", &ScalarValue::Int64(Some(2))).unwrap().get(), 2);
        for wrong in [
            ScalarValue::Int64(Some(-1)),
            ScalarValue::Int64(None),
            ScalarValue::Float64(Some(2.0)),
            ScalarValue::Utf8(Some("2".into())),
            ScalarValue::UInt64(Some(u64::MAX)),
        ] {
            let error = version("f", &wrong).unwrap_err().to_string();
            assert!(
                error.starts_with("f: version must be a whole number from 0 to 2^53 - 1, not "),
                "{error}"
            );
        }
    }

    #[test]
    fn the_interval_types_are_those_that_exist() {
        for unit in [
            IntervalUnit::YearMonth,
            IntervalUnit::DayTime,
            IntervalUnit::MonthDayNano,
        ] {
            let zero = ScalarValue::new_zero(&DataType::Interval(unit)).unwrap();
            assert_eq!(duration_us(&zero, now()), Some(0), "{unit:?}");
        }
    }
}
