//! What a plan can tell before it runs.

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// How many rows a plan gives, as far as it can tell: without this a bar shows no end.
pub(crate) fn expected_rows(plan: &dyn ExecutionPlan) -> Option<u64> {
    let expected = StatisticsContext::new().compute(plan, &StatisticsArgs::new());
    let rows = expected.ok()?.num_rows.get_value().copied()?;
    u64::try_from(rows).ok()
}
