//! A manifest: an immutable list of data files with sizes, row counts and statistics.

use serde::{Deserialize, Deserializer, Serialize};

use super::checksum::Checksum;
use super::deletion_vector::VectorRef;
use super::limits::{self, FIELDS, FILES};
use super::stats::ColumnStats;
use super::{Totals, layout, parse_json, to_json};
use crate::error::{Error, Result};

/// The content of a manifest, and of a list of removed files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(default = "json_format")]
    pub(super) format: String,
    /// The id of the schema that its files were written with; 0 where Python wrote it.
    #[serde(default)]
    pub schema: u32,
    /// The fields that the statistics of each file are of, in this order.
    #[serde(default)]
    pub stats_ids: Vec<i32>,
    pub files: Vec<FileEntry>,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    pub path: String,
    pub format: String,
    /// In bytes; absent only where Python wrote the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// All that it has, also those that are not rows of the table any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// Which rows are not rows of the table any more; all of them are where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dv: Option<VectorRef>,
    #[serde(
        default,
        deserialize_with = "stats_or_null",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub stats: Vec<ColumnStats>,
    /// The decompressed bytes of each column of `stats_ids`, where its type has no fixed width.
    #[serde(
        default,
        deserialize_with = "column_bytes_or_null",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub column_bytes: Vec<Option<u64>>,
}

/// Statistics that are null, or no list, are unknown.
fn stats_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ColumnStats>, D::Error> {
    let json = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(json).unwrap_or_default())
}

/// Sizes that are null, or no list of numbers, are unknown.
fn column_bytes_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Option<u64>>, D::Error> {
    let json = serde_json::Value::deserialize(deserializer)?;
    let bytes = json.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(bytes.iter().map(serde_json::Value::as_u64).collect())
}

fn json_format() -> String {
    "json".to_owned()
}

impl Manifest {
    /// A manifest of files that were written with the schema `schema`; their statistics are of the columns `stats_ids`.
    pub fn new(schema: u32, stats_ids: Vec<i32>, files: Vec<FileEntry>) -> Self {
        Self {
            format: json_format(),
            schema,
            stats_ids,
            files,
        }
    }

    /// Parses a manifest and checks each entry; `python` admits what Python left out.
    pub fn parse(path: &str, bytes: &[u8], python: bool) -> Result<Self> {
        let mut manifest: Self = parse_json(path, bytes)?;
        if manifest.format != "json" {
            return Err(Error::unsupported(format!(
                "{path} is a manifest in format '{}', which this release does not know",
                manifest.format.escape_debug()
            )));
        }
        manifest
            .check_counts()
            .map_err(|error| error.context(path))?;
        for (i, file) in manifest.files.iter_mut().enumerate() {
            if python {
                file.path = layout::from_python(&file.path);
            }
            file.check(python)
                .map_err(|error| error.context(format!("{path}, file entry {i}")))?;
            if file.stats.len() != manifest.stats_ids.len() {
                file.stats.clear();
            }
            if file.column_bytes.len() != manifest.stats_ids.len() {
                file.column_bytes.clear();
            }
            // More nulls than rows is no count of rows: unknown, like all that is malformed.
            let rows = file.rows.unwrap_or(limits::SUM);
            for stats in &mut file.stats {
                stats.nulls = stats.nulls.filter(|nulls| *nulls <= rows);
            }
        }
        Ok(manifest)
    }

