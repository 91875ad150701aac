//! What Python 2.0.0 must not do to a table that atio has written.

use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use serde_json::json;

use super::table::{Read, Table, rows, version_rows};
use super::written_by_python;

/// A table that atio made and wrote versions 1 and 2 of.
async fn written_by_atio() -> Option<(Table, SessionContext)> {
    let table = Table::new()?;
    let location = table.location();
    let ctx = table
        .session(&format!(
            "CREATE EXTERNAL TABLE t (id BIGINT, s VARCHAR) STORED AS ATIO LOCATION '{location}'"
        ))
        .await
        .unwrap();
    for insert in [
        "INSERT INTO t VALUES (1, 'a'), (2, NULL)",
        "INSERT INTO t VALUES (3, 'c')",
    ] {
        rows(&ctx, insert).await.unwrap();
    }
    Some((table, ctx))
}

/// Each of Python's writers raises, and nothing on disk changes.
fn assert_python_cannot_write(table: &Table) {
    let before = table.tree();
    let frame = json!({"columns": [["id", "int64"], ["s", "str"]], "rows": [[99, "z"]]});
    let attacks = [("append", &frame), ("overwrite", &frame)];
    let mut results = table.try_to_write_in_python(&attacks);
    results.push(table.try_to_expire_in_python());
    let kinds = [
        ("append", "TypeError: "),
        ("overwrite", "TypeError: "),
        ("expire", "KeyError: 'snapshot_id'"),
    ];
    for ((attack, kind), result) in kinds.into_iter().zip(results) {
        let error = result.expect_err(attack);
        assert!(error.starts_with(kind), "{attack}: {error}");
    }
    before.assert_same(&table.tree(), "Python's attempt to write");
}

#[tokio::test]
async fn python_fails_to_write_on_a_new_table_and_changes_nothing() {
    let Some(table) = Table::new() else { return };
    let location = table.location();
    table
        .session(&format!(
            "CREATE EXTERNAL TABLE t (id BIGINT) STORED AS ATIO LOCATION '{location}'"
        ))
        .await
        .unwrap();
    assert_python_cannot_write(&table);
}

#[tokio::test]
async fn python_fails_to_write_on_an_atio_table_and_changes_nothing() {
    let Some((table, ctx)) = written_by_atio().await else {
        return;
    };
    assert_python_cannot_write(&table);
    assert_eq!(rows(&ctx, "SELECT * FROM t").await.unwrap().len(), 3);
}

#[tokio::test]
async fn python_fails_to_write_on_its_own_table_once_atio_has_written() {
    let Some((table, expected)) = written_by_python() else {
        return;
    };
    let ctx = table.open().await.unwrap();
    rows(&ctx, "INSERT INTO t (id) VALUES (9)").await.unwrap();
    assert_python_cannot_write(&table);
    assert_eq!(version_rows(&ctx, 3).await.unwrap(), expected[2].1);
    assert_eq!(rows(&ctx, "SELECT * FROM t").await.unwrap().len(), 2);
}

/// Statements that change one row of ten, each one that is there.
const CHANGES: [&str; 3] = [
    "DELETE FROM t WHERE id = 1",
    "UPDATE t SET s = 'b' WHERE id = 2",
    "MERGE INTO t USING (VALUES (3)) AS q(id) ON t.id = q.id WHEN MATCHED THEN UPDATE SET s = 'c'",
];

#[tokio::test]
async fn version_with_rows_that_are_marked_as_deleted_is_refused_by_python() {
    let Some(table) = Table::new() else { return };
    let location = table.location();
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, s VARCHAR) STORED AS ATIO LOCATION '{location}'"
    );
    let ctx = table.session(&create).await.unwrap();
    let insert = "INSERT INTO t SELECT value, 'a' FROM generate_series(1, 10)";
    rows(&ctx, insert).await.unwrap();
    rows(&ctx, "SET atio.delete_mode = 'mark'").await.unwrap();
    for change in CHANGES {
        rows(&ctx, change).await.unwrap();
    }
    let (newest, reads) = table.read_in_python(&[1, 2, 3, 4]);
    let all = version_rows(&ctx, 1).await.unwrap();
    assert_eq!(reads[0], Read::Rows(all));
    for (version, read) in (2..).zip(&reads[1..]).chain([(4, &newest)]) {
        assert!(matches!(read, Read::Refused(_)), "v{version}: {read:?}");
    }
    // Rows of which none is marked are read again.
    rows(&ctx, "INSERT OVERWRITE t SELECT * FROM t")
        .await
        .unwrap();
    let (newest, _) = table.read_in_python(&[]);
    let left = rows(&ctx, "SELECT * FROM t").await.unwrap();
    assert_eq!((&newest, left.len()), (&Read::Rows(left.clone()), 9));
    assert_python_cannot_write(&table);
}

