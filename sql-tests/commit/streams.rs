//! Streams: what is committed when, and each position once.

#![cfg(test)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use atio::{ErrorKind, StreamOptions, StreamWriter, sql_check};
use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;

use crate::objects::{assert_settles_to, objects};
use crate::query::{row, rows};
use crate::session::{Place, on_every_place};

on_every_place!(
    stream_commits_by_rows_and_goes_on_from_its_position,
    stream_commits_by_time_while_nothing_is_pushed,
    second_writer_of_a_source_is_a_conflict_and_adds_nothing,
    rollback_keeps_the_position,
    stream_stops_at_the_commit_whose_check_does_not_hold,
);

pub(crate) fn batch(values: std::ops::Range<i64>) -> RecordBatch {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([("a", values)]).unwrap()
}

pub(crate) fn of_source(source: &str) -> StreamOptions {
    StreamOptions {
        source: Some(source.to_owned()),
        commit_every: None,
        ..StreamOptions::default()
    }
}

async fn opened(place: &Place) -> SessionContext {
    let ctx = place.session();
    let create = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(&ctx, &create).await;
    ctx
}

async fn count(ctx: &SessionContext) -> i64 {
    let count = row(ctx, "SELECT count(*) FROM t").await;
    count.parse().unwrap()
}

/// The rows of each version, from version 0 on: they only grow here.
async fn versions(ctx: &SessionContext) -> Vec<i64> {
    let rows = rows(ctx, "SELECT rows FROM atio_history('t')").await;
    let mut rows: Vec<_> = rows.iter().map(|rows| rows.parse().unwrap()).collect();
    rows.sort_unstable();
    rows
}

async fn stream_commits_by_rows_and_goes_on_from_its_position(place: Place) {
    let ctx = opened(&place).await;
    let options = StreamOptions {
        commit_rows: 5,
        message: Some("readings".to_owned()),
        properties: [("plant".to_owned(), "north".to_owned())].into(),
        ..of_source("s")
    };
    let mut writer = StreamWriter::open(&ctx, "t", options.clone())
        .await
        .unwrap();
    assert_eq!(writer.position(), None);
    for at in 0..12 {
        writer.push(batch(at..at + 1), at as u64).await.unwrap();
    }
    writer.commit().await.unwrap();
    assert_eq!(writer.position(), Some(11));
    assert_eq!(versions(&ctx).await, [0, 5, 10, 12]);
    // Nothing to commit, no version.
    writer.commit().await.unwrap();
    // A position without rows is remembered.
    writer.push(batch(0..0), 20).await.unwrap();
    writer.push(batch(21..24), 23).await.unwrap();
    drop(writer);
    assert_eq!(count(&ctx).await, 12, "what was not committed is given up");

    // Whoever comes next, by the place as well as by the name.
    let place_of_t = format!("{}/t", place.root());
    let mut writer = StreamWriter::open(&place.session(), &place_of_t, options)
        .await
        .unwrap();
    assert_eq!(writer.position(), Some(11));
    for (position, says) in [
        (
            11,
            "the position 11 is not behind 11, which was pushed to 't' before: positions must grow",
        ),
        (
            1 << 63,
            "the position 9223372036854775808 is too large: positions go up to 9223372036854775807",
        ),
    ] {
        let error = writer.push(batch(0..1), position).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::InvalidInput, says)
        );
    }
    writer.push(batch(12..13), 12).await.unwrap();
    writer.push(batch(0..0), 40).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(count(&ctx).await, 13);
    assert_eq!(
        rows(&ctx, "SELECT * FROM atio_sources('t')").await,
        ["s|40"]
    );
    let carried =
        "SELECT DISTINCT message, properties['plant'] FROM atio_history('t') WHERE version > 0";
    assert_eq!(rows(&ctx, carried).await, ["readings|north"]);
}