    /// The bytes to write; fails where nobody could read them.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check_counts().map_err(limits::refused("manifest"))?;
        to_json(self)
    }

    fn check_counts(&self) -> Result<()> {
        FILES.check(self.files.len())?;
        FIELDS.check(self.stats_ids.len())
    }

    /// Sums over the files; an unknown size or row count is an error.
    pub fn totals(&self) -> Result<Totals> {
        self.files.iter().try_fold(Totals::default(), |sum, file| {
            sum.plus(Totals {
                files: 1,
                rows: file.live_rows()?,
                bytes: file.bytes()?,
            })
        })
    }

    /// How many rows of its files are marked as deleted.
    pub fn marked_rows(&self) -> u64 {
        let marked = self.files.iter().map(FileEntry::marked_rows);
        marked.fold(0, u64::saturating_add)
    }

    /// The files of `manifests`, which are of one schema, in one manifest.
    ///
    /// Statistics of fields that not all of them list become unknown where they are missing.
    pub fn merge(manifests: &[std::sync::Arc<Manifest>]) -> Self {
        let mut stats_ids = Vec::new();
        for manifest in manifests {
            if manifest.stats_ids == stats_ids {
                continue;
            }
            for id in &manifest.stats_ids {
                if !stats_ids.contains(id) {
                    stats_ids.push(*id);
                }
            }
        }
        let files = manifests.iter().flat_map(|manifest| {
            manifest.files.iter().map(|file| {
                let mut file = file.clone();
                if manifest.stats_ids != stats_ids {
                    file.stats = stats_ids
                        .iter()
                        .map(|id| manifest.stats_of(&file, *id).cloned().unwrap_or_default())
                        .collect();
                    if !file.column_bytes.is_empty() {
                        let bytes = |id: &i32| *file.column_bytes.get(manifest.position(*id)?)?;
                        file.column_bytes = stats_ids.iter().map(bytes).collect();
                    }
                }
                file
            })
        });
        let files = files.collect();
        let schema = manifests.first().map_or(0, |manifest| manifest.schema);
        Self::new(schema, stats_ids, files)
    }

    /// The statistics of one field of one of the files; None where unknown.
    pub fn stats_of<'a>(&self, file: &'a FileEntry, field_id: i32) -> Option<&'a ColumnStats> {
        file.stats.get(self.position(field_id)?)
    }

    fn position(&self, field_id: i32) -> Option<usize> {
        self.stats_ids.iter().position(|id| *id == field_id)
    }
}

impl FileEntry {
    fn check(&self, python: bool) -> Result<()> {
        let object = layout::parse(&self.path).filter(|object| object.kind == layout::Kind::Data);
        let Some(object) = object else {
            return Err(Error::damaged(format!(
                "path '{}' is not a data file of this table",
                self.path.escape_debug()
            )));
        };
        if self.format != "parquet" {
            return Err(Error::unsupported(format!(
                "{} is a file in format '{}'; only parquet can be read",
                self.path,
                self.format.escape_debug()
            )));
        }
        Totals {
            files: 1,
            rows: self.rows.unwrap_or_default(),
            bytes: self.size.unwrap_or_default(),
        }
        .check()
        .map_err(|error| error.context(&self.path))?;
        if let Some(vector) = &self.dv {
            vector.check(self.rows)?;
        }
        let complete = self.size.is_some() && self.rows.is_some();
        if !python && (!complete || (object.txn.is_some() && self.checksum.is_none())) {
            return Err(Error::damaged(format!(
                "{} has no size, row count or checksum",
                self.path
            )));
        }
        Ok(())
    }

    /// False for a file that Python wrote.
    pub fn is_of_atio(&self) -> bool {
        layout::parse(&self.path).is_some_and(|object| object.txn.is_some())
    }

    /// What tells it apart from every other content of a data file (C9): with other deletion
    /// vectors, one file has other rows.
    pub fn id(&self) -> (&str, Option<&VectorRef>) {
        (&self.path, self.dv.as_ref())
    }

    /// The rows that are in the file, those that are marked as deleted too.
    pub fn stored_rows(&self) -> Result<u64> {
        self.rows.ok_or_else(|| self.unknown("row count"))
    }

    /// Its rows that are rows of the table.
    pub fn live_rows(&self) -> Result<u64> {
        Ok(self.stored_rows()?.saturating_sub(self.marked_rows()))
    }

    /// How many of its rows are marked as deleted.
    pub fn marked_rows(&self) -> u64 {
        self.dv.as_ref().map_or(0, |vector| vector.rows)
    }

    /// Its bytes, without those of its deletion vector.
    pub fn bytes(&self) -> Result<u64> {
        self.size.ok_or_else(|| self.unknown("size"))
    }

