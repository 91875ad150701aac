//! Tables that Python atio 2.0.0 and atio share, read and attacked both ways.
//!
//! The reference is the published package itself: `interpreter` finds or makes
//! a Python that has it, or the tests say that they were skipped.

#![cfg(test)]

mod changed_rows;
mod directory_bytes;
mod directory_readers;
mod interpreter;
mod python_writes;
mod random_changes;
mod rows;
mod schemas;
mod table;
mod tags_and_rollbacks;
mod workbooks;

use std::fs;

use serde_json::{Value, json};

use rows::Rows;
use table::{Read, Table, rows, version_rows};

const POINTER: &str = "_current_version.json";

/// The columns of a frame that Python writes: whole numbers, floats, strings,
/// booleans and times, then the types with missing values of pandas.
fn frame(rows: Value) -> Value {
    json!({
        "columns": [["id", "int64"], ["x", "float64"], ["s", "str"], ["b", "bool"],
                    ["at", "datetime64[us]"], ["n", "Int64"], ["m", "boolean"]],
        "rows": rows,
    })
}

fn first() -> Value {
    frame(json!([
        [
            1,
            1.5,
            "a",
            true,
            "2024-01-01T00:00:00.123456000",
            9_007_199_254_740_993_i64,
            true
        ],
        [2, "NaN", "", false, null, null, null],
        [
            i64::MAX,
            null,
            "\u{e4}\u{1f600}'\"\n",
            true,
            "1969-12-31T23:59:59.999999000",
            -7,
            false
        ],
        [
            i64::MIN,
            -0.0,
            null,
            false,
            "2262-01-01T00:00:00.000000000",
            0,
            null
        ],
    ]))
}

fn second() -> Value {
    frame(json!([
        [5, 1e300, "e", false, null, null, true],
        [5, 1e300, "e", false, null, null, true],
    ]))
}

fn third() -> Value {
    frame(json!([[
        6,
        0.1,
        null,
        true,
        "2025-02-28T12:00:00.000000000",
        6,
        false
    ]]))
}

/// A table of three versions by Python, and the rows of each: written,
/// appended to, overwritten.
fn written_by_python() -> Option<(Table, Vec<(u64, Rows)>)> {
    let table = Table::new()?;
    let [first, second, third] = [first(), second(), third()];
    table.write_in_python(&[
        ("overwrite", &first),
        ("append", &second),
        ("overwrite", &third),
    ]);
    let [first, second, third] = [first, second, third].map(|f| Rows::of_json(&f));
    let appended = first.and(&second);
    Some((table, vec![(1, first), (2, appended), (3, third)]))
}

#[tokio::test]
async fn table_written_by_python_opens_unchanged_at_every_version() {
    let Some((table, expected)) = written_by_python() else {
        return;
    };
    let before = table.tree();

    let ctx = table.open().await.unwrap();
    table.assert_agreed(&ctx, &expected).await;

    before.assert_same(&table.tree(), "reading");
}

#[tokio::test]
async fn column_types_of_pandas_read_the_same_in_atio() {
    let Some(table) = Table::new() else { return };
    let frame = json!({
        "columns": [["i8", "int8"], ["u64", "uint64"], ["f32", "float32"], ["d", "date"],
                    ["dec", "decimal"], ["raw", "bytes"], ["c", "category"],
                    ["tz", "datetime64[us, UTC]"], ["ns", "datetime64[ns]"], ["l", "object"]],
        "rows": [
            [-128, u64::MAX, 0.10000000149011612, "2024-02-29", "1.50", "00ff", "k",
             "2024-01-01T00:00:00.000001000Z", "2024-01-01T00:00:00.123456789", [1, null]],
            [127, 0, null, null, null, null, null, null, null, null],
            [0, 1, 2.0, "1969-12-31", "-22.25", "", "z",
             "1969-12-31T23:59:59.999999000Z", "1677-09-22T00:00:00.000000001", []],
        ],
    });
    table.write_in_python(&[("overwrite", &frame), ("append", &frame)]);

    let ctx = table.open().await.unwrap();
    let once = Rows::of_json(&frame);
    let twice = once.and(&once);
    table.assert_agreed(&ctx, &[(1, once), (2, twice)]).await;
}

