//! Footers without the bounds that mislead.
//!
//! Parquet's statistics leave NaN out, and DataFusion prunes by them as if it were not there,
//! although NaN is above every number in its order. A Bloom filter holds the bits of values, and
//! the two zeros, which are equal, have different ones. So the engine is handed footers and page
//! indexes in which neither occurs: what a pruner does not see cannot lead it astray, whichever
//! settings it asks.

use std::collections::HashSet;
use std::sync::Arc;

use parquet::basic::{LogicalType, Type};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;

/// The field ids of the floating-point columns of one file that are known to hold no NaN.
///
/// Attached to the file of a scan; a file without it has none.
#[derive(Debug, Default)]
pub(super) struct NanFree(pub(super) HashSet<i32>);

/// The metadata without bounds of columns that may hold NaN, and without Bloom filters of
/// floating-point columns; the same one if there are none.
pub(super) fn without_misleading(
    metadata: Arc<ParquetMetaData>,
    nan_free: Option<&NanFree>,
) -> Result<Arc<ParquetMetaData>> {
    let leaves = misleading(&metadata, nan_free);
    if leaves.is_empty() {
        return Ok(metadata);
    }
    let mut builder = metadata.as_ref().clone().into_builder();
    for mut group in builder.take_row_groups() {
        for leaf in &leaves {
            let column = group.columns()[leaf.at].clone();
            group.columns_mut()[leaf.at] = leaf.cleaned(column)?;
        }
        builder = builder.add_row_group(group);
    }
    let mut index = builder.take_column_index();
    for group in index.iter_mut().flatten() {
        for leaf in leaves.iter().filter(|leaf| leaf.may_hold_nan) {
            if let Some(pages) = group.get_mut(leaf.at) {
                *pages = ColumnIndexMetaData::NONE;
            }
        }
    }
    Ok(Arc::new(builder.set_column_index(index).build()))
}

/// A floating-point column of a file, nested ones included.
struct Leaf {
    at: usize,
    may_hold_nan: bool,
}

/// The columns of which there is something to take away.
fn misleading(metadata: &ParquetMetaData, nan_free: Option<&NanFree>) -> Vec<Leaf> {
    let schema = metadata.file_metadata().schema_descr();
    let leaves = schema.columns().iter().enumerate();
    let floats = leaves.filter(|(_, column)| is_float(column));
    let leaves = floats.map(|(at, column)| {
        let root = schema.get_column_root(at).get_basic_info();
        // Rows are looked at for NaN in the columns of the table, not within them.
        let is_free = column.path().parts().len() == 1
            && root.has_id()
            && nan_free.is_some_and(|free| free.0.contains(&root.id()));
        Leaf {
            at,
            may_hold_nan: !is_free,
        }
    });
    let misleads = |leaf: &Leaf| {
        let mut groups = metadata.row_groups().iter();
        groups.any(|group| leaf.misleads(group.column(leaf.at)))
            || metadata.column_index().is_some_and(|index| {
                let pages = |group: &Vec<_>| group.get(leaf.at) != Some(&ColumnIndexMetaData::NONE);
                leaf.may_hold_nan && index.iter().any(pages)
            })
    };
    leaves.filter(misleads).collect()
}

fn is_float(column: &ColumnDescriptor) -> bool {
    matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
        || column.logical_type_ref() == Some(&LogicalType::Float16)
}

impl Leaf {
    fn misleads(&self, column: &ColumnChunkMetaData) -> bool {
        let has_bounds = column.statistics().is_some_and(|stats| {
            stats.min_bytes_opt().is_some() || stats.max_bytes_opt().is_some()
        });
        column.bloom_filter_offset().is_some()
            || self.may_hold_nan && (has_bounds || column.column_index_offset().is_some())
    }

    fn cleaned(&self, column: ColumnChunkMetaData) -> Result<ColumnChunkMetaData> {
        let unbounded = column
            .statistics()
            .filter(|_| self.may_hold_nan)
            .map(unbounded);
        let mut builder = column
            .into_builder()
            .set_bloom_filter_offset(None)
            .set_bloom_filter_length(None);
        if self.may_hold_nan {
            // Nobody must load from the file what was taken out of the index.
            builder = builder
                .set_column_index_offset(None)
                .set_column_index_length(None);
        }
        if let Some(unbounded) = unbounded {
            builder = builder.set_statistics(unbounded);
        }
        builder.build()
    }
}

