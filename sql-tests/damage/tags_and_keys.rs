//! Tags, rollbacks and keys on a table that something broke.

use std::fs;

use serde_json::json;

use super::broken_table::{Broken, NEWEST, ROWS, file_name, record, text};

const BACK: &str = "SELECT * FROM atio_rollback('t', version => 2)";

#[tokio::test]
async fn rollback_does_not_take_back_what_only_ever_grows() {
    let table = Broken::fresh().await;
    let mut snapshot = table.snapshot(NEWEST);
    snapshot["apps"] = json!({"loader": 7});
    snapshot["next_field_id"] = json!(9);
    table.forge_snapshot(&snapshot);

    assert_eq!(table.on_t(BACK).await.unwrap(), ["2|5"]);
    assert_eq!(table.newest().await.unwrap(), ROWS[2]);
    assert_eq!(table.record(5)["parent"], json!(2));
    let back = table.snapshot(5);
    assert_eq!(back["apps"], snapshot["apps"]);
    assert_eq!(back["next_field_id"], snapshot["next_field_id"]);
    assert_eq!(back["manifests"], table.snapshot(2)["manifests"]);
    assert_ne!(table.snapshot_path(5), table.snapshot_path(2));
    // Where nothing grew the snapshot is shared.
    let table = Broken::fresh().await;
    table.on_t(BACK).await.unwrap();
    assert_eq!(table.snapshot_path(5), table.snapshot_path(2));
}

#[tokio::test]
async fn table_whose_newest_manifest_is_lost_goes_back() {
    let table = Broken::fresh().await;
    fs::remove_file(table.path(&table.last_manifest())).unwrap();
    table.newest().await.unwrap_err();
    assert_eq!(table.on_t(BACK).await.unwrap(), ["2|5"]);
    assert_eq!(table.newest().await.unwrap(), ROWS[2]);
    table.append().await.unwrap();
    let history = "SELECT rows_added, rows_removed, rows FROM atio_history('t') WHERE version > 3";
    let history = table.on_t(history).await.unwrap();
    assert_eq!(history, ["1|0|4", "2|0|5", "3|5|3"]);
}

#[tokio::test]
async fn table_whose_older_manifest_is_lost_does_not_go_back_to_it() {
    let table = Broken::fresh().await;
    let lost = table.manifest_paths(2).remove(0);
    fs::remove_file(table.path(&lost)).unwrap();
    let error = table.on_t(BACK).await.unwrap_err();
    assert!(error.contains(file_name(&lost)), "{error}");
    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
    // A name needs the version to be there, not its files.
    let record = table.path(&record(1));
    fs::remove_file(record).unwrap();
    let tag = "SELECT * FROM atio_tag('t', tag => 'x', version => 1)";
    let error = table.on_t(tag).await.unwrap_err();
    assert!(error.contains("v1.metadata.json"), "{error}");
}

#[tokio::test]
async fn damaged_list_of_tags_is_named_by_what_needs_it_and_hides_nothing_else() {
    let table = Broken::fresh().await;
    let tag = "SELECT * FROM atio_tag('t', tag => 'best', version => 2)";
    table.on_t(tag).await.unwrap();
    let refs = text(&table.record(5)["refs"]["path"]);
    let whole = fs::read(table.path(&refs)).unwrap();
    for broken in [None, Some(&whole[..whole.len() / 2]), Some(&b"{}"[..])] {
        match broken {
            None => fs::remove_file(table.path(&refs)).unwrap(),
            Some(bytes) => fs::write(table.path(&refs), bytes).unwrap(),
        }
        for sql in [
            "SELECT * FROM atio_tags('t')",
            "SELECT * FROM atio_table('t', tag => 'best')",
            "SELECT * FROM atio_untag('t', tag => 'best')",
            "SELECT * FROM atio_rollback('t', tag => 'best')",
            "SELECT * FROM atio_tag('t', tag => 'other')",
            "SELECT * FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false)",
        ] {
            let error = table.on_t(sql).await.unwrap_err();
            assert!(error.contains(file_name(&refs)), "{sql}: {error}");
        }
        assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
        table.assert_version(2, "without its tag").await;
        // What is not known is null.
        let history = "SELECT count(*), count(tags) FROM atio_history('t')";
        assert_eq!(table.on_t(history).await.unwrap(), ["6|0"]);
    }
    fs::write(table.path(&refs), &whole).unwrap();
    let rows = table.on_t("SELECT a, b FROM atio_table('t', tag => 'best')");
    assert_eq!(rows.await.unwrap(), ROWS[2]);
}

#[tokio::test]
async fn write_with_a_key_is_refused_where_a_record_may_be_the_one_that_had_it() {
    let table = Broken::fresh().await;
    fs::write(table.path(&record(2)), "{").unwrap();
    let ctx = table.place().session();
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}'",
        table.root().display()
    );
    crate::query::rows(&ctx, &open).await;
    crate::query::rows(&ctx, "SET atio.idempotency_key = 'load'").await;
    let error = crate::query::failure(&ctx, "INSERT INTO t VALUES (6, 'six')").await;
    assert!(
        error.contains("it cannot be told whether the idempotency key 'load' was used before: ")
            && error.contains("v2.metadata.json"),
        "{error}"
    );
    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
    table.append().await.unwrap();
}
