//! NaN in the rows that are written.
//!
//! A Parquet footer does not tell whether a column holds NaN, so the rows are looked at as
//! they pass. Arrow orders a NaN whose sign is set below all numbers, where no reader of
//! statistics expects one, so every NaN is written as the positive one.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, SchemaRef,
};

/// Remembers in which columns a NaN occurred.
pub(super) struct NanWatch {
    schema: SchemaRef,
    found: Vec<bool>,
}

impl NanWatch {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            found: vec![false; schema.fields().len()],
        }
    }

    /// Looks at a batch of columns of the table.
    pub(super) fn look(&mut self, columns: &[ArrayRef]) {
        for (found, column) in self.found.iter_mut().zip(columns) {
            *found = *found || has_nan(column);
        }
    }

    /// True if no NaN occurred in the column called `name`.
    pub(super) fn is_free(&self, name: &str) -> bool {
        self.schema.index_of(name).is_ok_and(|at| !self.found[at])
    }
}

/// The column with every NaN positive.
pub(super) fn with_positive_nan(column: &ArrayRef) -> ArrayRef {
    if !has_nan(column) {
        return Arc::clone(column);
    }
    match column.data_type() {
        DataType::Dictionary(..) => match column.as_any_dictionary_opt() {
            Some(column) => column.with_values(with_positive_nan(column.values())),
            None => Arc::clone(column),
        },
        DataType::Float64 => positive::<Float64Type>(column, |v| v.is_nan(), f64::NAN.abs()),
        DataType::Float32 => positive::<Float32Type>(column, |v| v.is_nan(), f32::NAN.abs()),
        DataType::Float16 => {
            let nan = <Float16Type as ArrowPrimitiveType>::Native::NAN;
            positive::<Float16Type>(column, |v| v.is_nan(), nan)
        }
        _ => Arc::clone(column),
    }
}

fn positive<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    is_nan: impl Fn(T::Native) -> bool,
    nan: T::Native,
) -> ArrayRef {
    let values: &PrimitiveArray<T> = column.as_primitive();
    let cleaned: PrimitiveArray<T> = values.unary(|value| if is_nan(value) { nan } else { value });
    Arc::new(cleaned)
}

fn has_nan(column: &dyn Array) -> bool {
    match column.data_type() {
        DataType::Dictionary(..) => column
            .as_any_dictionary_opt()
            .is_some_and(|column| has_nan(column.values())),
        DataType::Float64 => any::<Float64Type>(column, |value| value.is_nan()),
        DataType::Float32 => any::<Float32Type>(column, |value| value.is_nan()),
        DataType::Float16 => any::<Float16Type>(column, |value| value.is_nan()),
        _ => false,
    }
}

fn any<T: ArrowPrimitiveType>(column: &dyn Array, is_nan: impl Fn(T::Native) -> bool) -> bool {
    column
        .as_primitive::<T>()
        .values()
        .iter()
        .any(|value| is_nan(*value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{DictionaryArray, Float64Array, Int8Array};
    use datafusion::arrow::datatypes::{Field, Schema};

    #[test]
    fn every_nan_is_seen_and_made_positive() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Float64, true),
            Field::new("b", DataType::Float64, true),
        ]));
        let a: ArrayRef = Arc::new(Float64Array::from(vec![Some(-f64::NAN), Some(1.0), None]));
        let b: ArrayRef = Arc::new(Float64Array::from(vec![1.0, -0.0, f64::INFINITY]));
        let mut watch = NanWatch::new(&schema);
        watch.look(&[Arc::clone(&a), Arc::clone(&b)]);
        assert!(!watch.is_free("a") && watch.is_free("b"));
        let cleaned = with_positive_nan(&a);
        let cleaned = cleaned.as_primitive::<Float64Type>();
        assert!(cleaned.value(0).is_nan() && cleaned.value(0).is_sign_positive());
        assert!(cleaned.value(1) == 1.0 && cleaned.is_null(2));
        assert!(Arc::ptr_eq(&with_positive_nan(&b), &b));
    }

    #[test]
    fn a_nan_among_the_values_of_a_dictionary_is_made_positive() {
        let values = Arc::new(Float64Array::from(vec![1.0, -f64::NAN]));
        let column = DictionaryArray::new(Int8Array::from(vec![1, 0, 1]), values);
        let cleaned = with_positive_nan(&(Arc::new(column) as ArrayRef));
        let cleaned = cleaned.as_any_dictionary();
        let values = cleaned.values().as_primitive::<Float64Type>();
        assert!(values.value(1).is_nan() && values.value(1).is_sign_positive());
        assert_eq!(cleaned.normalized_keys(), [1, 0, 1]);
    }
}
