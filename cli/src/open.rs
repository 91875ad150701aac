//! Opens the session that the command line describes.

use std::sync::Arc;

use atio::AtioCatalog;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider};
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use datafusion_cli::functions::{
    ListFilesCacheFunc, MetadataCacheFunc, ParquetMetadataFunc, StatisticsCacheFunc,
};
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;
use datafusion_cli::object_storage::is_stdin_location;
use datafusion_cli::print_options::PrintOptions;

use crate::args::Args;
use crate::catalogs;
use crate::progress::Bars;
use crate::runtime;
use crate::session::{DEFAULT_SCHEMA, Session, WAREHOUSE_CATALOG};
use crate::stores::Stores;

/// Makes the session that the command line describes, and the warehouse if it is new.
pub(crate) async fn open(args: &Args) -> Result<Session> {
    let stdin_carries_sql = args.reads_standard_input()
        || args
            .file
            .iter()
            .chain(&args.rc)
            .any(|path| path.to_str().is_some_and(is_stdin_location));
    let registry = Arc::new(
        InstrumentedObjectStoreRegistry::new().with_profile_mode(args.object_store_profiling),
    );
    let ctx = catalogs::context_with_files(
        runtime::config(args, stdin_carries_sql)?,
        runtime::environment(args, Arc::clone(&registry))?,
    )
    .await?;
    atio::register(&ctx)?;
    let bars = Arc::new(Bars::default());
    Bars::watch(&bars, &ctx);
    register_functions(&ctx);

    let stores = Stores::new(stdin_carries_sql);
    let warehouse = match &args.warehouse {
        Some(location) => {
            stores.register(&ctx, location).await?;
            let catalog = AtioCatalog::register(&ctx, WAREHOUSE_CATALOG, location)?;
            register_memory_catalog(&ctx)?;
            Some(Arc::new(catalog))
        }
        None => None,
    };
    let print = PrintOptions {
        format: args.format,
        quiet: args.quiet,
        maxrows: args.maxrows,
        color: args.color,
        instrumented_registry: registry,
    };
    Ok(Session::new(ctx, print, stores, warehouse, bars))
}

/// Beside a warehouse, tables that are not atio's live in `datafusion.public` as elsewhere.
fn register_memory_catalog(ctx: &SessionContext) -> Result<()> {
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(DEFAULT_SCHEMA, Arc::new(MemorySchemaProvider::new()))?;
    ctx.register_catalog("datafusion", Arc::new(catalog));
    Ok(())
}

fn register_functions(ctx: &SessionContext) {
    let caches = || Arc::clone(&ctx.runtime_env().cache_manager);
    ctx.register_udtf("parquet_metadata", Arc::new(ParquetMetadataFunc {}));
    ctx.register_udtf("metadata_cache", Arc::new(MetadataCacheFunc::new(caches())));
    ctx.register_udtf(
        "statistics_cache",
        Arc::new(StatisticsCacheFunc::new(caches())),
    );
    ctx.register_udtf(
        "list_files_cache",
        Arc::new(ListFilesCacheFunc::new(caches())),
    );
}
