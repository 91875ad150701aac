//! A snapshot: the state of a table at a version, as lists of manifests.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::checksum::{Checksum, ObjectRef};
use super::limits::{self, APPS, FILES, MANIFESTS, NAME_BYTES};
use super::{Manifest, TableSchema, Totals, layout, parse_json, to_json};
use crate::error::{Error, Result};

/// The content of a snapshot file. It holds no version number, so versions can share it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotFile {
    snapshot_id: i64,
    timestamp: f64,
    /// Paths only: what Python reads.
    manifests: Vec<String>,
    /// Beside each path, what its bytes must be.
    manifest_info: Vec<ManifestInfo>,
    pub schema: SchemaRef,
    /// Never decreases.
    pub next_field_id: i32,
    pub totals: Totals,
    #[serde(default)]
    pub apps: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ManifestInfo {
    size: u64,
    checksum: Checksum,
    files: u64,
    rows: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    marked: u64,
    schema: u32,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the source of a load begins with; its key follows (C7).
pub const LOAD_SOURCE: &str = "atio.load:";

/// True if `source` is a load, and not a stream.
pub fn is_load(source: &str) -> bool {
    source.starts_with(LOAD_SOURCE)
}

/// The option of a table that says which programs can read it.
pub const COMPATIBILITY: &str = "compatibility";
/// Those that know no features: no row is marked as deleted.
pub const FORMAT_1: &str = "format-1";

/// Names the schema file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaRef {
    pub id: u32,
    #[serde(flatten)]
    pub object: ObjectRef,
}

/// One manifest that a snapshot lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRef {
    pub object: ObjectRef,
    pub files: u64,
    /// Those that are rows of the table.
    pub rows: u64,
    /// Those that are marked as deleted.
    pub marked: u64,
    pub schema: u32,
}

impl ManifestRef {
    /// Names `manifest`, whose bytes are `bytes`, at `path`.
    pub fn of(path: String, bytes: &[u8], manifest: &Manifest) -> Result<Self> {
        let totals = manifest.totals()?;
        Ok(Self {
            object: ObjectRef::of(path, bytes),
            files: totals.files,
            rows: totals.rows,
            marked: manifest.marked_rows(),
            schema: manifest.schema,
        })
    }
}

/// The parts of a snapshot that a change carries over or replaces.
#[derive(Debug, Clone)]
pub struct State {
    pub manifests: Vec<ManifestRef>,
    pub schema: SchemaRef,
    pub next_field_id: i32,
    pub totals: Totals,
    pub apps: BTreeMap<String, serde_json::Value>,
    pub options: BTreeMap<String, String>,
}

impl State {
    /// The snapshot file of this state at `at_us` microseconds since 1970.
    ///
    /// Fails where nobody could read it.
    pub fn to_bytes(&self, at_us: i64) -> Result<Vec<u8>> {
        self.check().map_err(limits::refused("snapshot"))?;
        to_json(&SnapshotFile {
            snapshot_id: at_us / 1000,
            timestamp: at_us as f64 / 1e6,
            manifests: self
                .manifests
                .iter()
                .map(|m| m.object.path.clone())
                .collect(),
            manifest_info: self.manifests.iter().map(ManifestInfo::from).collect(),
            schema: self.schema.clone(),
            next_field_id: self.next_field_id,
            totals: self.totals,
            apps: self.apps.clone(),
            options: self.options.clone(),
        })
    }

    /// This state as one that follows `base`: what only ever grows is that of `base`. How far a
    /// load came is told by the rows that are there, so it is that of this state (C7).
    pub fn after(mut self, base: &State) -> State {
        self.next_field_id = self.next_field_id.max(base.next_field_id);
        let streams = base.apps.iter().filter(|(source, _)| !is_load(source));
        let streams = streams.map(|(source, position)| (source.clone(), position.clone()));
        self.apps.retain(|source, _| is_load(source));
        self.apps.extend(streams);
        self
    }

    fn check(&self) -> Result<()> {
        MANIFESTS.check(self.manifests.len())?;
        let mut paths = HashSet::with_capacity(self.manifests.len());
        let (mut sum, mut stored) = (Totals::default(), 0_u64);
        for ManifestRef {
            object,
            files,
            rows,
            marked,
            schema: _,
        } in &self.manifests
        {
            check_name(&object.path, layout::Kind::Manifest)?;
            if !paths.insert(&object.path) {
                return Err(Error::damaged(format!("it lists {} twice", object.path)));
            }
            sum = sum.plus(Totals {
                files: *files,
                rows: *rows,
                bytes: 0,
            })?;
            stored = stored.saturating_add(*rows).saturating_add(*marked);
        }
        check_name(&self.schema.object.path, layout::Kind::Schema)?;
        self.totals.check()?;
        Totals {
            rows: stored,
            ..Totals::default()
        }
        .check()?;
        FILES.check_count(self.totals.files)?;
        if (sum.files, sum.rows) != (self.totals.files, self.totals.rows) {
            return Err(Error::damaged(format!(
                "it counts {} files and {} rows, but its manifests have {} and {}",
                self.totals.files, self.totals.rows, sum.files, sum.rows
            )));
        }
        APPS.check(self.apps.len())?;
        (self.apps.keys()).try_for_each(|app| NAME_BYTES.check(app.len()))?;
        limits::check_entries(self.options.iter())
    }

