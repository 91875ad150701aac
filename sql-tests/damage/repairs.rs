//! What atio_repair mends, and what it leaves.

use std::fs;

use serde_json::json;

use super::broken_table::{Broken, NEWEST, POINTER, ROWS, record};
use super::{Level, each_damage};
use crate::objects::{assert_same, files};

#[tokio::test]
async fn repair_mends_hints_and_lost_records_and_leaves_everything_else() {
    each_damage(async |level, name, how, table| {
        let mended = level.is_hint() || (level == Level::Record && how == "missing");
        let before = files(&table.root());
        let dry = "SELECT object, done FROM atio_repair('{t}')";
        let would = table.run(dry).await.unwrap();
        assert_same(&before, &files(&table.root()), "a dry run");
        let rows = table.repair().await;
        if level == Level::Success && how == "a bit flipped" {
            assert_eq!(rows, [""; 0]);
            return;
        }
        assert_eq!(would, [format!("{name}|false")], "{level:?} {how}");
        assert_eq!(rows, [format!("{name}|{mended}")], "{level:?} {how}");
        if !mended {
            assert_same(
                &before,
                &files(&table.root()),
                "a repair that can do nothing",
            );
            return;
        }
        assert_eq!(table.findings().await, [""; 0], "{level:?} {how}");
        let rows = match level {
            Level::Record => ROWS[NEWEST - 1],
            _ => ROWS[NEWEST],
        };
        assert_eq!(table.newest().await.unwrap(), rows, "{level:?} {how}");
        table.append().await.unwrap();
        assert_eq!(table.newest().await.unwrap().len(), rows.len() + 1);
        table.expire().await.unwrap();
        assert_eq!(table.findings().await, [""; 0], "{level:?} {how}");
    })
    .await;
}

#[tokio::test]
async fn foreign_overwrite_is_found_and_not_repaired() {
    let table = Broken::fresh().await;
    let mut python = table.record(NEWEST);
    let snapshot = python["snapshot_filename"].take();
    let python = json!({"version_id": NEWEST, "snapshot_id": 1, "snapshot_filename": snapshot});
    fs::write(table.path(&record(NEWEST)), python.to_string()).unwrap();
    let found = table
        .run("SELECT severity, object, finding, action FROM atio_check('{t}')")
        .await
        .unwrap();
    let [found] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(
        found.starts_with("error|metadata/v4.metadata.json|version 4 was overwritten by a program"),
        "{found}"
    );
    assert!(
        found.contains("Version 3 is the newest of this table"),
        "{found}"
    );
    let before = files(&table.root());
    assert_eq!(table.repair().await, ["metadata/v4.metadata.json|false"]);
    assert_same(
        &before,
        &files(&table.root()),
        "a repair that can do nothing",
    );
}

#[tokio::test]
async fn changes_on_a_way_with_a_lost_version_say_that_it_is_lost() {
    let table = Broken::fresh().await;
    fs::remove_file(table.path(&record(NEWEST))).unwrap();
    table.repair().await;
    for (net, also) in [
        (false, "those from version 5 on can be read"),
        (true, "a version that can be read is one of 0 to 3, 5"),
    ] {
        let changes =
            format!("SELECT * FROM atio_changes('{{t}}', from => {NEWEST}, net => {net})");
        let error = table.run(&changes).await.unwrap_err();
        assert!(error.contains("is lost, so the changes"), "{error}");
        assert!(error.contains("version 4 of "), "{error}");
        assert!(error.contains(also), "{error}");
    }
}

#[tokio::test]
async fn repair_that_is_not_run_changes_nothing() {
    let table = Broken::fresh().await;
    fs::remove_file(table.path(POINTER)).unwrap();
    let before = files(&table.root());
    let repair = "atio_repair('{t}', dry_run => false)";
    for sql in [
        format!("EXPLAIN SELECT * FROM {repair}"),
        format!("EXPLAIN VERBOSE SELECT count(*) FROM {repair}"),
        format!("SELECT * FROM {repair} LIMIT 0"),
        format!("SELECT object FROM {repair} WHERE false"),
        format!("PREPARE p AS SELECT * FROM {repair}"),
        format!("CREATE VIEW v AS SELECT * FROM {repair}"),
        format!("DESCRIBE SELECT * FROM {repair}"),
        "SELECT count(*) FROM atio_repair('{t}')".to_owned(),
        "EXPLAIN ANALYZE SELECT * FROM atio_repair('{t}')".to_owned(),
        "SELECT * FROM atio_check('{t}', deep => true)".to_owned(),
        "SELECT * FROM atio_stats('{t}')".to_owned(),
    ] {
        table.run(&sql).await.unwrap();
        assert_same(&before, &files(&table.root()), &sql);
    }
    // A count runs it.
    let count = format!("SELECT count(*) FROM {repair}");
    assert_eq!(table.run(&count).await.unwrap(), ["1"]);
    assert_eq!(table.run(&count).await.unwrap(), ["0"]);
    assert!(table.path(POINTER).exists());
}