#[tokio::test]
async fn table_that_is_for_python_stays_readable_whatever_is_deleted() {
    let Some(table) = Table::new() else { return };
    let location = table.location();
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, s VARCHAR) STORED AS ATIO LOCATION '{location}' \
         OPTIONS ('atio.compatibility' 'format-1')"
    );
    let ctx = table.session(&create).await.unwrap();
    let insert = "INSERT INTO t SELECT value, 'a' FROM generate_series(1, 10)";
    rows(&ctx, insert).await.unwrap();
    assert_changes_are_read(&table, &ctx, 1).await;
}

#[tokio::test]
async fn table_of_python_stays_readable_to_it_whatever_is_deleted() {
    let Some((table, _)) = written_by_python() else {
        return;
    };
    let ctx = table.open().await.unwrap();
    let insert = "INSERT INTO t (id, s) SELECT value, 'a' FROM generate_series(1, 10)";
    rows(&ctx, insert).await.unwrap();
    assert_changes_are_read(&table, &ctx, 4).await;
}

/// Changes rows, also where the session asks for marks: Python reads each version as atio does.
async fn assert_changes_are_read(table: &Table, ctx: &SessionContext, first: u64) {
    for mode in ["auto", "mark"] {
        let set = format!("SET atio.delete_mode = '{mode}'");
        rows(ctx, &set).await.unwrap();
        for change in CHANGES {
            rows(ctx, change).await.unwrap();
        }
    }
    let mut expected = Vec::new();
    // The second DELETE finds no row.
    for version in first..=first + 5 {
        expected.push((version, version_rows(ctx, version).await.unwrap()));
    }
    assert_eq!(expected.last().unwrap().1.len() + 1, expected[0].1.len());
    table.assert_agreed(ctx, &expected).await;
}

#[tokio::test]
async fn version_that_atio_expired_is_refused_by_python() {
    let Some((table, ctx)) = written_by_atio().await else {
        return;
    };
    rows(&ctx, "INSERT OVERWRITE t VALUES (4, 'd')")
        .await
        .unwrap();
    assert_expired(&table, &ctx, &[0, 1, 2]).await;
}

#[tokio::test]
async fn python_version_that_atio_expired_is_refused_by_python() {
    let Some((table, _)) = written_by_python() else {
        return;
    };
    let ctx = table.open().await.unwrap();
    rows(&ctx, "INSERT INTO t (id) VALUES (9)").await.unwrap();
    assert_expired(&table, &ctx, &[1, 2, 3]).await;
}

/// Expires all but the newest version: Python raises at each of `gone`, and
/// reads the newest as before.
async fn assert_expired(table: &Table, ctx: &SessionContext, gone: &[u64]) {
    let kept = gone.last().unwrap() + 1;
    let before = rows(ctx, "SELECT * FROM t").await.unwrap();
    let expire = "SELECT * FROM expire_snapshots('t', keep_for => INTERVAL '0 days', \
                  dry_run => false)";
    let report = rows(ctx, expire).await.unwrap();
    assert_ne!(report.len(), 0, "nothing was expired");

    let mut versions = gone.to_vec();
    versions.push(kept);
    let (newest, mut reads) = table.read_in_python(&versions);
    assert_eq!(newest, Read::Rows(before.clone()));
    assert_eq!(reads.pop(), Some(Read::Rows(before.clone())), "v{kept}");
    for (version, read) in gone.iter().zip(reads) {
        let Read::Refused(error) = read else {
            panic!("Python reads the expired v{version}: {read:?}");
        };
        assert!(error.starts_with("TypeError: "), "v{version}: {error}");
        let error = version_rows(ctx, *version).await.unwrap_err().to_string();
        assert!(error.contains("expired"), "v{version}: {error}");
    }
    assert_eq!(rows(ctx, "SELECT * FROM t").await.unwrap(), before);
    assert_python_cannot_write(table);
}

#[tokio::test]
async fn python_write_past_the_guard_is_found_and_older_versions_stay_readable() {
    let Some((table, ctx)) = written_by_atio().await else {
        return;
    };
    let before = rows(&ctx, "SELECT * FROM t").await.unwrap();
    // What a Python writer saw that read its pointer before atio wrote one.
    std::fs::write(
        table.path().join("_current_version.json"),
        r#"{"version_id": 2}"#,
    )
    .unwrap();
    let frame = json!({"columns": [["id", "int64"], ["s", "str"]], "rows": [[99, "z"]]});
    table.write_in_python(&[("append", &frame)]);

    let names_it = |error: DataFusionError| {
        let error = error.to_string();
        assert!(
            error.contains("version 3") && error.contains("'sales'"),
            "{error}"
        );
    };
    for statement in ["SELECT * FROM t", "INSERT INTO t VALUES (4, 'd')"] {
        names_it(rows(&ctx, statement).await.unwrap_err());
    }
    assert_eq!(version_rows(&ctx, 2).await.unwrap(), before);

    // The same for a session that did not see it happen.
    names_it(table.open().await.err().unwrap());
    assert_eq!(table.version_at_path(2).await.unwrap(), before);
    names_it(table.version_at_path(3).await.unwrap_err());
}
