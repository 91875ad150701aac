//! Objects that somebody made, with checksums that are right and content that is not.

use std::fs;

use serde_json::{Value, json};

use super::broken_table::{Broken, NEWEST, POINTER, ROWS, SUCCESS, file_name, record};
use crate::objects::{assert_same, files};

/// What is said wrongly, and the change that says it.
type Lie = (&'static str, fn(&mut Value));

/// Every change is made to version 4, and everything that names the changed object is right.
#[tokio::test]
async fn manifest_that_lies_is_refused_or_read_right() {
    let template = Broken::fresh().await;
    let lies: &[Lie] = &[
        ("the same file twice", |manifest| {
            let entry = manifest["files"][0].clone();
            manifest["files"].as_array_mut().unwrap().push(entry);
        }),
        ("more rows than the file has", |manifest| {
            manifest["files"][0]["rows"] = json!(3)
        }),
        ("fewer rows than the file has", |manifest| {
            manifest["files"][0]["rows"] = json!(1)
        }),
        ("no rows in a file that has some", |manifest| {
            manifest["files"][0]["rows"] = json!(0)
        }),
        ("another size", |manifest| {
            let size = manifest["files"][0]["size"].as_u64().unwrap();
            manifest["files"][0]["size"] = json!(size - 1);
        }),
        ("a size beyond everything", |manifest| {
            manifest["files"][0]["size"] = json!(u64::MAX)
        }),
        ("rows beyond everything", |manifest| {
            manifest["files"][0]["rows"] = json!(u64::MAX)
        }),
        ("rows below zero", |manifest| {
            manifest["files"][0]["rows"] = json!(-2)
        }),
        ("no size", |manifest| {
            drop(manifest["files"][0].as_object_mut().unwrap().remove("size"))
        }),
        ("no rows", |manifest| {
            drop(manifest["files"][0].as_object_mut().unwrap().remove("rows"))
        }),
        ("another format", |manifest| {
            manifest["files"][0]["format"] = json!("csv")
        }),
        ("a schema that is not there", |manifest| {
            manifest["schema"] = json!(99)
        }),
        ("no list of files", |manifest| {
            manifest["files"] = json!("all")
        }),
    ];
    for (what, lie) in lies {
        let table = template.copy();
        let mut manifest = table.json(&table.last_manifest());
        lie(&mut manifest);
        table.forge_manifest(&manifest);
        let error = match table.newest().await {
            Err(error) => error,
            // What is said wrongly may not matter to the rows.
            Ok(rows) => {
                assert_eq!(rows, ROWS[NEWEST], "{what}");
                continue;
            }
        };
        table.assert_check_finds(what).await;
        let (manifest, data) = (template.last_manifest(), template.last_data_file());
        let (snapshot, record) = (template.snapshot_path(NEWEST), record(NEWEST));
        let names = [&manifest, &data, &snapshot, &record];
        assert!(
            names.iter().any(|name| error.contains(file_name(name))),
            "{what}: {error}"
        );
        table.assert_version(3, what).await;
    }
}

/// Statistics are hints: what is malformed or absent is unknown, never an error or a loss.
#[tokio::test]
async fn malformed_statistics_lose_no_row() {
    let template = Broken::fresh().await;
    for stats in [
        json!(null),
        json!([]),
        json!([null]),
        json!([null, null]),
        json!([[0], ["x"]]),
        json!([["0", "x", "y"], 7]),
        json!([[0, "a", "z"], [0, 1, 2]]),
        json!([[0, null, null], [0, null, null]]),
        json!([[0, 1e300, -1e300], null]),
        json!([[-1, 40, 50], null]),
        json!([[3, 40, 50], [u64::MAX, "fifty", "forty"]]),
        json!([[0, 40, 50], [0, "fifty", "forty"], [0, 1, 1]]),
        json!({"a": 1}),
    ] {
        let table = template.copy();
        let mut manifest = table.json(&table.last_manifest());
        manifest["files"][0]["stats"] = stats.clone();
        table.forge_manifest(&manifest);
        assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST], "{stats}");
        let found = table
            .on_t("SELECT b FROM t WHERE a >= 45 OR b = 'forty'")
            .await
            .unwrap();
        assert_eq!(found, ["fifty", "forty"], "{stats}");
        assert_eq!(
            table
                .on_t("SELECT count(*), count(a), count(b), min(a), max(b) FROM t")
                .await
                .unwrap(),
            ["5|5|5|10|twenty"],
            "{stats}"
        );
    }
}

