//! Sessions for tests: atio in a plain context, over memory or over a directory.

#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atio::AtioCatalog;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::memory::InMemory;
use datafusion::prelude::{SessionConfig, SessionContext};
use url::Url;

/// Runs each check on memory and on disk, on one thread and on several.
macro_rules! on_every_place {
    ($($check:ident),+ $(,)?) => { $(
        mod $check {
            use crate::session::Place;

            #[tokio::test]
            async fn on_memory() {
                super::$check(Place::memory()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_memory_with_threads() {
                super::$check(Place::memory()).await;
            }

            #[tokio::test]
            async fn on_disk() {
                super::$check(Place::disk()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_disk_with_threads() {
                super::$check(Place::disk()).await;
            }
        }
    )+ };
}
pub(crate) use on_every_place;

/// How long tests wait for what follows the answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what follows the answers, in a runtime whose clock goes: in a test that has stopped its
/// own, waiting would end at once.
///
/// `atio::flush` waits for all tests of this process, and a store of another one may hang or panic,
/// as it was told to. That is said and does not fail this test.
pub(crate) fn flush() {
    let flush = || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(PATIENCE, atio::flush()).await })
    };
    match std::thread::spawn(flush).join() {
        Ok(Ok(())) => {}
        Ok(Err(_)) => eprintln!("a store of some test still hangs after {PATIENCE:?}"),
        Err(_) => eprintln!("a store of some test panicked"),
    }
}

/// Where the tables of a test are; several sessions can share one place.
#[derive(Clone)]
pub(crate) enum Place {
    Memory(Arc<InMemory>),
    Disk(Arc<tempfile::TempDir>),
}

impl Place {
    pub(crate) fn memory() -> Self {
        Self::Memory(Arc::new(InMemory::new()))
    }

    pub(crate) fn disk() -> Self {
        Self::Disk(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// What locations begin with.
    pub(crate) fn root(&self) -> String {
        match self {
            Self::Memory(_) => "memory://test/base".to_owned(),
            Self::Disk(directory) => directory
                .path()
                .canonicalize()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// A session of its own, as another process would have it, with a catalog `w`.
    pub(crate) fn session(&self) -> SessionContext {
        if let Self::Disk(directory) = self {
            return session_at(directory.path());
        }
        let ctx = new_session();
        if let Self::Memory(store) = self {
            let store: Arc<dyn ObjectStore> = Arc::clone(store) as _;
            ctx.register_object_store(&Url::parse("memory://test/").unwrap(), store);
        }
        with_catalog(ctx, &self.root())
    }

    /// The directory on disk.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Disk(directory) => directory.path(),
            Self::Memory(_) => panic!("there is no directory in memory"),
        }
    }
}

/// A session over a directory, as another process would have it, with a catalog `w`.
pub(crate) fn session_at(directory: &Path) -> SessionContext {
    let root = directory.canonicalize().unwrap();
    std::fs::create_dir_all(root.join("warehouse")).unwrap();
    with_catalog(new_session(), root.to_str().unwrap())
}

/// The same, with so much memory for its queries.
pub(crate) fn limited_session_at(directory: &Path, bytes: usize) -> SessionContext {
    let root = directory.canonicalize().unwrap();
    std::fs::create_dir_all(root.join("warehouse")).unwrap();
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(bytes, 1.0);
    let config = SessionConfig::new().with_target_partitions(2);
    let ctx = SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap());
    with_catalog(ctx, root.to_str().unwrap())
}

fn new_session() -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2))
}

fn with_catalog(ctx: SessionContext, root: &str) -> SessionContext {
    atio::register(&ctx).unwrap();
    let catalog = AtioCatalog::open(&ctx, &format!("{root}/warehouse")).unwrap();
    ctx.register_catalog("w", Arc::new(catalog));
    ctx
}

/// Runs one statement to its end.
pub(crate) async fn run(ctx: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    ctx.sql(sql).await?.collect().await
}
