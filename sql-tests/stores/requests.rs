//! How many requests a statement sends to its store, and what for.

#![cfg(test)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use atio::{AtioCatalog, one_statement};
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStoreExt, Result};
use datafusion::prelude::SessionContext;
use tokio::sync::Semaphore;
use url::Url;

use super::hooked::{Hook, HookedStore, Operation};
use crate::query::{row, rows};

const TABLE: &str = "memory://bucket/warehouse/public/t";

/// What follows the answers.
const HINTS: [&str; 2] = ["Put _SUCCESS", "Put _current_version.json"];

/// Notes down each request, by what it asks for and the kind of its object.
struct Requests {
    sent: Mutex<Vec<String>>,
    /// Each hint takes a permit.
    hints: Semaphore,
}

#[async_trait]
impl Hook for Requests {
    async fn before(&self, operation: Operation, key: &Path) -> Result<()> {
        let name = key.as_ref().rsplit_once("/t/").map_or("", |(_, name)| name);
        // Without transactions, times and random numbers.
        let name = match name.strip_prefix("data/") {
            Some(name) if name.ends_with(".dv") => "vectors",
            Some(_) => "data",
            None => name.split_once('-').map_or(name, |(kind, _)| kind),
        };
        let request = format!("{operation:?} {name}");
        if HINTS.contains(&request.as_str()) {
            self.hints.acquire().await.unwrap().forget();
        }
        self.sent.lock().unwrap().push(request);
        Ok(())
    }
}

/// A session of a new process: nothing that an earlier one learnt is known.
struct Process {
    ctx: SessionContext,
    requests: Arc<Requests>,
}

impl Process {
    fn new(inner: &Arc<InMemory>) -> Self {
        Self::with_permits(inner, 1000)
    }

    fn with_permits(inner: &Arc<InMemory>, permits: usize) -> Self {
        let requests = Arc::new(Requests {
            sent: Mutex::default(),
            hints: Semaphore::new(permits),
        });
        let hook = Arc::clone(&requests) as _;
        let store = HookedStore::new("counted", Arc::clone(inner) as _, hook);
        let ctx = SessionContext::new();
        let url = Url::parse("memory://bucket/").unwrap();
        ctx.register_object_store(&url, Arc::new(store));
        atio::register(&ctx).unwrap();
        let catalog = AtioCatalog::open(&ctx, "memory://bucket/warehouse").unwrap();
        ctx.register_catalog("w", Arc::new(catalog));
        Self { ctx, requests }
    }

    /// Runs a statement; gives its requests without hints, in alphabetical order.
    async fn run(&self, sql: &str) -> Vec<String> {
        self.requests();
        one_statement(rows(&self.ctx, sql)).await;
        self.requests()
    }

    /// The requests since the last call, without hints.
    fn requests(&self) -> Vec<String> {
        let mut requests = std::mem::take(&mut *self.requests.sent.lock().unwrap());
        requests.retain(|request| !HINTS.contains(&request.as_str()));
        requests.sort_unstable();
        requests
    }
}

/// A table of two rows in two versions above the empty one.
async fn table() -> Arc<InMemory> {
    let inner = Arc::new(InMemory::new());
    let process = Process::new(&inner);
    for sql in [
        "CREATE TABLE w.public.t (a BIGINT)",
        "INSERT INTO w.public.t VALUES (1)",
        "INSERT INTO w.public.t VALUES (2)",
    ] {
        process.run(sql).await;
    }
    drop(process);
    atio::flush().await;
    inner
}

