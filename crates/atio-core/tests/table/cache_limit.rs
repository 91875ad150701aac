//! The limit of the cache of metadata, which all tables of a process share: in a process of its own.
//!
//! What is kept is seen by taking the object away from the store: only who has kept it still reads it.

use std::env;
use std::process::{Command, Stdio};
use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::format::Version;
use atio_core::log::{Table, set_metadata_cache_limit};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::{append, create, everything, on_store};

const CHILD: &str = "ATIO_TEST_CACHE_LIMIT";
const SAYS: &str = "the limits were tried";
/// Eight manifests are merged into one, so there are merged ones and others.
const VERSIONS: u64 = 19;

#[test]
fn limit_holds_for_all_tables_of_a_process_and_zero_keeps_nothing() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "table::cache_limit::child", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(SAYS), "{output:?}");
}

/// Does nothing unless the test above asks for it.
#[tokio::test]
async fn child() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    // Two stores with the same paths.
    let tables = [Tried::new().await, Tried::new().await];
    for tried in &tables {
        assert!(tried.reads().await);
        assert!(tried.reads_what_is_gone().await, "nothing is kept");
    }
    set_metadata_cache_limit(0);
    for tried in &tables {
        assert!(!tried.reads_what_is_gone().await, "something was kept");
        assert!(tried.reads().await, "what is not kept is read");
        assert!(!tried.reads_what_is_gone().await, "something is kept");
        tried.works().await;
    }
    set_metadata_cache_limit(64 * 1024 * 1024);
    for tried in &tables {
        assert!(!tried.reads_what_is_gone().await, "something was kept");
        assert!(tried.reads().await);
        assert!(tried.reads_what_is_gone().await, "nothing is kept");
    }
    println!("\n{SAYS}");
}

struct Tried {
    store: Arc<InMemory>,
    table: Arc<Table>,
}

impl Tried {
    async fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let table = on_store(&store);
        create(&table).await;
        for _ in 0..VERSIONS {
            append(&table).await.unwrap();
        }
        Self { store, table }
    }

    /// Whether all manifests of the newest version are read.
    async fn reads(&self) -> bool {
        let newest = self.table.newest().await.unwrap();
        match self.table.manifests(&newest).await {
            Ok(manifests) => {
                let files = manifests.iter().map(|manifest| manifest.files.len() as u64);
                assert_eq!(files.sum::<u64>(), newest.totals().files);
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
                false
            }
        }
    }

    /// The same while none of them is there.
    async fn reads_what_is_gone(&self) -> bool {
        let newest = self.table.newest().await.unwrap();
        let mut gone = Vec::new();
        for manifest in &newest.state.manifests {
            let key = Path::from(format!("t/{}", manifest.object.path));
            let bytes = self.store.get(&key).await.unwrap().bytes().await.unwrap();
            self.store.delete(&key).await.unwrap();
            gone.push((key, bytes));
        }
        assert!(gone.len() > 1, "{gone:?}");
        let reads = self.reads().await;
        for (key, bytes) in gone {
            self.store.put(&key, bytes.into()).await.unwrap();
        }
        reads
    }

    /// Statements of every kind: those that write read what they have just written.
    async fn works(&self) {
        let rows = self.table.newest().await.unwrap().totals().rows;
        for more in 1..=VERSIONS {
            append(&self.table).await.unwrap();
            let newest = self.table.newest().await.unwrap();
            assert_eq!(newest.totals().rows, rows + more);
        }
        let newest = self.table.newest().await.unwrap().version;
        let below = Version::new(newest.get() - 1).unwrap();
        let older = self.table.version(below).await.unwrap();
        assert_eq!(older.totals().rows, rows + VERSIONS - 1);
        assert_eq!(
            self.table.manifests(&older).await.unwrap().len(),
            older.state.manifests.len()
        );
        let expired = self.table.expire(&everything(), None).await.unwrap();
        assert!(expired.iter().any(|row| row.deleted), "{expired:?}");
        assert!(self.reads().await);
    }
}
