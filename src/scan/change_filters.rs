//! Filters of a scan of changes that are answered before any file is read.

use std::collections::HashSet;
use std::sync::Arc;

use atio_core::format::Version;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;

use super::change_columns::{NUMBER, change_fields};

/// The versions whose rows may meet `filters`: those that cannot are not even looked at.
pub(super) fn asked_for(
    state: &dyn Session,
    versions: Vec<Version>,
    filters: &[Expr],
) -> Result<Vec<Version>> {
    let filters = about(filters, &NUMBER);
    if filters.is_empty() || versions.is_empty() {
        return Ok(versions);
    }
    let number = |version: &Version| i64::try_from(version.get()).ok();
    let rows = versions
        .iter()
        .map(|version| vec![ScalarValue::Int64(number(version))]);
    let meets = meets(state, &NUMBER, rows, &filters)?;
    let versions = versions.into_iter().zip(meets);
    Ok(versions
        .filter_map(|(version, meets)| meets.then_some(version))
        .collect())
}

/// Of each of these rows, of the columns `names` of a change, whether it meets `filters`. What cannot be
/// told is asked above the scan.
pub(super) fn meets(
    state: &dyn Session,
    names: &[&str],
    rows: impl Iterator<Item = Vec<ScalarValue>>,
    filters: &[Expr],
) -> Result<Vec<bool>> {
    let fields = change_fields().into_iter();
    let fields = fields.filter(|field| names.contains(&field.name().as_str()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows: Vec<_> = rows.collect();
    let columns = (0..names.len()).map(|at| {
        let values = rows.iter().map(|row| row[at].clone());
        ScalarValue::iter_to_array(values)
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let of_columns = DFSchema::try_from(schema)?;
    let mut meets = vec![true; rows.len()];
    for filter in filters {
        let told = state
            .create_physical_expr(filter.clone(), &of_columns)
            .and_then(|filter| filter.evaluate(&batch)?.into_array(rows.len()));
        let Some(told) = told.ok().filter(|told| told.as_boolean_opt().is_some()) else {
            continue;
        };
        for (meets, told) in meets.iter_mut().zip(told.as_boolean()) {
            *meets &= told == Some(true);
        }
    }
    Ok(meets)
}

/// The filters that are about these columns alone.
pub(super) fn about(filters: &[Expr], columns: &[impl AsRef<str>]) -> Vec<Expr> {
    let columns: HashSet<_> = columns.iter().map(AsRef::as_ref).collect();
    let is_about = |filter: &&Expr| {
        let names = filter.column_refs();
        let mut names = names.iter().map(|column| column.name.as_str());
        !filter.is_volatile() && names.len() > 0 && names.all(|name| columns.contains(name))
    };
    filters.iter().filter(is_about).cloned().collect()
}