    fn unknown(&self, what: &str) -> Error {
        Error::damaged(format!("{} has no {what}", self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stats::{Bound, Value};
    use super::*;

    fn entry(path: &str) -> String {
        format!(
            r#"{{"schema":1,"stats_ids":[1],"files":[{{"path":"{path}","format":"parquet","size":5,"rows":2,"checksum":"crc32c:00000000","stats":[[0,1,2]]}}]}}"#
        )
    }

    const PATH: &str = "data/018f0000000070008000000000000001/00000-0000000000000000.parquet";

    #[test]
    fn a_path_that_leaves_the_table_is_refused_by_entry() {
        for path in [
            "../../etc/passwd",
            "/etc/passwd",
            "metadata/v1.metadata.json",
        ] {
            let error = Manifest::parse("metadata/m", entry(path).as_bytes(), false).unwrap_err();
            let text = error.to_string();
            assert!(
                text.starts_with("metadata/m, file entry 0: path '"),
                "{text}"
            );
        }
        Manifest::parse("m", entry(PATH).as_bytes(), false).unwrap();
    }

    const VECTORS: &str = "data/018f0000000070008000000000000001/00001-0000000000000000.dv";

    fn marked(vector: &str) -> String {
        entry(PATH).replace("\"stats\"", &format!("\"dv\":{vector},\"stats\""))
    }

    #[test]
    fn file_with_a_vector_has_fewer_rows_than_are_stored_in_it() {
        let vector = format!(
            r#"{{"path":"{VECTORS}","offset":40,"size":30,"checksum":"crc32c:00000000","rows":1}}"#
        );
        let json = marked(&vector);
        let mut manifest = Manifest::parse("m", json.as_bytes(), false).unwrap();
        let file = manifest.files[0].clone();
        let rows = (file.stored_rows().unwrap(), file.live_rows().unwrap());
        assert_eq!((rows, file.marked_rows()), ((2, 1), 1));
        let named = file.dv.clone().unwrap();
        assert_eq!((named.path.as_str(), named.range()), (VECTORS, 40..70));
        assert_eq!(file.id(), (PATH, Some(&named)));
        assert_eq!(
            Manifest::parse("m", &manifest.to_bytes().unwrap(), false).unwrap(),
            manifest
        );
        // The only one at the beginning of its object.
        let first = marked(&vector.replace("\"offset\":40,", ""));
        let first = Manifest::parse("m", first.as_bytes(), false).unwrap();
        assert_eq!(first.files[0].dv.as_ref().unwrap().range(), 0..30);
        assert_ne!(first.files[0].id(), file.id());
        let whole = Manifest::parse("m", entry(PATH).as_bytes(), false).unwrap();
        assert_eq!(whole.files[0].id(), (PATH, None));
        manifest.files.push(whole.files[0].clone());
        let totals = manifest.totals().unwrap();
        assert_eq!((totals.files, totals.rows, totals.bytes), (2, 3, 10));
        assert_eq!(manifest.marked_rows(), 1);
        let merged = Manifest::merge(&[manifest.clone().into(), whole.into()]);
        assert_eq!(merged.files[..2], manifest.files);
    }

    #[test]
    fn vector_that_cannot_be_that_of_its_file_is_damage() {
        let vector = |path: &str, rows: &str, more: &str| {
            format!(
                r#"{{"path":"{path}","size":30,"checksum":"crc32c:00000000","rows":{rows}{more}}}"#
            )
        };
        for wrong in [
            vector(VECTORS, "0", ""),
            vector(VECTORS, "2", ""),
            vector(VECTORS, "-1", ""),
            vector(PATH, "1", ""),
            vector("metadata/v1.metadata.json", "1", ""),
            vector(VECTORS, "1", ",\"offset\":-1"),
            vector(VECTORS, "1", ",\"offset\":9223372036854775807"),
            vector(VECTORS, "1", ",\"offset\":18446744073709551615"),
            "{}".to_owned(),
            "true".to_owned(),
        ] {
            let json = marked(&wrong);
            let error = Manifest::parse("m", json.as_bytes(), false).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Damaged, "{wrong}");
        }
        // Of a file whose rows nobody counted there can be none.
        let uncounted = marked(&vector(VECTORS, "1", "")).replace("\"rows\":2,", "");
        let error = Manifest::parse("m", uncounted.as_bytes(), true).unwrap_err();
        assert!(error.message().contains("unknown number"), "{error}");
        let none = Manifest::parse("m", marked("null").as_bytes(), false).unwrap();
        assert_eq!(none.files[0].dv, None);
    }

    #[test]
    fn sums_that_overflow_and_negative_counts_are_damage() {
        let rows = |rows: u64| entry(PATH).replace("\"rows\":2", &format!("\"rows\":{rows}"));
        let huge = rows(i64::MAX as u64);
        let mut manifest = Manifest::parse("m", huge.as_bytes(), false).unwrap();
        manifest.files.push(manifest.files[0].clone());
        let error = manifest.totals().unwrap_err();
        assert!(error.message().contains("row count overflows"), "{error}");
        let error = Manifest::parse("m", rows(1 << 63).as_bytes(), false).unwrap_err();
        assert_eq!(
            error.message(),
            format!("m, file entry 0: {PATH}: the row count overflows")
        );
        let negative = entry(PATH).replace("\"rows\":2", "\"rows\":-2");
        assert!(Manifest::parse("m", negative.as_bytes(), false).is_err());
    }

    #[test]
    fn a_manifest_with_too_many_columns_is_neither_written_nor_read() {
        let mut manifest = Manifest::new(1, (0..100_001).collect(), Vec::new());
        let says = "100001 fields are more than the limit of 100000";
        let error = manifest.to_bytes().unwrap_err();
        assert_eq!(
            error.message(),
            format!("the manifest cannot be stored: {says}")
        );
        let json = to_json(&manifest).unwrap();
        let error = Manifest::parse("m", &json, false).unwrap_err();
        assert_eq!(error.message(), format!("m: {says}"));
        manifest.stats_ids.pop();
        manifest.to_bytes().unwrap();
    }

    #[test]
    fn more_nulls_than_rows_are_unknown() {
        for (nulls, read) in [("2", Some(2)), ("3", None), ("18446744073709551615", None)] {
            let json = entry(PATH).replace("[0,1,2]", &format!("[{nulls},1,2]"));
            let manifest = Manifest::parse("m", json.as_bytes(), false).unwrap();
            let stats = manifest.stats_of(&manifest.files[0], 1).unwrap();
            assert_eq!((stats.nulls, stats.min.is_some()), (read, true), "{nulls}");
        }
    }

    #[test]
    fn merging_keeps_every_file_with_its_own_statistics() {
        let one = Manifest::parse("m", entry(PATH).as_bytes(), false).unwrap();
        let mut two = one.clone();
        two.stats_ids = vec![2];
        let merged = Manifest::merge(&[one.into(), two.into()]);
        assert_eq!(
            (merged.stats_ids.as_slice(), merged.files.len()),
            ([1, 2].as_slice(), 2)
        );
        let known = Some(Bound {
            value: Value::Int(1),
            cut: false,
        });
        assert_eq!(merged.stats_of(&merged.files[0], 1).unwrap().min, known);
        assert!(merged.stats_of(&merged.files[0], 2).unwrap().is_empty());
        assert_eq!(merged.stats_of(&merged.files[1], 2).unwrap().min, known);
        assert!(merged.stats_of(&merged.files[1], 1).unwrap().is_empty());
    }

    #[test]
    fn bytes_of_columns_are_aligned_like_statistics_and_unknown_where_malformed() {
        let with = |bytes: &str| {
            let json =
                entry(PATH).replace("\"stats\"", &format!("\"column_bytes\":{bytes},\"stats\""));
            Manifest::parse("m", json.as_bytes(), false).unwrap()
        };
        for (json, read) in [
            ("[7]", vec![Some(7)]),
            ("[null]", vec![None]),
            ("[-1]", vec![None]),
            ("[\"7\"]", vec![None]),
            ("[7,8]", vec![]),
            ("null", vec![]),
            ("{}", vec![]),
        ] {
            assert_eq!(with(json).files[0].column_bytes, read, "{json}");
        }
        let one = with("[7]");
        let mut two = with("[8]");
        two.stats_ids = vec![2];
        let none = Manifest::parse("m", entry(PATH).as_bytes(), false).unwrap();
        let merged = Manifest::merge(&[one.into(), two.into(), none.into()]);
        let bytes: Vec<_> = merged
            .files
            .iter()
            .map(|file| file.column_bytes.clone())
            .collect();
        assert_eq!(bytes, [vec![Some(7), None], vec![None, Some(8)], vec![]]);
        let text = String::from_utf8(merged.to_bytes().unwrap()).unwrap();
        assert_eq!(text.matches("column_bytes").count(), 2, "{text}");
        assert_eq!(
            Manifest::parse("m", text.as_bytes(), false).unwrap(),
            merged
        );
    }
}
