//! The types of columns, with values at their edges, as SQL.

#![cfg(test)]

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use crate::random::Random;

/// What a column can hold: a type of Arrow, or one of the nested values below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Plain(DataType),
    /// A list of integers.
    List,
    /// A struct of an integer `a` and a text `b`.
    Struct,
}

/// What can be done with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Integer,
    Float,
    Decimal,
    Boolean,
    Text,
    Binary,
    Temporal,
    Nested,
}

/// Longer than what Parquet and manifests keep of a bound.
const LONG: usize = 70;

impl Kind {
    /// Any kind; those that break most often come more often.
    pub(super) fn any(random: &mut Random) -> Self {
        use DataType::*;
        use TimeUnit::*;
        let zone = [None, Some("UTC"), Some("+05:30")][random.below(3)].map(Arc::from);
        let unit = [Second, Millisecond, Microsecond, Nanosecond][random.below(4)];
        let plain = match random.below(20) {
            0 | 1 => [Int8, Int16, Int32, Int64][random.below(4)].clone(),
            2 | 3 => [UInt8, UInt16, UInt32, UInt64][random.below(4)].clone(),
            4 => Int64,
            5..=7 => [Float16, Float32, Float64, Float64][random.below(4)].clone(),
            8 => [
                Decimal32(9, 4),
                Decimal64(18, 0),
                Decimal128(10, 2),
                Decimal128(38, 10),
                Decimal256(50, 5),
            ][random.below(5)]
            .clone(),
            9 => Boolean,
            10 | 11 => Utf8,
            12 => [LargeUtf8, Utf8View][random.below(2)].clone(),
            13 => [Binary, LargeBinary, BinaryView, FixedSizeBinary(4)][random.below(4)].clone(),
            14 => [Date32, Date64][random.below(2)].clone(),
            15 => match unit {
                Second | Millisecond => Time32(unit),
                Microsecond | Nanosecond => Time64(unit),
            },
            16 | 17 => Timestamp(unit, zone),
            18 => match random.below(4) {
                0 => Duration(unit),
                1 => Dictionary(Box::new(Int32), Box::new(Utf8)),
                2 => Dictionary(Box::new(Int8), Box::new(Float64)),
                _ => Dictionary(Box::new(Int16), Box::new(Int64)),
            },
            _ => return [Self::List, Self::Struct][random.below(2)].clone(),
        };
        Self::Plain(plain)
    }

    /// How `CREATE TABLE` spells it, if it can.
    pub(super) fn spelled(&self) -> Option<&'static str> {
        let Self::Plain(plain) = self else {
            return None;
        };
        Some(match plain {
            DataType::Int8 => "TINYINT",
            DataType::Int16 => "SMALLINT",
            DataType::Int32 => "INT",
            DataType::Int64 => "BIGINT",
            DataType::UInt8 => "TINYINT UNSIGNED",
            DataType::UInt16 => "SMALLINT UNSIGNED",
            DataType::UInt32 => "INT UNSIGNED",
            DataType::UInt64 => "BIGINT UNSIGNED",
            DataType::Float32 => "REAL",
            DataType::Float64 => "DOUBLE",
            DataType::Decimal128(10, 2) => "DECIMAL(10, 2)",
            DataType::Decimal128(38, 10) => "DECIMAL(38, 10)",
            DataType::Boolean => "BOOLEAN",
            DataType::Utf8View => "VARCHAR",
            DataType::Binary => "BYTEA",
            DataType::Date32 => "DATE",
            DataType::Timestamp(TimeUnit::Nanosecond, None) => "TIMESTAMP",
            _ => return None,
        })
    }

    pub(super) fn class(&self) -> Class {
        match self {
            Self::Plain(plain) => class(plain),
            Self::List | Self::Struct => Class::Nested,
        }
    }

    /// False also for dictionaries of integers: the engine's hash join fails on them where it
    /// knows their bounds.
    fn can_be_joined(&self) -> bool {
        let dictionary = matches!(self, Self::Plain(DataType::Dictionary(..)));
        self.class() != Class::Nested && !(dictionary && self.class() == Class::Integer)
    }

    /// Types that the engine casts to one of them are among these: its filters see the cast.
    pub(super) fn can_be_joined_with(&self, other: &Self) -> bool {
        let is_number = |kind: &Self| matches!(kind.class(), Class::Integer | Class::Float);
        let can = self.can_be_joined() && other.can_be_joined();
        can && (self == other || is_number(self) && is_number(other))
    }

    /// Values at the edges of the type, each an expression of exactly this type.
    pub(super) fn edges(&self) -> Vec<String> {
        match self {
            Self::Plain(plain) => edges(plain),
            Self::List => ["1", "1, 2, NULL", "NULL", "-5, 9223372036854775807"]
                .map(|items| format!("make_array(CAST(0 AS BIGINT), {items})"))
                .into(),
            Self::Struct => [
                ("NULL", "'x'"),
                ("1", "NULL"),
                ("-1", "''"),
                ("NULL", "NULL"),
            ]
            .map(|(a, b)| {
                format!("named_struct('a', CAST({a} AS BIGINT), 'b', CAST({b} AS VARCHAR))")
            })
            .into(),
        }
    }

    /// A value of this type that grows with the whole number `n`, an expression, as far as the
    /// type reaches.
    pub(super) fn nth(&self, n: &str) -> String {
        match self {
            Self::Plain(plain) => nth(plain, n),
            Self::List => format!("make_array({n}, {n} % 7)"),
            Self::Struct => {
                format!("named_struct('a', {n}, 'b', CAST({n} % 100 AS VARCHAR))")
            }
        }
    }
}

