//! INSERT into tables of others while something is set for the next version.

use std::any::Any;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::stream::StreamTable;
use datafusion::datasource::{MemTable, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::optimizer::AnalyzerRule;

use crate::settings::CommitSettings;

/// The analyzer rule that refuses to write to a table of the engine's own what was meant for an
/// atio table: a key that stayed set would make a later statement do nothing.
#[derive(Debug)]
pub(super) struct RefuseNoVersion;

impl AnalyzerRule for RefuseNoVersion {
    fn name(&self) -> &str {
        "atio_refuse_no_version"
    }

    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let run = match &plan {
            LogicalPlan::Analyze(analyze) => analyze.input.as_ref(),
            plan => plan,
        };
        if let LogicalPlan::Dml(dml) = run
            && is_of_the_engine(&dml.target)
        {
            CommitSettings::check_unset(options, &dml.table_name.to_string())?;
        }
        Ok(plan)
    }
}

/// A provider of a host may write to an atio table behind it.
fn is_of_the_engine(target: &Arc<dyn TableSource>) -> bool {
    source_as_provider(target).is_ok_and(|provider| {
        let provider: &dyn Any = provider.as_ref();
        provider.is::<MemTable>() || provider.is::<ListingTable>() || provider.is::<StreamTable>()
    })
}