#[tokio::test]
async fn missing_values_of_python_are_null_in_atio() {
    let Some((table, _)) = written_by_python() else {
        return;
    };
    let ctx = table.open().await.unwrap();
    let counts = "SELECT count(*), count(x), count(s), count(at), count(n), count(m) \
                  FROM atio_table('t', version => 1)";
    let counts = ctx.sql(counts).await.unwrap().collect().await.unwrap();
    let names = ["all", "x", "s", "at", "n", "m"]
        .map(str::to_owned)
        .to_vec();
    let expected = json!({"columns": names, "rows": [[4, 2, 3, 3, 3, 2]]});
    assert_eq!(Rows::of_batches(names, &counts), Rows::of_json(&expected));
}

#[tokio::test]
async fn atio_writes_on_a_python_table_and_both_read_every_version() {
    let Some((table, mut expected)) = written_by_python() else {
        return;
    };
    let before = table.tree();
    let ctx = table.open().await.unwrap();

    rows(
        &ctx,
        "INSERT INTO t VALUES \
         (7, 'NaN'::DOUBLE, 'seven', true, TIMESTAMP '2024-05-01T10:00:00.5', NULL, NULL), \
         (8, NULL, NULL, false, NULL, 5, false)",
    )
    .await
    .unwrap();
    let appended = frame(json!([
        [
            7,
            null,
            "seven",
            true,
            "2024-05-01T10:00:00.500000000",
            null,
            null
        ],
        [8, null, null, false, null, 5, false],
    ]));
    expected.push((4, expected[2].1.and(&Rows::of_json(&appended))));
    table.assert_agreed(&ctx, &expected).await;

    rows(
        &ctx,
        "INSERT OVERWRITE t SELECT * FROM atio_table('t', version => 2) WHERE id = 5",
    )
    .await
    .unwrap();
    expected.push((5, Rows::of_json(&second())));
    table.assert_agreed(&ctx, &expected).await;

    rows(
        &ctx,
        "INSERT INTO t SELECT * FROM atio_table('t', version => 3)",
    )
    .await
    .unwrap();
    expected.push((6, expected[2].1.and(&Rows::of_json(&second()))));
    table.assert_agreed(&ctx, &expected).await;

    // A session that was not there reads the same from what is on disk.
    table
        .assert_agreed(&table.open().await.unwrap(), &expected)
        .await;
    before.assert_kept(&table.tree(), &[POINTER], "writing with atio");
}

