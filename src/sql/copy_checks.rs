//! What a format cannot hold: found before anything is touched, or before it is published.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, downcast_run_array};
use datafusion::arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::datasource::physical_plan::FileSinkConfig;

use crate::error::{Error, Result};

/// Fails if rows of `schema` cannot be written as `format`.
pub(super) fn schema(
    schema: &DFSchema,
    format: &str,
    partition_by: &[String],
    keep_columns: bool,
) -> Result<()> {
    let schema: &Schema = schema.inner();
    let mut names: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid(format!(
            "two columns are called '{}': give one of them another name with AS",
            twice[0].escape_debug()
        )));
    }
    for name in partition_by {
        if schema.index_of(name).is_err() {
            return Err(Error::invalid(format!(
                "PARTITIONED BY: there is no column '{}'",
                name.escape_debug()
            )));
        }
    }
    if !keep_columns && !partition_by.is_empty() && partition_by.len() >= schema.fields().len() {
        return Err(Error::invalid(
            "PARTITIONED BY names every column, and none would be left for the files",
        ));
    }
    for field in schema.fields() {
        if let Some(what) = refused(field.data_type(), format) {
            return Err(Error::unsupported(format!(
                "column '{}' is {what}, which {} cannot hold: cast it, or use PARQUET",
                field.name().escape_debug(),
                format.to_uppercase()
            )));
        }
    }
    Ok(())
}

fn refused(data_type: &DataType, format: &str) -> Option<String> {
    let nested = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, value) => value.is_nested(),
        data_type => data_type.is_nested(),
    };
    match format {
        "csv" if nested(data_type) => Some(format!("nested ({data_type})")),
        "json" if holds(data_type, &|inner| matches!(inner, DataType::Union(..))) => {
            Some("a union".to_owned())
        }
        _ => None,
    }
}

/// True if `wanted` holds of the type or of one inside it.
fn holds(data_type: &DataType, wanted: &dyn Fn(&DataType) -> bool) -> bool {
    let inside = match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => holds(field.data_type(), wanted),
        DataType::Struct(fields) => fields.iter().any(|field| holds(field.data_type(), wanted)),
        DataType::Dictionary(_, value) => holds(value, wanted),
        DataType::RunEndEncoded(_, values) => holds(values.data_type(), wanted),
        _ => false,
    };
    inside || wanted(data_type)
}

pub(super) fn unknown_option(key: &str, format: &str) -> Error {
    Error::invalid(format!(
        "COPY to {} has no option '{}'",
        format.to_uppercase(),
        key.strip_prefix("format.").unwrap_or(key).escape_debug()
    ))
}

/// What is looked for in the rows as they pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    /// Columns that JSON would write as null where they are no finite number.
    floats: Vec<(usize, String)>,
    /// Columns whose values become names of directories, and NULL has none.
    partitions: Vec<(usize, String)>,
}

impl Values {
    pub(super) fn new(format: &str, config: &FileSinkConfig) -> Self {
        let fields = config.output_schema.fields().iter().enumerate();
        let float = |data_type: &DataType| holds(data_type, &|inner| inner.is_floating());
        let floats = fields
            .filter(|(_, field)| format == "json" && float(field.data_type()))
            .map(|(at, field)| (at, field.name().clone()));
        let partitions = config.table_partition_cols.iter();
        let partitions = partitions.filter_map(|(name, _)| {
            let at = config.output_schema.index_of(name).ok()?;
            Some((at, name.clone()))
        });
        Self {
            floats: floats.collect(),
            partitions: partitions.collect(),
        }
    }

    /// Fails if a value would be written as something else.
    pub(super) fn check(&self, batch: &RecordBatch) -> Result<()> {
        for (at, name) in &self.floats {
            if has_non_finite(batch.column(*at)) {
                return Err(Error::invalid(format!(
                    "column '{}' holds NaN or infinity, which JSON cannot hold: replace them, or use PARQUET",
                    name.escape_debug()
                )));
            }
        }
        for (at, name) in &self.partitions {
            if batch.column(*at).logical_null_count() > 0 {
                return Err(Error::invalid(format!(
                    "PARTITIONED BY: column '{}' holds NULL, and no directory can be called so: replace it",
                    name.escape_debug()
                )));
            }
        }
        Ok(())
    }
}

fn has_non_finite(column: &ArrayRef) -> bool {
    match column.data_type() {
        DataType::Float16 => column
            .as_primitive::<Float16Type>()
            .iter()
            .flatten()
            .any(|v| !v.is_finite()),
        DataType::Float32 => column
            .as_primitive::<Float32Type>()
            .iter()
            .flatten()
            .any(|v| !v.is_finite()),
        DataType::Float64 => column
            .as_primitive::<Float64Type>()
            .iter()
            .flatten()
            .any(|v| !v.is_finite()),
        DataType::Struct(_) => column.as_struct().columns().iter().any(has_non_finite),
        DataType::List(_) => column
            .as_list::<i32>()
            .iter()
            .flatten()
            .any(|v| has_non_finite(&v)),
        DataType::LargeList(_) => column
            .as_list::<i64>()
            .iter()
            .flatten()
            .any(|v| has_non_finite(&v)),
        DataType::ListView(_) => column
            .as_list_view::<i32>()
            .iter()
            .flatten()
            .any(|v| has_non_finite(&v)),
        DataType::LargeListView(_) => column
            .as_list_view::<i64>()
            .iter()
            .flatten()
            .any(|v| has_non_finite(&v)),
        DataType::FixedSizeList(..) => column
            .as_fixed_size_list()
            .iter()
            .flatten()
            .any(|v| has_non_finite(&v)),
        DataType::Map(..) => column
            .as_map()
            .entries()
            .columns()
            .iter()
            .any(has_non_finite),
        DataType::Dictionary(..) => has_non_finite(column.as_any_dictionary().values()),
        // Of a slice, the runs that it shows.
        DataType::RunEndEncoded(..) => downcast_run_array! {
            column => has_non_finite(&column.values_slice()),
            _ => false
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Float64Array, Int32Array, RunArray};
    use datafusion::arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn infinities_are_found_in_runs_that_are_shown_and_in_no_others() {
        let ends = Int32Array::from(vec![2, 4]);
        let values = Float64Array::from(vec![1.0, f64::NAN]);
        let runs = RunArray::<Int32Type>::try_new(&ends, &values).unwrap();
        let shown = |offset, length| -> ArrayRef { Arc::new(runs.slice(offset, length)) };
        assert!(has_non_finite(&shown(0, 4)));
        assert!(has_non_finite(&shown(1, 2)));
        assert!(!has_non_finite(&shown(0, 2)));
    }
}
