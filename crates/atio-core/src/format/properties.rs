//! What holds for any bytes whatever, as functions that panic where it does not.
//!
//! Three callers: the fuzzer (`fuzz/`, which compiles `format` without the query engine), the
//! random tests beside this file, and the inputs that the fuzzer once found.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::format::checksum::{has_seal, seal, verify_seal};
use crate::format::json::check_shape;
use crate::format::layout::{self, Kind};
use crate::format::limits;
use crate::format::pointer::{parse_pointer, pointer};
use crate::format::python_snapshot::PythonSnapshot;
use crate::format::refs::RefsFile;
use crate::format::schema::FieldIds;
use crate::format::snapshot::SnapshotFile;
use crate::format::stats::{BOUND_LIMIT, Bound, Value, from_hex};
use crate::format::{
    DeletionVector, Manifest, Record, StoredRecord, TableSchema, VectorRef, Version, merge,
};

/// A property, as fuzz target and as test.
pub(crate) type Property = fn(&[u8]);

/// Every property by the name of its target.
pub(crate) const ALL: [(&str, Property); 10] = [
    ("record", record),
    ("snapshot", snapshot),
    ("manifest", manifest),
    ("schema", schema),
    ("refs", refs),
    ("pointer", hint),
    ("path", path),
    ("json", json),
    ("stats", stats),
    ("vector", vector),
];

/// The bytes with a checksum at their end that is right, so that what is behind it is reached.
fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = bytes.trim_ascii_end();
    let body = match text.iter().rposition(|byte| *byte == b',') {
        Some(at) if has_seal(&[text, b"\n"].concat()) => &text[..at],
        _ => text.strip_suffix(b"}")?,
    };
    seal([body, b"}"].concat()).ok()
}

/// Records and tombstones: what is read can be written and reads the same, a changed byte is
/// noticed, and nothing of another place is named.
pub(crate) fn record(bytes: &[u8]) {
    record_of(bytes);
    if let Some(sealed) = sealed(bytes) {
        record_of(&sealed);
    }
}

fn record_of(bytes: &[u8]) {
    let said = serde_json::from_slice::<Json>(bytes).ok();
    let said = said.and_then(|json| Version::new(json.get("version_id")?.as_u64()?));
    let version = said.unwrap_or(Version::ZERO);
    let Ok(read) = Record::parse(version, bytes) else {
        return;
    };
    assert_eq!(read.version(), version);
    let tombstone = match &read.record {
        Record::Python(python) => {
            assert_strict(&python.snapshot, Kind::Snapshot);
            None
        }
        Record::Live(live) => {
            let again = reread(version, &live.to_bytes().unwrap());
            assert_eq!(again.txn(), read.txn());
            assert_eq!(live.as_previous().unwrap().checksum, again.checksum);
            for object in live.snapshot.iter().chain(&live.changes.added) {
                assert!(layout::parse(&object.path).unwrap().txn.is_some());
                assert_plain(&object.path);
            }
            assert_flips_are_noticed(version, bytes);
            Some(read.tombstone("expired", version, live.table, 0).unwrap())
        }
        Record::Tombstone(tombstone) => {
            reread(version, &tombstone.to_bytes().unwrap());
            assert_flips_are_noticed(version, bytes);
            None
        }
    };
    let Some(tombstone) = tombstone else { return };
    // Burying a version loses nothing that its neighbours ask for.
    let buried = reread(version, &tombstone.to_bytes().unwrap());
    assert!(buried.is_tombstone());
    assert_eq!(buried.original_checksum(), Some(read.checksum));
    assert_eq!(buried.previous(), read.previous());
    assert_eq!(buried.revoked(), read.revoked());
    assert_eq!(buried.expired(), read.expired());
    assert_eq!(buried.table(), read.table());
    assert_eq!(buried.txn(), read.txn());
}

fn reread(version: Version, written: &[u8]) -> StoredRecord {
    let read = Record::parse(version, written).unwrap();
    let again = match &read.record {
        Record::Live(live) => live.to_bytes().unwrap(),
        Record::Tombstone(tombstone) => tombstone.to_bytes().unwrap(),
        Record::Python(_) => panic!("written as Python's"),
    };
    assert_eq!(written, again);
    read
}

fn assert_flips_are_noticed(version: Version, bytes: &[u8]) {
    let checksum = verify_seal("r", bytes).unwrap();
    // A few places, other ones for other bytes.
    let mut at = bytes.len() / 3;
    for bit in 0..8 {
        at = (at * 31 + 7 + bytes.len() / 2) % bytes.len();
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << bit;
        assert!(Record::parse(version, &changed).is_err(), "byte {at}");
        assert_ne!(verify_seal("r", &changed).ok(), Some(checksum));
    }
}