    /// True if no row may be marked as deleted, so that programs read it that know no features.
    pub fn is_for_old_readers(&self) -> bool {
        self.options.get(COMPATIBILITY).map(String::as_str) == Some(FORMAT_1)
    }

    /// True if some file has rows that are marked as deleted.
    pub fn has_vectors(&self) -> bool {
        self.manifests.iter().any(|manifest| manifest.marked > 0)
    }

    /// True if Python 2.0 reads the right rows: it takes the first file's schema for all,
    /// and pandas must have a type for every column of `schema` (A4).
    pub fn python_may_read(&self, schema: &TableSchema) -> bool {
        self.manifests
            .iter()
            .all(|manifest| manifest.schema == schema.id && manifest.marked == 0)
            && schema.python_may_read()
    }
}

impl From<&ManifestRef> for ManifestInfo {
    fn from(manifest: &ManifestRef) -> Self {
        Self {
            size: manifest.object.size,
            checksum: manifest.object.checksum,
            files: manifest.files,
            rows: manifest.rows,
            marked: manifest.marked,
            schema: manifest.schema,
        }
    }
}

impl SnapshotFile {
    /// Parses the snapshot that atio wrote at `path`.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<State> {
        let file: Self = parse_json(path, bytes)?;
        if file.manifests.len() != file.manifest_info.len() {
            return Err(Error::damaged(format!(
                "{path} lists {} manifests but describes {}",
                file.manifests.len(),
                file.manifest_info.len()
            )));
        }
        let manifests = file.manifests.into_iter().zip(file.manifest_info);
        let manifests = manifests.map(|(path, info)| ManifestRef {
            object: ObjectRef {
                path,
                size: info.size,
                checksum: info.checksum,
            },
            files: info.files,
            rows: info.rows,
            marked: info.marked,
            schema: info.schema,
        });
        let state = State {
            manifests: manifests.collect(),
            schema: file.schema,
            next_field_id: file.next_field_id,
            totals: file.totals,
            apps: file.apps,
            options: file.options,
        };
        state.check().map_err(|error| error.context(path))?;
        Ok(state)
    }
}

