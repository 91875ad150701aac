//! The schema of a table: Arrow fields with numbers that never change (B5).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::limits::{self, FIELDS, NAME_BYTES, TYPE_DEPTH};
use super::type_json::{DictionaryJson, TypeJson};
use super::{parse_json, to_json};
use crate::error::{Error, Result};

/// The key under which pandas describes a frame; it marks files that Python wrote.
pub const PANDAS: &str = "pandas";
/// The key under which Parquet readers and writers keep a field's number.
pub const FIELD_ID: &str = "PARQUET:field_id";

/// The content of a schema file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSchema {
    pub id: u32,
    pub fields: Vec<SchemaField>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// One column, or one node inside a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SchemaField {
    /// Unique in the table, for ever.
    pub id: i32,
    pub name: String,
    pub nullable: bool,
    #[serde(rename = "type")]
    pub data_type: TypeJson,
    #[serde(default)]
    pub children: Vec<SchemaField>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dictionary: Option<DictionaryJson>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The name in files that have no field ids: those that Python wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_name: Option<String>,
}

/// Hands out field numbers, each once.
#[derive(Debug, Clone, Copy)]
pub struct FieldIds {
    pub next: i32,
}

impl FieldIds {
    fn take(&mut self) -> Result<i32> {
        let id = self.next;
        self.next = id
            .checked_add(1)
            .ok_or_else(|| Error::unsupported("the table has used up its field ids"))?;
        Ok(id)
    }
}

impl TableSchema {
    /// True if a file without field ids has another name for one of the columns.
    pub fn has_legacy_names(&self) -> bool {
        let mut fields = self.fields.iter();
        fields.any(|field| {
            let legacy = field.legacy_name.as_ref();
            legacy.is_some_and(|legacy| *legacy != field.name)
        })
    }

    /// Numbers the nodes of `schema`, parents first.
    ///
    /// Fails where a column cannot be stored: no columns, two columns of one name (also if
    /// only their case differs), a type that Parquet cannot hold.
    pub fn from_arrow(id: u32, schema: &Schema, ids: &mut FieldIds) -> Result<Self> {
        if schema.fields().is_empty() {
            return Err(Error::invalid("a table needs at least one column"));
        }
        let mut names = HashMap::new();
        for field in schema.fields() {
            if let Some(other) = names.insert(field.name().to_lowercase(), field.name()) {
                return Err(Error::invalid(format!(
                    "duplicate column name: '{other}' and '{}'",
                    field.name()
                )));
            }
        }
        let fields = schema
            .fields()
            .iter()
            .map(|field| {
                SchemaField::from_arrow(field, ids, 0)
                    .map_err(|error| error.context(format!("column '{}'", field.name())))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            id,
            fields,
            metadata: schema
                .metadata()
                .clone()
                .into_iter()
                .filter(|(key, _)| key != PANDAS)
                .collect(),
        })
    }

    /// The schema of what Python wrote: columns are found by name in files without ids.
    pub fn from_python(id: u32, schema: &Schema, ids: &mut FieldIds) -> Result<Self> {
        let mut table = Self::from_arrow(id, schema, ids)?;
        table.metadata.clear();
        for field in &mut table.fields {
            field.legacy_name = Some(field.name.clone());
        }
        Ok(table)
    }

    /// Reads the object called `path`; fails with [`ErrorKind::Damaged`](crate::ErrorKind::Damaged).
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self> {
        let schema: Self = parse_json(path, bytes)?;
        schema.check().map_err(|error| error.context(path))?;
        // What CREATE would refuse cannot have been written: other code need not expect it.
        let arrow = schema.to_arrow().map_err(|error| error.context(path))?;
        Self::from_arrow(schema.id, &arrow, &mut FieldIds { next: 1 })
            .map_err(|error| Error::damaged(format!("{path}: {error}")))?;
        Ok(schema)
    }

    fn check(&self) -> Result<()> {
        let mut ids = HashSet::new();
        (self.fields.iter()).try_for_each(|field| field.check(&mut ids, 0))?;
        limits::check_entries(self.metadata.iter())
    }

    /// The largest number of any node.
    pub fn largest_id(&self) -> i32 {
        self.fields
            .iter()
            .map(SchemaField::largest_id)
            .max()
            .unwrap_or_default()
    }

