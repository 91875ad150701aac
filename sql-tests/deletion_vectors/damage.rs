//! Deletion vectors that something broke: an error that names them, never a row too many or too few.

#![cfg(test)]

use std::fs;

use atio_core::format::DeletionVector;
use serde_json::{Value, json};

use super::marking::mark;
use crate::damage::broken_table::{Broken, checksum, file_name, text};
use crate::query::rows;
use crate::session::Place;

/// Versions 0 to 4: files of ten rows, five and one; in version 4 rows of the first two are marked.
async fn marked() -> Broken {
    let place = Place::disk();
    let ctx = place.session();
    let create = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT, b VARCHAR) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(&ctx, &create).await;
    for values in ["0, 9", "100, 104", "200, 200"] {
        let insert = format!("INSERT INTO t SELECT value, 'b' FROM generate_series({values})");
        rows(&ctx, &insert).await;
    }
    mark(&place, "t", |a| matches!(a, 3 | 7 | 101)).await;
    Broken::of(place)
}

const LEFT: &str = "SELECT count(*), sum(a) FROM t";

/// What reads both files, and where it stands in a statement does not matter.
const READS: &[&str] = &[
    "SELECT a FROM t",
    "SELECT sum(a) FROM t",
    "SELECT min(a), max(a) FROM t WHERE a < 150",
    "SELECT count(*) FROM t WHERE b = 'b'",
    "SELECT count(*) FROM t x JOIN t y ON x.a = y.a",
];

/// What version 4 says of the file of ten rows, and of the vector of the other one.
fn first_and_second(table: &Broken) -> (Value, Value) {
    let files = table.json(&table.last_manifest())["files"].clone();
    let of = |rows: u64| {
        let mut files = files.as_array().unwrap().iter();
        files.find(|file| file["rows"] == rows).unwrap().clone()
    };
    (of(10), of(5)["dv"].clone())
}

/// Says of the first file what `first` says, in objects that are right otherwise.
fn forge(table: &Broken, first: Value) {
    let mut manifest = table.json(&table.last_manifest());
    let mut files = manifest["files"].as_array_mut().unwrap().iter_mut();
    *files.find(|file| file["rows"] == 10).unwrap() = first;
    table.forge_manifest(&manifest);
}

fn vectors(table: &Broken) -> String {
    let (first, second) = first_and_second(table);
    assert_eq!(first["dv"]["path"], second["path"]);
    text(&second["path"])
}

#[tokio::test]
async fn damaged_vectors_are_an_error_that_names_them() {
    let template = marked().await;
    let expected = template.on_t(LEFT).await.unwrap();
    assert_eq!(expected, ["13|644"]);
    let path = vectors(&template);
    let whole = fs::read(template.path(&path)).unwrap();
    let half = whole.len() / 2;
    let damaged: &[(&str, Option<Vec<u8>>)] = &[
        ("missing", None),
        ("empty", Some(Vec::new())),
        ("cut in half", Some(whole[..half].to_vec())),
        ("cut by one", Some(whole[..whole.len() - 1].to_vec())),
        ("zeros", Some(vec![0; whole.len()])),
        (
            "its halves changed round",
            Some([&whole[half..], &whole[..half]].concat()),
        ),
    ];
    for (how, bytes) in damaged {
        let table = template.copy();
        match bytes {
            Some(bytes) => fs::write(table.path(&path), bytes).unwrap(),
            None => fs::remove_file(table.path(&path)).unwrap(),
        }
        for sql in READS {
            let error = table.on_t(sql).await.unwrap_err();
            assert!(error.contains(file_name(&path)), "{how}, {sql}: {error}");
            assert!(error.contains("version 4 of 't'"), "{how}, {sql}: {error}");
        }
        // What needs none of them.
        assert_eq!(
            table.on_t("SELECT count(*) FROM t").await.unwrap(),
            ["13"],
            "{how}"
        );
        assert_eq!(
            table.on_t("SELECT a FROM t WHERE a = 200").await.unwrap(),
            ["200"],
            "{how}"
        );
        let before = table.run("SELECT count(a), sum(a) FROM atio_table('{t}', version => 3)");
        assert_eq!(before.await.unwrap(), ["16|755"], "{how}");
    }
}

#[tokio::test]
async fn any_bit_flipped_in_vectors_is_noticed() {
    let table = marked().await;
    let path = vectors(&table);
    let whole = fs::read(table.path(&path)).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(table.path(&path), &bytes).unwrap();
        let error = table.on_t("SELECT sum(a) FROM t").await.unwrap_err();
        assert!(error.contains(file_name(&path)), "byte {at}: {error}");
    }
    fs::write(table.path(&path), whole).unwrap();
    assert_eq!(table.on_t(LEFT).await.unwrap(), ["13|644"]);
}

