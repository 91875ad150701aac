//! Installing atio in a session.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::prelude::SessionContext;

use super::factory::AtioTableFactory;
use super::open::OpenTables;
use super::relation::AtioRelations;
use crate::table::PinVersions;

/// What `CREATE EXTERNAL TABLE` calls the format.
const STORED_AS: &str = "ATIO";

/// Makes atio part of a session: `STORED AS ATIO`, the functions `atio_table`,
/// `atio_history`, `atio_files` and `expire_snapshots`, `AS OF` for atio tables, and one
/// version of each table per statement.
///
/// Also switches `information_schema` on, so that `SHOW TABLES` works. Calling it again
/// changes nothing.
///
/// # Errors
///
/// Fails if the session takes no relation planners.
pub fn register(ctx: &SessionContext) -> Result<()> {
    // Not told by the configuration, which another context may have copied.
    if ctx.state().table_factories().contains_key(STORED_AS) {
        return Ok(());
    }
    let tables = Arc::new(OpenTables::default());
    let state = ctx.state_ref();
    {
        let mut state = state.write();
        state.config_mut().set_extension(Arc::clone(&tables));
        state.config_mut().options_mut().catalog.information_schema = true;
        let factory = Arc::new(AtioTableFactory);
        state
            .table_factories_mut()
            .insert(STORED_AS.to_owned(), factory);
    }
    ctx.register_relation_planner(Arc::new(AtioRelations::new(ctx.state_weak_ref())))?;
    ctx.add_analyzer_rule(Arc::new(PinVersions));
    Ok(())
}
