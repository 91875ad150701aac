//! Memory, disk and configuration of the session, from the command line and the environment.

use std::env;
use std::num::NonZeroUsize;
use std::panic;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryPool, TrackConsumersPool,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::ExplainFormat;
use datafusion::prelude::SessionConfig;
use datafusion_cli::object_storage::StdinCarriesCommands;
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;
use datafusion_cli::pool_type::PoolType;

use crate::args::Args;
use crate::session::{DEFAULT_SCHEMA, WAREHOUSE_CATALOG};

/// The environment's `DATAFUSION_*` settings, then the command line.
pub(crate) fn config(args: &Args, stdin_carries_sql: bool) -> Result<SessionConfig> {
    let mut options = ConfigOptions::from_env()?;
    if env::var_os("DATAFUSION_EXPLAIN_FORMAT").is_none() {
        options.explain.format = ExplainFormat::Tree;
    }
    if env::var_os("DATAFUSION_FORMAT_NULL").is_none() {
        // A person must be able to tell NULL from the empty string.
        options.format.null = "NULL".to_owned();
    }
    let mut config = SessionConfig::from(options).with_information_schema(true);
    if let Some(rows) = args.batch_size {
        config = config.with_batch_size(rows);
    }
    if args.warehouse.is_some() {
        config = config
            .with_default_catalog_and_schema(WAREHOUSE_CATALOG, DEFAULT_SCHEMA)
            // DataFusion would put its own in-memory catalog under that name.
            .with_create_default_catalog_and_schema(false);
    }
    if stdin_carries_sql {
        config = config.with_extension(Arc::new(StdinCarriesCommands));
    }
    Ok(config)
}

/// The memory pool, the disk for spilling, and the registry that can profile object stores.
pub(crate) fn environment(
    args: &Args,
    registry: Arc<InstrumentedObjectStoreRegistry>,
) -> Result<Arc<RuntimeEnv>> {
    let mut builder = RuntimeEnvBuilder::new().with_object_store_registry(registry);
    if let Some(limit) = args.memory_limit {
        let consumers = NonZeroUsize::new(args.top_memory_consumers);
        builder = builder.with_memory_pool(match args.mem_pool_type {
            PoolType::Fair => tracked(FairSpillPool::new(limit), consumers),
            PoolType::Greedy => tracked(GreedyMemoryPool::new(limit), consumers),
        });
    }
    if let Some(limit) = args.disk_limit {
        builder = builder.with_disk_manager_builder(
            DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::OsTmpDirectory)
                .with_max_temp_directory_size(limit as u64),
        );
    }
    builder.build_arc()
}

/// Lets a write beyond the limit on the size of files (`ulimit -f`) fail like any other,
/// where otherwise the system would end the process.
pub(crate) fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        const SIGXFSZ: i32 = 25;
        // A handler stays once it is there. Without one everything else works.
        signal(SignalKind::from_raw(SIGXFSZ)).ok();
    }
}

/// Keeps a panic off standard error that is told as an error: the crate that makes workbooks
/// has no other way to say that the disk for its temporary files is full.
pub(crate) fn tell_panics_of_workbooks_once() {
    let all = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let at = panicked.location().map(|at| at.file());
        if !at.is_some_and(|file| file.contains("rust_xlsxwriter")) {
            all(panicked);
        }
    }));
}

fn tracked<P: MemoryPool + 'static>(
    pool: P,
    consumers: Option<NonZeroUsize>,
) -> Arc<dyn MemoryPool> {
    match consumers {
        Some(consumers) => Arc::new(TrackConsumersPool::new(pool, consumers)),
        None => Arc::new(pool),
    }
}
