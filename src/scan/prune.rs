//! Which files a filter can match, by the statistics in the manifests.

use std::collections::HashSet;
use std::sync::Arc;

use atio_core::format::stats::{Bound, ColumnStats};
use atio_core::format::{FileEntry, Manifest};
use atio_core::log::Snapshot;
use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::PhysicalExpr;

use super::statistics::{column, scalar};
use datafusion::catalog::Session;

/// A data file and the manifest that lists it.
pub(super) type Listed<'a> = (&'a Manifest, &'a FileEntry);

/// The files that may hold rows matching all of `filters`.
///
/// A filter that cannot be understood excludes nothing.
pub(super) fn matching<'a>(
    state: &dyn Session,
    snapshot: &Arc<Snapshot>,
    filters: &[Expr],
    files: Vec<Listed<'a>>,
) -> Result<Vec<Listed<'a>>> {
    Ok(match Pruner::new(state, snapshot, filters)? {
        Some(pruner) => pruner.matching(files),
        None => files,
    })
}

/// The files of `manifests` that may hold rows which meet `filter`, a condition over the columns of
/// `snapshot`.
pub(crate) fn may_hold<'a>(
    snapshot: &Arc<Snapshot>,
    filter: &Arc<dyn PhysicalExpr>,
    manifests: &'a [Arc<Manifest>],
) -> Vec<&'a FileEntry> {
    let listed = manifests
        .iter()
        .flat_map(|manifest| manifest.files.iter().map(|file| (manifest.as_ref(), file)));
    let listed: Vec<Listed<'_>> = listed.collect();
    let listed = match Pruner::of(snapshot, Arc::clone(filter)) {
        Some(pruner) => pruner.matching(listed),
        None => listed,
    };
    listed.into_iter().map(|(_, file)| file).collect()
}

/// A condition that may exclude files.
#[derive(Debug)]
pub(super) struct Pruner {
    snapshot: Arc<Snapshot>,
    predicate: PruningPredicate,
}

impl Pruner {
    /// None where `filters` exclude nothing.
    pub(super) fn new(
        state: &dyn Session,
        snapshot: &Arc<Snapshot>,
        filters: &[Expr],
    ) -> Result<Option<Self>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(None);
        };
        let schema = DFSchema::try_from(Arc::clone(&snapshot.arrow))?;
        let Ok(filter) = state.create_physical_expr(filter, &schema) else {
            return Ok(None);
        };
        Ok(Self::of(snapshot, filter))
    }

    /// The same of a condition that is planned.
    fn of(snapshot: &Arc<Snapshot>, filter: Arc<dyn PhysicalExpr>) -> Option<Self> {
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&snapshot.arrow))
            .try_build(filter);
        match predicate {
            Ok(predicate) if !predicate.always_true() => Some(Self {
                snapshot: Arc::clone(snapshot),
                predicate,
            }),
            _ => None,
        }
    }

    /// The files that may hold rows which match.
    pub(super) fn matching<'a>(&self, files: Vec<Listed<'a>>) -> Vec<Listed<'a>> {
        let keep = self.may_match(&files);
        let files = files.into_iter().zip(keep);
        files
            .filter_map(|(file, keep)| keep.then_some(file))
            .collect()
    }

    /// Whether each file of a manifest, perhaps of a later version, may hold such rows.
    pub(super) fn selects(&self, manifest: &Manifest) -> Vec<bool> {
        if manifest.schema != self.snapshot.schema.id {
            return vec![true; manifest.files.len()];
        }
        let files: Vec<_> = manifest.files.iter().map(|file| (manifest, file)).collect();
        self.may_match(&files)
    }

    /// Whether each of the files may hold rows which match.
    pub(super) fn may_match(&self, files: &[Listed<'_>]) -> Vec<bool> {
        let statistics = FileStatistics {
            snapshot: &self.snapshot,
            files,
        };
        self.predicate.prune(&statistics).unwrap_or_else(|error| {
            ::log::debug!("no file was pruned: {error}");
            vec![true; files.len()]
        })
    }
}

struct FileStatistics<'a> {
    snapshot: &'a Snapshot,
    files: &'a [Listed<'a>],
}

impl FileStatistics<'_> {
    fn bounds(
        &self,
        name: &Column,
        bound: impl Fn(&ColumnStats) -> Option<&Bound>,
    ) -> Option<ArrayRef> {
        let at = self.snapshot.arrow.index_of(&name.name).ok()?;
        let data_type = self.snapshot.arrow.field(at).data_type();
        let null = ScalarValue::try_from(data_type).ok()?;
        let field_id = self.snapshot.schema.fields.get(at)?.id;
        let values = self.files.iter().map(|(manifest, file)| {
            column(manifest, file, field_id, &self.snapshot.schema)
                .and_then(&bound)
                .and_then(|bound| scalar(&bound.value, data_type))
                .unwrap_or_else(|| null.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

/// NaN is above every number, or below all if its sign is set: where one may occur there
/// are no bounds.
impl PruningStatistics for FileStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| stats.min.as_ref().filter(|_| !stats.nan))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| stats.max.as_ref().filter(|_| !stats.nan))
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, name: &Column) -> Option<ArrayRef> {
        let at = self.snapshot.arrow.index_of(&name.name).ok()?;
        let field_id = self.snapshot.schema.fields.get(at)?.id;
        let counts = self.files.iter().map(|(manifest, file)| {
            column(manifest, file, field_id, &self.snapshot.schema).and_then(|stats| stats.nulls)
        });
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    /// Of all rows that are in the files, as the other counts: a column of which a file has as many
    /// nulls as rows is taken for one without values.
    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = self.files.iter().map(|(_, file)| file.rows);
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