/// The version that the pointer names.
async fn pointer(inner: &InMemory) -> u64 {
    let key = Path::from("warehouse/public/t/_current_version.json");
    let bytes = inner.get(&key).await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let version = text.strip_prefix(r#"{"version_id":""#).unwrap();
    version.split_once('"').unwrap().0.parse().unwrap()
}

#[tokio::test]
async fn count_of_a_new_process_takes_six_requests_and_no_manifest() {
    let inner = table().await;
    let expected = [
        "Get _current_version.json",
        "Get metadata/schema",
        "Get metadata/snapshot",
        "Get metadata/v1.metadata.json",
        "Get metadata/v2.metadata.json",
        "Get metadata/v3.metadata.json",
    ];
    for sql in [
        "SELECT count(*) FROM w.public.t".to_owned(),
        format!("SELECT count(*) FROM atio_table('{TABLE}')"),
    ] {
        assert_eq!(Process::new(&inner).run(&sql).await, expected, "{sql}");
    }
    let process = Process::new(&inner);
    assert_eq!(
        row(&process.ctx, "SELECT count(*) FROM w.public.t").await,
        "2"
    );
    let again = process.run("SELECT count(*) FROM w.public.t").await;
    let expected = [
        "Get metadata/v3.metadata.json",
        "Head metadata/v2.metadata.json",
    ];
    assert_eq!(again, expected);
}

/// A `DataFrame` may have been kept since it was planned.
#[tokio::test]
async fn frame_that_runs_by_itself_looks_for_the_newest_version_again() {
    let inner = table().await;
    let process = Process::new(&inner);
    let counted = row(&process.ctx, "SELECT count(*) FROM w.public.t").await;
    assert_eq!((counted.as_str(), process.requests().len()), ("2", 6 + 2));
    for n in 3..=4 {
        process.requests();
        rows(
            &process.ctx,
            &format!("INSERT INTO w.public.t VALUES ({n})"),
        )
        .await;
        assert_eq!(process.requests().len(), 7 + 3 * usize::from(n == 3));
    }

    let frame = process
        .ctx
        .sql("SELECT count(*) FROM w.public.t")
        .await
        .unwrap();
    Process::new(&inner)
        .run("INSERT INTO w.public.t VALUES (5)")
        .await;
    let batches = one_statement(frame.collect()).await.unwrap();
    let count = datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap();
    assert!(count.to_string().contains("| 5 "), "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_insert_of_a_process_takes_six_requests_and_two_behind_the_answer() {
    let inner = table().await;
    // None of its hints is ever written.
    let process = Process::with_permits(&inner, 0);
    process.run("INSERT INTO w.public.t VALUES (3)").await;
    let second = process.run("INSERT INTO w.public.t VALUES (4)").await;
    let expected = [
        "Create metadata/v4.metadata.json",
        "Get metadata/v4.metadata.json",
        "Head metadata/v3.metadata.json",
        "Put data",
        "Put metadata/manifest",
        "Put metadata/snapshot",
    ];
    assert_eq!(second, expected);
    assert_eq!(pointer(&inner).await, 2);

    let mut flush = Box::pin(atio::flush());
    let waited = tokio::time::timeout(Duration::from_millis(50), &mut flush).await;
    assert!(waited.is_err(), "the hints are still to be written");
    process.requests.hints.add_permits(4);
    flush.await;
    assert_eq!(pointer(&inner).await, 4);
    // Those of the first and of the last version; those between are of no use any more.
    let sent = process.requests.sent.lock().unwrap().clone();
    assert_eq!(sent.len(), 4, "{sent:?}");
}

#[tokio::test]
async fn table_that_was_written_to_is_not_tried_out_again() {
    let inner = table().await;
    let first = Process::new(&inner)
        .run("INSERT INTO w.public.t VALUES (3)")
        .await;
    let tried: Vec<_> = (first.iter())
        .filter(|request| request.contains("_atio_tmp"))
        .collect();
    let expected = [
        "Create _atio_tmp/store/tried",
        "Get _atio_tmp/store/note.json",
        "Head _atio_tmp/store/tried",
    ];
    assert_eq!(tried, expected);
    assert_eq!(first.len(), 6 + 3 + 4, "{first:?}");
}

/// One that lost the race reads the winner and what it names, and stages its snapshot again.
#[tokio::test]
async fn lost_race_takes_six_requests_more() {
    let inner = table().await;
    let (process, other) = (Process::new(&inner), Process::new(&inner));
    process.run("INSERT INTO w.public.t VALUES (3)").await;
    let alone = process.run("INSERT INTO w.public.t VALUES (4)").await.len();
    let plan = process
        .ctx
        .sql("INSERT INTO w.public.t VALUES (5)")
        .await
        .unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    other.run("INSERT INTO w.public.t VALUES (6)").await;
    process.requests();
    let context = process.ctx.task_ctx();
    datafusion::physical_plan::collect(plan, context)
        .await
        .unwrap();
    let lost = process.requests();
    let expected = [
        "Create metadata/v5.metadata.json",
        "Create metadata/v6.metadata.json",
        "Delete metadata/snapshot",
        "Get metadata/snapshot",
        "Get metadata/v5.metadata.json",
        "Head metadata/v6.metadata.json",
        "Put data",
        "Put metadata/manifest",
        "Put metadata/snapshot",
        "Put metadata/snapshot",
    ];
    assert_eq!(lost, expected);
    // It was planned before, which takes one look.
    assert_eq!(lost.len(), alone - 2 + 6);
    assert_eq!(
        row(&process.ctx, "SELECT count(*) FROM w.public.t").await,
        "6"
    );
}

/// What stays of the file is neither read nor written.
#[tokio::test]
async fn delete_that_marks_rows_puts_their_vector_and_no_data_file() {
    let inner = table().await;
    let process = Process::new(&inner);
    let insert = "INSERT INTO w.public.t SELECT value FROM generate_series(10, 20)";
    process.run(insert).await;
    let marks = process.run("DELETE FROM w.public.t WHERE a = 12").await;
    let puts = |requests: &[String]| {
        let puts = requests.iter().filter(|request| request.starts_with("Put"));
        puts.cloned().collect::<Vec<_>>()
    };
    let expected = [
        "Put metadata/manifest",
        "Put metadata/removed",
        "Put metadata/snapshot",
        "Put vectors",
    ];
    assert_eq!(puts(&marks), expected);
    let again = process.run("DELETE FROM w.public.t WHERE a = 13").await;
    assert_eq!(puts(&again), expected);
    // It wrote the vector itself.
    let reads = again.iter().filter(|request| *request == "Get vectors");
    assert_eq!(reads.count(), 0, "{again:?}");
}

#[tokio::test]
async fn expiry_reads_each_object_once() {
    let inner = table().await;
    let process = Process::new(&inner);
    let expire = format!(
        "SELECT count(*) FROM expire_snapshots('{TABLE}', keep_for => INTERVAL '0 days', dry_run => false)"
    );
    let requests = process.run(&expire).await;
    let mut reads: Vec<_> = (requests.iter())
        .filter(|request| request.starts_with("Get metadata/v"))
        .collect();
    let all = reads.len();
    reads.dedup();
    // The newest version is looked for again after the listing, and the one below it is compared.
    assert_eq!((all, reads.len()), (6, 4), "{requests:?}");
    assert_eq!(requests.len(), 29, "{requests:?}");
}

#[tokio::test]
async fn compaction_of_two_files_takes_the_requests_of_an_update_and_one_look_more() {
    let sent = async |sql: &str| {
        let process = Process::new(&table().await);
        process.run("SELECT count(*) FROM w.public.t").await;
        process.run(sql).await
    };
    let compact = format!("SELECT count(*) FROM atio_compact('{TABLE}', dry_run => false)");
    let compact = sent(&compact).await;
    let mut update = sent("UPDATE w.public.t SET a = a + 1").await;
    // Its table is found when it is planned, and looked for again when it runs.
    let look = [
        "Get metadata/v3.metadata.json",
        "Head metadata/v2.metadata.json",
    ];
    update.extend(look.map(str::to_owned));
    update.sort_unstable();
    assert_eq!(compact, update);
    // The file, its manifest, the list of those that went, and the snapshot.
    let put = compact.iter().filter(|request| request.starts_with("Put"));
    assert_eq!(put.count(), 4, "{compact:?}");
}

/// The requests but those for the newest of 41 versions, and for the next.
fn but_of_the_newest(requests: &[String]) -> Vec<&String> {
    let others = requests.iter();
    let others = others.filter(|request| !request.contains("v40") && !request.contains("v41"));
    others.collect()
}

/// One of many versions is read alone: its record, the list of its files, its file.
#[tokio::test]
async fn changes_of_one_version_of_many_read_nothing_of_the_others() {
    let inner = Arc::new(InMemory::new());
    let writer = Process::new(&inner);
    writer.run("CREATE TABLE w.public.t (a BIGINT)").await;
    for n in 1..=40 {
        let insert = format!("INSERT INTO w.public.t VALUES ({n})");
        writer.run(&insert).await;
    }
    drop(writer);
    atio::flush().await;
    let process = Process::new(&inner);
    // The newest version is looked for, and with it the schema is known.
    assert_eq!(
        row(&process.ctx, "SELECT count(*) FROM w.public.t").await,
        "40"
    );
    let changes = format!("SELECT a FROM atio_changes('{TABLE}', from => 16, to => 17)");
    let requests = process.run(&changes).await;
    let of_versions = but_of_the_newest(&requests);
    let expected = [
        // Its footer, and its rows.
        "Get data",
        "Get data",
        "Get metadata/manifest",
        "Get metadata/snapshot",
        // To be sure that both are of one table.
        "Get metadata/v16.metadata.json",
        "Get metadata/v17.metadata.json",
    ];
    assert_eq!(of_versions, expected, "{requests:?}");
    let some = format!("SELECT a FROM atio_changes('{TABLE}') WHERE _version = 30");
    let requests = process.run(&some).await;
    let of_versions = but_of_the_newest(&requests);
    let expected = [
        "Get data",
        "Get data",
        "Get metadata/manifest",
        "Get metadata/v30.metadata.json",
        "Head metadata/v0.metadata.json",
    ];
    assert_eq!(of_versions, expected, "{requests:?}");
    let count = format!("SELECT count(*) FROM atio_changes('{TABLE}', from => 20, to => 22)");
    let requests = process.run(&count).await;
    assert!(!requests.contains(&"Get data".to_owned()), "{requests:?}");
}
