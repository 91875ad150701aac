//! Lines 48 to 66: names in a manifest that are not those of a data file of the table.

use std::fs;
use std::os::unix::fs::symlink;

use atio::ErrorKind;
use serde_json::json;

use super::{EXPIRE, READ, refuse_on_broken};
use crate::damage::broken_table::Broken;

/// By line, what stands in the place of the name of a data file.
fn names() -> Vec<(u8, String)> {
    let long = format!("data/{}", "x".repeat(2000));
    [
        (48, "../../etc/passwd"),
        (49, "/etc/passwd"),
        (50, "data/../../x"),
        (51, "data//x.parquet"),
        (52, "%2e%2e/x"),
        (53, "data/%2e%2e/x"),
        (54, "data\\..\\x"),
        (55, "file:///etc/passwd"),
        (56, "s3://other/x"),
        (57, "data/x#1"),
        (58, "data/x?y"),
        (59, ""),
        (60, "data/"),
        (61, "."),
        (62, "data/a\nb"),
        (63, long.as_str()),
        (
            64,
            "../other/data/0190a0b0c0d07e0f8a1b2c3d4e5f6071/00000-0123456789abcdef.parquet",
        ),
        (66, "_current_version.json"),
        (66, "metadata/v1.metadata.json"),
    ]
    .map(|(line, name)| (line, name.to_owned()))
    .into()
}

#[tokio::test]
async fn name_that_is_no_data_file_of_the_table_is_refused_by_entry() {
    let template = Broken::fresh().await;
    for (line, name) in names() {
        let table = template.copy();
        let mut manifest = table.json(&table.last_manifest());
        manifest["files"][0]["path"] = json!(name);
        table.forge_manifest(&manifest);
        let shown = format!(
            "file entry 0: path '{}' is not a data file of this table",
            name.escape_debug()
        );
        refuse_on_broken(
            &table,
            line,
            &name,
            // What needs no old row does not open the manifests before it.
            &[READ, "INSERT OVERWRITE t SELECT * FROM t", EXPIRE],
            ErrorKind::Damaged,
            &["version 4", &shown],
        )
        .await;
    }
}

/// A name of the right form that is another table's: it is looked for in this one.
#[tokio::test]
async fn data_file_of_another_table_is_never_read() {
    let table = Broken::fresh().await;
    let other = Broken::fresh().await;
    let mut manifest = table.json(&table.last_manifest());
    manifest["files"][0] = other.json(&other.last_manifest())["files"][0].clone();
    table.forge_manifest(&manifest);
    refuse_on_broken(
        &table,
        64,
        "the name alone",
        &[READ],
        ErrorKind::Damaged,
        &["version 4", "it is missing", &other.last_data_file()],
    )
    .await;
}

#[tokio::test]
async fn directory_of_data_files_that_is_a_link_is_refused() {
    let template = Broken::fresh().await;
    let outside = tempfile::tempdir().unwrap();
    let data = template.last_data_file();
    let folder = data.rsplit_once('/').unwrap().0;
    for target in [outside.path(), std::path::Path::new("/etc")] {
        let table = template.copy();
        let moved = outside.path().join(data.rsplit_once('/').unwrap().1);
        fs::copy(table.path(&data), moved).unwrap();
        fs::remove_dir_all(table.path(folder)).unwrap();
        symlink(target, table.path(folder)).unwrap();
        refuse_on_broken(
            &table,
            65,
            "a link",
            &[READ],
            ErrorKind::Damaged,
            &["symbolic link", folder],
        )
        .await;
        table.append().await.unwrap();
        fs::remove_file(table.path(folder)).unwrap();
    }
}
