//! COPY to a directory that is there adds files to it: all of them, or none.

use super::*;
use crate::query::{failure, row};

/// Rows from `from` to `to`, dealt to three directories.
pub(crate) fn dealt(from: i64, to: i64, at: &str, format: &str, options: &str) -> String {
    dealt_to(3, from, to, at, format, options)
}

/// The same, to so many directories.
pub(super) fn dealt_to(
    many: i64,
    from: i64,
    to: i64,
    at: &str,
    format: &str,
    options: &str,
) -> String {
    let options = match options {
        "" => String::new(),
        options => format!(" OPTIONS ({options})"),
    };
    format!(
        "COPY (SELECT value AS i, value % {many} AS m FROM generate_series({from}, {to})) TO '{at}' \
         STORED AS {format} PARTITIONED BY (m){options}"
    )
}

/// How many rows there are below `at`, and how many different ones.
pub(crate) async fn counted(at: &str, format: &str) -> String {
    let ctx = SessionContext::new();
    let create = format!("CREATE EXTERNAL TABLE r STORED AS {format} LOCATION '{at}/'");
    rows(&ctx, &create).await;
    row(&ctx, "SELECT count(*), count(DISTINCT i) FROM r").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_a_directory_adds_its_rows_and_touches_no_file() {
    for format in FORMATS {
        let place = Place::new();
        let ctx = session(4);
        let to = place.text("out");
        for (from, until, options) in [
            (1, 30, ""),
            (31, 60, ""),
            (61, 90, "'atio.if_exists' 'append'"),
        ] {
            let before = crate::objects::files(&place.path(""));
            let sql = dealt(from, until, &to, format, options);
            assert_eq!(row(&ctx, &sql).await, "30");
            let after = crate::objects::files(&place.path(""));
            for (name, bytes) in &before {
                assert_eq!(after.get(name), Some(bytes), "{name}");
            }
            assert_eq!(counted(&to, format).await, format!("{until}|{until}"));
            assert_eq!(place.names(), ["out"]);
            assert_eq!(names(&place.path("out")), ["m=0", "m=1", "m=2"]);
        }
        let fails = format!(
            "COPY (SELECT 1 / (value - {MANY}) AS i, value % 3 AS m FROM generate_series(1, {MANY})) \
             TO '{to}' STORED AS {format} PARTITIONED BY (m)"
        );
        let failed = failure(&ctx, &fails).await;
        assert!(failed.contains("Divide by zero"), "{failed}");
        assert_eq!(counted(&to, format).await, "90|90");
        assert_eq!(place.names(), ["out"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_goes_when_files_are_added_and_is_not_written_beside_them() {
    let place = Place::new();
    let ctx = session(2);
    let to = place.text("out");
    rows(&ctx, &marked(&numbers(5), &to, "csv", "")).await;
    assert!(atio::Marker::read(&to).unwrap().is_some());
    for (options, said) in [
        ("'atio.marker' 'true'", "would have to tell all its files"),
        ("'atio.backup' 'true'", "keeps what is replaced"),
    ] {
        let failed = failure(&ctx, &copy(&numbers(5), &to, "csv", options)).await;
        assert!(failed.contains(said), "{failed}");
    }
    assert!(atio::Marker::read(&to).unwrap().is_some());
    let at = place.text("added.json");
    let options = format!("'atio.marker' '{at}'");
    rows(&ctx, &copy(&numbers(4), &to, "csv", &options)).await;
    assert_eq!(atio::Marker::read(&to).unwrap(), None);
    let marker: serde_json::Value = serde_json::from_slice(&std::fs::read(&at).unwrap()).unwrap();
    assert_eq!(
        (&marker["rows"], marker["files"].as_array().map(Vec::len)),
        (&4.into(), Some(1))
    );
    assert_eq!(place.names(), ["added.json", "out"]);
    assert_eq!(counted(&to, "csv").await, "9|5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_directory_all_add_their_rows() {
    let place = Place::new();
    let to = place.text("out");
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..6_i64 {
        let to = to.clone();
        writers.spawn(async move {
            let ctx = session(2);
            for round in 0..4 {
                let from = 100 * (4 * writer + round);
                let sql = dealt(from, from + 99, &to, "csv", "");
                assert_eq!(row(&ctx, &sql).await, "100");
            }
        });
    }
    writers.join_all().await;
    assert_eq!(counted(&to, "csv").await, "2400|2400");
    assert_eq!(place.names(), ["out"]);
}

#[cfg(target_os = "linux")]
mod processes;
