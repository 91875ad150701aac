//! Versions whose files, all by Python, do not have the same columns.

use serde_json::{Value, json};

use super::rows::Rows;
use super::table::{Table, version_rows};

/// Writes `first` and appends `second` with Python, then reads both versions
/// with atio. The first is what Python wrote; the second is `union`, or it is
/// refused by the name of a data file: never anything else.
async fn check_appended(first: Value, second: Value, union: Value) {
    let Some(table) = Table::new() else { return };
    table.write_in_python("overwrite", &first).unwrap();
    table.write_in_python("append", &second).unwrap();
    let before = table.tree();

    let ctx = table.open().await.unwrap();
    let read = version_rows(&ctx, 1).await.unwrap();
    assert_eq!(read, Rows::of_json(&first));
    match version_rows(&ctx, 2).await {
        Ok(rows) => assert_eq!(rows, Rows::of_json(&union)),
        Err(error) => {
            let error = error.to_string();
            assert!(
                error.contains("data/") && error.contains(".parquet"),
                "{error}"
            );
        }
    }
    before.assert_same(&table.tree(), "reading");
}

#[tokio::test]
async fn column_that_python_added_is_null_in_the_older_rows() {
    check_appended(
        json!({"columns": [["id", "int64"], ["s", "str"]], "rows": [[1, "a"]]}),
        json!({"columns": [["id", "int64"], ["s", "str"], ["x", "float64"]],
               "rows": [[2, "b", 0.5]]}),
        json!({"columns": ["id", "s", "x"], "rows": [[1, "a", null], [2, "b", 0.5]]}),
    )
    .await;
}

#[tokio::test]
async fn column_that_python_left_out_is_null_in_the_newer_rows() {
    check_appended(
        json!({"columns": [["id", "int64"], ["s", "str"]], "rows": [[1, "a"]]}),
        json!({"columns": [["id", "int64"]], "rows": [[2]]}),
        json!({"columns": ["id", "s"], "rows": [[1, "a"], [2, null]]}),
    )
    .await;
}

#[tokio::test]
async fn whole_numbers_that_python_continued_with_floats_keep_their_values() {
    check_appended(
        json!({"columns": [["id", "int64"]], "rows": [[1], [9_007_199_254_740_993_i64]]}),
        json!({"columns": [["id", "float64"]], "rows": [[0.5]]}),
        json!({"columns": ["id"], "rows": [[1], [9_007_199_254_740_993_i64], [0.5]]}),
    )
    .await;
}

#[tokio::test]
async fn floats_that_python_continued_with_whole_numbers_keep_their_values() {
    check_appended(
        json!({"columns": [["x", "float64"]], "rows": [[0.5], [2.5]]}),
        json!({"columns": [["x", "int64"]], "rows": [[3]]}),
        json!({"columns": ["x"], "rows": [[0.5], [2.5], [3]]}),
    )
    .await;
}

#[tokio::test]
async fn strings_that_python_continued_with_numbers_are_not_made_up() {
    check_appended(
        json!({"columns": [["id", "str"]], "rows": [["a"]]}),
        json!({"columns": [["id", "int64"]], "rows": [[1]]}),
        json!({"columns": ["id"], "rows": [["a"], ["1"]]}),
    )
    .await;
}
