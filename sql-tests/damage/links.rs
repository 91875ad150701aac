//! Names and links that lead out of the table, or to what is no object of it.

use std::fs;

use serde_json::json;

use super::broken_table::{Broken, NEWEST, ROWS, record};
use crate::objects::{assert_same, files};

/// Where half a file can be.
const STAGING: &str = "_atio_tmp/";

/// Names that must never be followed.
const ESCAPES: &[&str] = &[
    "../elsewhere/data.parquet",
    "data/../../elsewhere/data.parquet",
    "data/./../../elsewhere/data.parquet",
    "data/%2e%2e/%2e%2e/elsewhere/data.parquet",
    "data%2f..%2felsewhere",
    "{outside}/elsewhere/data.parquet",
    "file://{outside}/elsewhere/data.parquet",
    "http://127.0.0.1:1/data.parquet",
    "memory://test/elsewhere/data.parquet",
    "data\\..\\..\\elsewhere\\data.parquet",
    "metadata/v4.metadata.json",
    "_current_version.json",
    "_atio_tmp/0190a0b0c0d07e0f8a1b2c3d4e5f6071/00000-0123456789abcdef.parquet",
    "data/0190a0b0c0d07e0f8a1b2c3d4e5f6071/more/00000-0123456789abcdef.parquet",
    "data/0190a0b0c0d07e0f8a1b2c3d4e5f6071/00000-0123456789abcdef.parquet/../../../../elsewhere/data.parquet",
    "data/elsewhere.parquet",
    "data/\u{0}",
    "data",
    "",
    "/",
    ".",
    "..",
];

/// A table beside which whole files lie that forged names lead to.
fn beside(template: &Broken, content: &str) -> Broken {
    let table = template.copy();
    let bytes = fs::read(template.path(content)).unwrap();
    let staged = "_atio_tmp/0190a0b0c0d07e0f8a1b2c3d4e5f6071/00000-0123456789abcdef.parquet";
    for target in [
        "../elsewhere/data.parquet",
        "data/elsewhere.parquet",
        staged,
    ] {
        let target = table.path(target);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, &bytes).unwrap();
    }
    table
}

/// Passes if neither rows nor anything else come from what a forged name leads to.
async fn assert_refused(table: &Broken, name: &str) {
    let before = files(table.place().path());
    for error in [
        table.newest().await.expect_err(name),
        table
            .on_t("SELECT a FROM t WHERE a > 0")
            .await
            .expect_err(name),
        table
            .on_t("INSERT OVERWRITE t SELECT * FROM t")
            .await
            .expect_err(name),
        table.expire().await.expect_err(name),
    ] {
        assert!(
            error.contains(".json"),
            "'{name}': {error} does not say where the name stands"
        );
    }
    assert_same(&before, &files(table.place().path()), name);
    table.assert_version(3, name).await;
}

#[tokio::test]
async fn data_file_outside_the_table_is_refused() {
    let template = Broken::fresh().await;
    for name in ESCAPES {
        let table = beside(&template, &template.last_data_file());
        let name = name.replace("{outside}", &table.place().root());
        let mut manifest = table.json(&table.last_manifest());
        manifest["files"][0]["path"] = json!(name);
        table.forge_manifest(&manifest);
        assert_refused(&table, &name).await;
    }
}

#[tokio::test]
async fn manifest_outside_the_table_is_refused() {
    let template = Broken::fresh().await;
    for name in ESCAPES {
        let table = beside(&template, &template.last_manifest());
        let name = name.replace("{outside}", &table.place().root());
        let mut snapshot = table.snapshot(NEWEST);
        let at = table
            .manifest_paths(NEWEST)
            .iter()
            .position(|path| *path == table.last_manifest())
            .unwrap();
        snapshot["manifests"][at] = json!(name);
        table.forge_snapshot(&snapshot);
        assert_refused(&table, &name).await;
    }
}

#[tokio::test]
async fn schema_outside_the_table_is_refused() {
    let template = Broken::fresh().await;
    for name in ESCAPES {
        let table = beside(&template, &template.schema_path());
        let name = name.replace("{outside}", &table.place().root());
        let mut snapshot = table.snapshot(NEWEST);
        snapshot["schema"]["path"] = json!(name);
        table.forge_snapshot(&snapshot);
        assert_refused(&table, &name).await;
    }
}

#[tokio::test]
async fn snapshot_outside_the_table_is_refused() {
    let template = Broken::fresh().await;
    for name in ESCAPES.iter().filter(|name| !name.starts_with(STAGING)) {
        let table = beside(&template, &template.snapshot_path(NEWEST));
        let name = name.replace("{outside}", &table.place().root());
        let mut forged = table.record(NEWEST);
        forged["snapshot"]["path"] = json!(name);
        table.seal(&record(NEWEST), forged);
        assert_refused(&table, &name).await;
    }
}

#[tokio::test]
async fn snapshot_in_the_staging_area_is_refused() {
    let template = Broken::fresh().await;
    let table = beside(&template, &template.snapshot_path(NEWEST));
    let name = ESCAPES
        .iter()
        .find(|name| name.starts_with(STAGING))
        .unwrap();
    let mut forged = table.record(NEWEST);
    forged["snapshot"]["path"] = json!(name);
    table.seal(&record(NEWEST), forged);
    assert_refused(&table, name).await;
}

/// A name of an object of the table that is a link to elsewhere.
#[tokio::test]
async fn data_file_that_is_a_link_is_not_followed() {
    let table = Broken::fresh().await;
    let data = table.path(&table.last_data_file());
    let outside = table.place().path().join("outside.parquet");
    fs::rename(&data, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &data).unwrap();
    let read = table.newest().await;
    assert!(read.is_err(), "read through a link: {read:?}");
}

#[tokio::test]
async fn expiry_follows_no_link_out_of_the_table() {
    let table = Broken::fresh().await;
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("00000-0123456789abcdef.parquet");
    fs::write(&precious, "not yours").unwrap();
    // A link whose name is that of a transaction's directory, and one that is a data file's.
    let folder = table.path("data/0190a0b0c0d07e0f8a1b2c3d4e5f6071");
    std::os::unix::fs::symlink(outside.path(), &folder).unwrap();
    let own = table.path("data/0190a0b0c0d07e0f8a1b2c3d4e5f6072");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::symlink(&precious, own.join("00000-0123456789abcdef.parquet")).unwrap();
    let staging = table.path("_atio_tmp/0190a0b0c0d07e0f8a1b2c3d4e5f6073");
    fs::create_dir_all(staging.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(outside.path(), &staging).unwrap();

    assert!(!table.expire().await.unwrap().is_empty());
    assert_eq!(fs::read_to_string(&precious).unwrap(), "not yours");
    assert_eq!(table.newest().await.unwrap(), ROWS[NEWEST]);
}
