//! Directories that were copied, restored or shuffled in parts.

use std::fs;
use std::sync::Arc;

use serde_json::json;

use super::broken_table::{Broken, NEWEST, POINTER, ROWS, file_name, record};
use crate::objects::{assert_same, files};

#[tokio::test]
async fn pointer_behind_or_unreadable_still_leads_to_the_newest_version() {
    let template = Broken::fresh().await;
    let uuid = template.record(0)["table"].clone();
    let sealed = [json!("0"), json!("1"), json!(3), json!("4"), json!(4)];
    for version in &sealed {
        let table = template.copy();
        table.seal(POINTER, json!({"version_id": version, "table": uuid}));
        assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST], "{version}");
        table.append().await.unwrap();
        assert_eq!(table.newest().await.unwrap().len(), 6, "{version}");
        assert_eq!(table.json(POINTER)["version_id"], json!("5"), "{version}");
    }
    for text in [
        "",
        "{}",
        "null",
        "[]",
        "\u{0}",
        "{\"version_id\":-1}",
        "{\"version_id\":1.5}",
        "{\"version_id\":\"x\"}",
        "{\"version_id\":\"99999999999999999999\"}",
        "{\"version_id\":1e30}",
        "{\"version_id\":[4]}",
    ] {
        let table = template.copy();
        fs::write(table.path(POINTER), text).unwrap();
        assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST], "{text}");
    }
}

#[tokio::test]
async fn pointer_ahead_of_the_newest_record_is_refused_and_older_versions_are_read() {
    let template = Broken::fresh().await;
    let uuid = template.record(0)["table"].clone();
    for version in ["5", "17", "9007199254740991"] {
        let table = template.copy();
        table.seal(POINTER, json!({"version_id": version, "table": uuid}));
        let before = files(&table.root());
        for error in [
            table.newest().await.unwrap_err(),
            table.append().await.unwrap_err(),
            table.expire().await.unwrap_err(),
        ] {
            assert!(
                error.contains(POINTER) && error.contains(version),
                "{error}"
            );
        }
        assert_same(&before, &files(&table.root()), "refused statements");
        table.assert_version(NEWEST, version).await;
        table.assert_version(1, version).await;
    }
}

#[tokio::test]
async fn record_lost_in_the_middle_hides_its_own_version_only() {
    let template = Broken::fresh().await;
    for pointer in [true, false] {
        let table = template.copy();
        fs::remove_file(table.path(&record(2))).unwrap();
        if !pointer {
            fs::remove_file(table.path(POINTER)).unwrap();
        }
        assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
        table.assert_version(3, "beside damage").await;
        table.assert_version(1, "beside damage").await;
        let error = table.version(2).await.unwrap_err();
        assert!(error.contains(&record(2)), "{error}");
        // The number is never used again.
        table.append().await.unwrap();
        assert!(!table.path(&record(2)).exists());
        assert!(table.path(&record(5)).exists());
    }
}

#[tokio::test]
async fn missing_data_file_is_named_by_every_statement_that_needs_it() {
    let table = Broken::fresh().await;
    let data = table.last_data_file();
    fs::remove_file(table.path(&data)).unwrap();
    for sql in [
        "SELECT a FROM t",
        "SELECT sum(a) FROM t",
        "SELECT b FROM t WHERE a > 45",
        "INSERT INTO t SELECT * FROM t",
    ] {
        let error = table.on_t(sql).await.unwrap_err();
        assert!(
            error.contains(file_name(&data)) && error.contains("version 4"),
            "{sql}: {error}"
        );
    }
    // What does not touch the file is right.
    assert_eq!(
        table.on_t("SELECT b FROM t WHERE a = 20").await.unwrap(),
        ["twenty"]
    );
    table.assert_version(3, "beside damage").await;
}