/// A check says which object it is, and what to do.
#[tokio::test]
async fn check_finds_damaged_vectors() {
    let template = marked().await;
    assert_eq!(template.deep_findings().await, [""; 0]);
    let path = vectors(&template);
    let whole = fs::read(template.path(&path)).unwrap();
    let last = whole.len() - 1;
    let mut flipped = whole.clone();
    flipped[last] ^= 1;
    for (how, bytes, is_deep) in [
        ("missing", None, false),
        ("empty", Some(Vec::new()), false),
        ("cut by one", Some(whole[..last].to_vec()), false),
        ("zeros", Some(vec![0; whole.len()]), true),
        ("a bit flipped", Some(flipped), true),
    ] {
        let table = template.copy();
        match bytes {
            Some(bytes) => fs::write(table.path(&path), bytes).unwrap(),
            None => fs::remove_file(table.path(&path)).unwrap(),
        }
        let found = table.findings().await;
        match is_deep {
            true => assert_eq!(found, [""; 0], "{how}"),
            false => assert_eq!(found, [format!("error|{path}|4")], "{how}"),
        }
        let deep = table.deep_findings().await;
        let is_about = |finding: &String| finding.starts_with(&format!("{path}: {path}"));
        assert!(deep.len() == 1 && is_about(&deep[0]), "{how}: {deep:?}");
        let action = "SELECT action FROM atio_check('{t}', deep => true)";
        assert_eq!(
            table.run(action).await.unwrap(),
            [
                "Restore it from a copy of the table, or roll back to version 3, the newest that is whole."
            ],
            "{how}"
        );
        table
            .on_t("SELECT * FROM atio_rollback('t', version => 3)")
            .await
            .unwrap();
        assert_eq!(table.on_t(LEFT).await.unwrap(), ["16|755"], "{how}");
    }
}

/// What is said wrongly of the vector of the first file, and the change that says it.
type Lie = (&'static str, fn(&mut Value, &Value));

/// Everything that names the changed manifest is right.
#[tokio::test]
async fn manifest_that_lies_about_vectors_is_refused() {
    let template = marked().await;
    let lies: &[Lie] = &[
        ("more rows", |dv, _| dv["rows"] = json!(3)),
        ("fewer rows", |dv, _| dv["rows"] = json!(1)),
        ("no rows", |dv, _| dv["rows"] = json!(0)),
        ("all rows", |dv, _| dv["rows"] = json!(10)),
        ("another place", |dv, other| {
            dv["offset"] = other["offset"].clone()
        }),
        ("a place beyond the end", |dv, _| {
            dv["offset"] = json!(1 << 20)
        }),
        ("a place beyond everything", |dv, _| {
            dv["offset"] = json!(u64::MAX)
        }),
        ("a size that is too small", |dv, _| dv["size"] = json!(8)),
        ("a size beyond everything", |dv, _| {
            dv["size"] = json!(u64::MAX)
        }),
        ("another checksum", |dv, other| {
            dv["checksum"] = other["checksum"].clone()
        }),
        ("an object that is not there", |dv, _| {
            dv["path"] = json!("data/018f0000000070008000000000000001/00000-0000000000000000.dv");
        }),
        ("no name of a vector", |dv, _| {
            dv["path"] = json!("../../etc/passwd")
        }),
    ];
    for (what, lie) in lies {
        let table = template.copy();
        let (mut first, second) = first_and_second(&table);
        lie(&mut first["dv"], &second);
        forge(&table, first);
        assert_ne!(table.deep_findings().await, [""; 0], "{what}");
        for sql in READS {
            match table.on_t(sql).await {
                Err(error) => assert!(!error.contains("panic"), "{what}, {sql}: {error}"),
                Ok(rows) => panic!("{what}, {sql}: {rows:?}"),
            }
        }
    }
}

/// A vector that is what its manifest says, of rows that its file does not have.
#[tokio::test]
async fn vector_of_rows_beyond_the_end_is_refused() {
    let template = marked().await;
    let path = vectors(&template);
    let few = |rows: &[u64]| rows.iter().copied().collect::<DeletionVector>();
    let many: DeletionVector = (9..70_000).collect();
    for vector in [few(&[3, 10]), few(&[1 << 40]), few(&[u64::MAX]), many] {
        let table = template.copy();
        let (mut first, _) = first_and_second(&table);
        let bytes = vector.to_bytes();
        first["dv"] = json!({
            "path": path, "offset": 0, "size": bytes.len(), "checksum": checksum(&bytes),
            "rows": vector.len().min(9),
        });
        let mut all = bytes;
        all.extend(fs::read(table.path(&path)).unwrap());
        fs::write(table.path(&path), all).unwrap();
        forge(&table, first);
        assert_ne!(table.deep_findings().await, [""; 0], "{vector:?}");
        let error = table
            .on_t("SELECT a FROM t WHERE a < 50")
            .await
            .unwrap_err();
        assert!(error.contains(file_name(&path)), "{error}");
    }
}

/// Of a file that claims more rows than could be, marked but for a few, nothing is made that has a bit
/// for each.
#[tokio::test]
async fn rows_that_nobody_could_count_are_refused_by_the_footer() {
    let template = marked().await;
    let path = vectors(&template);
    let table = template.copy();
    let mut rows = roaring::RoaringTreemap::new();
    rows.insert_range(5..1 << 26);
    let vector = DeletionVector::from(rows);
    let bytes = vector.to_bytes();
    let of = (1_u64 << 50) + 10;
    let (mut first, _) = first_and_second(&table);
    first["rows"] = json!(of);
    first["dv"] = json!({
        "path": path, "offset": 0, "size": bytes.len(), "checksum": checksum(&bytes), "rows": vector.len(),
    });
    fs::write(table.path(&path), bytes).unwrap();
    forge(&table, first);
    let error = table
        .on_t("SELECT a FROM t WHERE a < 50")
        .await
        .unwrap_err();
    assert!(
        error.contains(&format!("has 10 rows, its manifest says {of}")),
        "{error}"
    );
}
