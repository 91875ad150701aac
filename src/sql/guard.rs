//! The policy of a session where statements are not atio's: `COPY`, `INSERT`, and
//! `CREATE EXTERNAL TABLE` of other formats.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider, TableProviderFactory};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::{CreateExternalTable, LogicalPlan, TableSource};
use datafusion::optimizer::AnalyzerRule;

use super::policy::{Access, AtioPolicy};
use super::target::CopyTarget;

/// The analyzer rule that refuses what a plan may not write.
///
/// DataFusion runs it before it plans anything that would touch storage.
#[derive(Debug)]
pub(super) struct GuardedPlans(pub(super) Arc<AtioPolicy>);

impl AnalyzerRule for GuardedPlans {
    fn name(&self) -> &str {
        "atio_policy"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            match node {
                // Its name is no place: only registered connections are found by it.
                #[cfg(any(feature = "postgres", feature = "sqlite", feature = "mysql"))]
                LogicalPlan::Copy(copy) if crate::database::is_database(&copy.file_type) => {
                    self.0.check_access(Access::Write)?;
                }
                LogicalPlan::Copy(copy) => match CopyTarget::parse(&copy.output_url) {
                    Ok(target) => target.check(&self.0, Access::Write)?,
                    // It is refused in a moment, with words of its own.
                    Err(_) => self.0.check_url(&copy.output_url, Access::Write)?,
                },
                LogicalPlan::Dml(dml) if !is_in_memory(&dml.target) => {
                    self.0.check_access(Access::Write)?;
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(plan)
    }
}

fn is_in_memory(target: &Arc<dyn TableSource>) -> bool {
    source_as_provider(target)
        .is_ok_and(|provider| (provider.as_ref() as &dyn Any).is::<MemTable>())
}

/// The factory of another format, asked only for locations that the policy allows.
#[derive(Debug)]
pub(super) struct GuardedFactory {
    pub(super) inner: Arc<dyn TableProviderFactory>,
    pub(super) policy: Arc<AtioPolicy>,
}

#[async_trait]
impl TableProviderFactory for GuardedFactory {
    async fn create(
        &self,
        state: &dyn Session,
        cmd: &CreateExternalTable,
    ) -> Result<Arc<dyn TableProvider>> {
        for location in &cmd.locations {
            self.policy.check_url(location, Access::Read)?;
            if cmd.unbounded {
                // DataFusion's streams open the text as it is.
                self.policy.check_path(location, Access::Read)?;
            }
        }
        self.inner.create(state, cmd).await
    }
}