/// Snapshots, of atio and of Python.
pub(crate) fn snapshot(bytes: &[u8]) {
    if let Ok(state) = SnapshotFile::parse("s", bytes) {
        let written = state.to_bytes(1).unwrap();
        let again = SnapshotFile::parse("s", &written).unwrap();
        assert_eq!(again.manifests, state.manifests);
        assert_eq!(written, again.to_bytes(1).unwrap());
        let rows = state.manifests.iter().map(|manifest| manifest.rows);
        assert_eq!(rows.sum::<u64>(), state.totals.rows);
        for manifest in &state.manifests {
            assert_strict(&manifest.object.path, Kind::Manifest);
        }
        assert_strict(&state.schema.object.path, Kind::Schema);
        for group in merge::plan(&state.manifests) {
            assert!(group.len() > 1 && group.is_sorted());
        }
    }
    if let Ok(python) = PythonSnapshot::parse("s", bytes) {
        assert!(limits::TIMES_US.contains(&python.at_us));
        for manifest in &python.manifests {
            assert_strict(manifest, Kind::Manifest);
        }
    }
}

/// Manifests, of atio and of Python.
pub(crate) fn manifest(bytes: &[u8]) {
    for python in [false, true] {
        let Ok(manifest) = Manifest::parse("m", bytes, python) else {
            continue;
        };
        let written = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse("m", &written, python).unwrap(), manifest);
        for file in &manifest.files {
            assert_strict(&file.path, Kind::Data);
            assert!(python || file.live_rows().is_ok() && file.bytes().is_ok());
            if let Some(vector) = &file.dv {
                assert_strict(&vector.path, Kind::Vector);
                let (live, stored) = (file.live_rows().unwrap(), file.stored_rows().unwrap());
                assert!(0 < live && live < stored && live + vector.rows == stored);
                let range = vector.range();
                assert!(!range.is_empty() && range.end - range.start == vector.size);
            }
            assert!(file.rows.is_none_or(|rows| rows <= limits::SUM));
            for id in manifest.stats_ids.iter().take(3) {
                let nulls = manifest.stats_of(file, *id).and_then(|stats| stats.nulls);
                assert!(nulls.is_none_or(|nulls| file.rows.is_none_or(|rows| nulls <= rows)));
            }
        }
        if let Ok(totals) = manifest.totals() {
            assert_eq!(totals.files, manifest.files.len() as u64);
            let shared = std::sync::Arc::new(manifest.clone());
            let merged = Manifest::merge(&[shared.clone(), shared]);
            if let Ok(both) = merged.totals() {
                assert_eq!(Ok(both), totals.plus(totals).map_err(|_| ()));
            }
        }
    }
}

/// Schemas: as read, as written, and as Arrow sees them.
pub(crate) fn schema(bytes: &[u8]) {
    let Ok(schema) = TableSchema::parse("s", bytes) else {
        return;
    };
    let written = schema.to_bytes().unwrap();
    assert_eq!(TableSchema::parse("s", &written).unwrap(), schema);
    let arrow = schema.to_arrow().unwrap();
    let with_ids = schema.to_arrow_with_ids().unwrap();
    assert_eq!(arrow.fields().len(), with_ids.fields().len());
    assert!(schema.largest_id() >= 1);
    // A table that is made with the same columns can be read as well.
    let mut ids = FieldIds { next: 1 };
    let made = TableSchema::from_arrow(schema.id, &arrow, &mut ids).unwrap();
    let made = TableSchema::parse("s", &made.to_bytes().unwrap()).unwrap();
    assert_eq!(made.to_arrow().unwrap(), arrow);
}

/// Refs: only under a checksum that is right.
pub(crate) fn refs(bytes: &[u8]) {
    if RefsFile::parse("r", bytes).is_ok() {
        verify_seal("r", bytes).unwrap();
    }
    if let Some(refs) = sealed(bytes).and_then(|bytes| RefsFile::parse("r", &bytes).ok()) {
        assert!(refs.tags.values().all(|tag| tag.version <= Version::MAX));
    }
}

/// The pointer: a version, or no hint.
pub(crate) fn hint(bytes: &[u8]) {
    if let Some(version) = parse_pointer(bytes) {
        let written = pointer(version, Uuid::nil()).unwrap();
        assert_eq!(parse_pointer(&written), Some(version));
    }
}

/// Names: what is accepted is plain, stays below the root, and has one spelling.
pub(crate) fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let python = layout::from_python(text);
    assert_eq!(layout::from_python(&python), python);
    for text in [text, &python] {
        let Some(object) = layout::parse(text) else {
            continue;
        };
        assert_plain(text);
        let name = text.rsplit('/').next().unwrap();
        match object.kind {
            Kind::Record(version) => {
                assert_eq!(layout::record(version), text);
                assert_eq!(layout::parse_record(name), Some(version));
            }
            Kind::Data | Kind::Vector => assert!(text.starts_with("data/")),
            Kind::Staging => assert!(text.starts_with("_atio_tmp/")),
            _ => assert!(text.starts_with("metadata/") && text.ends_with(".json")),
        }
        if let Some(txn) = object.txn {
            assert!(text.contains(&txn.to_string()));
        }
    }
}