fn class(plain: &DataType) -> Class {
    use DataType::*;
    match plain {
        Float16 | Float32 | Float64 => Class::Float,
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => Class::Decimal,
        Boolean => Class::Boolean,
        Utf8 | LargeUtf8 | Utf8View => Class::Text,
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Class::Binary,
        Dictionary(_, values) => class(values),
        plain if plain.is_integer() => Class::Integer,
        _ => Class::Temporal,
    }
}

fn cast(value: &str, to: &DataType) -> String {
    format!("arrow_cast({value}, '{to}')")
}

fn edges(plain: &DataType) -> Vec<String> {
    use DataType::*;
    use TimeUnit::*;
    let texts = |texts: &[&str]| -> Vec<String> {
        texts
            .iter()
            .map(|text| cast(&format!("'{text}'"), plain))
            .collect()
    };
    let ints = |of: &DataType, ints: &[i64]| -> Vec<String> {
        let through = |int: &i64| cast(&cast(&format!("'{int}'"), of), plain);
        ints.iter().map(through).collect()
    };
    match plain {
        Int8 => texts(&["-128", "-127", "-1", "0", "1", "127"]),
        Int16 => texts(&["-32768", "-32767", "-1", "0", "1", "32767"]),
        Int32 => texts(&["-2147483648", "-1", "0", "1", "7", "2147483647"]),
        Int64 => texts(&[
            "-9223372036854775808",
            "-9007199254740993",
            "-1",
            "0",
            "1",
            "9007199254740993",
            "9223372036854775806",
            "9223372036854775807",
        ]),
        UInt8 => texts(&["0", "1", "127", "128", "255"]),
        UInt16 => texts(&["0", "1", "32768", "65535"]),
        UInt32 => texts(&["0", "1", "2147483648", "4294967295"]),
        UInt64 => texts(&["0", "1", "9223372036854775808", "18446744073709551615"]),
        Float16 => float(plain, &["65504", "-65504", "6e-8", "0.1"]),
        Float32 => float(plain, &["3.4028235e38", "-3.4028235e38", "1e-45", "0.1"]),
        Float64 => float(
            plain,
            &["1.7976931348623157e308", "5e-324", "-5e-324", "0.1"],
        ),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => {
            let whole = "9".repeat(usize::from(*p) - s.unsigned_abs() as usize);
            let most = match *s {
                0 => whole,
                s => format!("{whole}.{}", "9".repeat(s.unsigned_abs() as usize)),
            };
            texts(&[&most, &format!("-{most}"), "0", "1", "-1", "7"])
        }
        Boolean => vec!["true".into(), "false".into()],
        Utf8 | LargeUtf8 | Utf8View => {
            let long = "p".repeat(LONG);
            let (a, b) = (format!("{long}a"), format!("{long}b"));
            let top = "\u{10ffff}".repeat(20);
            texts(&[
                "", "a", "A", "ab", "NULL", "%", "a_b", "é", "日本", "🦀", &long, &a, &b, &top,
            ])
        }
        Binary | LargeBinary | BinaryView => {
            let (top, long) = ("ff".repeat(LONG), "61".repeat(LONG));
            [
                "",
                "00",
                "0000",
                "61",
                "80",
                "ff",
                &top,
                &long,
                &format!("{long}00"),
            ]
            .map(|hex| cast(&format!("X'{hex}'"), plain))
            .into()
        }
        FixedSizeBinary(_) => ["00000000", "61626364", "7fffffff", "ffffffff"]
            .map(|hex| cast(&format!("X'{hex}'"), plain))
            .into(),
        Date32 => ints(&Int32, &[-2147483648, -719163, -1, 0, 20000, 2147483647]),
        Date64 => ints(&Int64, &[-86400000, 0, 86400000, 1728000000000]),
        Time32(Second) => ints(&Int32, &[0, 1, 43200, 86399]),
        Time32(_) => ints(&Int32, &[0, 1, 43200000, 86399999]),
        Time64(Microsecond) => ints(&Int64, &[0, 1, 43200000000, 86399999999]),
        Time64(_) => ints(&Int64, &[0, 1, 43200000000000, 86399999999999]),
        Timestamp(..) | Duration(_) => {
            ints(&Int64, &[i64::MIN, -1, 0, 1, 1_700_000_000_000, i64::MAX])
        }
        Dictionary(_, values) => {
            let edges = edges(values);
            edges.iter().map(|edge| cast(edge, plain)).collect()
        }
        other => panic!("no values of {other}"),
    }
}

