//! The plan that reads what changed between two versions of a table.
//!
//! Only files that came or went are read, and of files of which rows were marked those rows. Where a
//! version has rows that came and rows that went, equal ones are taken for moved, and are in neither.

use std::sync::Arc;

use atio_core::format::{DeletionVector, FileEntry, Manifest, Version};
use atio_core::log::{ChangesAfter, Snapshot, Table, VersionChanges};
use datafusion::arrow::array::BooleanBufferBuilder;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;

use super::change_columns::{
    CHANGE_COLUMNS, ChangeKind, ChangeOfFile, OF_VERSION, with_change_columns,
};
use super::change_filters::{about, asked_for, meets};
use super::changed_rows::ChangedRowsExec;
use super::comparison::Compared;
use super::dynamic::Above;
use super::parquet_exec::parquet_exec;
use super::prune::{Listed, Pruner};
use super::read_set::ReadSet;
use super::row_hash::row_hash;
use super::scan_file::scan_files;
use super::version_scan::{LeftOut, VersionScan};

/// What is asked of the changes up to a version.
pub(crate) struct ChangesRequest<'a> {
    pub(crate) after: ChangesAfter,
    /// As if the last version were the one above the first.
    pub(crate) net: bool,
    /// The columns by which rows that went and rows that came are updates of each other; none are
    /// where it is empty.
    pub(crate) key: &'a [String],
    pub(crate) projection: Option<&'a Vec<usize>>,
    pub(crate) filters: &'a [Expr],
    pub(crate) limit: Option<usize>,
    /// What the statement does above it.
    pub(crate) above: Above,
    /// Where it notes that it depends on what the newest version is.
    pub(crate) reads: Option<&'a ReadSet>,
}

/// Plans a scan of what changed up to `to`. Reads records, lists of files and deletion vectors, and no
/// data file.
pub(crate) async fn plan_changes(
    state: &dyn Session,
    table: &Arc<Table>,
    store_url: &ObjectStoreUrl,
    to: &Arc<Snapshot>,
    request: ChangesRequest<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(reads) = request.reads {
        reads.add_all();
    }
    let schema = with_change_columns(&to.arrow);
    let way = table.way(request.after, to, request.net).await?;
    let changes = match request.net {
        true if way.versions.is_empty() => Vec::new(),
        true => {
            let changes = table.net_changes(&way, to).await?;
            changes.into_iter().collect()
        }
        false => {
            let versions = asked_for(state, way.versions, request.filters)?;
            table.changes(way.after, &versions, to).await?
        }
    };
    let (mut told, mut compared) = (Vec::new(), Vec::new());
    for change in &changes {
        let below = match request.net {
            true => way.after,
            false => change.version.previous(),
        };
        let files = files_of(change, below.unwrap_or(change.version));
        match !request.key.is_empty() || change.comes_and_goes() {
            true => compared.extend(files),
            false => told.extend(files),
        }
    }
    let planner = Planner {
        state,
        table,
        store_url,
        to,
        schema: &schema,
        request,
    };
    let mut plans = Vec::new();
    plans.extend(planner.told(told).await?);
    plans.extend(planner.compared(compared).await?);
    match plans.is_empty() {
        true => Ok(Arc::new(EmptyExec::new(match planner.request.projection {
            Some(projection) => Arc::new(schema.project(projection)?),
            None => Arc::clone(&schema),
        }))),
        false => UnionExec::try_new(plans),
    }
}

/// Rows of one data file that came, or went.
struct ChangedFile {
    manifest: Arc<Manifest>,
    /// Where the manifest lists it.
    at: usize,
    /// All that are not marked, where it is None.
    rows: Option<Arc<DeletionVector>>,
    change: ChangeOfFile,
}

impl ChangedFile {
    fn listed(&self) -> Listed<'_> {
        (self.manifest.as_ref(), &self.manifest.files[self.at])
    }
}

