//! Lines 67 to 76: data files that are not what their manifest says.

use std::fs;

use atio::ErrorKind;
use serde_json::json;

use super::{READ, attempt, on_broken, refuse_on_broken};
use crate::damage::broken_table::{Broken, NEWEST, ROWS, checksum};
use crate::session::Place;

use ErrorKind::Damaged;

/// Statements that need the rows of the last data file.
const NEEDS: [&str; 4] = [
    READ,
    "SELECT sum(a), count(b) FROM t",
    "SELECT b FROM t WHERE a > 45",
    "INSERT INTO t SELECT * FROM t",
];

/// Puts `bytes` in the place of the last data file.
fn replace(table: &Broken, bytes: &[u8]) {
    fs::write(table.path(&table.last_data_file()), bytes).unwrap();
}

/// Puts `bytes` in the place of the last data file, with a manifest that knows them.
fn forge(table: &Broken, bytes: &[u8], rows: u64) {
    replace(table, bytes);
    let mut manifest = table.json(&table.last_manifest());
    let entry = &mut manifest["files"][0];
    entry["size"] = json!(bytes.len());
    entry["rows"] = json!(rows);
    entry["checksum"] = json!(checksum(bytes));
    entry["stats"] = json!([]);
    table.forge_manifest(&manifest);
}

/// The bytes of a Parquet file with the rows of this query.
async fn parquet(query: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.parquet");
    let copy = format!("COPY ({query}) TO '{}'", file.display());
    attempt(&Place::disk().session(), &copy).await.unwrap();
    fs::read(file).unwrap()
}

#[tokio::test]
async fn data_file_that_is_gone_or_cut_is_told_and_gives_no_row() {
    let template = Broken::fresh().await;
    let data = template.last_data_file();
    let size = fs::read(template.path(&data)).unwrap().len();
    let manifest_says = format!("its manifest says {size} bytes");
    let says = [data.as_str(), "version 4 of 't'", &manifest_says];

    let table = template.copy();
    fs::remove_file(table.path(&data)).unwrap();
    refuse_on_broken(&table, 67, "missing", &NEEDS, Damaged, &says).await;

    let table = template.copy();
    replace(&table, b"");
    refuse_on_broken(&table, 68, "empty", &NEEDS, Damaged, &says).await;

    for length in [1, 4, 8, 300, size - 8, size - 1] {
        let table = template.copy();
        let whole = fs::read(table.path(&data)).unwrap();
        replace(&table, &whole[..length]);
        let what = format!("{length} of {size} bytes");
        refuse_on_broken(&table, 69, &what, &NEEDS, Damaged, &says).await;
    }
    for content in [b'x', 0] {
        let table = template.copy();
        replace(&table, &vec![content; size]);
        refuse_on_broken(&table, 70, "not Parquet", &NEEDS, Damaged, &says).await;
    }
}

/// A footer of a few bytes that says that it describes two thousand million columns.
#[tokio::test]
async fn footer_that_lies_about_its_lists_takes_no_memory() {
    let template = Broken::fresh().await;
    // Field 1: version 2. Field 2: a list of structs, its length as a varint.
    for length in [
        &[0xff, 0xff, 0xff, 0xff, 0x07][..],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x80, 0x80, 0x80, 0x80, 0x01],
    ] {
        let mut footer = vec![0x15, 0x04, 0x19, 0xfc];
        footer.extend(length);
        let mut bomb = b"PAR1".to_vec();
        bomb.extend(&footer);
        bomb.extend((footer.len() as u32).to_le_bytes());
        bomb.extend(b"PAR1");
        let table = template.copy();
        forge(&table, &bomb, 2);
        let says = ["cannot be read", "version 4 of 't'"];
        refuse_on_broken(&table, 71, "a bomb", &NEEDS, Damaged, &says).await;
    }
    // A footer that says that it is longer than the file, and one longer than any.
    let whole = fs::read(template.path(&template.last_data_file())).unwrap();
    for length in [whole.len() as u32, u32::MAX, i32::MAX as u32] {
        let mut bytes = whole.clone();
        let at = bytes.len() - 8;
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        let table = template.copy();
        replace(&table, &bytes);
        let says = ["cannot be read", "version 4 of 't'"];
        refuse_on_broken(&table, 71, "a long footer", &NEEDS, Damaged, &says).await;
    }
}

#[tokio::test]
async fn data_file_with_other_columns_gives_no_row_of_it() {
    let template = Broken::fresh().await;
    for (query, of) in [
        (
            "SELECT 'x' AS a, 'y' AS b UNION ALL SELECT 'z', 'w'",
            "another type",
        ),
        (
            "SELECT [1] AS a, 'y' AS b UNION ALL SELECT [2], 'w'",
            "a list",
        ),
    ] {
        let table = template.copy();
        forge(&table, &parquet(query).await, 2);
        let failure = on_broken(&table, READ).await.unwrap_err();
        failure.assert(72, of, failure.kind, &["a"]);
        table.assert_version(3, of).await;
    }
}

#[tokio::test]
async fn data_file_with_other_rows_than_its_manifest_says_gives_none() {
    let template = Broken::fresh().await;
    let whole = fs::read(template.path(&template.last_data_file())).unwrap();
    for rows in [0_u64, 1, 3, 1000] {
        let table = template.copy();
        forge(&table, &whole, rows);
        let says = [format!("has 2 rows, its manifest says {rows}")];
        refuse_on_broken(
            &table,
            73,
            "rows",
            &NEEDS,
            Damaged,
            &[&says[0], "version 4 of 't'"],
        )
        .await;
    }
}

/// Of the same size and with as many rows it is taken for the file: its checksum is for
/// whoever compares it. Never a part of it is read.
#[tokio::test]
async fn data_file_replaced_by_one_like_it_is_read_whole_or_refused() {
    let table = Broken::fresh().await;
    let whole = fs::read(table.path(&table.last_data_file())).unwrap();
    let at = whole
        .windows(5)
        .position(|bytes| bytes == b"forty")
        .unwrap_or(whole.len() / 3);
    let mut bytes = whole.clone();
    bytes[at] ^= 1;
    replace(&table, &bytes);
    match on_broken(&table, READ).await {
        Ok(rows) => assert_eq!(rows.len(), ROWS[NEWEST].len(), "{rows:?}"),
        Err(failure) => failure.assert(76, "replaced", failure.kind, &["data/"]),
    }
    table.assert_version(3, "beside a replaced file").await;
}
