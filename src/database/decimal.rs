//! Decimal numbers of a database, digit by digit.

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::DataType;

use crate::error::{Error, Result};

/// The numbers that these texts are, with all of their digits: one that has more than the type
/// takes is an error, not rounded.
pub(super) fn decimals(texts: &StringArray, data_type: &DataType) -> Result<ArrayRef> {
    let most = scale(data_type);
    if let Some(longer) = texts.iter().flatten().find(|text| fraction(text) > most) {
        return Err(Error::invalid(format!(
            "{longer} has more than {most} digits after the point; read it through a view that rounds it or makes it text"
        )));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(texts, data_type, &options).map_err(|error| Error::invalid(error.to_string()))
}

/// How many digits a type takes after the point.
pub(super) fn scale(data_type: &DataType) -> i64 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => (*scale).into(),
        _ => 0,
    }
}

/// How many digits a number has after the point, without the zeros at its end.
pub(super) fn fraction(text: &str) -> i64 {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse().unwrap_or(0)),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let fraction = match fraction.trim_end_matches('0') {
        "" if whole.trim_start_matches(['-', '+', '0']).is_empty() => return 0,
        // The zeros before the point count once the exponent moves them behind it.
        "" => length(whole.trim_end_matches('0')) - length(whole),
        fraction => length(fraction),
    };
    fraction.saturating_sub(exponent).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_after_the_point_are_counted() {
        for (text, count) in [
            ("0", 0),
            ("-0.000", 0),
            ("12.50", 1),
            ("-0.001", 3),
            ("1e-3", 3),
            ("1.5E+1", 0),
            ("1.25e1", 1),
            ("1200e-1", 0),
            ("1200e-3", 1),
        ] {
            assert_eq!(fraction(text), count, "{text}");
        }
    }

    #[test]
    fn number_with_more_digits_is_an_error_and_never_rounded() {
        let texts = StringArray::from(vec![Some("1.20"), None]);
        let read = decimals(&texts, &DataType::Decimal128(5, 1)).unwrap();
        assert_eq!(read.null_count(), 1);
        for text in ["1.25", "12345.5"] {
            let texts = StringArray::from(vec![text]);
            decimals(&texts, &DataType::Decimal128(5, 1)).unwrap_err();
        }
    }
}