/// Of each version, what its rows are that came and went; `below` lists those that went.
fn files_of(changes: &VersionChanges, below: Version) -> Vec<ChangedFile> {
    let change = |kind, file: &FileEntry| ChangeOfFile {
        kind,
        version: changes.version,
        committed_at_us: changes.committed_at_us,
        listed_by: match (changes.listed_by.get(&file.path), kind) {
            (Some(version), _) => *version,
            (None, ChangeKind::Insert) => changes.version,
            (None, _) => below,
        },
    };
    let mut files = Vec::new();
    for (kind, manifests, rows) in [
        (ChangeKind::Delete, &changes.went, &changes.marked),
        (ChangeKind::Insert, &changes.came, &changes.unmarked),
    ] {
        files.extend(manifests.iter().flat_map(|manifest| {
            let files = manifest.files.iter().enumerate();
            files.map(move |(at, file)| ChangedFile {
                manifest: Arc::clone(manifest),
                at,
                rows: None,
                change: change(kind, file),
            })
        }));
        files.extend(rows.iter().map(|some| ChangedFile {
            manifest: Arc::clone(&some.manifest),
            at: 0,
            rows: Some(Arc::clone(&some.rows)),
            change: change(kind, &some.manifest.files[0]),
        }));
    }
    files
}

struct Planner<'a> {
    state: &'a dyn Session,
    table: &'a Arc<Table>,
    store_url: &'a ObjectStoreUrl,
    to: &'a Arc<Snapshot>,
    /// With all columns.
    schema: &'a Arc<Schema>,
    request: ChangesRequest<'a>,
}

