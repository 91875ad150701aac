//! Queries that fail, panic or are given up: the old target stays, and nothing beside it.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::query::failure;
use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};

/// A function that panics once it is given `at`.
fn panics(ctx: &SessionContext, at: i64) {
    let function = move |arguments: &[ColumnarValue]| {
        let array: ArrayRef = ColumnarValue::values_to_arrays(arguments)?.remove(0);
        for value in array.as_primitive::<Int64Type>().values() {
            assert_ne!(*value, at, "as the test wants it");
        }
        Ok(ColumnarValue::Array(array))
    };
    ctx.register_udf(create_udf(
        "panics",
        vec![DataType::Int64],
        DataType::Int64,
        Volatility::Volatile,
        Arc::new(function),
    ));
}

/// What is there before and after: a file and a directory of each format.
async fn prepared(format: &str) -> (Place, [String; 2], Vec<Vec<String>>) {
    let place = Place::new();
    let ctx = session(4);
    let targets = [place.text(&format!("a.{format}")), place.text("folder")];
    for to in &targets {
        rows(&ctx, &marked(&numbers(MANY), to, format, "")).await;
    }
    let before = vec![place.names(), names(&place.path("folder"))];
    (place, targets, before)
}

async fn assert_untouched(place: &Place, format: &str, targets: &[String], before: &[Vec<String>]) {
    let expected: Vec<_> = before[0].iter().map(String::as_str).collect();
    place.assert_soon(&expected).await;
    assert_eq!(names(&place.path("folder")), before[1]);
    for to in targets {
        assert_eq!(read(to, format).await, said(MANY));
        assert!(atio::Marker::read(to).unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_fails_at_its_last_row_leaves_the_old_target_untouched() {
    for format in FORMATS {
        let (place, targets, before) = prepared(format).await;
        for buffer in [10_485_760, 10_000] {
            for partitions in [1, 4] {
                let ctx = session(partitions);
                let set = "SET datafusion.execution.objectstore_writer_buffer_size";
                rows(&ctx, &format!("{set} = {buffer}")).await;
                let query = format!(
                    "SELECT i, n, s, 1 / (i - {MANY}) AS x FROM ({})",
                    numbers(MANY)
                );
                for to in &targets {
                    let failed = failure(&ctx, &marked(&query, to, format, "")).await;
                    assert!(failed.contains("Divide by zero"), "{failed}");
                    let new = place.text(&format!("new.{format}"));
                    failure(&ctx, &copy(&query, &new, format, "")).await;
                }
                assert_untouched(&place, format, &targets, &before).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_query_leaves_the_old_target_untouched() {
    for format in FORMATS {
        let (place, targets, before) = prepared(format).await;
        for to in &targets {
            let ctx = session(4);
            panics(&ctx, MANY);
            let query = format!("SELECT panics(i) AS i, n, s FROM ({})", numbers(MANY));
            let sql = marked(&query, to, format, "");
            let ended = tokio::spawn(async move {
                let frame = ctx.sql(&sql).await?;
                frame.collect().await
            });
            assert!(!matches!(ended.await, Ok(Ok(_))));
        }
        assert_untouched(&place, format, &targets, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_given_up_leaves_the_old_target_untouched() {
    for format in FORMATS {
        let (place, targets, before) = prepared(format).await;
        for (after, to) in [(1, 0), (30, 0), (30, 1), (200, 0), (200, 1)] {
            let ctx = session(4);
            let query = "SELECT value AS i, 1 AS n, 'x' AS s FROM generate_series(1, 100000000000)";
            let sql = marked(query, &targets[to], format, "");
            let given_up =
                tokio::time::timeout(Duration::from_millis(after), rows(&ctx, &sql)).await;
            assert!(given_up.is_err());
        }
        assert_untouched(&place, format, &targets, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infinities_in_runs_are_not_written_as_json() {
    use datafusion::arrow::array::{Float64Array, Int32Array, RunArray};
    use datafusion::arrow::datatypes::Int32Type;
    use datafusion::arrow::record_batch::RecordBatch;
    let place = Place::new();
    let ctx = session(1);
    for (table, last) in [("fine", 2.0), ("bad", f64::INFINITY)] {
        let ends = Int32Array::from(vec![2, 4]);
        let values = Float64Array::from(vec![1.0, last]);
        let runs: ArrayRef = Arc::new(RunArray::<Int32Type>::try_new(&ends, &values).unwrap());
        let batch = RecordBatch::try_from_iter([("x", runs)]).unwrap();
        ctx.register_batch(table, batch).unwrap();
    }
    let to = place.text("a.json");
    rows(&ctx, &copy("SELECT x FROM fine", &to, "json", "")).await;
    let failed = failure(&ctx, &copy("SELECT x FROM bad", &to, "json", "")).await;
    assert!(
        failed.contains("column 'x' holds NaN or infinity"),
        "{failed}"
    );
    let text = std::fs::read_to_string(&to).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[cfg(unix)]
#[tokio::test]
async fn copy_that_is_refused_leaves_the_old_file() {
    let place = Place::new();
    let ctx = session(2);
    for format in FORMATS {
        rows(
            &ctx,
            &copy(&numbers(9), &place.text(&format!("a.{format}")), format, ""),
        )
        .await;
    }
    rows(
        &ctx,
        &copy(&numbers(9), &place.text("folder.csv/"), "csv", ""),
    )
    .await;
    std::os::unix::fs::symlink(place.path("a.csv"), place.path("link.csv")).unwrap();
    std::os::unix::fs::symlink(place.path("folder.csv"), place.path("linked")).unwrap();
    let before = crate::objects::files(&place.path(""));
    let nine = numbers(9);
    let twice = "SELECT x.a, y.a FROM (SELECT 1 AS a) x, (SELECT 2 AS a) y";
    for (query, to, format, options, said) in [
        ("SELECT [1, 2] AS l", "a.csv", "csv", "", "is nested"),
        ("SELECT {'x': 1} AS s", "a.csv", "csv", "", "is nested"),
        (
            "SELECT arrow_cast('NaN', 'Float64') AS x",
            "a.json",
            "json",
            "",
            "holds NaN or infinity",
        ),
        (
            twice,
            "a.parquet",
            "parquet",
            "",
            "two columns are called 'a'",
        ),
        (twice, "a.csv", "csv", "", "two columns are called 'a'"),
        (
            &nine,
            "a.csv",
            "csv",
            "'format.no_such_option' 'x'",
            "no_such_option",
        ),
        (
            &nine,
            "a.csv",
            "csv",
            "'atio.if_exist' 'skip'",
            "unknown option",
        ),
        (
            &nine,
            "a.csv",
            "csv",
            "if_exists 'append'",
            "is for directories",
        ),
        (
            &nine,
            "a.arrow",
            "arrow",
            "'format.compression' 'zstd'",
            "has no option",
        ),
        (
            &nine,
            "a.parquet",
            "parquet",
            "if_exists 'fail'",
            "is there already",
        ),
        (&nine, "a.csv", "orc", "", "cannot write the format ORC"),
        (
            &nine,
            "a.csv",
            "avro",
            "",
            "Writer not implemented for this format",
        ),
        (&nine, "*.csv", "csv", "", "a pattern names no file"),
        (&nine, "?.csv", "csv", "", "a pattern names no file"),
        (&nine, "[a].csv", "csv", "", "a pattern names no file"),
        (
            &nine,
            "a.csv/b.csv",
            "csv",
            "",
            "is a file, so nothing can be written in it",
        ),
        (
            &nine,
            "a.csv/",
            "csv",
            "",
            "is a file, and this statement writes a directory",
        ),
        (
            &nine,
            "folder.csv",
            "csv",
            "",
            "is a directory: give the name of a file",
        ),
        (&nine, "link.csv", "csv", "", "is a symbolic link"),
        (
            &nine,
            "linked/",
            "csv",
            "if_exists 'replace'",
            "is a symbolic link",
        ),
        (
            &nine,
            ".a.csv._SUCCESS",
            "csv",
            "",
            "is what atio calls a file of its own",
        ),
    ] {
        let sql = copy(query, &place.text(to), format, options);
        let error = failure(&ctx, &sql).await;
        assert!(error.contains(said), "{sql}: {error}");
        crate::objects::assert_same(&before, &crate::objects::files(&place.path("")), &sql);
    }
    let link = std::fs::read_link(place.path("link.csv")).unwrap();
    assert_eq!(link, place.path("a.csv"));
    assert_eq!(read(&place.text("a.csv"), "csv").await, said(9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_at_a_path_takes_the_place_of_nothing_but_a_marker() {
    let place = Place::new();
    let ctx = session(2);
    std::fs::create_dir(place.path("kept")).unwrap();
    std::fs::create_dir(place.path("out")).unwrap();
    std::fs::write(place.path("kept/file"), "x").unwrap();
    std::fs::write(place.path("notes.json"), "{}").unwrap();
    rows(&ctx, &copy(&numbers(3), &place.text("old.csv"), "csv", "")).await;
    let table = place.text("table");
    let create = "CREATE EXTERNAL TABLE t (i INT) STORED AS ATIO LOCATION";
    rows(&ctx, &format!("{create} '{table}'")).await;
    let before = crate::objects::files(&place.path(""));
    for (target, marker, why) in [
        ("new.csv", place.text("kept"), "is there and is no marker"),
        (
            "new.csv",
            place.text("notes.json"),
            "is there and is no marker",
        ),
        ("new.csv", place.text("table"), "is there and is no marker"),
        (
            "new.csv",
            place.text("table/m"),
            "lies in the directory of a table",
        ),
        (
            "new.csv",
            place.text("new.csv"),
            "take the place of what it is about",
        ),
        (
            "old.csv",
            place.text("old.csv"),
            "take the place of what it is about",
        ),
        (
            "old.csv",
            place.text("./kept/../old.csv"),
            "take the place of what it is about",
        ),
        (
            "out",
            place.text("out/m"),
            "in the directory that it is about",
        ),
        (
            "new.csv",
            place.text("none/m"),
            "does not exist: make it first",
        ),
        (
            "new.csv",
            "off".to_owned(),
            "is not 'true', 'false' or a path",
        ),
        (
            "new.csv",
            "file:///m".to_owned(),
            "a path on the local disk",
        ),
    ] {
        let options = format!("'atio.marker' '{marker}'");
        let sql = copy(&numbers(5), &place.text(target), "csv", &options);
        let failed = failure(&ctx, &sql).await;
        assert!(failed.contains(why), "{marker}: {failed}");
        crate::objects::assert_same(&before, &crate::objects::files(&place.path("")), &marker);
    }
    let marker = place.path("done.json");
    for n in [4, 6] {
        let options = format!("'atio.marker' '{}'", marker.display());
        rows(
            &ctx,
            &copy(&numbers(n), &place.text("old.csv"), "csv", &options),
        )
        .await;
        let said: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&marker).unwrap()).unwrap();
        assert_eq!(said["rows"], n);
    }
    assert_eq!(
        place.names(),
        ["done.json", "kept", "notes.json", "old.csv", "out", "table"]
    );
}
