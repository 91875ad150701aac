//! Arrow types as JSON, in the form of Arrow's own integration tests.
//!
//! The form and its names are those of "Integration Testing, JSON test data format" in the
//! Arrow columnar format documentation; children are written beside the type.

use arrow::datatypes::{DataType, FieldRef, IntervalUnit, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A type without its children, as the `type` member of a schema field holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum TypeJson {
    Null,
    Bool,
    Int {
        #[serde(rename = "bitWidth")]
        bit_width: u8,
        #[serde(rename = "isSigned")]
        is_signed: bool,
    },
    FloatingPoint {
        precision: Precision,
    },
    Decimal {
        precision: u8,
        scale: i8,
        #[serde(rename = "bitWidth")]
        bit_width: u16,
    },
    Utf8,
    LargeUtf8,
    Utf8View,
    Binary,
    LargeBinary,
    BinaryView,
    FixedSizeBinary {
        #[serde(rename = "byteWidth")]
        byte_width: i32,
    },
    Date {
        unit: DateUnit,
    },
    Time {
        unit: UnitJson,
        #[serde(rename = "bitWidth")]
        bit_width: u8,
    },
    Timestamp {
        unit: UnitJson,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timezone: Option<String>,
    },
    Duration {
        unit: UnitJson,
    },
    Interval {
        unit: IntervalJson,
    },
    List,
    LargeList,
    FixedSizeList {
        #[serde(rename = "listSize")]
        list_size: i32,
    },
    Struct,
    Map {
        #[serde(rename = "keysSorted")]
        keys_sorted: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Precision {
    Half,
    Single,
    Double,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DateUnit {
    Day,
    Millisecond,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum UnitJson {
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IntervalJson {
    YearMonth,
    DayTime,
}

/// How a dictionary-encoded column is encoded; its `type` is that of the values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DictionaryJson {
    #[serde(rename = "indexType")]
    pub index_type: TypeJson,
    #[serde(rename = "isOrdered", default)]
    pub is_ordered: bool,
}

impl TypeJson {
    /// The JSON form of `data_type`, without its children and dictionary.
    ///
    /// Fails for a type that Parquet cannot hold.
    pub fn of(data_type: &DataType) -> Result<Self> {
        let int = |bit_width, is_signed| TypeJson::Int {
            bit_width,
            is_signed,
        };
        let decimal = |precision: &u8, scale: &i8, bit_width| TypeJson::Decimal {
            precision: *precision,
            scale: *scale,
            bit_width,
        };
        if let DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) = data_type
            && !(0..=i16::from(*p)).contains(&i16::from(*s))
        {
            return Err(Error::invalid(format!(
                "type {data_type} cannot be stored: Parquet needs a scale from 0 to the precision"
            )));
        }
        if let DataType::FixedSizeBinary(size) | DataType::FixedSizeList(_, size) = data_type
            && *size < 0
        {
            return Err(Error::invalid(format!(
                "type {data_type} has a size below zero"
            )));
        }
        if !can_be_read_back(data_type) {
            return Err(Error::invalid(format!(
                "type {data_type} cannot be stored: it would not read back from Parquet as it was"
            )));
        }
        Ok(match data_type {
            DataType::Null => TypeJson::Null,
            DataType::Boolean => TypeJson::Bool,
            DataType::Int8 => int(8, true),
            DataType::Int16 => int(16, true),
            DataType::Int32 => int(32, true),
            DataType::Int64 => int(64, true),
            DataType::UInt8 => int(8, false),
            DataType::UInt16 => int(16, false),
            DataType::UInt32 => int(32, false),
            DataType::UInt64 => int(64, false),
            DataType::Float16 => TypeJson::FloatingPoint {
                precision: Precision::Half,
            },
            DataType::Float32 => TypeJson::FloatingPoint {
                precision: Precision::Single,
            },
            DataType::Float64 => TypeJson::FloatingPoint {
                precision: Precision::Double,
            },
            DataType::Decimal32(p, s) => decimal(p, s, 32),
            DataType::Decimal64(p, s) => decimal(p, s, 64),
            DataType::Decimal128(p, s) => decimal(p, s, 128),
            DataType::Decimal256(p, s) => decimal(p, s, 256),
            DataType::Utf8 => TypeJson::Utf8,
            DataType::LargeUtf8 => TypeJson::LargeUtf8,
            DataType::Utf8View => TypeJson::Utf8View,
            DataType::Binary => TypeJson::Binary,
            DataType::LargeBinary => TypeJson::LargeBinary,
            DataType::BinaryView => TypeJson::BinaryView,
            DataType::FixedSizeBinary(byte_width) => TypeJson::FixedSizeBinary {
                byte_width: *byte_width,
            },
            DataType::Date32 => TypeJson::Date {
                unit: DateUnit::Day,
            },
            DataType::Date64 => TypeJson::Date {
                unit: DateUnit::Millisecond,
            },
            DataType::Time32(unit) => TypeJson::Time {
                unit: unit.into(),
                bit_width: 32,
            },
            DataType::Time64(unit) => TypeJson::Time {
                unit: unit.into(),
                bit_width: 64,
            },
            DataType::Timestamp(unit, timezone) => TypeJson::Timestamp {
                unit: unit.into(),
                timezone: timezone.as_ref().map(|zone| zone.to_string()),
            },
            DataType::Duration(unit) => TypeJson::Duration { unit: unit.into() },
            DataType::Interval(IntervalUnit::YearMonth) => TypeJson::Interval {
                unit: IntervalJson::YearMonth,
            },
            DataType::Interval(IntervalUnit::DayTime) => TypeJson::Interval {
                unit: IntervalJson::DayTime,
            },
            DataType::List(_) => TypeJson::List,
            DataType::LargeList(_) => TypeJson::LargeList,
            DataType::FixedSizeList(_, list_size) => TypeJson::FixedSizeList {
                list_size: *list_size,
            },
            DataType::Struct(fields) if !fields.is_empty() => TypeJson::Struct,
            DataType::Map(_, keys_sorted) => TypeJson::Map {
                keys_sorted: *keys_sorted,
            },
            DataType::Dictionary(_, value) if !value.is_nested() => TypeJson::of(value)?,
            other => {
                return Err(Error::invalid(format!(
                    "type {other} cannot be stored: Parquet has no place for it"
                )));
            }
        })
    }

    /// False for what pandas reads from Parquet as a bare number or bytes.
    pub(super) fn python_may_read(&self) -> bool {
        let second = UnitJson::Second;
        !matches!(self,
            TypeJson::Timestamp { unit, .. } | TypeJson::Time { unit, .. } | TypeJson::Duration { unit }
                if *unit == second)
            && !matches!(
                self,
                TypeJson::Date {
                    unit: DateUnit::Millisecond
                } | TypeJson::Interval { .. }
            )
    }

    /// The Arrow type with these children; the reverse of [`TypeJson::of`].
    pub fn to_arrow(&self, children: Vec<FieldRef>) -> Result<DataType> {
        let count = children.len();
        let mut children = children.into_iter();
        let mut child = || {
            children.next().filter(|_| count == 1).ok_or_else(|| {
                Error::damaged(format!("a type of the schema has {count} children, not 1"))
            })
        };
        let data_type = match self {
            TypeJson::List => DataType::List(child()?),
            TypeJson::LargeList => DataType::LargeList(child()?),
            TypeJson::FixedSizeList { list_size } => DataType::FixedSizeList(child()?, *list_size),
            TypeJson::Map { keys_sorted } => DataType::Map(child()?, *keys_sorted),
            TypeJson::Struct => DataType::Struct(children.collect()),
            _ if count > 0 => {
                return Err(Error::damaged(
                    "a type of the schema without children has some",
                ));
            }
            leaf => leaf.leaf_to_arrow().ok_or_else(|| {
                Error::unsupported(format!(
                    "the schema has a type that this release does not know: {leaf:?}"
                ))
            })?,
        };
        Ok(data_type)
    }

    fn leaf_to_arrow(&self) -> Option<DataType> {
        Some(match self {
            TypeJson::Null => DataType::Null,
            TypeJson::Bool => DataType::Boolean,
            TypeJson::Int {
                bit_width: 8,
                is_signed: true,
            } => DataType::Int8,
            TypeJson::Int {
                bit_width: 16,
                is_signed: true,
            } => DataType::Int16,
            TypeJson::Int {
                bit_width: 32,
                is_signed: true,
            } => DataType::Int32,
            TypeJson::Int {
                bit_width: 64,
                is_signed: true,
            } => DataType::Int64,
            TypeJson::Int {
                bit_width: 8,
                is_signed: false,
            } => DataType::UInt8,
            TypeJson::Int {
                bit_width: 16,
                is_signed: false,
            } => DataType::UInt16,
            TypeJson::Int {
                bit_width: 32,
                is_signed: false,
            } => DataType::UInt32,
            TypeJson::Int {
                bit_width: 64,
                is_signed: false,
            } => DataType::UInt64,
            TypeJson::FloatingPoint {
                precision: Precision::Half,
            } => DataType::Float16,
            TypeJson::FloatingPoint {
                precision: Precision::Single,
            } => DataType::Float32,
            TypeJson::FloatingPoint {
                precision: Precision::Double,
            } => DataType::Float64,
            TypeJson::Decimal {
                precision,
                scale,
                bit_width: 32,
            } => DataType::Decimal32(*precision, *scale),
            TypeJson::Decimal {
                precision,
                scale,
                bit_width: 64,
            } => DataType::Decimal64(*precision, *scale),
            TypeJson::Decimal {
                precision,
                scale,
                bit_width: 128,
            } => DataType::Decimal128(*precision, *scale),
            TypeJson::Decimal {
                precision,
                scale,
                bit_width: 256,
            } => DataType::Decimal256(*precision, *scale),
            TypeJson::Utf8 => DataType::Utf8,
            TypeJson::LargeUtf8 => DataType::LargeUtf8,
            TypeJson::Utf8View => DataType::Utf8View,
            TypeJson::Binary => DataType::Binary,
            TypeJson::LargeBinary => DataType::LargeBinary,
            TypeJson::BinaryView => DataType::BinaryView,
            TypeJson::FixedSizeBinary { byte_width } => DataType::FixedSizeBinary(*byte_width),
            TypeJson::Date {
                unit: DateUnit::Day,
            } => DataType::Date32,
            TypeJson::Date {
                unit: DateUnit::Millisecond,
            } => DataType::Date64,
            TypeJson::Time {
                unit,
                bit_width: 32,
            } => DataType::Time32(unit.into()),
            TypeJson::Time {
                unit,
                bit_width: 64,
            } => DataType::Time64(unit.into()),
            TypeJson::Timestamp { unit, timezone } => {
                DataType::Timestamp(unit.into(), timezone.as_deref().map(Into::into))
            }
            TypeJson::Duration { unit } => DataType::Duration(unit.into()),
            TypeJson::Interval {
                unit: IntervalJson::YearMonth,
            } => DataType::Interval(IntervalUnit::YearMonth),
            TypeJson::Interval {
                unit: IntervalJson::DayTime,
            } => DataType::Interval(IntervalUnit::DayTime),
            _ => return None,
        })
    }
}

/// False for dictionaries of views or of nested values, and for maps whose key may be null.
fn can_be_read_back(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => {
            !values.is_nested() && !matches!(**values, DataType::Utf8View | DataType::BinaryView)
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields.len() == 2 && !fields[0].is_nullable(),
            _ => false,
        },
        _ => true,
    }
}

impl From<&TimeUnit> for UnitJson {
    fn from(unit: &TimeUnit) -> Self {
        match unit {
            TimeUnit::Second => UnitJson::Second,
            TimeUnit::Millisecond => UnitJson::Millisecond,
            TimeUnit::Microsecond => UnitJson::Microsecond,
            TimeUnit::Nanosecond => UnitJson::Nanosecond,
        }
    }
}

impl From<&UnitJson> for TimeUnit {
    fn from(unit: &UnitJson) -> Self {
        match unit {
            UnitJson::Second => TimeUnit::Second,
            UnitJson::Millisecond => TimeUnit::Millisecond,
            UnitJson::Microsecond => TimeUnit::Microsecond,
            UnitJson::Nanosecond => TimeUnit::Nanosecond,
        }
    }
}
