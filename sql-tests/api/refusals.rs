//! What is refused in Rust, how, and that nothing comes of it.

use std::time::Duration;

use atio::{
    AtioPolicy, AtioTable, CommitOptions, CreateOptions, ErrorKind, ExpireOptions,
    OverwriteOptions, TagOptions, Written,
};
use chrono::{TimeDelta, Utc};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::{append, content, frame, sql, table};
use crate::objects::{assert_same, objects};
use crate::session::{Place, on_every_place};

on_every_place!(
    version_that_is_not_there_is_told_apart,
    rows_with_other_columns_are_refused_and_nothing_is_written,
    query_that_fails_writes_nothing,
    table_dropped_meanwhile_is_told_by_every_method,
    version_of_a_table_is_not_written,
    table_is_created_once_and_with_what_it_can_keep,
    session_that_may_only_read_writes_nothing_in_rust_either,
    options_that_cannot_be_are_refused,
);

fn kind<T: std::fmt::Debug>(result: atio::Result<T>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}

#[track_caller]
fn assert_says<T: std::fmt::Debug>(result: atio::Result<T>, expected: ErrorKind, words: &str) {
    let (kind, text) = kind(result);
    assert_eq!(kind, expected, "{text}");
    assert!(text.contains(words), "{text}");
}

async fn version_that_is_not_there_is_told_apart(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1]]).await;
    let replaced = table.overwrite(frame(&ctx, &[2]), OverwriteOptions::default());
    replaced.await.unwrap();
    let expire = ExpireOptions {
        keep_for: Duration::ZERO,
        dry_run: false,
        ..ExpireOptions::default()
    };
    table.expire(expire).await.unwrap();

    let never = "has no version 77";
    let expired = "version 1 of 't' has expired";
    let no_tag = "has no tag 'best'";
    let commit = CommitOptions::default;
    assert_says(table.at(77).await, ErrorKind::VersionNotFound, never);
    assert_says(
        table.at(u64::MAX).await,
        ErrorKind::VersionNotFound,
        "has no version",
    );
    assert_says(table.at(1).await, ErrorKind::VersionExpired, expired);
    assert_says(table.at("best").await, ErrorKind::VersionNotFound, no_tag);
    let later = Utc::now() + TimeDelta::days(2);
    assert_says(table.at(later).await, ErrorKind::InvalidInput, "future");
    assert_says(table.files(1).await, ErrorKind::VersionExpired, expired);
    assert_says(
        table.rollback(77, commit()).await,
        ErrorKind::VersionNotFound,
        never,
    );
    assert_says(
        table.rollback(1, commit()).await,
        ErrorKind::VersionExpired,
        expired,
    );
    assert_says(
        table.rollback("best", commit()).await,
        ErrorKind::VersionNotFound,
        no_tag,
    );
    assert_says(
        table.untag("best", commit()).await,
        ErrorKind::VersionNotFound,
        no_tag,
    );
    for (version, kind) in [
        (77, ErrorKind::VersionNotFound),
        (1, ErrorKind::VersionExpired),
    ] {
        let options = TagOptions {
            version: version.into(),
            ..TagOptions::default()
        };
        assert_says(table.tag("best", options).await, kind, "version");
    }
    let name = table.tag("newest", TagOptions::default()).await;
    assert_says(name, ErrorKind::InvalidInput, "newest");
    assert!(table.tags().await.unwrap().is_empty());
}

async fn rows_with_other_columns_are_refused_and_nothing_is_written(place: Place) {
    let ctx = place.session();
    let location = format!("{}/t", place.root());
    let columns = Schema::new(vec![
        Field::new("a", DataType::Int64, false),
        Field::new("b", DataType::Int32, true),
    ]);
    let table = AtioTable::create(&ctx, &location, &columns, CreateOptions::default());
    let table = table.await.unwrap();
    let before = objects(&place).await;
    for (query, words) in [
        (
            "SELECT 1 AS a, 'x' AS c",
            "has no column 'c'; its columns are a, b",
        ),
        (
            "SELECT 1 AS b",
            "column 'a' is NOT NULL, and missing in the rows",
        ),
        (
            "SELECT 'x' AS a",
            "column 'a' is of type Int64, and in the rows of type Utf8",
        ),
        (
            "SELECT 1.5 AS a",
            "column 'a' is of type Int64, and in the rows of type Float64",
        ),
        (
            "SELECT l.a, r.a FROM (SELECT 1 AS a) l, (SELECT 2 AS a) r",
            "two columns 'a'",
        ),
        ("SELECT CAST(NULL AS BIGINT) AS a", "column 'a' is NOT NULL"),
        ("SELECT 1 AS a, 3000000000 AS b", "3000000000"),
    ] {
        for overwrite in [false, true] {
            let rows = ctx.sql(query).await.unwrap();
            let written = match overwrite {
                true => table.overwrite(rows, OverwriteOptions::default()).await,
                false => table.append(rows, CommitOptions::default()).await,
            };
            let text = kind(written).1;
            assert!(text.contains(words), "{query}: {text}");
        }
    }
    let empty = ctx.read_batches([]).unwrap();
    let none = table.append(empty, CommitOptions::default()).await;
    assert_says(
        none,
        ErrorKind::InvalidInput,
        "'a' is NOT NULL, and missing",
    );
    let twice = ctx.sql("SELECT 1 AS a, 2 AS \"A\"").await.unwrap();
    let options = OverwriteOptions {
        replace_columns: true,
        ..OverwriteOptions::default()
    };
    let twice = table.overwrite(twice, options).await;
    assert_says(twice, ErrorKind::InvalidInput, "duplicate column name");
    assert_same(&before, &objects(&place).await, "rows that do not fit");
    assert_eq!(table.current_version().await.unwrap().get(), 0);
}

