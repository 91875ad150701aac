//! What an expiry must leave: everything that a version names, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Names below the root of a table, relative to it: files, and directories that hold none.
fn names(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(directory) = pending.pop() {
        let mut empty = true;
        for entry in fs::read_dir(&directory).unwrap() {
            empty = false;
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => pending.push(path),
                false => drop(found.insert(relative(root, &path))),
            }
        }
        if empty {
            found.insert(relative(root, &directory));
        }
    }
    found
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

/// The strings in `json` that are names of objects, but for those that it says it no longer has.
fn named(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::String(text) if text.starts_with("data/") || text.starts_with("metadata/") => {
            found.push(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| named(value, found)),
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| *key != "manifests_dropped")
            .for_each(|(_, value)| named(value, found)),
        _ => {}
    }
}

/// What lies in the directory of a table, and no record leads to it.
pub(crate) fn leftovers(root: &Path) -> Vec<String> {
    let all = names(root);
    let kept = |name: &&String| {
        let record = name.starts_with("metadata/v") && name.ends_with(".metadata.json");
        let hint = *name == "_current_version.json" || *name == "_SUCCESS";
        let folder = *name == "data" || *name == "_atio_tmp";
        record || hint || folder || name.starts_with("_atio_tmp/reserve")
    };
    let mut reached: BTreeSet<String> = all.iter().filter(kept).cloned().collect();
    let mut pending: Vec<String> = reached
        .iter()
        .filter(|name| name.starts_with("metadata/"))
        .cloned()
        .collect();
    while let Some(name) = pending.pop() {
        let Ok(bytes) = fs::read(root.join(&name)) else {
            continue;
        };
        let Ok(json) = serde_json::from_slice::<Value>(&bytes) else {
            continue;
        };
        let mut names = Vec::new();
        named(&json, &mut names);
        for name in names {
            if reached.insert(name.clone()) && name.starts_with("metadata/") {
                pending.push(name);
            }
        }
    }
    all.difference(&reached).cloned().collect()
}

/// The same files and directories in another place.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}