impl Planner<'_> {
    /// Rows of which it is known what became of them.
    async fn told(&self, files: Vec<ChangedFile>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let of_table = of_table(self.to);
        let filters = about(self.request.filters, &of_table);
        let changes = about(self.request.filters, &CHANGE_COLUMNS);
        let projection = self.request.projection.cloned();
        let limit = self.request.limit;
        self.scan(files, (filters, changes), projection, limit)
            .await
    }

    /// Rows that are compared with each other.
    async fn compared(&self, files: Vec<ChangedFile>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let key = self.request.key;
        // A row is left out only together with those that it is compared with.
        let filters = match key {
            [] => about(self.request.filters, &of_table(self.to)),
            key => about(self.request.filters, key),
        };
        let changes = about(self.request.filters, &OF_VERSION);
        let Some(scan) = self.scan(files, (filters, changes), None, None).await? else {
            return Ok(None);
        };
        let columns = self.to.arrow.fields().len();
        let key: Vec<_> = key
            .iter()
            .map(|name| self.to.arrow.index_of(name))
            .collect::<std::result::Result<_, _>>()?;
        let mut of_hash = vec![(0..columns).collect::<Vec<_>>()];
        if !key.is_empty() {
            of_hash.insert(0, key.clone());
        }
        let compared = Compared {
            table: self.table.name().to_owned(),
            columns,
            key,
        };
        let hashed = self.with_hashes(scan, &of_hash)?;
        let rows: Arc<dyn ExecutionPlan> = Arc::new(ChangedRowsExec::new(compared, hashed)?);
        let Some(projection) = self.request.projection else {
            return Ok(Some(rows));
        };
        let columns = projection.iter().map(|at| self.column(*at));
        let projected = ProjectionExec::try_new(columns.collect::<Vec<_>>(), rows)?;
        Ok(Some(Arc::new(projected)))
    }

    /// The rows of `scan` and behind them, for each of `of`, the hash of their values in these columns.
    fn with_hashes(
        &self,
        scan: Arc<dyn ExecutionPlan>,
        of: &[Vec<usize>],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = Arc::new(self.state.config_options().clone());
        let mut columns: Vec<_> = (0..self.schema.fields().len())
            .map(|at| self.column(at))
            .collect();
        for (number, of) in of.iter().enumerate() {
            let arguments = of.iter().map(|at| self.column(*at).expr).collect();
            let hash = ScalarFunctionExpr::try_new(
                row_hash(),
                arguments,
                self.schema,
                Arc::clone(&options),
            )?;
            columns.push(ProjectionExpr {
                expr: Arc::new(hash),
                alias: format!("__atio_hash_{number}"),
            });
        }
        Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
    }

    fn column(&self, at: usize) -> ProjectionExpr {
        let name = self.schema.field(at).name();
        ProjectionExpr {
            expr: Arc::new(Column::new(name, at)),
            alias: name.clone(),
        }
    }

    /// A scan of the rows of `files` that may meet the filters: those on columns of the table, and those
    /// on columns of the change.
    async fn scan(
        &self,
        files: Vec<ChangedFile>,
        (filters, changes): (Vec<Expr>, Vec<Expr>),
        projection: Option<Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let all = files.len();
        let files = self.with_change(files, &changes)?;
        let files = self.may_match(files, &filters)?;
        if files.is_empty() {
            return Ok(None);
        }
        let listed: Vec<_> = files.iter().map(ChangedFile::listed).collect();
        let scanned = scan_files(self.table, self.to, &listed, None).await;
        let mut scanned = match scanned {
            Ok(scanned) => scanned,
            Err(error) => return Err(self.expired(&files).await.unwrap_or(error)),
        };
        for (scan, file) in scanned.iter_mut().zip(&files) {
            scan.change = Some(file.change);
            if let Some(rows) = &file.rows {
                let (_, entry) = file.listed();
                scan.wanted = Some(bits(rows, entry.stored_rows()?));
            }
        }
        let scan = VersionScan {
            projection,
            filters,
            limit,
            above: self.request.above,
            left_out: LeftOut {
                files: all - files.len(),
                rows: 0,
            },
            has_changes: true,
            ..VersionScan::of_files(self.table, self.store_url, self.to, scanned)
        };
        parquet_exec(self.state.config(), self.state.runtime_env(), scan).map(Some)
    }

    /// That a version has expired meanwhile which lists one of `files`; None if all can be read.
    async fn expired(&self, files: &[ChangedFile]) -> Option<DataFusionError> {
        let newest = self.table.newest().await.ok()?;
        let listed_by = files.iter().map(|file| file.change.listed_by);
        let first = listed_by
            .filter(|version| newest.has_expired(*version))
            .min()?;
        let error = self
            .table
            .has_expired(first, newest.version, &newest.expired);
        Some(error.into())
    }

    /// The files whose rows meet `filters`, which are on columns of the change.
    fn with_change(&self, files: Vec<ChangedFile>, filters: &[Expr]) -> Result<Vec<ChangedFile>> {
        if files.is_empty() || filters.is_empty() {
            return Ok(files);
        }
        let rows = files.iter().map(|file| file.change.values());
        let meets = meets(self.state, &CHANGE_COLUMNS, rows, filters)?;
        let files = files.into_iter().zip(meets);
        Ok(files
            .filter_map(|(file, meets)| meets.then_some(file))
            .collect())
    }

    /// The files that may hold rows which meet `filters`, which are on columns of the table.
    fn may_match(&self, files: Vec<ChangedFile>, filters: &[Expr]) -> Result<Vec<ChangedFile>> {
        let Some(pruner) = Pruner::new(self.state, self.to, filters)? else {
            return Ok(files);
        };
        let listed: Vec<_> = files.iter().map(ChangedFile::listed).collect();
        let keep = pruner.may_match(&listed);
        let files = files.into_iter().zip(keep);
        Ok(files
            .filter_map(|(file, keep)| keep.then_some(file))
            .collect())
    }
}

fn of_table(of: &Snapshot) -> Vec<&str> {
    let fields = of.arrow.fields().iter();
    fields.map(|field| field.name().as_str()).collect()
}

/// Of each row of a file of `of` rows whether it is one of `rows`.
fn bits(rows: &DeletionVector, of: u64) -> BooleanBuffer {
    let row = |row: u64| usize::try_from(row.min(of)).unwrap_or(usize::MAX);
    let mut bits = BooleanBufferBuilder::new(row(of));
    let mut next = 0;
    for range in rows.ranges() {
        let (start, end) = (row(range.start), row(range.end));
        bits.append_n(start - next, false);
        bits.append_n(end - start, true);
        next = end;
    }
    bits.append_n(row(of) - next, false);
    bits.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_vector_become_bits() {
        let of = |rows: &[u64], of| {
            let bits = bits(&rows.iter().copied().collect(), of);
            bits.iter().map(u8::from).collect::<Vec<_>>()
        };
        assert_eq!(of(&[0, 1, 3], 5), [1, 1, 0, 1, 0]);
        assert_eq!(of(&[4], 5), [0, 0, 0, 0, 1]);
        assert_eq!(of(&[], 2), [0, 0]);
    }
}