/// Sizes are hints, too. The engine adds them up.
#[tokio::test]
async fn malformed_sizes_of_columns_lose_no_row() {
    let template = Broken::fresh().await;
    for bytes in [
        json!(null),
        json!([7]),
        json!([-1, "x"]),
        json!([u64::MAX, u64::MAX]),
        json!([i64::MAX, i64::MAX]),
        json!({"a": 1}),
    ] {
        let table = template.copy();
        let mut manifest = table.json(&table.last_manifest());
        manifest["files"][0]["column_bytes"] = bytes.clone();
        table.forge_manifest(&manifest);
        for sql in [
            "SELECT b FROM t ORDER BY a DESC LIMIT 2",
            "SELECT x.b FROM t x JOIN t y ON x.b = y.b ORDER BY x.a DESC LIMIT 2",
            "SELECT b FROM (SELECT * FROM t UNION ALL SELECT * FROM t WHERE a < 0) ORDER BY a DESC LIMIT 2",
        ] {
            let found = table.on_t(sql).await.unwrap();
            assert_eq!(found, ["fifty", "forty"], "{bytes}: {sql}");
        }
    }
}

#[tokio::test]
async fn snapshot_that_lies_is_refused_or_read_right() {
    let template = Broken::fresh().await;
    let lies: &[Lie] = &[
        ("one manifest twice", |snapshot| {
            snapshot["manifests"][1] = snapshot["manifests"][0].clone();
            snapshot["manifest_info"][1] = snapshot["manifest_info"][0].clone();
        }),
        ("manifests in the places of each other", |snapshot| {
            snapshot["manifests"].as_array_mut().unwrap().reverse();
        }),
        ("more manifests than it describes", |snapshot| {
            snapshot["manifest_info"].as_array_mut().unwrap().pop();
        }),
        ("fewer manifests than it describes", |snapshot| {
            snapshot["manifests"].as_array_mut().unwrap().pop();
        }),
        ("another number of rows", |snapshot| {
            snapshot["manifest_info"][0]["rows"] = json!(1)
        }),
        ("another number of files", |snapshot| {
            snapshot["manifest_info"][0]["files"] = json!(2)
        }),
        ("a manifest of another schema", |snapshot| {
            snapshot["manifest_info"][0]["schema"] = json!(7)
        }),
        ("another schema id", |snapshot| {
            snapshot["schema"]["id"] = json!(7)
        }),
        ("a checksum of another kind", |snapshot| {
            snapshot["manifest_info"][0]["checksum"] = json!("md5:00")
        }),
        ("no manifests", |snapshot| {
            drop(snapshot.as_object_mut().unwrap().remove("manifests"))
        }),
        ("no schema", |snapshot| {
            drop(snapshot.as_object_mut().unwrap().remove("schema"))
        }),
    ];
    for (what, lie) in lies {
        let table = template.copy();
        let mut snapshot = table.snapshot(NEWEST);
        assert_eq!(snapshot["manifests"].as_array().unwrap().len(), 2);
        lie(&mut snapshot);
        table.forge_snapshot(&snapshot);
        match table.newest().await {
            Err(error) => assert!(
                error.contains("metadata/") || error.contains("data/"),
                "{what}: {error}"
            ),
            // What is said wrongly may not matter to the rows.
            Ok(rows) => assert_eq!(rows, ROWS[NEWEST], "{what}"),
        }
        table.assert_version(3, what).await;
    }
}

