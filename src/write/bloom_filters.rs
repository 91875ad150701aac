//! Which columns of a data file get a Bloom filter.

use datafusion::arrow::datatypes::Schema;
use datafusion::config::TableParquetOptions;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{LogicalType, Type};
use parquet::schema::types::ColumnDescriptor;

/// Lets the writer make the Bloom filters that `options` ask for, but none of floating-point
/// numbers: a filter goes by bits, and those of the two zeros differ although they are equal.
///
/// The writer takes no for an answer for all columns alone, so it gets that, and a yes for each
/// other column. It splits their names at dots: a column with a dot in its name gets none.
pub(super) fn leave_floats_out(options: &mut TableParquetOptions, schema: &Schema) {
    let global = &mut options.global;
    let (fpp, ndv) = (
        global.bloom_filter_fpp.take(),
        global.bloom_filter_ndv.take(),
    );
    let asked = std::mem::take(&mut global.bloom_filter_on_write);
    // As for the engine, whose writer takes either for a yes.
    if !asked && fpp.is_none() && ndv.is_none() {
        return;
    }
    // Columns that are not Parquet's to write fail elsewhere.
    let Ok(columns) = ArrowSchemaConverter::new().convert(schema) else {
        return;
    };
    for column in columns.columns().iter().filter(|column| !is_float(column)) {
        // It would be taken for a column in a struct, which may be a float.
        if column.path().parts().iter().any(|name| name.contains('.')) {
            continue;
        }
        let path = column.path().string();
        let options = options.column_specific_options.entry(path).or_default();
        options.bloom_filter_enabled = Some(true);
        options.bloom_filter_fpp = fpp;
        options.bloom_filter_ndv = ndv;
    }
}

fn is_float(column: &ColumnDescriptor) -> bool {
    let half = column.logical_type_ref() == Some(&LogicalType::Float16);
    half || matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{DataType, Field};
    use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
    use parquet::schema::types::ColumnPath;

    use super::*;

    /// Whether the writer makes a filter of the column with this path.
    fn has_filter(properties: &WriterProperties, path: &[&str]) -> bool {
        let path = path.iter().map(ToString::to_string).collect();
        properties
            .bloom_filter_properties(&ColumnPath::new(path))
            .is_some()
    }

    #[test]
    fn floats_get_no_filter_whatever_asks_for_one() {
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let inner = Field::new("d", DataType::Float64, true);
        let schema = Schema::new(vec![
            Field::new("x", DataType::Float64, true),
            Field::new("h", DataType::Float16, true),
            Field::new("xs", DataType::List(item), true),
            Field::new("a.b", DataType::Float64, true),
            Field::new("c.d", DataType::Utf8, true),
            Field::new("c", DataType::Struct(vec![inner].into()), true),
            Field::new("s", DataType::Utf8, true),
        ]);
        for (asked, fpp, ndv) in [
            (false, None, None),
            (true, None, None),
            (false, Some(0.25), None),
            (false, None, Some(10)),
        ] {
            let mut options = TableParquetOptions::default();
            options.global.skip_arrow_metadata = true;
            options.global.bloom_filter_on_write = asked;
            options.global.bloom_filter_fpp = fpp;
            options.global.bloom_filter_ndv = ndv;
            leave_floats_out(&mut options, &schema);
            let builder = WriterPropertiesBuilder::try_from(&options).unwrap();
            let properties = builder.build();
            let list = &["xs", "list", "item"];
            for float in [&["x"][..], &["h"], list, &["a.b"], &["c", "d"]] {
                assert!(!has_filter(&properties, float), "{float:?}");
            }
            let any = asked || fpp.is_some() || ndv.is_some();
            assert_eq!(has_filter(&properties, &["s"]), any);
            if let (Some(fpp), Some(found)) = (
                fpp,
                properties.bloom_filter_properties(&ColumnPath::from("s")),
            ) {
                assert!((found.fpp() - fpp).abs() < f64::EPSILON);
            }
        }
    }
}