async fn stream_commits_by_time_while_nothing_is_pushed(place: Place) {
    let ctx = opened(&place).await;
    let options = StreamOptions {
        commit_every: Some(Duration::from_millis(200)),
        ..of_source("s")
    };
    let mut writer = StreamWriter::open(&ctx, "t", options).await.unwrap();
    writer.push(batch(0..3), 3).await.unwrap();
    assert_eq!(writer.position(), None, "not before it is time");
    let began = Instant::now();
    while writer.position() != Some(3) {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it is never committed"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count(&ctx).await, 3);
    assert_eq!(versions(&ctx).await, [0, 3]);
    writer.close().await.unwrap();
    assert_eq!(versions(&ctx).await, [0, 3]);
}

async fn second_writer_of_a_source_is_a_conflict_and_adds_nothing(place: Place) {
    let (ctx, other) = (opened(&place).await, opened(&place).await);
    let mut first = StreamWriter::open(&ctx, "t", of_source("s")).await.unwrap();
    let mut second = StreamWriter::open(&other, "t", of_source("s"))
        .await
        .unwrap();
    let mut beside = StreamWriter::open(&other, "t", of_source("b"))
        .await
        .unwrap();
    first.push(batch(0..2), 2).await.unwrap();
    second.push(batch(0..3), 3).await.unwrap();
    beside.push(batch(10..11), 1).await.unwrap();
    first.commit().await.unwrap();
    let error = second.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.message(),
        "the stream into 't' stopped; nothing of 's' is committed, and what was pushed is not: open \
         it again, and go on behind its position: cannot commit to 't': another writer has taken 's' \
         to position 2, by version 1, and this one goes on from its beginning; nothing more was \
         written: open the source again, and go on from there"
    );
    let error = second.push(batch(3..4), 4).await.unwrap_err();
    assert_eq!(
        error.message(),
        "the stream into 't' has stopped, as an earlier error says: open it again"
    );
    second.close().await.unwrap_err();
    // Another source is no obstacle, and neither are rows without one.
    beside.close().await.unwrap();
    rows(&other, "INSERT INTO t VALUES (20)").await;
    first.push(batch(2..3), 3).await.unwrap();
    first.close().await.unwrap();
    assert_eq!(
        rows(&ctx, "SELECT a FROM t").await,
        ["0", "1", "10", "2", "20"]
    );
    let sources = "SELECT * FROM atio_sources('t')";
    assert_eq!(rows(&ctx, sources).await, ["b|1", "s|3"]);
}

async fn rollback_keeps_the_position(place: Place) {
    let ctx = opened(&place).await;
    let mut writer = StreamWriter::open(&ctx, "t", of_source("s")).await.unwrap();
    for at in 1..4 {
        writer.push(batch(at..at + 1), at as u64).await.unwrap();
        writer.commit().await.unwrap();
    }
    rows(&ctx, "SELECT * FROM atio_rollback('t', version => 1)").await;
    assert_eq!(rows(&ctx, "SELECT * FROM atio_sources('t')").await, ["s|3"]);
    writer.push(batch(4..5), 4).await.unwrap();
    writer.close().await.unwrap();
    let writer = StreamWriter::open(&ctx, "t", of_source("s")).await.unwrap();
    assert_eq!(writer.position(), Some(4));
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1", "4"]);
}

async fn stream_stops_at_the_commit_whose_check_does_not_hold(place: Place) {
    let ctx = opened(&place).await;
    let with = |check: &str| StreamOptions {
        commit_rows: 2,
        checks: vec![sql_check("few", check)],
        ..of_source("s")
    };
    let before = objects(&place).await;
    let wrong = StreamWriter::open(&ctx, "t", with("SELECT count(*) FROM new")).await;
    let wrong = wrong.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidInput, "{wrong}");
    assert_settles_to(&before, &place, "a check that is none").await;

    let few = "SELECT count(*) = 2 AND max(a) < 4 FROM added";
    let mut writer = StreamWriter::open(&ctx, "t", with(few)).await.unwrap();
    for at in 0..4 {
        writer.push(batch(at..at + 1), at as u64).await.unwrap();
    }
    writer.commit().await.unwrap();
    let before = objects(&place).await;
    writer.push(batch(4..6), 5).await.unwrap();
    let error = writer.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CheckFailed, "{error}");
    let said = error.to_string();
    assert!(said.contains("committed up to position 3"), "{said}");
    assert!(said.contains("the check 'few'"), "{said}");
    assert_settles_to(&before, &place, "a check that does not hold").await;
    assert_eq!(versions(&ctx).await, [0, 2, 4]);
}

#[tokio::test]
async fn stream_holds_no_more_than_its_bytes_and_one_batch() {
    let place = Place::disk();
    let ctx = opened(&place).await;
    let size = 1000 * 8;
    let options = StreamOptions {
        commit_bytes: 3 * size,
        ..of_source("s")
    };
    let mut writer = StreamWriter::open(&ctx, "t", options).await.unwrap();
    for at in 1..=30_u64 {
        writer.push(batch(0..1000), at).await.unwrap();
        // Pushed and not committed: what waits, one batch in the queue, and the one that the
        // committer has just taken.
        let held = at - writer.position().unwrap_or(0);
        assert!(held <= 5, "{held} batches are held");
    }
    writer.close().await.unwrap();
    assert_eq!(count(&ctx).await, 30_000);
    assert_eq!(versions(&ctx).await.len(), 11);
}

