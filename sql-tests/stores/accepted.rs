//! Tables on stores elsewhere: which stores are taken, what is said of those that are not
//! there, and what is left on them.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atio::{AtioCatalog, AtioTable, ErrorKind};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use crate::query::{failure, row, rows};
use crate::session::run;
use crate::stores::fake_bucket::{FakeBucket, Fault};

const CREATE: &str = "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION 's3://bucket/p/t'";

/// The kind and the message of the error of a statement that must fail.
async fn refusal(ctx: &SessionContext, sql: &str) -> (ErrorKind, String) {
    match run(ctx, sql).await {
        Ok(_) => panic!("{sql} succeeded"),
        Err(DataFusionError::External(error)) => {
            let error: Box<atio::Error> = error.downcast().unwrap();
            (error.kind(), error.to_string())
        }
        Err(error) => panic!("{sql}: {error:?}"),
    }
}

#[tokio::test]
async fn store_that_ignores_conditions_is_refused_before_anything_is_written() {
    let store = FakeBucket::new(Fault::IgnoresConditions);
    let ctx = store.session();
    let (kind, message) = refusal(&ctx, CREATE).await;
    assert_eq!(kind, ErrorKind::UnsafeStore, "{message}");
    for words in [
        "s3://bucket/p/t",
        "overwrite each other's commits",
        "OPTIONS ('atio.single_writer' 'true')",
    ] {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(store.names().await, Vec::<String>::new());

    // Also where the table is there, as an older release may have made it.
    let safe = FakeBucket::new(Fault::None);
    rows(&safe.session(), CREATE).await;
    let unsafe_copy = FakeBucket::new(Fault::IgnoresConditions);
    copy(&safe, &unsafe_copy).await;
    let ctx = unsafe_copy.session();
    rows(&ctx, CREATE).await;
    let before = unsafe_copy.names().await;
    for sql in ["INSERT INTO t VALUES (1)", "INSERT OVERWRITE t VALUES (1)"] {
        let message = failure(&ctx, sql).await;
        assert!(message.contains("single_writer"), "{message}");
        assert_eq!(unsafe_copy.names().await, before, "{sql}");
    }
    // Reading it is no danger.
    assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, "0");
}

async fn copy(from: &FakeBucket, to: &FakeBucket) {
    use datafusion::object_store::ObjectStoreExt;
    for name in from.names().await {
        let path = name.as_str().into();
        let bytes = from
            .objects
            .get(&path)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        to.objects.put(&path, bytes.into()).await.unwrap();
    }
}

#[tokio::test]
async fn single_writer_uses_a_store_that_ignores_conditions() {
    let store = FakeBucket::new(Fault::IgnoresConditions);
    let ctx = store.session();
    let create = format!("{CREATE} OPTIONS ('atio.single_writer' 'true')");
    rows(&ctx, &create).await;
    rows(&ctx, "INSERT INTO t VALUES (1), (2)").await;
    rows(&ctx, "INSERT OVERWRITE t SELECT a + 10 FROM t").await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["11", "12"]);

    // A second one that came at the wrong time is still noticed, if not always.
    let other = store.session();
    rows(&other, &create).await;
    rows(&other, "INSERT INTO t VALUES (3)").await;
    rows(&ctx, "INSERT INTO t VALUES (4)").await;
    assert_eq!(
        rows(&other, "SELECT a FROM t").await,
        ["11", "12", "3", "4"]
    );
    // It is a way of opening: who does not ask for it is told again.
    let plain = store.session();
    rows(&plain, CREATE).await;
    let message = failure(&plain, "INSERT INTO t VALUES (5)").await;
    assert!(message.contains("single_writer"), "{message}");
}

#[tokio::test]
async fn bucket_that_does_not_exist_is_not_a_table_that_does_not_exist() {
    let store = FakeBucket::new(Fault::NoBucket);
    let ctx = store.session();
    let expected = "bucket bucket does not exist or is not visible to these credentials";
    for sql in [
        CREATE,
        "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION 's3://bucket/p/t'",
        "SELECT * FROM atio_table('s3://bucket/p/t')",
    ] {
        let (kind, message) = refusal(&ctx, sql).await;
        assert_eq!(kind, ErrorKind::StoreNotFound, "{sql}: {message}");
        assert!(message.ends_with(expected), "{sql}: {message}");
    }
    let catalog = AtioCatalog::open(&ctx, "s3://bucket/w").unwrap();
    ctx.register_catalog("w", Arc::new(catalog));
    for sql in [
        "CREATE TABLE w.public.t (a BIGINT)",
        "SELECT * FROM w.public.t",
        "CREATE SCHEMA w.s",
    ] {
        let message = failure(&ctx, sql).await;
        assert!(message.contains(expected), "{sql}: {message}");
    }

    let store = FakeBucket::new(Fault::None);
    let error = AtioTable::open(&store.session(), "s3://bucket/p/t").await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TableNotFound);
}

