//! The examples in [the format](crate::docs::format), which are of one table: their sizes and checksums
//! are those of their bytes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::checksum::{Checksum, verify_seal};
use super::refs::RefsFile;
use super::snapshot::SnapshotFile;
use super::{DeletionVector, Manifest, Record, TableSchema, VectorRef, Version};

const DOCUMENT: &str = include_str!("../docs/format.md");

/// The text without white space outside of strings, as it is written.
fn compact(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |letter: &char| {
        let was = quoted;
        if *letter == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && *letter == '\\' && !escaped;
        was || !letter.is_whitespace()
    };
    text.chars().filter(keep).collect()
}

/// The examples of this kind.
fn blocks(kind: &str) -> Vec<String> {
    let begin = format!("\n```{kind}\n");
    let blocks = DOCUMENT.split(&begin).skip(1);
    let blocks = blocks.map(|rest| rest.split("\n```").next().unwrap_or_default());
    blocks.map(compact).collect()
}

/// Size and checksum of all that `value` refers to.
fn references(value: &Value, found: &mut BTreeSet<(u64, String)>) {
    match value {
        Value::Object(members) => {
            let size = members.get("size").and_then(Value::as_u64);
            let checksum = members.get("checksum").and_then(Value::as_str);
            found.extend(size.zip(checksum.map(str::to_owned)));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn sizes_and_checksums_of_the_examples_are_true() {
    let mut named = BTreeSet::new();
    let mut objects = Vec::new();
    for mut text in blocks("json") {
        let json: Value = serde_json::from_str(&text).unwrap();
        references(&json, &mut named);
        let has = |member: &str| json.get(member).is_some();
        // Fragments leave something out.
        if text.contains('…') || has("type") {
            continue;
        }
        let sealed = has("checksum");
        if sealed {
            text.push('\n');
            verify_seal("example", text.as_bytes()).unwrap();
        }
        let bytes = text.as_bytes();
        let by_name = if has("format_version") {
            let version = Version::new(json["version_id"].as_u64().unwrap()).unwrap();
            Record::parse(version, bytes).unwrap();
            false
        } else if has("snapshot_id") {
            SnapshotFile::parse("s", bytes).unwrap();
            true
        } else if has("files") {
            Manifest::parse("m", bytes, false).unwrap();
            true
        } else if has("fields") {
            TableSchema::parse("s", bytes).unwrap();
            true
        } else if has("tags") {
            RefsFile::parse("r", bytes).unwrap();
            true
        } else {
            continue;
        };
        if by_name {
            let size = bytes.len() as u64;
            objects.push((size, Checksum::of(bytes).to_string()));
        }
    }
    assert!(objects.len() >= 8, "{}", objects.len());
    for object in objects {
        assert!(named.contains(&object), "nothing names {object:?}");
    }
}

#[test]
fn example_of_a_deletion_vector_marks_the_row_that_it_is_said_to_mark() {
    let hex = blocks("text").into_iter().find(|text| {
        let mut bytes = text.bytes();
        !text.is_empty() && bytes.all(|byte| byte.is_ascii_hexdigit())
    });
    let bytes = super::stats::from_hex(&hex.unwrap()).unwrap();
    let vector: DeletionVector = [1].into_iter().collect();
    assert_eq!(vector.to_bytes(), bytes);
    let manifests = blocks("json").into_iter();
    let manifests = manifests.filter(|text| text.contains("\"dv\":"));
    let [manifest] = manifests.collect::<Vec<_>>().try_into().unwrap();
    let manifest = Manifest::parse("m", manifest.as_bytes(), false).unwrap();
    let [file] = manifest.files.try_into().unwrap();
    let named = file.dv.unwrap();
    assert_eq!(named.parse(&bytes, file.rows.unwrap()).unwrap(), vector);
    assert_eq!(named, VectorRef::of(&named.path, 0, &bytes, &vector));
}
