//! The session that every process of a scenario has.

use std::fs;
use std::sync::Arc;

use atio::AtioCatalog;
use datafusion::error::Result;
use datafusion::prelude::{SessionConfig, SessionContext};

/// Opens a session in which `CREATE TABLE t` makes the directory `warehouse/public/t`.
pub(crate) fn session() -> Result<SessionContext> {
    fs::create_dir_all("warehouse")?;
    let config = SessionConfig::new()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema("atio", "public");
    let ctx = SessionContext::new_with_config(config);
    atio::register(&ctx)?;
    let warehouse = AtioCatalog::open(&ctx, "warehouse")?;
    ctx.register_catalog("atio", Arc::new(warehouse));
    Ok(ctx)
}