#[tokio::test]
async fn batch_larger_than_the_limit_and_slices_of_one_are_taken() {
    let ctx = opened(&Place::memory()).await;
    let options = StreamOptions {
        commit_bytes: 6000,
        ..of_source("s")
    };
    let mut writer = StreamWriter::open(&ctx, "t", options).await.unwrap();
    writer.push(batch(0..10), 1).await.unwrap();
    writer.push(batch(0..1000), 2).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(versions(&ctx).await, [0, 10, 1010]);
    // Slices share the memory of what they were cut from.
    let whole = batch(0..500);
    for at in 0..50 {
        writer
            .push(whole.slice(at * 10, 10), 3 + at as u64)
            .await
            .unwrap();
    }
    writer.close().await.unwrap();
    assert_eq!(versions(&ctx).await, [0, 10, 1010, 1510]);
}

#[tokio::test]
async fn stream_without_a_source_remembers_nothing() {
    let ctx = opened(&Place::memory()).await;
    let mut writer = StreamWriter::open(&ctx, "t", StreamOptions::default())
        .await
        .unwrap();
    writer.push(batch(0..2), 0).await.unwrap();
    writer.push(batch(2..3), 0).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(writer.position(), None);
    assert_eq!(count(&ctx).await, 3);
    assert_eq!(rows(&ctx, "SELECT * FROM atio_sources('t')").await, [""; 0]);
}

#[tokio::test]
async fn batch_that_does_not_fit_is_refused_and_the_stream_goes_on() {
    let ctx = opened(&Place::memory()).await;
    let mut writer = StreamWriter::open(&ctx, "t", of_source("s")).await.unwrap();
    let of = |name, column: ArrayRef| RecordBatch::try_from_iter([(name, column)]).unwrap();
    for wrong in [
        of("b", Arc::new(Int64Array::from(vec![1]))),
        of("a", Arc::new(StringArray::from(vec!["x"]))),
    ] {
        let error = writer.push(wrong, 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.message(), "the batch does not fit the table 't'");
    }
    // A value of another type that is one of the column's.
    let narrow = of("a", Arc::new(Int32Array::from(vec![7])));
    writer.push(narrow, 1).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["7"]);
}

#[tokio::test]
async fn options_and_tables_that_cannot_be_used_are_refused() {
    let ctx = opened(&Place::memory()).await;
    let refused = async |table: &str, options: StreamOptions| {
        let error = StreamWriter::open(&ctx, table, options).await.unwrap_err();
        error.to_string()
    };
    let zero = "a stream cannot be committed every 0 rows, bytes or seconds: give more";
    for (options, says) in [
        (
            StreamOptions {
                commit_rows: 0,
                ..of_source("s")
            },
            zero,
        ),
        (
            StreamOptions {
                commit_bytes: 0,
                ..of_source("s")
            },
            zero,
        ),
        (
            StreamOptions {
                commit_every: Some(Duration::ZERO),
                ..of_source("s")
            },
            zero,
        ),
        (of_source(""), "a source must have a name"),
        (
            of_source("atio.load:x"),
            "the source 'atio.load:x' needs another name: those that begin with 'atio.' are atio's own",
        ),
    ] {
        assert_eq!(refused("t", options).await, says);
    }
    rows(&ctx, "CREATE TABLE m AS SELECT 1 AS a").await;
    assert_eq!(
        refused("m", of_source("s")).await,
        "StreamWriter: 'm' is not an atio table"
    );
    assert_eq!(
        refused("nowhere", of_source("s")).await,
        "StreamWriter: there is no table 'nowhere' in this session; give the name of a registered table, or a path with a '/'"
    );
    assert!(
        refused("memory://test/base/x", of_source("s"))
            .await
            .starts_with("there is no atio table at")
    );
    let read_only = SessionContext::new();
    let policy = atio::AtioPolicy::default().with_write(false);
    atio::register_with(&read_only, policy).unwrap();
    let error = StreamWriter::open(&read_only, "/tmp/x", of_source("s"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAllowed);
}

#[tokio::test]
async fn table_remembers_a_thousand_sources_and_says_so() {
    let ctx = opened(&Place::memory()).await;
    for source in 0..1000 {
        let mut writer = StreamWriter::open(&ctx, "t", of_source(&source.to_string()))
            .await
            .unwrap();
        writer.push(batch(0..0), 1).await.unwrap();
        writer.close().await.unwrap();
    }
    let mut writer = StreamWriter::open(&ctx, "t", of_source("more"))
        .await
        .unwrap();
    writer.push(batch(0..1), 1).await.unwrap();
    let error = writer.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let said = "'t' remembers 1000 sources, and no table remembers more: use the name of one of them \
                (SELECT * FROM atio_sources), end loads that stopped by running them again, or write \
                to another table; nothing was written";
    assert!(error.message().ends_with(said), "{error}");
    // Those that it knows go on.
    let mut writer = StreamWriter::open(&ctx, "t", of_source("999"))
        .await
        .unwrap();
    writer.push(batch(0..1), 2).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(count(&ctx).await, 1);
    assert_eq!(
        row(&ctx, "SELECT count(*) FROM atio_sources('t')").await,
        "1000"
    );
}