    /// The bytes to write; fails where nobody could read them.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check().map_err(limits::refused("schema"))?;
        to_json(self)
    }

    /// The schema that queries see.
    pub fn to_arrow(&self) -> Result<SchemaRef> {
        self.arrow(false)
    }

    /// The schema that data files are written with: every node carries its number.
    pub fn to_arrow_with_ids(&self) -> Result<SchemaRef> {
        self.arrow(true)
    }

    fn arrow(&self, with_ids: bool) -> Result<SchemaRef> {
        let fields = self
            .fields
            .iter()
            .map(|field| field.to_arrow(with_ids))
            .collect::<Result<Vec<_>>>()?;
        let metadata = self.metadata.clone().into_iter().collect();
        Ok(Arc::new(Schema::new_with_metadata(fields, metadata)))
    }

    /// True if pandas reads every column as what it is: Parquet has no type of its own for
    /// some, and pandas takes them for plain numbers or bytes.
    pub(super) fn python_may_read(&self) -> bool {
        self.fields.iter().all(SchemaField::python_may_read)
    }
}

impl SchemaField {
    fn from_arrow(field: &Field, ids: &mut FieldIds, depth: usize) -> Result<Self> {
        if depth >= TYPE_DEPTH {
            return Err(Error::invalid(format!(
                "types nest deeper than {TYPE_DEPTH}"
            )));
        }
        let id = ids.take()?;
        let dictionary = match field.data_type() {
            DataType::Dictionary(index, _) => Some(DictionaryJson {
                index_type: TypeJson::of(index)?,
                is_ordered: field.dict_is_ordered().unwrap_or(false),
            }),
            _ => None,
        };
        let children = children(field.data_type())
            .into_iter()
            .map(|child| Self::from_arrow(child, ids, depth + 1))
            .collect::<Result<_>>()?;
        let mut metadata: BTreeMap<_, _> = field.metadata().clone().into_iter().collect();
        metadata.remove(FIELD_ID);
        Ok(Self {
            id,
            name: field.name().clone(),
            nullable: field.is_nullable(),
            data_type: TypeJson::of(field.data_type())?,
            children,
            dictionary,
            metadata,
            legacy_name: None,
        })
    }

    fn to_arrow(&self, with_ids: bool) -> Result<FieldRef> {
        let children = self
            .children
            .iter()
            .map(|child| child.to_arrow(with_ids))
            .collect::<Result<Vec<_>>>()?;
        let mut data_type = self.data_type.to_arrow(children)?;
        if let Some(dictionary) = &self.dictionary {
            let index = dictionary.index_type.to_arrow(Vec::new())?;
            if !index.is_dictionary_key_type() {
                return Err(Error::damaged(format!(
                    "a dictionary has keys of type {index}"
                )));
            }
            data_type = DataType::Dictionary(Box::new(index), Box::new(data_type));
        }
        let mut metadata: HashMap<_, _> = self.metadata.clone().into_iter().collect();
        if with_ids {
            metadata.insert(FIELD_ID.to_owned(), self.id.to_string());
        }
        let field = Field::new(&self.name, data_type, self.nullable).with_metadata(metadata);
        Ok(Arc::new(field))
    }

    fn check(&self, ids: &mut HashSet<i32>, depth: usize) -> Result<()> {
        if depth >= TYPE_DEPTH {
            return Err(Error::damaged(format!(
                "types nest deeper than {TYPE_DEPTH}"
            )));
        }
        if self.id < 1 || !ids.insert(self.id) {
            return Err(Error::damaged(format!(
                "field id {} is used twice or below 1",
                self.id
            )));
        }
        FIELDS.check(ids.len())?;
        NAME_BYTES.check(self.name.len())?;
        NAME_BYTES.check(self.legacy_name.as_ref().map_or(0, String::len))?;
        limits::check_entries(self.metadata.iter())?;
        self.children
            .iter()
            .try_for_each(|child| child.check(ids, depth + 1))
    }

    fn largest_id(&self) -> i32 {
        let children = self.children.iter().map(Self::largest_id);
        children.fold(self.id, i32::max)
    }

    fn python_may_read(&self) -> bool {
        self.data_type.python_may_read() && self.children.iter().all(Self::python_may_read)
    }
}