async fn query_that_fails_writes_nothing(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1]]).await;
    let before = objects(&place).await;
    for replace_columns in [false, true] {
        let query = "SELECT 1 / (a - 1) AS a FROM generate_series(0, 9) AS g(a)";
        let rows = ctx.sql(query).await.unwrap();
        let options = OverwriteOptions {
            replace_columns,
            ..OverwriteOptions::default()
        };
        let failed = table.overwrite(rows.clone(), options).await;
        assert!(kind(failed).1.contains("Divide by zero"));
        let failed = table.append(rows, CommitOptions::default()).await;
        assert!(kind(failed).1.contains("Divide by zero"));
    }
    assert_same(&before, &objects(&place).await, "a query that fails");
    assert_eq!(content(&ctx, &table).await, ["1"]);
}

async fn table_dropped_meanwhile_is_told_by_every_method(place: Place) {
    let ctx = place.session();
    sql(&ctx, "CREATE TABLE w.public.t AS SELECT 1 AS a").await;
    let table = AtioTable::named(&ctx, "w.public.t").await.unwrap();
    let held = table.at(1).await.unwrap();
    let other = place.session();
    sql(&other, "DROP TABLE w.public.t").await;

    let gone = ErrorKind::TableNotFound;
    let commit = CommitOptions::default;
    let there = "there is no atio table at";
    assert_says(table.append(frame(&ctx, &[1]), commit()).await, gone, there);
    let replaced = table.overwrite(frame(&ctx, &[1]), OverwriteOptions::default());
    assert_says(replaced.await, gone, there);
    assert_says(table.at(1).await, gone, there);
    assert_says(table.history(Default::default()).await, gone, there);
    assert_says(table.files(1).await, gone, there);
    assert_says(table.tags().await, gone, there);
    assert_says(table.tag("x", TagOptions::default()).await, gone, there);
    assert_says(table.untag("x", commit()).await, gone, there);
    assert_says(table.rollback(1, commit()).await, gone, there);
    assert_says(table.expire(ExpireOptions::default()).await, gone, there);
    assert_says(table.current_version().await, gone, there);
    assert_says(table.sources().await, gone, there);
    let read = held.read(&ctx).unwrap().collect().await;
    assert!(read.is_err(), "{read:?}");
    let named = AtioTable::named(&ctx, "w.public.t").await;
    assert_says(
        named,
        ErrorKind::InvalidInput,
        "there is no table 'w.public.t'",
    );
    let nowhere = format!("{}/nowhere", place.root());
    assert_says(AtioTable::open(&ctx, &nowhere).await, gone, there);
}

async fn version_of_a_table_is_not_written(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1], &[2]]).await;
    let old = table.at(1).await.unwrap();
    let (invalid, only) = (ErrorKind::InvalidInput, "only the newest version");
    let commit = CommitOptions::default;
    let before = objects(&place).await;
    assert_says(old.append(frame(&ctx, &[1]), commit()).await, invalid, only);
    let replaced = old.overwrite(frame(&ctx, &[1]), OverwriteOptions::default());
    assert_says(replaced.await, invalid, only);
    assert_says(old.tag("x", TagOptions::default()).await, invalid, only);
    assert_says(old.untag("x", commit()).await, invalid, only);
    assert_says(old.rollback(1, commit()).await, invalid, only);
    for dry_run in [false, true] {
        let options = ExpireOptions {
            dry_run,
            ..ExpireOptions::default()
        };
        assert_says(old.expire(options).await, invalid, "version");
    }
    assert_same(&before, &objects(&place).await, "an old version");
    assert_eq!(old.current_version().await.unwrap().get(), 1);
}

