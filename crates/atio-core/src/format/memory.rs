//! How many bytes parsed metadata takes in memory.
//!
//! Room that is set aside for more counts. What the allocator adds to each piece does not.

use std::collections::BTreeMap;

use super::schema::SchemaField;
use super::stats::{Bound, ColumnStats, Value};
use super::type_json::TypeJson;
use super::{FileEntry, Manifest, TableSchema};

/// The slots of a node of a `BTreeMap`, and how many of them hold an entry at least, unless the
/// node is the only one.
const NODE_SLOTS: usize = 11;
const NODE_ENTRIES: usize = 5;

/// The bytes of a manifest.
pub fn of_manifest(manifest: &Manifest) -> usize {
    let Manifest {
        format,
        schema: _,
        stats_ids,
        files,
    } = manifest;
    size_of::<Manifest>()
        + format.capacity()
        + slots(stats_ids)
        + slots(files)
        + files.iter().map(below_file).sum::<usize>()
}

/// The bytes of a schema.
pub fn of_schema(schema: &TableSchema) -> usize {
    let TableSchema {
        id: _,
        fields,
        metadata,
    } = schema;
    size_of::<TableSchema>() + below_fields(fields) + below_map(metadata)
}

/// The bytes of the elements themselves, not of what they own.
fn slots<T>(elements: &Vec<T>) -> usize {
    elements.capacity() * size_of::<T>()
}

fn below_file(file: &FileEntry) -> usize {
    let FileEntry {
        path,
        format,
        size: _,
        rows: _,
        checksum: _,
        dv,
        stats,
        column_bytes,
    } = file;
    let vector = dv.as_ref().map_or(0, |vector| vector.path.capacity());
    path.capacity()
        + vector
        + format.capacity()
        + slots(stats)
        + stats.iter().map(below_stats).sum::<usize>()
        + slots(column_bytes)
}

fn below_stats(stats: &ColumnStats) -> usize {
    let text = |bound: &Bound| match &bound.value {
        Value::Text(text) => text.capacity(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
    };
    [&stats.min, &stats.max]
        .into_iter()
        .flatten()
        .map(text)
        .sum()
}

fn below_fields(fields: &Vec<SchemaField>) -> usize {
    slots(fields) + fields.iter().map(below_field).sum::<usize>()
}

fn below_field(field: &SchemaField) -> usize {
    let zone = match &field.data_type {
        TypeJson::Timestamp {
            timezone: Some(zone),
            ..
        } => zone.capacity(),
        _ => 0,
    };
    field.name.capacity()
        + field.legacy_name.as_ref().map_or(0, String::capacity)
        + zone
        + below_map(&field.metadata)
        + below_fields(&field.children)
}

fn below_map(map: &BTreeMap<String, String>) -> usize {
    let nodes = map.len().div_ceil(NODE_ENTRIES);
    let texts = map
        .iter()
        .map(|(key, value)| key.capacity() + value.capacity());
    nodes * NODE_SLOTS * size_of::<(String, String)>() + texts.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(stats: Vec<ColumnStats>) -> FileEntry {
        FileEntry {
            path: "p".repeat(100),
            format: "parquet".to_owned(),
            size: Some(1),
            rows: Some(1),
            checksum: None,
            dv: None,
            column_bytes: vec![Some(1); stats.len()],
            stats,
        }
    }

    fn text(length: usize) -> ColumnStats {
        let bound = |text: String| {
            let value = Value::Text(text);
            Some(Bound { value, cut: false })
        };
        ColumnStats {
            nulls: Some(0),
            min: bound("a".repeat(length)),
            max: bound("b".repeat(length)),
            nan: false,
        }
    }

    /// A file costs what it holds, whatever its JSON looks like.
    #[test]
    fn a_manifest_costs_what_its_files_hold() {
        let empty = of_manifest(&Manifest::new(1, Vec::new(), Vec::new()));
        let with = |files| of_manifest(&Manifest::new(1, Vec::new(), files)) - empty;
        let plain = with(vec![file(Vec::new())]);
        assert_eq!(plain, size_of::<FileEntry>() + 100 + "parquet".len());
        let many = with((0..1000).map(|_| file(Vec::new())).collect());
        assert_eq!(many, 1000 * plain);

        // Unknown statistics are `null` in JSON, and as large as known ones here.
        let column = size_of::<ColumnStats>() + size_of::<Option<u64>>();
        let unknown = with(vec![file(vec![ColumnStats::default()])]);
        assert_eq!(unknown, plain + column);
        assert_eq!(with(vec![file(vec![text(64)])]), unknown + 2 * 64);
        assert_eq!(with(vec![file(vec![text(0)])]), unknown);

        let vector = crate::format::VectorRef {
            path: "v".repeat(60),
            offset: 0,
            size: 1,
            checksum: crate::format::Checksum::of(b""),
            rows: 1,
        };
        let marked = with(vec![FileEntry {
            dv: Some(vector),
            ..file(Vec::new())
        }]);
        assert_eq!(marked, plain + 60);

        let mut roomy = Vec::with_capacity(50);
        roomy.push(file(Vec::new()));
        assert_eq!(with(roomy), plain + 49 * size_of::<FileEntry>());
    }

    #[test]
    fn a_schema_costs_its_names_at_every_depth_and_its_metadata() {
        use super::super::schema::FieldIds;
        use arrow::datatypes::{DataType, Field, Schema};

        let cost = |field: Field| {
            let schema = Schema::new(vec![field]);
            let schema = TableSchema::from_arrow(1, &schema, &mut FieldIds { next: 1 });
            of_schema(&schema.unwrap())
        };
        let list = |item: &str| {
            let item = Field::new(item, DataType::Int8, true);
            Field::new("c", DataType::List(item.into()), true)
        };
        let plain = cost(Field::new("c", DataType::Int8, true));
        assert!(cost(list("item")) >= plain + size_of::<SchemaField>());
        assert!(cost(list(&"x".repeat(5000))) >= cost(list("item")) + 4900);
        let noted = Field::new("c", DataType::Int8, true)
            .with_metadata([("unit".to_owned(), "m".repeat(5000))].into());
        assert!(cost(noted) >= plain + 5000 + size_of::<(String, String)>());
        let zone = DataType::Timestamp(
            arrow::datatypes::TimeUnit::Second,
            Some("Europe/Berlin".into()),
        );
        assert!(cost(Field::new("c", zone, true)) >= plain + "Europe/Berlin".len());
    }
}