fn children(data_type: &DataType) -> Vec<&FieldRef> {
    match data_type {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => vec![child],
        DataType::Struct(fields) => fields.iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Fields, IntervalUnit, TimeUnit, UnionFields, UnionMode};

    fn table(schema: &Schema) -> Result<TableSchema> {
        TableSchema::from_arrow(1, schema, &mut FieldIds { next: 1 })
    }

    fn column(data_type: DataType) -> Schema {
        Schema::new(vec![Field::new("c", data_type, true)])
    }

    #[test]
    fn every_type_that_parquet_holds_round_trips_with_metadata() {
        let item = |t| Arc::new(Field::new("item", t, true));
        let entries = DataType::Struct(Fields::from(vec![
            Field::new("keys", DataType::Utf8, false),
            Field::new("values", DataType::List(item(DataType::Int32)), true),
        ]));
        let mut types = vec![
            DataType::Null,
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::UInt8,
            DataType::UInt16,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float16,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal32(9, 2),
            DataType::Decimal64(18, 18),
            DataType::Decimal128(38, 10),
            DataType::Decimal256(76, 0),
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Utf8View,
            DataType::Binary,
            DataType::LargeBinary,
            DataType::BinaryView,
            DataType::FixedSizeBinary(16),
            DataType::Date32,
            DataType::Date64,
            DataType::Interval(IntervalUnit::YearMonth),
            DataType::Interval(IntervalUnit::DayTime),
            DataType::List(item(DataType::Utf8)),
            DataType::LargeList(item(DataType::Utf8)),
            DataType::FixedSizeList(item(DataType::Float32), 3),
            DataType::Struct(Fields::from(vec![Field::new("x", DataType::Int8, false)])),
            DataType::Map(Arc::new(Field::new("entries", entries, false)), false),
            DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8)),
        ];
        for unit in [
            TimeUnit::Second,
            TimeUnit::Millisecond,
            TimeUnit::Microsecond,
            TimeUnit::Nanosecond,
        ] {
            types.push(DataType::Timestamp(unit, None));
            types.push(DataType::Timestamp(unit, Some("Europe/Berlin".into())));
            types.push(DataType::Duration(unit));
        }
        types.push(DataType::Time32(TimeUnit::Second));
        types.push(DataType::Time32(TimeUnit::Millisecond));
        types.push(DataType::Time64(TimeUnit::Microsecond));
        types.push(DataType::Time64(TimeUnit::Nanosecond));
        for data_type in types {
            let field = Field::new("c", data_type.clone(), false)
                .with_metadata(HashMap::from([("unit".to_owned(), "m".to_owned())]));
            let schema = Schema::new(vec![field]);
            let bytes = table(&schema).unwrap().to_bytes().unwrap();
            let read = TableSchema::parse("schema", &bytes).unwrap();
            assert_eq!(read.to_arrow().unwrap().as_ref(), &schema, "{data_type}");
        }
    }

    #[test]
    fn ids_are_on_every_node_and_not_in_what_queries_see() {
        let item = Arc::new(Field::new("item", DataType::Int8, true));
        let schema = column(DataType::List(item));
        let table = table(&schema).unwrap();
        assert_eq!((table.fields[0].id, table.fields[0].children[0].id), (1, 2));
        let written = table.to_arrow_with_ids().unwrap();
        assert_eq!(written.field(0).metadata()[FIELD_ID], "1");
        let DataType::List(item) = written.field(0).data_type() else {
            panic!()
        };
        assert_eq!(item.metadata()[FIELD_ID], "2");
        assert_eq!(table.to_arrow().unwrap().as_ref(), &schema);
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        let union = DataType::Union(UnionFields::empty(), UnionMode::Sparse);
        for data_type in [
            union,
            DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Struct(Fields::empty()),
            DataType::Decimal128(5, -2),
        ] {
            let error = table(&column(data_type)).unwrap_err().to_string();
            assert!(error.starts_with("column 'c': type "), "{error}");
        }
        assert!(table(&Schema::empty()).is_err());
        let twice = Schema::new(vec![
            Field::new("a", DataType::Int8, true),
            Field::new("A", DataType::Int8, true),
        ]);
        assert_eq!(
            table(&twice).unwrap_err().to_string(),
            "duplicate column name: 'a' and 'A'"
        );
    }

    #[test]
    fn a_schema_file_that_create_would_refuse_is_damaged() {
        let field = |kind: &str, children: &str| {
            format!(
                r#"{{"id":1,"fields":[{{"id":1,"name":"a","nullable":true,"type":{kind},"children":[{children}]}}]}}"#
            )
        };
        let int = r#"{"name":"int","bitWidth":8,"isSigned":true}"#;
        let child = format!(r#"{{"id":2,"name":"x","nullable":true,"type":{int}}}"#);
        TableSchema::parse("s", field(int, "").as_bytes()).unwrap();
        for bad in [
            r#"{"id":1,"fields":[]}"#.to_owned(),
            field(r#"{"name":"fixedsizebinary","byteWidth":-1}"#, ""),
            field(r#"{"name":"fixedsizelist","listSize":-1}"#, &child),
            field(r#"{"name":"map","keysSorted":false}"#, &child),
            field(r#"{"name":"struct"}"#, ""),
            field(r#"{"name":"int","bitWidth":7,"isSigned":true}"#, ""),
            field(int, &child),
        ] {
            assert!(TableSchema::parse("s", bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_schema_file_with_one_id_twice_is_damaged() {
        let schema = table(&Schema::new(vec![
            Field::new("a", DataType::Int8, true),
            Field::new("b", DataType::Int8, true),
        ]));
        let text = String::from_utf8(schema.unwrap().to_bytes().unwrap()).unwrap();
        let twice = text.replace("\"id\":2", "\"id\":1");
        let error = TableSchema::parse("s", twice.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("field id 1"), "{error}");
    }

    fn nested(levels: usize) -> DataType {
        (1..levels).fold(DataType::Int8, |inner, _| {
            DataType::List(Arc::new(Field::new("item", inner, true)))
        })
    }

    #[test]
    fn types_nest_30_deep_and_such_a_schema_can_be_read() {
        let deepest = table(&column(nested(30))).unwrap();
        let bytes = deepest.to_bytes().unwrap();
        assert_eq!(TableSchema::parse("s", &bytes).unwrap(), deepest);
        let error = table(&column(nested(31))).unwrap_err();
        assert_eq!(error.message(), "column 'c': types nest deeper than 30");
        let mut deeper = deepest.clone();
        deeper.fields[0].id = 100;
        deeper.fields[0].children = vec![deepest.fields[0].clone()];
        let error = deeper.check().unwrap_err();
        assert_eq!(error.message(), "types nest deeper than 30");
    }

    #[test]
    fn a_dictionary_at_the_deepest_place_can_be_read_too() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let deepest = (1..30).fold(dictionary, |inner, _| {
            DataType::List(Arc::new(Field::new("item", inner, true)))
        });
        let bytes = table(&column(deepest)).unwrap().to_bytes().unwrap();
        TableSchema::parse("s", &bytes).unwrap();
    }

    #[test]
    fn a_schema_that_is_too_large_is_refused_before_it_is_written() {
        let refused = |schema: &TableSchema, says: &str| {
            let error = schema.to_bytes().unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::InvalidInput);
            let start = "the schema cannot be stored: ";
            assert_eq!(error.message(), format!("{start}{says}"));
            let error = schema.check().unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Damaged);
        };
        let small = table(&column(DataType::Int8)).unwrap();
        let mut wide = small.clone();
        let field = |id| SchemaField {
            id,
            ..small.fields[0].clone()
        };
        wide.fields = (1..=100_000).map(field).collect();
        wide.check().unwrap();
        wide.fields.push(field(100_001));
        refused(&wide, "100001 fields are more than the limit of 100000");
        let mut long = small.clone();
        long.fields[0].name = "x".repeat(64 * 1024 + 1);
        refused(
            &long,
            "65537 bytes of a name are more than the limit of 65536",
        );
        let mut noted = small.clone();
        noted.metadata = (0..1001).map(|i| (i.to_string(), String::new())).collect();
        refused(&noted, "1001 entries are more than the limit of 1000");
        noted.metadata = BTreeMap::from([(String::new(), "x".repeat(1024 * 1024 + 1))]);
        refused(
            &noted,
            "1048577 bytes of text are more than the limit of 1048576",
        );
    }
}