fn check_name(name: &str, kind: layout::Kind) -> Result<()> {
    match layout::parse(name) {
        Some(object) if object.kind == kind && object.txn.is_some() => Ok(()),
        _ => Err(Error::damaged(format!(
            "it names '{}', which is not a {} of this table",
            name.escape_debug(),
            kind.word()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::FieldIds;
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

    fn state(schemas: &[u32]) -> State {
        let object = |name: &str, seq: usize| {
            ObjectRef::of(
                format!("metadata/{name}-018f0000000070008000000000000001-{seq}.json"),
                b"x",
            )
        };
        State {
            manifests: schemas
                .iter()
                .enumerate()
                .map(|(seq, schema)| ManifestRef {
                    object: object("manifest", seq),
                    files: 1,
                    rows: 2,
                    marked: 0,
                    schema: *schema,
                })
                .collect(),
            schema: SchemaRef {
                id: 1,
                object: object("schema", 0),
            },
            next_field_id: 3,
            totals: Totals {
                files: schemas.len() as u64,
                rows: 2 * schemas.len() as u64,
                bytes: 3,
            },
            apps: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    #[test]
    fn state_that_follows_another_keeps_what_only_ever_grows() {
        let apps = |apps: &[(&str, i32)]| -> BTreeMap<String, serde_json::Value> {
            let apps = apps
                .iter()
                .map(|(name, at)| ((*name).to_owned(), (*at).into()));
            apps.collect()
        };
        let old = State {
            apps: apps(&[("loader", 1), ("atio.load:a", 4)]),
            ..state(&[1])
        };
        let base = State {
            next_field_id: 9,
            apps: apps(&[("loader", 7), ("atio.load:a", 8), ("atio.load:b", 2)]),
            ..state(&[1, 1])
        };
        let back = old.clone().after(&base);
        assert_eq!(back.next_field_id, 9);
        assert_eq!(back.apps, apps(&[("loader", 7), ("atio.load:a", 4)]));
        assert_eq!((back.manifests, back.totals), (old.manifests, old.totals));
    }

    #[test]
    fn a_snapshot_beyond_its_limits_is_neither_written_nor_read() {
        let refused = |change: fn(&mut State), says: &str| {
            let mut state = state(&[1, 1]);
            change(&mut state);
            let error = state.check().unwrap_err();
            assert_eq!(error.message(), says);
            let error = state.to_bytes(0).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::InvalidInput);
            let start = "the snapshot cannot be stored: ";
            assert_eq!(error.message(), format!("{start}{says}"));
        };
        refused(
            |state| state.manifests = vec![state.manifests[0].clone(); 100_001],
            "100001 manifests are more than the limit of 100000",
        );
        refused(
            |state| {
                state.apps = (0..1001).map(|i| (i.to_string(), i.into())).collect();
            },
            "1001 apps are more than the limit of 1000",
        );
        refused(
            |state| {
                state.options = (0..1001).map(|i| (i.to_string(), String::new())).collect();
            },
            "1001 entries are more than the limit of 1000",
        );
        refused(
            |state| {
                state.manifests[0].files = 10_000_000;
                state.totals.files = 10_000_001;
            },
            "10000001 data files are more than the limit of 10000000",
        );
        refused(
            |state| {
                state.manifests[0].rows = i64::MAX as u64;
            },
            "the row count overflows",
        );
        refused(
            |state| state.totals.bytes = 1 << 63,
            "the byte count overflows",
        );
        refused(
            |state| state.totals.rows = 5,
            "it counts 2 files and 5 rows, but its manifests have 2 and 4",
        );
        refused(
            |state| state.manifests[1] = state.manifests[0].clone(),
            "it lists metadata/manifest-018f0000000070008000000000000001-0.json twice",
        );
    }

    #[test]
    fn rows_that_are_marked_are_told_only_where_there_are_some() {
        let plain = state(&[1, 1]);
        let mut marked = plain.clone();
        marked.manifests[1].marked = 5;
        assert!(!plain.has_vectors() && marked.has_vectors());
        let text = |state: &State| String::from_utf8(state.to_bytes(0).unwrap()).unwrap();
        assert_eq!(text(&plain).matches("marked").count(), 0);
        let written = text(&marked);
        assert_eq!(written.matches(",\"marked\":5,").count(), 1, "{written}");
        assert_eq!(written.replace(",\"marked\":5", ""), text(&plain));
        let read = SnapshotFile::parse("s", written.as_bytes()).unwrap();
        assert_eq!(read.manifests, marked.manifests);
        // What is counted is the rows of the table; those that are stored can be counted, too.
        marked.manifests[1].marked = i64::MAX as u64;
        let error = marked.to_bytes(0).unwrap_err();
        assert!(error.message().contains("row count overflows"), "{error}");
    }

    #[test]
    fn table_for_old_readers_says_so() {
        let with = |value: &str| State {
            options: [("compatibility".to_owned(), value.to_owned())].into(),
            ..state(&[])
        };
        assert!(with("format-1").is_for_old_readers());
        assert!(!with("format-2").is_for_old_readers() && !state(&[]).is_for_old_readers());
    }

    #[test]
    fn a_snapshot_round_trips_and_shows_python_what_it_reads() {
        let bytes = state(&[1, 1]).to_bytes(1_795_333_041_123_456).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["snapshot_id"], 1_795_333_041_123_i64);
        assert_eq!(json["timestamp"], 1_795_333_041.123_456);
        assert!(json["manifests"][1].is_string());
        let read = SnapshotFile::parse("s", &bytes).unwrap();
        assert_eq!(read.manifests, state(&[1, 1]).manifests);
    }

    #[test]
    fn lists_of_unequal_length_are_damage() {
        let bytes = state(&[1]).to_bytes(0).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        json["manifests"] = serde_json::json!([]);
        let error = SnapshotFile::parse("s", json.to_string().as_bytes()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("lists 0 manifests but describes 1")
        );
    }

    #[test]
    fn python_may_read_only_what_has_one_schema() {
        let schema = |data_type| {
            let schema = Schema::new(vec![Field::new("c", data_type, true)]);
            TableSchema::from_arrow(1, &schema, &mut FieldIds { next: 1 }).unwrap()
        };
        let int = schema(DataType::Int64);
        assert!(state(&[]).python_may_read(&int));
        assert!(state(&[1, 1]).python_may_read(&int));
        assert!(!state(&[1, 2]).python_may_read(&int));
        let seconds = schema(DataType::Timestamp(TimeUnit::Second, None));
        assert!(!state(&[1]).python_may_read(&seconds));
        // It would read the rows that are marked.
        let mut marked = state(&[1, 1]);
        assert!(marked.python_may_read(&int));
        marked.manifests[0].marked = 1;
        assert!(!marked.python_may_read(&int));
    }
}
