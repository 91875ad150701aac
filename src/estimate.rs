//! What a plan can tell before it runs.

use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// What a value takes of which neither type nor statistics say so.
const TEXT: usize = 32;

/// How many rows a plan gives, as far as it can tell: without this a bar shows no end.
pub(crate) fn expected_rows(plan: &dyn ExecutionPlan) -> Option<u64> {
    let rows = statistics(plan)?.num_rows.get_value().copied()?;
    u64::try_from(rows).ok()
}

/// About what the rows of a plan take in memory, as far as it can tell how many they are.
pub(crate) fn expected_bytes(plan: &dyn ExecutionPlan) -> Option<usize> {
    let expected = statistics(plan)?;
    let rows = expected.num_rows.get_value().copied()?;
    let schema = plan.schema();
    let columns = schema.fields().iter().zip(&expected.column_statistics);
    let bytes = columns.map(|(field, column)| match column.byte_size.get_value() {
        Some(bytes) => *bytes,
        None => rows.saturating_mul(field.data_type().primitive_width().unwrap_or(TEXT)),
    });
    Some(bytes.fold(0, usize::saturating_add))
}

fn statistics(plan: &dyn ExecutionPlan) -> Option<Arc<Statistics>> {
    let expected = StatisticsContext::new().compute(plan, &StatisticsArgs::new());
    expected.ok()
}