/// The newest record is changed by `change`; it is refused with `says`, and nothing is
/// written or deleted, while older versions are read.
async fn assert_record_refused(template: &Broken, says: &str, change: impl FnOnce(&mut Value)) {
    let table = template.copy();
    let mut forged = table.record(NEWEST);
    change(&mut forged);
    table.seal(&record(NEWEST), forged);
    let before = files(&table.root());
    let what = table.record(NEWEST);
    for (done, statement) in [
        (table.newest().await, "read"),
        (table.append().await, "appended to"),
        (table.expire().await, "expired"),
    ] {
        match done {
            Ok(rows) => panic!("{statement} with {rows:?}; the record is {what}"),
            Err(error) => assert!(error.contains(says), "{error} does not say {says}"),
        }
    }
    assert_same(&before, &files(&table.root()), "refused statements");
    for version in 0..NEWEST {
        table.assert_version(version, says).await;
    }
}

#[tokio::test]
async fn newer_format_and_unknown_features_are_refused_by_name() {
    let template = Broken::fresh().await;
    assert_record_refused(&template, "format 2", |record| {
        record["format_version"] = json!(2)
    })
    .await;
    assert_record_refused(&template, "telepathy", |record| {
        record["features"]["read"] = json!(["telepathy"])
    })
    .await;
    assert_record_refused(&template, "upgrade", |record| {
        record["features"]["read"] = json!(["a", "b"])
    })
    .await;
}

#[tokio::test]
async fn unknown_write_feature_lets_everybody_read_and_nobody_write() {
    let table = Broken::fresh().await;
    let mut forged = table.record(NEWEST);
    forged["features"]["write"] = json!(["telepathy"]);
    table.seal(&record(NEWEST), forged);
    let before = files(&table.root());
    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
    let mut errors = vec![
        table.append().await.unwrap_err(),
        table.expire().await.unwrap_err(),
    ];
    for sql in [
        "INSERT OVERWRITE t VALUES (1, 'x')",
        "DELETE FROM t WHERE a > 0",
        "DELETE FROM t",
        "UPDATE t SET b = 'x'",
        "MERGE INTO t USING (VALUES (1)) AS s(a) ON t.a = s.a WHEN NOT MATCHED BY SOURCE THEN DELETE",
        "TRUNCATE TABLE t",
        "SELECT * FROM atio_compact('t', dry_run => false)",
        "SELECT * FROM atio_compact('t', order_by => 'a')",
    ] {
        errors.push(table.on_t(sql).await.expect_err(sql));
    }
    for error in errors {
        assert!(
            error.contains("telepathy") && error.contains("upgrade"),
            "{error}"
        );
    }
    assert_same(&before, &files(&table.root()), "refused statements");
}

#[tokio::test]
async fn unknown_keys_and_operations_are_read_over() {
    let table = Broken::fresh().await;
    let mut forged = table.record(NEWEST);
    forged["operation"] = json!("levitate");
    forged["aura"] = json!({"colour": ["blue"]});
    table.seal(&record(NEWEST), forged);
    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
    let history = "SELECT operation FROM atio_history('t') WHERE version = 4";
    assert_eq!(table.on_t(history).await.unwrap(), ["levitate"]);
    table.append().await.unwrap();
    assert_eq!(table.newest().await.unwrap().len(), 6);
}

#[tokio::test]
async fn record_that_is_not_of_its_place_is_refused() {
    let template = Broken::fresh().await;
    let name = &record(NEWEST);
    assert_record_refused(&template, name, |record| record["version_id"] = json!(5)).await;
    assert_record_refused(&template, name, |record| {
        record["previous"]["version"] = json!(2)
    })
    .await;
    assert_record_refused(&template, "version 4", |record| {
        record["previous"]["txn"] = json!("0190a0b0c0d07e0f8a1b2c3d4e5f6071");
    })
    .await;
    assert_record_refused(&template, "version 4", |record| {
        record["previous"]["checksum"] = json!("crc32c:00000000")
    })
    .await;
    assert_record_refused(&template, name, |record| record["snapshot"] = json!(null)).await;
    assert_record_refused(&template, name, |record| record["version_id"] = json!("4")).await;
}

