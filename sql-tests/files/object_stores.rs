//! Object stores: nothing is completed before the query has ended.

use std::sync::Arc;

use super::*;
use crate::query::{failure, row};
use crate::stores::fake_bucket::{FakeBucket, Fault};
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path as Key;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use futures::TryStreamExt;
use url::Url;

struct Memory {
    store: Arc<InMemory>,
    ctx: SessionContext,
}

impl Memory {
    fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let ctx = session(4);
        let registered = Arc::clone(&store) as Arc<dyn ObjectStore>;
        ctx.register_object_store(&Url::parse("memory://b/").unwrap(), registered);
        Self { store, ctx }
    }

    async fn names(&self) -> Vec<String> {
        let listed: Vec<_> = self.store.list(None).try_collect().await.unwrap();
        let mut names: Vec<_> = listed
            .iter()
            .map(|meta| meta.location.to_string())
            .collect();
        names.sort();
        names
    }

    async fn text(&self, key: &str) -> String {
        let got = self.store.get(&Key::from(key)).await.unwrap();
        String::from_utf8(got.bytes().await.unwrap().to_vec()).unwrap()
    }

    async fn lines(&self, key: &str) -> usize {
        self.text(key).await.lines().count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_replaced_refused_skipped_backed_up_and_restored() {
    for buffer in [10_485_760, 10_000] {
        let memory = Memory::new();
        let ctx = &memory.ctx;
        let set = "SET datafusion.execution.objectstore_writer_buffer_size";
        rows(ctx, &format!("{set} = {buffer}")).await;
        let to = "memory://b/x/a.csv";
        let write = |n: i64, options: &str| marked(&numbers(n), to, "csv", options);
        assert_eq!(row(ctx, &write(MANY, "")).await, MANY.to_string());
        assert_eq!(memory.names().await, ["x/.a.csv._SUCCESS", "x/a.csv"]);
        assert!(
            failure(ctx, &write(7, "'atio.if_exists' 'fail'"))
                .await
                .contains("there already")
        );
        assert_eq!(row(ctx, &write(7, "'atio.if_exists' 'skip'")).await, "0");
        let bad = format!("SELECT 1 / (value - {MANY}) AS i FROM generate_series(1, {MANY})");
        assert!(
            failure(ctx, &copy(&bad, to, "csv", ""))
                .await
                .contains("Divide by zero")
        );
        assert_eq!(memory.lines("x/a.csv").await, MANY as usize + 1);
        assert_eq!(row(ctx, &write(8, "'atio.backup' 'true'")).await, "8");
        assert_eq!(memory.lines("x/a.csv").await, 9);
        assert_eq!(
            memory.lines("x/.a.csv.atio-backup").await,
            MANY as usize + 1
        );
        let marker: serde_json::Value =
            serde_json::from_str(&memory.text("x/.a.csv._SUCCESS").await).unwrap();
        assert_eq!(
            (&marker["rows"], &marker["kind"]),
            (&8.into(), &"file".into())
        );
        assert_eq!(
            row(ctx, &format!("SELECT has_backup FROM atio_restore('{to}')")).await,
            "false"
        );
        assert_eq!(memory.lines("x/a.csv").await, MANY as usize + 1);
        let marker: serde_json::Value =
            serde_json::from_str(&memory.text("x/.a.csv._SUCCESS").await).unwrap();
        assert_eq!(marker["rows"], MANY);
        let new = copy(
            &numbers(3),
            "memory://b/x/new.csv",
            "csv",
            "'atio.if_exists' 'fail'",
        );
        assert_eq!(row(ctx, &new).await, "3");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_objects_appears_when_all_are_whole_and_replaces_the_old_ones() {
    for format in FORMATS {
        let memory = Memory::new();
        let ctx = &memory.ctx;
        let sql = |n: i64, divisor: i64| {
            format!(
                "COPY (SELECT value AS i, {n} AS n, value % 3 AS m, 1 / (value - {divisor}) AS x \
                 FROM generate_series(1, {n})) TO 'memory://b/out/' STORED AS {format} PARTITIONED BY (m) \
                 OPTIONS ('atio.if_exists' 'replace', 'atio.marker' 'true')"
            )
        };
        assert!(
            failure(ctx, &sql(MANY, MANY))
                .await
                .contains("Divide by zero")
        );
        assert_eq!(memory.names().await, Vec::<String>::new());
        assert_eq!(row(ctx, &sql(300, 0)).await, "300");
        let first = memory.names().await;
        assert_eq!(first.len(), 4);
        assert!(
            failure(ctx, &sql(MANY, MANY))
                .await
                .contains("Divide by zero")
        );
        assert_eq!(memory.names().await, first);
        assert_eq!(row(ctx, &sql(600, 0)).await, "600");
        let second = memory.names().await;
        assert_eq!(
            second.iter().filter(|name| first.contains(name)).count(),
            1,
            "{second:?}"
        );
        assert_eq!(second.len(), 4);
        let marked = sql(300, 0).replace("'replace'", "'append'");
        let refused = failure(ctx, &marked).await;
        assert!(
            refused.contains("would have to tell all its files"),
            "{refused}"
        );
        assert_eq!(memory.names().await, second);
        let add = marked.replace(", 'atio.marker' 'true'", "");
        assert_eq!(row(ctx, &add).await, "300");
        let third = memory.names().await;
        // The marker is no longer true.
        assert_eq!(third.len(), 6, "{third:?}");
        assert!(second[1..].iter().all(|name| third.contains(name)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_given_up_while_it_is_published_leaves_the_old_rows_or_the_new() {
    use datafusion::object_store::throttle::{ThrottleConfig, ThrottledStore};
    use std::time::Duration;

    let pause = Duration::from_millis(30);
    let slow = ThrottleConfig {
        wait_delete_per_call: pause,
        wait_list_per_call: pause,
        wait_put_per_call: pause,
        ..ThrottleConfig::default()
    };
    let to = "memory://b/out/";
    let sql = |n: i64| {
        format!(
            "COPY (SELECT value AS i, value % 3 AS m FROM generate_series(1, {n})) \
             TO '{to}' STORED AS CSV PARTITIONED BY (m) \
             OPTIONS ('atio.if_exists' 'replace', 'atio.marker' 'true')"
        )
    };
    let (mut old, mut new) = (0, 0);
    // On a busy machine it is published later.
    for step in 0..100 {
        if step >= 12 && old > 0 && new > 0 {
            break;
        }
        let memory = Memory::new();
        // So small that every object is uploaded in parts.
        let set = "SET datafusion.execution.objectstore_writer_buffer_size = 1000";
        rows(&memory.ctx, set).await;
        assert_eq!(row(&memory.ctx, &sql(3_000)).await, "3000");
        let store = Arc::new(ThrottledStore::new(memory.store.clone(), slow));
        let url = Url::parse("memory://b/").unwrap();
        memory.ctx.register_object_store(&url, store);
        let (ctx, copy) = (memory.ctx.clone(), sql(6_000));
        let task = tokio::spawn(async move { crate::session::run(&ctx, &copy).await.map(drop) });
        tokio::time::sleep(pause * step).await;
        task.abort();
        task.await.ok();
        tokio::time::sleep(Duration::from_millis(700)).await;

        let names = memory.names().await;
        let files: Vec<_> = names.iter().filter(|name| name.ends_with(".csv")).collect();
        let mut lines = 0;
        for file in &files {
            // Each has a header.
            lines += memory.lines(file).await - 1;
        }
        assert!(
            [3_000, 6_000].contains(&lines),
            "{step}: {lines} of {names:?}"
        );
        let marker: serde_json::Value =
            serde_json::from_str(&memory.text(".out._SUCCESS").await).unwrap();
        assert_eq!(marker["rows"], lines, "{step}");
        match lines {
            3_000 => old += 1,
            _ => new += 1,
        }
    }
    assert!(old > 0 && new > 0, "{old} old, {new} new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_directory_of_objects_is_refused_before_the_query_runs() {
    let memory = Memory::new();
    let fails = "SELECT 1 / (value - 1) AS i FROM generate_series(1, 3)";
    let sql = marked(fails, "memory://b/out/", "csv", "'atio.backup' 'true'");
    let failed = failure(&memory.ctx, &sql).await;
    let said = "cannot back up memory://b/out: of a directory on an object store no backup is kept";
    assert!(failed.contains(said), "{failed}");
    assert_eq!(memory.names().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_are_kept_until_the_end_are_in_the_memory_limit() {
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    let memory = Memory::new();
    let pool = Arc::new(GreedyMemoryPool::new(500_000));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool) as _);
    let config = SessionConfig::new().with_target_partitions(1);
    let ctx = SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap());
    atio::register(&ctx).unwrap();
    let store = Arc::clone(&memory.store) as Arc<dyn ObjectStore>;
    ctx.register_object_store(&Url::parse("memory://b/").unwrap(), store);
    let write = |n: i64| copy(&numbers(n), "memory://b/a.csv", "csv", "");
    assert_eq!(row(&ctx, &write(1_000)).await, "1000");
    let failed = failure(&ctx, &write(100_000)).await;
    assert!(failed.contains("Resources exhausted"), "{failed}");
    assert!(failed.contains("objects that COPY keeps"), "{failed}");
    assert_eq!(memory.lines("a.csv").await, 1_001);
    use datafusion::execution::memory_pool::MemoryPool;
    assert_eq!(pool.reserved(), 0);
}

#[tokio::test]
async fn a_file_that_another_puts_on_a_store_first_stays_and_is_skipped_or_told() {
    let store = FakeBucket::new(Fault::Rival);
    let ctx = store.session();
    let write = |if_exists: &str| {
        let option = format!("'atio.if_exists' '{if_exists}'");
        copy(&numbers(3), "s3://bucket/a.csv", "csv", &option)
    };
    for if_exists in ["fail", "skip"] {
        let key = Key::from("a.csv");
        store.objects.delete(&key).await.ok();
        if if_exists == "skip" {
            assert_eq!(row(&ctx, &write(if_exists)).await, "0");
        } else {
            let told = failure(&ctx, &write(if_exists)).await;
            assert!(told.contains("a.csv is there already"), "{told}");
        }
        let found = store
            .objects
            .get(&key)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        assert_eq!(&found[..], b"rival");
        assert_eq!(store.names().await, ["a.csv"]);
    }
}
