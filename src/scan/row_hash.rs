//! The hash of the values of a row: equal rows have the same.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt64Array};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Rows as bytes that are equal where all values are: NULL equals NULL, and floats by their bits.
pub(super) fn converter<'a>(types: impl Iterator<Item = &'a DataType>) -> Result<RowConverter> {
    let fields = types.map(|data_type| SortField::new(data_type.clone()));
    Ok(RowConverter::new(fields.collect())?)
}

/// The function of any values that gives their hash.
pub(super) fn row_hash() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(RowHash {
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowHash {
    signature: Signature,
}

impl ScalarUDFImpl for RowHash {
    fn name(&self) -> &str {
        "row_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types = args
            .arg_fields
            .iter()
            .map(|field: &FieldRef| field.data_type());
        let converter = converter(types)?;
        let columns = args.args.into_iter();
        let columns = columns.map(|column| column.into_array(args.number_rows));
        let rows = converter.convert_columns(&columns.collect::<Result<Vec<ArrayRef>>>()?)?;
        let hash = rows.iter().map(|row| {
            // With the same keys in every partition.
            let mut hasher = DefaultHasher::new();
            hasher.write(row.data());
            hasher.finish()
        });
        Ok(ColumnarValue::Array(Arc::new(
            hash.collect::<UInt64Array>(),
        )))
    }
}