fn float(plain: &DataType, more: &[&str]) -> Vec<String> {
    let common = ["NaN", "inf", "-inf", "0.0", "-0.0", "1", "-1.5"];
    let texts = common.iter().chain(more);
    // There is no way from a text to half of a float.
    let of = |text: &&str| match plain {
        DataType::Float16 => cast(&cast(&format!("'{text}'"), &DataType::Float32), plain),
        _ => cast(&format!("'{text}'"), plain),
    };
    let mut edges: Vec<_> = texts.map(of).collect();
    // The other NaN; no text is read as it.
    edges.push(format!("(- {})", edges[0]));
    edges
}

fn nth(plain: &DataType, n: &str) -> String {
    use DataType::*;
    let number = |expression: String| cast(&format!("({expression})"), plain);
    let padded = format!("lpad(CAST({n} AS VARCHAR), 7, '0')");
    match plain {
        Int8 => number(format!("{n} % 200 - 100")),
        UInt8 => number(format!("{n} % 200")),
        Int16 | UInt16 => number(format!("{n} % 30000")),
        UInt32 | UInt64 => number(n.to_owned()),
        Int32 | Int64 => number(format!("{n} - 500")),
        Float16 => number(format!("{n} % 2000")),
        Float32 | Float64 => number(format!("{n} * 0.5 - 100")),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => {
            let digits = u32::from(*p) - u32::from(s.unsigned_abs());
            number(format!("{n} % {}", 10_u64.pow(digits.min(7))))
        }
        Boolean => format!("({n} % 2 = 0)"),
        Utf8 => cast(&padded, plain),
        LargeUtf8 => cast(&format!("concat('{}', {padded})", "p".repeat(LONG)), plain),
        Utf8View => cast(&format!("concat('é', {padded})"), plain),
        Binary | LargeBinary | BinaryView => cast(&cast(&padded, &Binary), plain),
        FixedSizeBinary(_) => {
            let four = format!("lpad(CAST({n} % 10000 AS VARCHAR), 4, '0')");
            cast(&cast(&four, &Binary), plain)
        }
        Date32 => cast(&cast(&format!("({n})"), &Int32), plain),
        Time32(_) => cast(&cast(&format!("({n} % 86400)"), &Int32), plain),
        Date64 => number(format!("{n} * 86400000")),
        Time64(_) | Timestamp(..) | Duration(_) => number(n.to_owned()),
        // As few values as the smallest key can tell apart.
        Dictionary(_, values) => cast(&nth(values, &format!("({n} % 50)")), plain),
        other => panic!("no values of {other}"),
    }
}
