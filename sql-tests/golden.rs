//! Tables that earlier releases wrote, and what every release must make of them.
//!
//! Golden directories are added, never regenerated: one for each format version, written
//! once by the release that introduced it. A change that makes these tests fail breaks the
//! tables that people have.

#![cfg(test)]

mod bytes;
mod history;
mod names;
mod shape;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use crate::objects::{Objects, assert_same, files};
use crate::query::{failure, row, rows};
use crate::session::Place;
use history::{Expected, write};

fn golden(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sql-tests/golden")
        .join(format)
}

/// A copy of the golden table of `format`, for it to be written to.
fn copy(format: &str) -> Place {
    let directory = tempfile::tempdir().unwrap();
    let found = files(&golden(format).join("table"));
    assert!(!found.is_empty());
    for (name, bytes) in found {
        let to = directory.path().join("t").join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    Place::Disk(Arc::new(directory))
}

/// A session in which the golden table is `t`.
async fn opened(place: &Place) -> SessionContext {
    let ctx = place.session();
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(&ctx, &open).await;
    ctx
}

/// Where the golden directory is made that the environment `variable` names, or a place of no
/// consequence below `temporary`; one that is there is never touched.
fn new_place(variable: &str, temporary: &Path) -> PathBuf {
    let to = match std::env::var(variable) {
        Ok(name) => golden(&name),
        Err(_) => temporary.join("made"),
    };
    assert!(
        !to.exists(),
        "{} is there: golden files are never regenerated",
        to.display()
    );
    to
}

/// Keeps the table `t` of `place` as a golden one in the directory `to`.
fn keep(place: &Place, to: &Path) -> Objects {
    let written = files(&place.path().join("t"));
    for (name, bytes) in &written {
        let to = to.join("table").join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    written
}

fn expected(format: &str) -> Expected {
    Expected::of_json(&fs::read(golden(format).join("expected.json")).unwrap())
}

#[tokio::test]
async fn table_of_format_1_is_read_at_every_version() {
    let (place, expected) = (copy("format-1"), expected("format-1"));
    let before = files(place.path());
    let ctx = opened(&place).await;

    let found = Expected::read(&ctx).await;
    assert_eq!(found.columns, expected.columns);
    assert_eq!(found.history, expected.history);
    for (version, rows) in &expected.readable {
        assert_eq!(found.readable.get(version), Some(rows), "version {version}");
    }
    assert_eq!(found, expected);
    let newest = expected.readable.values().next_back().unwrap();
    assert_eq!(rows(&ctx, "SELECT * FROM t").await, *newest);
    let errors = expected.expired.values();
    assert!(
        errors.clone().count() > 3
            && errors
                .clone()
                .all(|error| error.contains("has expired; readable"))
    );
    let wrong = rows(&ctx, "SELECT * FROM atio_check('t', deep => true)").await;
    assert_eq!(wrong, [""; 0]);
    let after: BTreeMap<_, _> = files(place.path());
    assert_same(&before, &after, "reading");
}

#[tokio::test]
async fn table_of_format_1_is_appended_to_and_expired() {
    let (place, expected) = (copy("format-1"), expected("format-1"));
    let ctx = opened(&place).await;
    let newest = *expected.readable.keys().next_back().unwrap();

    // All its columns again, from what it holds itself.
    let doubled = row(&ctx, "INSERT INTO t SELECT * FROM t").await;
    let before = &expected.readable[&newest];
    assert_eq!(doubled, before.len().to_string());
    let mut twice: Vec<_> = before.iter().chain(before).cloned().collect();
    twice.sort_unstable();
    assert_eq!(rows(&ctx, "SELECT * FROM t").await, twice);
    assert_eq!(
        row(&ctx, "SELECT max(version) FROM atio_history('t')").await,
        (newest + 1).to_string()
    );

    let expire = "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false)";
    assert_ne!(row(&ctx, expire).await, "0");
    assert_eq!(
        rows(
            &place.session(),
            &format!("SELECT * FROM atio_table('{}/t')", place.root())
        )
        .await,
        twice
    );
    let gone = failure(
        &ctx,
        &format!("SELECT * FROM atio_table('t', version => {newest})"),
    )
    .await;
    assert!(
        gone.contains(&format!("version {newest} of 't' has expired")),
        "{gone}"
    );
}

#[tokio::test]
async fn objects_that_are_written_have_the_keys_and_types_of_format_1() {
    let place = Place::disk();
    write(&place).await;
    let fresh = shape::of_first(&files(&place.path().join("t")));
    let golden = shape::of(&files(&golden("format-1").join("table")));
    assert_eq!(
        fresh.keys().collect::<Vec<_>>(),
        golden.keys().collect::<Vec<_>>(),
        "other kinds of objects are written"
    );
    for (kind, keys) in &golden {
        assert_eq!(&fresh[kind], keys, "{kind}");
    }
}

/// The sizes that a commit record, a snapshot and so on give are those of the files.
#[test]
fn golden_directory_is_whole() {
    let table = golden("format-1").join("table");
    let found = files(&table);
    let size: usize = found.values().map(Vec::len).sum();
    assert!(size < 200_000, "{size} bytes are too many for a repository");
    let records = found.keys().filter(|name| name.ends_with(".metadata.json"));
    let mut named = 0;
    for name in records {
        let record: Value = serde_json::from_slice(&found[name]).unwrap();
        let Some(path) = record["snapshot"]["path"].as_str() else {
            continue;
        };
        assert_eq!(
            json!(found[path].len()),
            record["snapshot"]["size"],
            "{path}"
        );
        named += 1;
    }
    assert!(named > 3);
}

/// Makes a golden directory and reads it back. With `ATIO_MAKE_GOLDEN=format-2` that is the
/// one of a new format version; a directory that is there is never touched.
#[tokio::test]
async fn golden_directory_is_made_in_a_new_place_only() {
    let temporary = tempfile::tempdir().unwrap();
    let to = new_place("ATIO_MAKE_GOLDEN", temporary.path());
    let place = Place::disk();
    let ctx = write(&place).await;
    let written = keep(&place, &to);
    let expected = Expected::read(&ctx).await;
    fs::write(to.join("expected.json"), expected.to_json()).unwrap();
    let made = Expected::of_json(&fs::read(to.join("expected.json")).unwrap());
    assert_eq!(made, expected);
    assert_same(&written, &files(&to.join("table")), "making it");
}