async fn table_is_created_once_and_with_what_it_can_keep(place: Place) {
    let ctx = place.session();
    let location = format!("{}/t", place.root());
    let a = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let with = |name: &str, value: &str| CreateOptions {
        options: [(name.to_owned(), value.to_owned())].into(),
        ..CreateOptions::default()
    };
    let invalid = ErrorKind::InvalidInput;
    for (columns, options, words) in [
        (
            &a,
            with("compresion", "zstd(3)"),
            "did you mean 'atio.compression'?",
        ),
        (&a, with("compression", "brown"), "atio.compression"),
        (
            &a,
            with("target_file_size", "0"),
            "is not a positive number",
        ),
        (
            &Schema::empty(),
            CreateOptions::default(),
            "needs at least one column",
        ),
    ] {
        let made = AtioTable::create(&ctx, &location, columns, options).await;
        assert_says(made, invalid, words);
    }
    let nowhere = AtioTable::create(&ctx, "s3://k:SECRET@b/t", &a, CreateOptions::default());
    let (refused, text) = kind(nowhere.await);
    assert_eq!(refused, invalid);
    assert!(!text.contains("SECRET"), "{text}");

    let mut options = with("compression", "zstd(9)");
    options.commit.message = Some("new".into());
    let made = AtioTable::create(&ctx, &location, &a, options.clone()).await;
    let made = made.unwrap();
    append(&ctx, &made, &[1]).await;
    let twice = AtioTable::create(&ctx, &location, &a, options).await;
    assert_says(twice, ErrorKind::TableExists, "there is a table at");
    assert_eq!(content(&ctx, &made).await, ["1"]);
    let history = made.history(Default::default()).await.unwrap();
    assert_eq!(history[1].message.as_deref(), Some("new"));
}

async fn session_that_may_only_read_writes_nothing_in_rust_either(place: Place) {
    let owner = place.session();
    let location = table(&owner, &place, &[&[1]]).await.location().to_owned();
    let before = objects(&place).await;
    let policy = AtioPolicy::default().with_write(false);
    // It carries the stores of its place, and is registered anew.
    let runtime = place.session().runtime_env();
    let ctx = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
    atio::register_with(&ctx, policy).unwrap();
    let table = AtioTable::open(&ctx, &location).await.unwrap();
    assert_eq!(content(&ctx, &table).await, ["1"]);
    table.history(Default::default()).await.unwrap();
    table.expire(ExpireOptions::default()).await.unwrap();

    let (no, may) = (ErrorKind::NotAllowed, "may read and not write");
    let commit = CommitOptions::default;
    assert_says(table.append(frame(&ctx, &[1]), commit()).await, no, may);
    let replaced = table.overwrite(frame(&ctx, &[1]), OverwriteOptions::default());
    assert_says(replaced.await, no, may);
    assert_says(table.tag("x", TagOptions::default()).await, no, may);
    assert_says(table.untag("x", commit()).await, no, may);
    assert_says(table.rollback(0, commit()).await, no, may);
    let options = ExpireOptions {
        dry_run: false,
        ..ExpireOptions::default()
    };
    assert_says(table.expire(options).await, no, may);
    let named = AtioTable::named(&ctx, &location).await.unwrap();
    assert_says(named.rollback(0, commit()).await, no, may);
    let columns = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let elsewhere = format!("{location}2");
    let made = AtioTable::create(&ctx, &elsewhere, &columns, CreateOptions::default());
    assert_says(made.await, no, may);
    assert_same(&before, &objects(&place).await, "a reader");
}

async fn options_that_cannot_be_are_refused(place: Place) {
    let ctx = place.session();
    let table = table(&ctx, &place, &[&[1]]).await;
    let invalid = ErrorKind::InvalidInput;
    let empty_key = CommitOptions {
        idempotency_key: Some(String::new()),
        ..CommitOptions::default()
    };
    let key = "idempotency key must not be empty";
    let written: atio::Result<Written> = table.append(frame(&ctx, &[1]), empty_key.clone()).await;
    assert_says(written, invalid, key);
    assert_says(table.rollback(0, empty_key).await, invalid, key);
    let chunks = CommitOptions {
        commit_every_rows: Some(1),
        ..CommitOptions::default()
    };
    let options = OverwriteOptions {
        commit: chunks.clone(),
        ..OverwriteOptions::default()
    };
    let replaced = table.overwrite(frame(&ctx, &[1]), options).await;
    assert_says(replaced, invalid, "INSERT OVERWRITE is one version");
    assert_says(table.untag("x", chunks).await, invalid, "one version");
    let none = ExpireOptions {
        retain_last: 0,
        ..ExpireOptions::default()
    };
    assert_says(
        table.expire(none).await,
        invalid,
        "retain_last must be 1 or more",
    );
    assert_eq!(table.current_version().await.unwrap().get(), 1);
}