#[tokio::test]
async fn record_that_continues_this_table_under_the_name_of_another_is_refused() {
    assert_record_refused(&Broken::fresh().await, "version 4", |record| {
        record["table"] = json!("0190a0b0-c0d0-7e0f-8a1b-2c3d4e5f6071");
    })
    .await;
}

/// A table in which the record of `version` is that of another table, with everything that
/// it names beside it.
async fn with_record_of_another_table(version: usize) -> Broken {
    let (table, other) = (Broken::fresh().await, Broken::fresh().await);
    for (name, bytes) in files(&other.root()) {
        let identity = name.ends_with(".metadata.json") || name == POINTER || name == SUCCESS;
        if !identity || name == record(version) {
            fs::create_dir_all(table.path(&name).parent().unwrap()).unwrap();
            fs::write(table.path(&name), bytes).unwrap();
        }
    }
    table
}

fn assert_says_version(error: &str, version: usize) {
    let names = [format!("v{version}"), format!("version {version}")];
    assert!(names.iter().any(|name| error.contains(name)), "{error}");
}

#[tokio::test]
async fn record_of_another_table_is_not_read_written_on_or_expired() {
    let table = with_record_of_another_table(NEWEST).await;
    let before = files(&table.root());
    assert_says_version(&table.newest().await.unwrap_err(), NEWEST);
    assert_says_version(&table.append().await.unwrap_err(), NEWEST);
    assert_says_version(&table.expire().await.unwrap_err(), NEWEST);
    assert_same(&before, &files(&table.root()), "refused statements");
    table.assert_version(3, "below a foreign record").await;
}

#[tokio::test]
async fn record_of_another_table_is_not_read_by_number() {
    let mut read = Vec::new();
    for version in [NEWEST, 2, 1] {
        let table = with_record_of_another_table(version).await;
        match table.version(version).await {
            Ok(rows) => read.push((version, rows)),
            Err(error) => assert_says_version(&error, version),
        }
    }
    assert!(read.is_empty(), "versions of another table: {read:?}");
}

#[tokio::test]
async fn expiry_of_a_record_of_another_table_keeps_what_is_retained() {
    let table = with_record_of_another_table(1).await;
    let before = files(&table.root());
    if let Err(error) = table.expire().await {
        assert_says_version(&error, 1);
        assert_same(&before, &files(&table.root()), "a refused expiry");
    }
    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
    table.assert_version(3, "above a foreign record").await;
}

/// What Python atio 2.0 leaves behind when it renames its own commit over one of atio.
#[tokio::test]
async fn foreign_record_over_or_above_the_newest_stops_reading_and_writing_it() {
    let template = Broken::fresh().await;
    for version in [NEWEST, NEWEST + 1] {
        let table = template.copy();
        let id = "11111111-2222-4333-8444-555555555555";
        let snapshot = format!("metadata/snapshot-1795333041-{id}.json");
        let manifest = format!("metadata/manifest-{id}.json");
        let data = format!("data/{id}.parquet");
        fs::copy(table.path(&table.last_data_file()), table.path(&data)).unwrap();
        let write =
            |name: &str, value: Value| fs::write(table.path(name), value.to_string()).unwrap();
        write(
            &manifest,
            json!({"files": [{"path": data, "format": "parquet"}]}),
        );
        write(
            &snapshot,
            json!({"snapshot_id": 1795333041, "timestamp": 1795333041.5, "manifests": [manifest]}),
        );
        write(
            &record(version),
            json!({"version_id": version, "snapshot_id": 1795333041, "snapshot_filename": snapshot}),
        );
        write(POINTER, json!({"version_id": version}));

        let before = files(&table.root());
        for error in [
            table.newest().await.expect_err("a foreign record"),
            table.append().await.expect_err("a foreign record"),
            table.expire().await.expect_err("a foreign record"),
        ] {
            assert!(
                error.contains(&format!("v{version}"))
                    || error.contains(&format!("version {version}")),
                "{error}"
            );
        }
        assert_same(&before, &files(&table.root()), "refused statements");
        for older in 0..version.min(NEWEST) {
            table.assert_version(older, "below a foreign record").await;
        }
    }
}