#[tokio::test]
async fn refusal_of_the_credentials_names_the_bucket_and_no_key() {
    let ctx = FakeBucket::new(Fault::Denies).session();
    let (kind, message) = refusal(&ctx, CREATE).await;
    assert_eq!(kind, ErrorKind::Storage, "{message}");
    assert!(
        message.contains("permission denied by s3 for bucket bucket (HTTP 403 InvalidAccessKeyId)"),
        "{message}"
    );
    let error = AtioTable::open(&ctx, "s3://bucket/p/t").await.unwrap_err();
    assert!(!format!("{message}{error}{error:?}").contains("HUSH"));
}

/// A session whose statements upload in parts after a few kilobytes.
fn in_small_parts(store: &Arc<FakeBucket>) -> SessionContext {
    let ctx = store.session();
    let state = ctx.state_ref();
    let mut state = state.write();
    let options = state.config_mut().options_mut();
    options.execution.objectstore_writer_buffer_size = 4096;
    options.execution.parquet.max_row_group_size = 8192;
    // Several partitions would wait for each other with what they have.
    options.execution.target_partitions = 1;
    drop(state);
    ctx
}

fn count(of: &AtomicUsize) -> usize {
    of.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_of_a_failed_insert_is_aborted() {
    let store = FakeBucket::new(Fault::None);
    let ctx = in_small_parts(&store);
    rows(&ctx, CREATE).await;
    let before = store.names().await;
    let sql = "INSERT INTO t SELECT value * 7919 % 1000003 + 1 / (value - 1500000) FROM generate_series(1, 2000000)";
    let message = failure(&ctx, sql).await;
    assert!(message.contains("Divide by zero"), "{message}");
    assert!(count(&store.begun) > 0, "nothing was uploaded in parts");
    assert_eq!(count(&store.completed), 0);
    assert_eq!(count(&store.aborted), count(&store.begun));
    assert_eq!(store.names().await, before);

    // One that succeeds is completed and not aborted.
    let aborted = count(&store.aborted);
    let sql = "INSERT INTO t SELECT value * 7919 % 1000003 FROM generate_series(1, 1000000)";
    rows(&ctx, sql).await;
    assert!(count(&store.completed) > 0);
    assert_eq!(count(&store.aborted), aborted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_of_a_dropped_insert_is_aborted() {
    let store = FakeBucket::new(Fault::None);
    let ctx = in_small_parts(&store);
    rows(&ctx, CREATE).await;
    let before = store.names().await;
    let sql = "INSERT INTO t SELECT value * 7919 % 1000003 FROM generate_series(1, 100000000)";
    let insert = tokio::spawn(async move { run(&ctx, sql).await });
    let soon = async |done: &dyn Fn() -> bool| {
        for _ in 0..2000 {
            if done() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not happen");
    };
    soon(&|| count(&store.begun) > 0).await;
    insert.abort();
    assert!(insert.await.unwrap_err().is_cancelled());
    soon(&|| count(&store.aborted) == count(&store.begun)).await;
    assert_eq!(count(&store.completed), 0);
    for _ in 0..200 {
        if store.names().await == before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(store.names().await, before);
}

#[tokio::test]
async fn registered_store_wins_over_the_environment() {
    let store = FakeBucket::new(Fault::None);
    let ctx = store.session();
    atio::connect(&ctx, "s3://bucket/p/t").unwrap();
    rows(&ctx, CREATE).await;
    assert_ne!(store.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn location_on_a_service_that_atio_does_not_know_needs_a_registered_store() {
    let ctx = FakeBucket::new(Fault::None).session();
    let error = atio::connect(&ctx, "ftp://host/t").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("register one for ftp://host/"),
        "{error}"
    );
}
