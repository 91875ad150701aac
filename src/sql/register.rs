//! Installing atio in a session.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::prelude::SessionContext;

use super::copy::PublishCopies;
use super::declared::DeclaredColumns;
use super::factory::AtioTableFactory;
use super::formats::NoFormat;
use super::guard::{GuardedFactory, GuardedPlans};
use super::left_out;
use super::no_version::RefuseNoVersion;
use super::open::OpenTables;
use super::policy::AtioPolicy;
use super::relation::AtioRelations;
use crate::dml::RowChanges;
use crate::error::Error;
use crate::settings::CommitSettings;
use crate::table::{NullableValues, PinVersions};

/// What `CREATE EXTERNAL TABLE` calls the format.
const STORED_AS: &str = "ATIO";

/// Makes atio part of a session. From then on it has
///
/// * tables `STORED AS ATIO`, with `DELETE`, `UPDATE`, `MERGE`, `TRUNCATE` and `AS OF`; one
///   statement reads one version of each;
/// * the functions `atio_table`, `atio_changes`, `atio_history`, `atio_files`, `atio_sources`, `atio_compact`,
///   `expire_snapshots`, `atio_tag`, `atio_untag`, `atio_tags`, `atio_rollback`, `atio_stats`,
///   `atio_check` and `atio_repair`;
/// * `atio_dropped`, `atio_undrop` and `atio_purge` for what was dropped in an
///   [`AtioCatalog`](crate::AtioCatalog);
/// * the settings of the next commit, `SET atio.message`, `SET atio.properties.<name>`,
///   `SET atio.idempotency_key`, `SET atio.commit_every_rows`, `SET atio.commit_every_bytes`,
///   `SET atio.checks.<name>` and `SET atio.retries`, `SET atio.isolation` and `SET atio.delete_mode`;
/// * files that `COPY` and `DataFrame::write_*` write completely or not at all, with
///   `atio_restore` and `atio_clean`.
///
/// Also switches `information_schema` on, so that `SHOW TABLES` works. Calling it again
/// changes nothing. SQL may reach everything, as in DataFusion, unless the session's
/// configuration carries an [`AtioPolicy`].
///
/// ```
/// let ctx = datafusion::prelude::SessionContext::new();
/// atio::register(&ctx)?;
/// # Ok::<(), datafusion::error::DataFusionError>(())
/// ```
///
/// # Errors
///
/// Fails if the session takes no relation planners.
pub fn register(ctx: &SessionContext) -> Result<()> {
    match is_registered(ctx) {
        true => Ok(()),
        false => install(ctx, AtioPolicy::of(&ctx.state())),
    }
}

/// Does what [`register`] does, and limits what the session's SQL may reach.
///
/// ```
/// let ctx = datafusion::prelude::SessionContext::new();
/// atio::register_with(&ctx, atio::AtioPolicy::default().with_write(false))?;
/// # Ok::<(), datafusion::error::DataFusionError>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if atio is in the session already with
/// another policy; otherwise as [`register`].
pub fn register_with(ctx: &SessionContext, policy: AtioPolicy) -> Result<()> {
    if !is_registered(ctx) {
        return install(ctx, Arc::new(policy));
    }
    match *AtioPolicy::of(&ctx.state()) == policy {
        true => Ok(()),
        false => Err(Error::invalid(
            "atio is registered in this session with another policy, which cannot be changed",
        )
        .into()),
    }
}

/// Not told by the configuration, which another context may have copied.
fn is_registered(ctx: &SessionContext) -> bool {
    ctx.state().table_factories().contains_key(STORED_AS)
}

/// Fails in a session without atio, where AS OF would read the newest version without a word.
pub(super) fn check_registered(ctx: &SessionContext) -> Result<()> {
    match is_registered(ctx) {
        true => Ok(()),
        false => Err(Error::invalid(
            "atio is not registered in this session: call atio::register first",
        )
        .into()),
    }
}

fn install(ctx: &SessionContext, policy: Arc<AtioPolicy>) -> Result<()> {
    let tables = Arc::new(OpenTables::default());
    let state = ctx.state_ref();
    {
        let mut state = state.write();
        state.config_mut().set_extension(Arc::clone(&tables));
        state.config_mut().set_extension(Arc::clone(&policy));
        CommitSettings::default().install(state.config_mut());
        state.config_mut().options_mut().catalog.information_schema = true;
        let factories = state.table_factories_mut();
        if policy.limits_places() {
            for factory in factories.values_mut() {
                *factory = Arc::new(GuardedFactory {
                    inner: Arc::clone(factory),
                    policy: Arc::clone(&policy),
                });
            }
        }
        factories.insert(STORED_AS.to_owned(), Arc::new(AtioTableFactory));
        #[cfg(any(feature = "postgres", feature = "sqlite", feature = "mysql"))]
        {
            let free = !policy.limits_places();
            for (stored_as, factory) in crate::database::factories(free) {
                let factories = state.table_factories_mut();
                // What the host knows of the name is better, here and below.
                factories.entry(stored_as.to_owned()).or_insert(factory);
            }
            for format in crate::database::formats(free) {
                state.register_file_format(format, false).ok();
            }
        }
        for (stored_as, factory) in left_out::factories() {
            let factories = state.table_factories_mut();
            factories.entry(stored_as).or_insert(factory);
        }
        #[cfg(feature = "xlsx")]
        crate::file::register_xlsx(&mut state)?;
        for format in NoFormat::all() {
            state.register_file_format(Arc::new(format), false).ok();
        }
    }
    ctx.register_relation_planner(Arc::new(AtioRelations::new(ctx.state_weak_ref())))?;
    if *policy != AtioPolicy::default() {
        ctx.add_analyzer_rule(Arc::new(GuardedPlans(policy)));
    }
    ctx.add_analyzer_rule(Arc::new(PinVersions));
    ctx.add_analyzer_rule(Arc::new(NullableValues));
    ctx.add_analyzer_rule(Arc::new(RowChanges));
    ctx.add_analyzer_rule(Arc::new(PublishCopies));
    ctx.add_analyzer_rule(Arc::new(RefuseNoVersion));
    DeclaredColumns::register(ctx);
    Ok(())
}
