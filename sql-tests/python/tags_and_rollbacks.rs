//! Tags and rollbacks, on tables of atio's and of Python's.

use super::table::{Read, Table, rows, version_rows};
use super::{frame, written_by_python};
use serde_json::json;

#[tokio::test]
async fn tagged_and_rolled_back_versions_read_the_same_in_python() {
    let Some(table) = Table::new() else { return };
    let location = table.location();
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, s VARCHAR) STORED AS ATIO LOCATION '{location}'"
    );
    let ctx = table.session(&create).await.unwrap();
    let mut expected = vec![(0, rows(&ctx, "SELECT * FROM t").await.unwrap())];
    for sql in [
        "INSERT INTO t VALUES (1, 'a'), (2, NULL)",
        "SELECT * FROM atio_tag('t', tag => 'best')",
        "INSERT OVERWRITE t VALUES (3, 'c')",
        "SELECT * FROM atio_rollback('t', tag => 'best')",
        "INSERT INTO t VALUES (4, 'd')",
        "SELECT * FROM atio_untag('t', tag => 'best')",
        "SELECT * FROM atio_rollback('t', version => 3)",
        "SELECT * FROM atio_rollback('t', version => 0)",
    ] {
        rows(&ctx, sql).await.unwrap();
        let newest = rows(&ctx, "SELECT * FROM t").await.unwrap();
        expected.push((expected.len() as u64, newest));
        table.assert_agreed(&ctx, &expected).await;
    }
    let counts: Vec<_> = expected.iter().map(|(_, rows)| rows.len()).collect();
    assert_eq!(counts, [0, 2, 2, 1, 2, 3, 3, 1, 0]);
}

#[tokio::test]
async fn first_commit_on_a_python_table_may_be_a_tag() {
    let Some((table, mut expected)) = written_by_python() else {
        return;
    };
    let ctx = table.open().await.unwrap();
    let before = table.tree();
    rows(
        &ctx,
        "SELECT * FROM atio_tag('t', tag => 'theirs', version => 2)",
    )
    .await
    .unwrap();
    expected.push((4, expected[2].1.clone()));
    table.assert_agreed(&ctx, &expected).await;
    before.assert_kept(&table.tree(), &[super::POINTER], "tagging");

    // It keeps what Python named.
    rows(&ctx, "INSERT OVERWRITE t SELECT * FROM t")
        .await
        .unwrap();
    let expire = "SELECT * FROM expire_snapshots('t', keep_for => INTERVAL '0 days', \
                  dry_run => false)";
    rows(&ctx, expire).await.unwrap();
    assert_eq!(version_rows(&ctx, 2).await.unwrap(), expected[1].1);
    version_rows(&ctx, 1).await.unwrap_err();
    let (_, reads) = table.read_in_python(&[2]);
    assert_eq!(reads, [Read::Rows(expected[1].1.clone())]);
}

#[tokio::test]
async fn python_table_goes_back_to_a_version_of_python() {
    // As the first commit, and after another.
    for first in ["SELECT 1", "INSERT INTO t SELECT * FROM t"] {
        let Some((table, mut expected)) = written_by_python() else {
            return;
        };
        let ctx = table.open().await.unwrap();
        rows(&ctx, first).await.unwrap();
        if first.starts_with("INSERT") {
            let doubled = expected[2].1.and(&expected[2].1);
            expected.push((4, doubled));
        }
        rows(&ctx, "SELECT * FROM atio_rollback('t', version => 2)")
            .await
            .unwrap();
        let next = || expected.last().unwrap().0 + 1;
        let back = (next(), expected[1].1.clone());
        expected.push(back);
        table.assert_agreed(&ctx, &expected).await;
        rows(&ctx, "INSERT INTO t SELECT * FROM t").await.unwrap();
        let doubled = expected[1].1.and(&expected[1].1);
        expected.push((expected.last().unwrap().0 + 1, doubled));
        table.assert_agreed(&ctx, &expected).await;
        table
            .assert_agreed(&table.open().await.unwrap(), &expected)
            .await;
    }
}

#[tokio::test]
async fn rollback_to_other_columns_of_python_works_until_the_table_is_taken_over() {
    let other = json!({"columns": [["k", "int64"], ["id", "int64"]], "rows": [[7, 8]]});
    let back = "SELECT * FROM atio_rollback('t', version => 1)";
    let Some(table) = Table::new() else { return };
    let now = frame(json!([[1, 1.5, "a", true, null, null, null]]));
    table.write_in_python(&[("overwrite", &other), ("overwrite", &now)]);
    let ctx = table.open().await.unwrap();
    rows(&ctx, "INSERT INTO t SELECT * FROM t").await.unwrap();
    let error = rows(&ctx, back).await.unwrap_err().to_string();
    let says = "cannot go back to version 1 of 'sales': Python atio wrote it with other columns \
                than the table has since; read it with atio_table, and write its rows with \
                INSERT OVERWRITE";
    assert!(error.contains(says), "{error}");

    let Some(table) = Table::new() else { return };
    table.write_in_python(&[("overwrite", &other), ("overwrite", &now)]);
    let ctx = table.open().await.unwrap();
    rows(&ctx, back).await.unwrap();
    let fresh = table.open().await.unwrap();
    rows(&fresh, "INSERT INTO t VALUES (70, 80)").await.unwrap();
    let (newest, _) = table.read_in_python(&[]);
    let both = rows(&fresh, "SELECT * FROM t").await.unwrap();
    assert_eq!((both.len(), newest), (2, Read::Rows(both)));
}