#[tokio::test]
async fn table_written_by_atio_reads_the_same_in_python_at_every_version() {
    let Some(table) = Table::new() else { return };
    let location = table.location();
    let ctx = table
        .session(&format!(
            "CREATE EXTERNAL TABLE t (id BIGINT NOT NULL, small SMALLINT, x DOUBLE, r REAL, \
             s VARCHAR, b BOOLEAN, at TIMESTAMP, d DATE, amount DECIMAL(10, 2), raw BYTEA) \
             STORED AS ATIO LOCATION '{location}'"
        ))
        .await
        .unwrap();
    let of = |rows: Value| {
        let columns = [
            "id", "small", "x", "r", "s", "b", "at", "d", "amount", "raw",
        ];
        Rows::of_json(&json!({"columns": columns, "rows": rows}))
    };

    let created = of(json!([]));
    table.assert_agreed(&ctx, &[(0, created.clone())]).await;
    let (_, v0) = table.read_in_python(&[0]);
    assert_eq!(v0, [Read::None], "Python's word for a table without rows");

    let inserted = of(json!([
        [
            1,
            -3,
            0.5,
            0.25,
            "a",
            true,
            "2024-05-01T10:00:00.123456789",
            "2024-02-29",
            "1.50",
            "00ff"
        ],
        [2, null, null, null, null, null, null, null, null, null],
        [
            i64::MAX,
            4,
            null,
            2.0,
            "\u{e4}\u{1f600}",
            false,
            "1969-12-31T23:59:59.999999999",
            "1969-12-31",
            "-22.25",
            ""
        ],
    ]));
    rows(
        &ctx,
        "INSERT INTO t VALUES \
         (1, -3, 0.5, 0.25, 'a', true, TIMESTAMP '2024-05-01T10:00:00.123456789', \
          DATE '2024-02-29', 1.50, X'00ff'), \
         (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
         (9223372036854775807, 4, 'NaN'::DOUBLE, 2.0, '\u{e4}\u{1f600}', false, \
          TIMESTAMP '1969-12-31T23:59:59.999999999', DATE '1969-12-31', -22.25, X'')",
    )
    .await
    .unwrap();

    let more = of(json!([[
        4, null, 1e300, null, "d", null, null, null, "0.01", null
    ]]));
    rows(
        &ctx,
        "INSERT INTO t (id, x, s, amount) VALUES (4, 1e300, 'd', 0.01)",
    )
    .await
    .unwrap();
    rows(&ctx, "INSERT OVERWRITE t SELECT * FROM t WHERE id = 4")
        .await
        .unwrap();
    rows(
        &ctx,
        "INSERT INTO t SELECT * FROM atio_table('t', version => 1)",
    )
    .await
    .unwrap();
    rows(&ctx, "INSERT OVERWRITE t SELECT * FROM t WHERE false")
        .await
        .unwrap();

    let both = inserted.and(&more);
    let expected = [
        (0, created.clone()),
        (1, inserted),
        (2, both.clone()),
        (3, more),
        (4, both),
        (5, created),
    ];
    table.assert_agreed(&ctx, &expected).await;
}

/// Removes a manifest of a version, as Python's expire does when two of its
/// versions share a second. Returns its path.
fn lose_manifest(table: &Table, version: u64) -> String {
    let record = table.json(format!("metadata/v{version}.metadata.json"));
    let snapshot = table.json(record["snapshot_filename"].as_str().unwrap());
    let lost = snapshot["manifests"][0].as_str().unwrap().to_owned();
    fs::remove_file(table.path().join(&lost)).unwrap();
    let (_, reads) = table.read_in_python(&[version]);
    assert!(
        matches!(&reads[0], Read::Refused(e) if e.contains(&lost)),
        "{reads:?}"
    );
    lost
}

#[tokio::test]
async fn version_that_python_itself_broke_is_refused_and_the_others_are_read() {
    let Some((table, expected)) = written_by_python() else {
        return;
    };
    let lost = lose_manifest(&table, 2);

    let ctx = table.open().await.unwrap();
    let error = version_rows(&ctx, 2).await.unwrap_err().to_string();
    assert!(error.contains(&lost), "{error}");
    for (version, rows) in [&expected[0], &expected[2]] {
        assert_eq!(&version_rows(&ctx, *version).await.unwrap(), rows);
    }
}

#[tokio::test]
async fn newest_version_that_python_itself_broke_is_refused_and_the_others_are_read() {
    let Some((table, expected)) = written_by_python() else {
        return;
    };
    let lost = lose_manifest(&table, 3);

    let error = table.open().await.err().unwrap().to_string();
    assert!(error.contains(&lost), "{error}");
    for (version, rows) in &expected[..2] {
        assert_eq!(&table.version_at_path(*version).await.unwrap(), rows);
    }
}

#[tokio::test]
async fn table_that_python_wrote_on_windows_reads_the_same() {
    let Some((table, expected)) = written_by_python() else {
        return;
    };
    // Python joins with the separator of its system and stores that.
    for entry in fs::read_dir(table.path().join("metadata")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let windows = text
            .replace("\"metadata/", "\"metadata\\\\")
            .replace("\"data/", "\"data\\\\");
        assert_ne!(windows, text, "{path:?} names no file");
        fs::write(&path, windows).unwrap();
    }
    let ctx = table.open().await.unwrap();
    for (version, rows) in &expected {
        assert_eq!(&version_rows(&ctx, *version).await.unwrap(), rows);
    }
}
