//! Versions whose files, all by Python, do not have the same columns.

use datafusion::error::DataFusionError;
use serde_json::{Value, json};

use super::rows::Rows;
use super::table::{Read, Table, rows, version_rows};

/// A table whose version 1 holds `first`, and version 2 `second` beside it.
fn appended(first: &Value, second: &Value) -> Option<Table> {
    let table = Table::new()?;
    table.write_in_python(&[("overwrite", first), ("append", second)]);
    Some(table)
}

/// Columns by name, null where a file does not have them.
async fn check_united(first: Value, second: Value, union: Value) {
    let Some(table) = appended(&first, &second) else {
        return;
    };
    let before = table.tree();
    let ctx = table.open().await.unwrap();
    for (version, expected) in [(1, &first), (2, &union)] {
        let read = version_rows(&ctx, version).await.unwrap();
        assert_eq!(read, Rows::of_json(expected), "v{version}");
    }
    let newest = rows(&ctx, "SELECT * FROM t").await.unwrap();
    assert_eq!(newest, Rows::of_json(&union));
    before.assert_same(&table.tree(), "reading");
}

#[tokio::test]
async fn column_that_python_added_is_null_in_the_older_rows() {
    check_united(
        json!({"columns": [["id", "int64"], ["s", "str"]], "rows": [[1, "a"]]}),
        json!({"columns": [["id", "int64"], ["s", "str"], ["x", "float64"]],
               "rows": [[2, "b", 0.5]]}),
        json!({"columns": ["id", "s", "x"], "rows": [[1, "a", null], [2, "b", 0.5]]}),
    )
    .await;
}

#[tokio::test]
async fn column_that_python_left_out_is_null_in_the_newer_rows() {
    check_united(
        json!({"columns": [["id", "int64"], ["s", "str"]], "rows": [[1, "a"]]}),
        json!({"columns": [["id", "int64"]], "rows": [[2]]}),
        json!({"columns": ["id", "s"], "rows": [[1, "a"], [2, null]]}),
    )
    .await;
}

#[tokio::test]
async fn columns_that_python_wrote_in_another_order_are_matched_by_name() {
    check_united(
        json!({"columns": [["a", "int64"], ["b", "int64"]], "rows": [[1, 2]]}),
        json!({"columns": [["b", "int64"], ["a", "int64"]], "rows": [[20, 10]]}),
        json!({"columns": ["a", "b"], "rows": [[1, 2], [10, 20]]}),
    )
    .await;
}

/// The version is refused by the name of a data file and of the column; the
/// one below it is not.
async fn check_refused(first: Value, second: Value) {
    let Some(table) = appended(&first, &second) else {
        return;
    };
    let before = table.tree();
    let names_it = |error: DataFusionError| {
        let error = error.to_string();
        let parts = ["version 2 of 'sales'", "data/", ".parquet", "column 'id'"];
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    names_it(table.open().await.err().unwrap());
    names_it(table.version_at_path(2).await.unwrap_err());
    let read = table.version_at_path(1).await.unwrap();
    assert_eq!(read, Rows::of_json(&first));
    before.assert_same(&table.tree(), "reading");
}

#[tokio::test]
async fn whole_numbers_that_python_continued_with_floats_are_refused() {
    check_refused(
        json!({"columns": [["id", "int64"]], "rows": [[1], [9_007_199_254_740_993_i64]]}),
        json!({"columns": [["id", "float64"]], "rows": [[0.5]]}),
    )
    .await;
}

#[tokio::test]
async fn floats_that_python_continued_with_whole_numbers_are_refused() {
    check_refused(
        json!({"columns": [["id", "float64"]], "rows": [[0.5], [2.5]]}),
        json!({"columns": [["id", "int64"]], "rows": [[3]]}),
    )
    .await;
}

#[tokio::test]
async fn strings_that_python_continued_with_numbers_are_refused() {
    check_refused(
        json!({"columns": [["id", "str"]], "rows": [["a"]]}),
        json!({"columns": [["id", "int64"]], "rows": [[1]]}),
    )
    .await;
}

#[tokio::test]
async fn python_refuses_what_atio_adds_to_files_of_unlike_columns_until_overwritten() {
    let first = json!({"columns": [["id", "int64"], ["s", "str"]], "rows": [[1, "a"]]});
    let wider = json!({"columns": [["id", "int64"], ["s", "str"], ["x", "float64"]],
                       "rows": [[2, "b", 0.5]]});
    let Some(table) = appended(&first, &wider) else {
        return;
    };
    let ctx = table.open().await.unwrap();
    let insert = "INSERT INTO t VALUES (3, 'c', 1.5)";
    rows(&ctx, insert).await.unwrap();
    let union = json!({"columns": ["id", "s", "x"],
                       "rows": [[1, "a", null], [2, "b", 0.5], [3, "c", 1.5]]});
    let union = Rows::of_json(&union);
    assert_eq!(rows(&ctx, "SELECT * FROM t").await.unwrap(), union);
    let (newest, reads) = table.read_in_python(&[1, 3]);
    assert_eq!(reads[0], Read::Rows(Rows::of_json(&first)));
    for read in [&newest, &reads[1]] {
        assert!(
            matches!(read, Read::Refused(e) if e.starts_with("TypeError: ")),
            "{read:?}"
        );
    }

    rows(&ctx, "INSERT OVERWRITE t SELECT * FROM t")
        .await
        .unwrap();
    table.assert_agreed(&ctx, &[(4, union)]).await;
}