#[tokio::test]
async fn data_file_replaced_by_another_whole_one_is_refused() {
    let template = Broken::fresh().await;
    let of_version_3 = {
        let manifest = template.manifest_paths(3)[0].clone();
        super::broken_table::text(&template.json(&manifest)["files"][0]["path"])
    };
    let table = template.copy();
    fs::copy(
        template.path(&of_version_3),
        table.path(&table.last_data_file()),
    )
    .unwrap();
    let error = table.newest().await.unwrap_err();
    assert!(
        error.contains(file_name(&template.last_data_file())),
        "{error}"
    );
}

/// Flips one bit after the other in the last data file, and reads it: what panicked, and
/// what gave another number of rows, by byte.
async fn flips_in_a_data_file() -> (Vec<String>, Vec<String>) {
    let table = Arc::new(Broken::fresh().await);
    let data = table.last_data_file();
    let whole = fs::read(table.path(&data)).unwrap();
    let (mut panics, mut parts) = (Vec::new(), Vec::new());
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(table.path(&data), &bytes).unwrap();
        let reader = Arc::clone(&table);
        match tokio::spawn(async move { reader.newest().await }).await {
            Err(panic) => panics.push(format!("byte {at} of {}: {panic}", whole.len())),
            Ok(Ok(rows)) if rows.len() != ROWS[NEWEST].len() => {
                parts.push(format!("byte {at}: {rows:?}"))
            }
            // Values inside a page have no checksum of their own that a scan compares.
            Ok(Ok(_) | Err(_)) => {}
        }
    }
    (panics, parts)
}

#[tokio::test]
async fn bit_flipped_in_a_data_file_never_gives_a_part_of_the_rows() {
    let (_, parts) = flips_in_a_data_file().await;
    assert!(parts.is_empty(), "{parts:#?}");
}

#[tokio::test]
async fn bit_flipped_in_a_data_file_never_panics() {
    let (panics, _) = flips_in_a_data_file().await;
    assert!(panics.is_empty(), "{panics:#?}");
}

#[tokio::test]
async fn directory_moved_or_copied_whole_is_the_same_table() {
    let template = Broken::fresh().await;
    let table = template.copy();
    fs::rename(table.root(), table.place().path().join("renamed")).unwrap();
    fs::rename(table.place().path().join("renamed"), table.root()).unwrap();
    for (version, expected) in ROWS.iter().enumerate() {
        assert_eq!(table.version(version).await.unwrap(), *expected);
    }
    table.append().await.unwrap();
    assert_eq!(table.newest().await.unwrap().len(), 6);
    assert_eq!(template.newest().await.unwrap(), ROWS[NEWEST]);
}

#[tokio::test]
async fn manifests_that_changed_places_on_disk_are_refused() {
    let table = Broken::fresh().await;
    let paths = table.manifest_paths(NEWEST);
    let [one, two] = paths.as_slice() else {
        panic!("expected two manifests: {paths:?}")
    };
    let aside = table.path("metadata/aside");
    fs::rename(table.path(one), &aside).unwrap();
    fs::rename(table.path(two), table.path(one)).unwrap();
    fs::rename(&aside, table.path(two)).unwrap();
    let error = table.newest().await.unwrap_err();
    assert!(
        error.contains(file_name(one)) || error.contains(file_name(two)),
        "{error}"
    );
    table.assert_version(2, "beside swapped manifests").await;
}

#[tokio::test]
async fn files_that_atio_did_not_make_survive_expiry() {
    let table = Broken::fresh().await;
    let foreign = [
        "README.md",
        "data/notes.txt",
        "data/part-0.parquet",
        "metadata/v1.metadata.json.bak",
        "metadata/notes.json",
        "data/0190a0b0c0d07e0f8a1b2c3d4e5f6071/mine.parquet",
        "metadata/v01.metadata.json",
        ".hidden",
        "data/0190A0B0C0D07E0F8A1B2C3D4E5F6071/00000-0123456789abcdef.parquet",
        "more/data/x.parquet",
    ];
    for name in foreign {
        fs::create_dir_all(table.path(name).parent().unwrap()).unwrap();
        fs::write(table.path(name), name).unwrap();
    }
    assert!(!table.expire().await.unwrap().is_empty());
    for name in foreign {
        assert_eq!(fs::read_to_string(table.path(name)).unwrap(), name);
    }
    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
}