/// Written anew and without the parser: what no accepted name may hold.
fn assert_plain(text: &str) {
    assert!(text.len() <= 1024 && text.contains('/'));
    for part in text.split('/') {
        assert!(!part.is_empty() && !part.starts_with('.'), "{text:?}");
        assert!(
            part.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
            "{text:?}"
        );
    }
}

fn assert_strict(text: &str, kind: Kind) {
    assert_plain(text);
    assert_eq!(layout::parse(text).map(|object| object.kind), Some(kind));
}

/// JSON: whatever the parser takes, the look before it says the same as a slow check of the
/// parsed tree says.
pub(crate) fn json(bytes: &[u8]) {
    let fast = check_shape(bytes).is_ok();
    let Ok(slow) = serde_json::from_slice::<Strict>(bytes) else {
        return;
    };
    assert_eq!(fast, slow.depth <= limits::JSON_DEPTH && !slow.twice);
}

/// How deep a value nests, and if a key is there twice.
#[derive(Default)]
struct Strict {
    depth: usize,
    twice: bool,
}

impl Strict {
    fn hold(&mut self, inner: Strict) {
        self.depth = self.depth.max(inner.depth + 1);
        self.twice |= inner.twice;
    }
}

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> serde::de::Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict::default())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
        let mut found = Strict {
            depth: 1,
            ..Strict::default()
        };
        while let Some(inner) = seq.next_element()? {
            found.hold(inner);
        }
        Ok(found)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        let mut found = Strict {
            depth: 1,
            ..Strict::default()
        };
        let mut keys = std::collections::BTreeSet::new();
        while let Some((key, inner)) = map.next_entry::<String, Strict>()? {
            found.twice |= !keys.insert(key);
            found.hold(inner);
        }
        Ok(found)
    }
}

/// Deletion vectors: the rows are in order and as many as is said, what is written reads the same, and
/// a changed byte is noticed.
pub(crate) fn vector(bytes: &[u8]) {
    let Ok(vector) = DeletionVector::parse(bytes) else {
        return;
    };
    // No file has so many rows.
    if vector.last().is_some_and(|last| last >= limits::SUM) {
        return;
    }
    let (mut rows, mut end, mut ranges) = (0, None, 0);
    for range in vector.ranges() {
        assert!(!range.is_empty() && end.is_none_or(|end| end <= range.start));
        assert!(vector.contains(range.start) && vector.contains(range.end - 1));
        let next = range.end;
        rows += next - range.start;
        ranges += 1;
        end = Some(next);
    }
    assert_eq!(
        (rows, end),
        (vector.len(), vector.last().map(|last| last + 1))
    );
    assert!(ranges <= 4 * bytes.len());
    assert!(vector.rows().take(1000).is_sorted());
    let written = vector.to_bytes();
    let again = DeletionVector::parse(&written).unwrap();
    assert_eq!(again, vector);
    assert_eq!(again.to_bytes(), written);
    let Some(last) = vector.last() else {
        assert!(vector.is_empty());
        return;
    };
    let first: DeletionVector = vector.rows().take(1).collect();
    assert!(vector.has_all(&first) && vector.shares_rows(&first));
    let rest = vector.without(&first);
    assert!(rest.len() + 1 == vector.len() && !rest.shares_rows(&first));
    assert_eq!(rest.union(&first), vector);
    let path = layout::vectors(crate::format::Txn::new(Uuid::nil()), 0, 0);
    let named = VectorRef::of(&path, 7, &written, &vector);
    let of = last + 1;
    assert_eq!(named.parse(&written, of).unwrap(), vector);
    assert!(named.parse(&written, last).is_err());
    let at = bytes.len() * 31 % written.len();
    let mut changed = written.clone();
    changed[at] ^= 1 << (bytes.len() % 8);
    assert!(named.parse(&changed, of).is_err());
    // Where every row is marked there is no file to name it.
    assert_eq!(named.check(Some(of)).is_ok(), vector.len() < of);
}

/// Bounds: a cut one is short and still holds; hexadecimal digits read back.
pub(crate) fn stats(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let value = |bound: &Bound| match &bound.value {
        Value::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    let least = Bound::text_min(&text, true);
    assert!(value(&least).len() <= BOUND_LIMIT && value(&least).as_str() <= &*text);
    assert_eq!(least.cut, value(&least) != text);
    if let Some(most) = Bound::text_max(&text, true) {
        assert!(value(&most).len() <= BOUND_LIMIT && value(&most).as_str() >= &*text);
        assert_eq!(most.cut, value(&most) != text);
    }
    let least = from_hex(&value(&Bound::binary_min(bytes, true))).unwrap();
    assert!(least.len() <= BOUND_LIMIT && least.as_slice() <= bytes);
    if let Some(most) = Bound::binary_max(bytes, true) {
        let most = from_hex(&value(&most)).unwrap();
        assert!(most.len() <= BOUND_LIMIT && most.as_slice() >= bytes);
    }
    if let Some(decoded) = from_hex(&text) {
        assert_eq!(decoded.len() * 2, text.len());
    }
}
