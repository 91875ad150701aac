//! Constants of SQL: what they evaluate to, and how messages show them.

use std::sync::Arc;

use atio_core::format::Version;
use chrono::{DateTime, Months, Utc};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use crate::error::{Error, Result as AtioResult};

/// The value of a constant expression; None if it is not constant.
pub(super) fn fold(expr: Expr) -> Result<Option<ScalarValue>> {
    let schema = DFSchema::empty();
    let info = SimplifyContext::builder()
        .with_schema(Arc::new(DFSchema::empty()))
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
pub(super) fn version(subject: &str, name: &str, value: &ScalarValue) -> AtioResult<Version> {
    let version = whole(value)
        .and_then(|number| u64::try_from(number).ok())
        .and_then(Version::new);
    version.ok_or_else(|| {
        Error::invalid(format!(
            "{subject}: {name} must be a whole number from 0 to 2^53 - 1, not {}{}",
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

/// The whole number that a value is.
pub(super) fn whole(value: &ScalarValue) -> Option<i128> {
    if !value.data_type().is_integer() || value.is_null() {
        return None;
    }
    value.to_string().parse().ok()
}

/// An interval before `now`, in microseconds.
pub(super) fn duration_us(value: &ScalarValue, now: DateTime<Utc>) -> Option<i64> {
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
pub(super) fn shown(value: &ScalarValue) -> String {
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
        assert_eq!(
            version("f", "version", &ScalarValue::Int64(Some(2)))
                .unwrap()
                .get(),
            2
        );
        for wrong in [
            ScalarValue::Int64(Some(-1)),
            ScalarValue::Int64(None),
            ScalarValue::Float64(Some(2.0)),
            ScalarValue::Utf8(Some("2".into())),
            ScalarValue::UInt64(Some(u64::MAX)),
        ] {
            let error = version("f", "version", &wrong).unwrap_err().to_string();
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