/// What the statistics say beside bounds.
fn unbounded(stats: &Statistics) -> Statistics {
    let (distinct, nulls) = (stats.distinct_count_opt(), stats.null_count_opt());
    match stats {
        Statistics::Float(_) => Statistics::float(None, None, distinct, nulls, false),
        Statistics::Double(_) => Statistics::double(None, None, distinct, nulls, false),
        _ => Statistics::fixed_len_byte_array(None, None, distinct, nulls, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use datafusion::arrow::array::{
        Array, ArrayRef, Float32Array, Float64Array, Int64Array, StructArray,
    };
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::arrow::record_batch::RecordBatch;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
    use parquet::file::properties::WriterProperties;

    use atio_core::format::schema::FIELD_ID;

    /// Columns 1 (integers), 2 and 3 (floats) and 4 (a struct of a float) in two row groups.
    fn footer(bloom: bool) -> Arc<ParquetMetaData> {
        let numbered = |name: &str, data_type: &DataType, id: &str| {
            Field::new(name, data_type.clone(), true)
                .with_metadata([(FIELD_ID.to_owned(), id.to_owned())].into())
        };
        let inner: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
        let inner = StructArray::from(vec![(
            Arc::new(Field::new("x", DataType::Float64, true)),
            inner,
        )]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(Float64Array::from(vec![Some(1.0), None])),
            Arc::new(Float32Array::from(vec![2.0, f32::NAN])),
            Arc::new(inner),
        ];
        let fields = ["i", "free", "nan", "s"]
            .into_iter()
            .zip(&columns)
            .enumerate();
        let fields = fields
            .map(|(at, (name, column))| numbered(name, column.data_type(), &(at + 1).to_string()));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let properties = WriterProperties::builder()
            .set_bloom_filter_enabled(bloom)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
        for _ in 0..2 {
            writer.write(&batch).unwrap();
            writer.flush().unwrap();
        }
        let mut reader =
            ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        reader
            .try_parse(&Bytes::from(writer.into_inner().unwrap()))
            .unwrap();
        Arc::new(reader.finish().unwrap())
    }

    /// Of each column: whether it has bounds, an index of pages, one that could be loaded, a
    /// Bloom filter, and how many nulls it counts.
    fn seen(
        metadata: &ParquetMetaData,
        group: usize,
    ) -> Vec<(bool, bool, bool, bool, Option<u64>)> {
        let columns = metadata.row_group(group).columns().iter().enumerate();
        let columns = columns.map(|(at, column)| {
            let stats = column.statistics().unwrap();
            (
                stats.min_bytes_opt().is_some() && stats.max_bytes_opt().is_some(),
                metadata.column_index().unwrap()[group][at] != ColumnIndexMetaData::NONE,
                column.column_index_offset().is_some(),
                column.bloom_filter_offset().is_some(),
                stats.null_count_opt(),
            )
        });
        columns.collect()
    }

    #[test]
    fn bounds_that_nan_makes_wrong_and_bloom_filters_of_floats_are_taken_away() {
        let written = footer(true);
        let all = |nulls| (true, true, true, true, nulls);
        let before = [all(Some(1)), all(Some(1)), all(Some(0)), all(Some(0))];
        let free = NanFree(HashSet::from([2]));
        let shown = without_misleading(Arc::clone(&written), Some(&free)).unwrap();
        for group in 0..2 {
            assert_eq!(seen(&written, group), before);
            assert_eq!(
                seen(&shown, group),
                [
                    all(Some(1)),
                    (true, true, true, false, Some(1)),
                    (false, false, false, false, Some(0)),
                    (false, false, false, false, Some(0)),
                ]
            );
        }
        let again = without_misleading(Arc::clone(&shown), Some(&free)).unwrap();
        assert!(Arc::ptr_eq(&again, &shown), "there is nothing left to take");
    }

    #[test]
    fn a_file_of_which_nothing_is_known_keeps_no_bounds_of_floats() {
        let written = footer(false);
        let shown = without_misleading(Arc::clone(&written), None).unwrap();
        let with_bounds: Vec<_> = seen(&shown, 1).iter().map(|column| column.0).collect();
        assert_eq!(with_bounds, [true, false, false, false]);
        let all = NanFree(HashSet::from([1, 2, 3, 4]));
        let shown = without_misleading(written, Some(&all)).unwrap();
        let with_bounds: Vec<_> = seen(&shown, 1).iter().map(|column| column.0).collect();
        assert_eq!(
            with_bounds,
            [true, true, true, false],
            "nobody looks into a struct"
        );
    }
}
