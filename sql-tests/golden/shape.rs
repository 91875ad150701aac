//! What objects look like: which keys they have, and of which JSON types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::objects::Objects;

/// By kind of object, the keys with their types: `added.files number`.
pub(super) type Shapes = BTreeMap<String, BTreeSet<String>>;

/// The shapes of all JSON objects among `objects`.
pub(super) fn of(objects: &Objects) -> Shapes {
    let mut shapes = Shapes::new();
    for (name, bytes) in objects {
        if name.starts_with("data/") {
            continue;
        }
        let value: Value = serde_json::from_slice(bytes).unwrap();
        let keys = shapes.entry(kind(name, &value)).or_default();
        collect(&value, "", keys);
    }
    shapes
}

/// The members that came after the first golden files; each has golden files of its own.
const ADDED: [&str; 1] = ["files[].column_bytes"];

/// The shapes without members that came later than the first golden files.
pub(super) fn of_first(objects: &Objects) -> Shapes {
    let mut shapes = of(objects);
    for keys in shapes.values_mut() {
        keys.retain(|key| !ADDED.iter().any(|added| key.starts_with(added)));
    }
    shapes
}

/// A record is of the kind of its operation, for these differ in what they hold.
fn kind(name: &str, value: &Value) -> String {
    let name = name.strip_prefix("metadata/").unwrap_or(name);
    if name.ends_with(".metadata.json") {
        let kind = if value.get("tombstone").is_some() {
            "tombstone"
        } else {
            "record"
        };
        return format!("{kind} of {}", value["operation"].as_str().unwrap());
    }
    name.split('-').next().unwrap().to_owned()
}

fn collect(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    let word = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "fraction",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            items
                .iter()
                .for_each(|item| collect(item, &format!("{path}[]"), keys));
            "array"
        }
        Value::Object(members) => {
            for (key, member) in members {
                let dot = if path.is_empty() { "" } else { "." };
                collect(member, &format!("{path}{dot}{key}"), keys);
            }
            "object"
        }
    };
    keys.insert(format!("{path} {word}"));
}
