//! The right answers: the same rows in memory, in a session that knows nothing of atio.

#![cfg(test)]

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, SchemaRef,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::settings::Setting;
use crate::session::run;

/// A plain session on one thread of work, without filters that are made while it runs.
pub(super) fn session() -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", false);
    SessionContext::new_with_config(config)
}

/// The settings of the session with atio, where they are others than here.
pub(super) fn as_usual() -> Vec<Setting> {
    let setting = |name: &str, value: &str| (format!("datafusion.{name}"), value.to_owned());
    vec![
        setting("execution.target_partitions", "2"),
        setting("optimizer.enable_dynamic_filter_pushdown", "true"),
    ]
}

/// The rows of a query as a table with `schema` stores them.
pub(super) async fn stored(
    ctx: &SessionContext,
    sql: &str,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>, String> {
    let batches = run(ctx, sql)
        .await
        .map_err(|error| error.strip_backtrace())?;
    let stored = batches.iter().map(|batch| {
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns
            .map(|(column, field)| with_positive_nan(&cast(column, field.data_type()).unwrap()));
        RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
    });
    Ok(stored.collect())
}

pub(super) fn register(
    ctx: &SessionContext,
    name: &str,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) {
    let table = MemTable::try_new(Arc::clone(schema), vec![batches]).unwrap();
    ctx.register_table(name, Arc::new(table)).unwrap();
}

/// atio stores every NaN as the positive one.
fn with_positive_nan(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => positive::<Float64Type>(column, f64::is_nan, f64::NAN.abs()),
        DataType::Float32 => positive::<Float32Type>(column, f32::is_nan, f32::NAN.abs()),
        DataType::Float16 => {
            let nan = <Float16Type as ArrowPrimitiveType>::Native::NAN;
            positive::<Float16Type>(column, |value| value.is_nan(), nan)
        }
        DataType::Dictionary(_, values) if values.is_floating() => {
            let plain = with_positive_nan(&cast(column, values).unwrap());
            cast(&plain, column.data_type()).unwrap()
        }
        _ => Arc::clone(column),
    }
}

fn positive<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    is_nan: impl Fn(T::Native) -> bool,
    nan: T::Native,
) -> ArrayRef {
    let column = column.as_primitive::<T>();
    let cleaned: PrimitiveArray<T> = column.unary(|value| if is_nan(value) { nan } else { value });
    Arc::new(cleaned)
}
