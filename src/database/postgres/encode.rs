//! Rows as `COPY .. FROM STDIN BINARY` takes them.

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};

use super::numeric;
use crate::database::column::Column;
use crate::error::{Error, Result};

/// What a stream of rows begins with: a signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: &[u8] = &(-1_i16).to_be_bytes();

/// From 1970-01-01, where Arrow counts from, to 2000-01-01, where PostgreSQL does.
pub(super) const EPOCH_DAYS: i32 = 10_957;
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// How the values of a column are sent.
pub(super) struct Encoder {
    name: String,
    write: Writer,
}

type Writer = Box<dyn Fn(&ArrayRef, usize, &mut Vec<u8>) -> Result<()> + Send + Sync>;

impl Encoder {
    /// # Errors
    ///
    /// Fails if values of this column are only known as text.
    pub(super) fn of(column: &Column) -> Result<Self> {
        let unknown = || {
            Error::unsupported(format!(
                "column '{}' is {}, which is read but not written",
                column.name.escape_debug(),
                column.sql_type
            ))
        };
        Ok(Self {
            name: column.name.clone(),
            write: writer(&column.data_type, &column.sql_type).ok_or_else(unknown)?,
        })
    }

    /// Appends the value with its length, which is -1 for NULL.
    pub(super) fn append(&self, array: &ArrayRef, row: usize, bytes: &mut Vec<u8>) -> Result<()> {
        append(&self.write, array, row, bytes)
            .map_err(|error| error.context(format!("column '{}'", self.name.escape_debug())))
    }
}

fn append(write: &Writer, array: &ArrayRef, row: usize, bytes: &mut Vec<u8>) -> Result<()> {
    let start = bytes.len();
    if array.is_null(row) {
        bytes.extend((-1_i32).to_be_bytes());
        return Ok(());
    }
    bytes.extend([0; 4]);
    write(array, row, bytes)?;
    let length = i32::try_from(bytes.len() - start - 4)
        .map_err(|_| Error::invalid("a value has more than 2 GB"))?;
    bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn writer(data_type: &DataType, sql_type: &str) -> Option<Writer> {
    Some(match data_type {
        DataType::Boolean => Box::new(|array, row, bytes| {
            bytes.push(u8::from(array.as_boolean().value(row)));
            Ok(())
        }),
        DataType::Int16 => primitive::<Int16Type, 2>(|value| Some(value.to_be_bytes())),
        DataType::Int32 => primitive::<Int32Type, 4>(|value| Some(value.to_be_bytes())),
        DataType::Int64 => primitive::<Int64Type, 8>(|value| Some(value.to_be_bytes())),
        DataType::Float32 => primitive::<Float32Type, 4>(|value| Some(value.to_be_bytes())),
        DataType::Float64 => primitive::<Float64Type, 8>(|value| Some(value.to_be_bytes())),
        DataType::Date32 => {
            primitive::<Date32Type, 4>(|value| value.checked_sub(EPOCH_DAYS).map(i32::to_be_bytes))
        }
        DataType::Time64(_) => {
            primitive::<Time64MicrosecondType, 8>(|value| Some(value.to_be_bytes()))
        }
        DataType::Timestamp(_, _) => primitive::<TimestampMicrosecondType, 8>(|value| {
            value.checked_sub(EPOCH_MICROS).map(i64::to_be_bytes)
        }),
        DataType::Decimal128(_, _) => Box::new(|array, row, bytes| {
            number(
                &array.as_primitive::<Decimal128Type>().value_as_string(row),
                bytes,
            )
        }),
        DataType::Decimal256(_, _) => Box::new(|array, row, bytes| {
            number(
                &array.as_primitive::<Decimal256Type>().value_as_string(row),
                bytes,
            )
        }),
        DataType::Binary => Box::new(|array, row, bytes| {
            bytes.extend(array.as_binary::<i32>().value(row));
            Ok(())
        }),
        DataType::Utf8 => match sql_type {
            "uuid" => Box::new(|array, row, bytes| {
                let value = array.as_string::<i32>().value(row);
                let id = uuid::Uuid::parse_str(value).map_err(|_| {
                    Error::invalid(format!("'{}' is no UUID", value.escape_debug()))
                })?;
                bytes.extend(id.as_bytes());
                Ok(())
            }),
            "jsonb" => Box::new(|array, row, bytes| {
                // Its version.
                bytes.push(1);
                bytes.extend(array.as_string::<i32>().value(row).as_bytes());
                Ok(())
            }),
            _ if super::types::data_type(sql_type).is_some() => Box::new(|array, row, bytes| {
                bytes.extend(array.as_string::<i32>().value(row).as_bytes());
                Ok(())
            }),
            _ => return None,
        },
        DataType::List(item) => {
            let element = sql_type.strip_suffix("[]")?;
            let oid = element_oid(element)?;
            let write = writer(item.data_type(), element)?;
            Box::new(move |array, row, bytes| list(&write, oid, array, row, bytes))
        }
        _ => return None,
    })
}

/// One dimension, which counts from 1; none if it is empty.
fn list(write: &Writer, oid: u32, array: &ArrayRef, row: usize, bytes: &mut Vec<u8>) -> Result<()> {
    let items = array.as_list::<i32>().value(row);
    let count = i32::try_from(items.len()).map_err(|_| Error::invalid("a list is too long"))?;
    bytes.extend(i32::from(count > 0).to_be_bytes());
    bytes.extend(i32::from(items.null_count() > 0).to_be_bytes());
    bytes.extend(oid.to_be_bytes());
    if count > 0 {
        bytes.extend(count.to_be_bytes());
        bytes.extend(1_i32.to_be_bytes());
    }
    for item in 0..items.len() {
        append(write, &items, item, bytes)?;
    }
    Ok(())
}

fn primitive<T: ArrowPrimitiveType, const N: usize>(
    to_bytes: impl Fn(T::Native) -> Option<[u8; N]> + Send + Sync + 'static,
) -> Writer {
    Box::new(move |array, row, bytes| {
        let array: &PrimitiveArray<T> = array.as_primitive();
        let value = to_bytes(array.value(row))
            .ok_or_else(|| Error::invalid("a time is out of PostgreSQL's range"))?;
        bytes.extend(value);
        Ok(())
    })
}

fn number(text: &str, bytes: &mut Vec<u8>) -> Result<()> {
    numeric::to_bytes(text, bytes)
        .ok_or_else(|| Error::invalid(format!("'{text}' is no number of PostgreSQL's")))
}

/// The server's number of a type, which an array carries.
fn element_oid(sql_type: &str) -> Option<u32> {
    use tokio_postgres::types::Type;
    let name = sql_type.split('(').next().unwrap_or_default();
    let element = match name {
        "boolean" => Type::BOOL,
        "smallint" => Type::INT2,
        "integer" => Type::INT4,
        "bigint" => Type::INT8,
        "real" => Type::FLOAT4,
        "double precision" => Type::FLOAT8,
        "numeric" => Type::NUMERIC,
        "text" => Type::TEXT,
        "character varying" => Type::VARCHAR,
        "bytea" => Type::BYTEA,
        "date" => Type::DATE,
        "uuid" => Type::UUID,
        "json" => Type::JSON,
        "jsonb" => Type::JSONB,
        _ if sql_type.starts_with("timestamp") && sql_type.ends_with("without time zone") => {
            Type::TIMESTAMP
        }
        _ if sql_type.starts_with("timestamp") => Type::TIMESTAMPTZ,
        _ if sql_type.starts_with("time") && sql_type.ends_with("without time zone") => Type::TIME,
        _ => return None,
    };
    Some(element.oid())
}
