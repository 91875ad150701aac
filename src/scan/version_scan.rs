//! A scan of one version as a value: all that is decided before the engine has a plan of it.

use std::collections::HashSet;
use std::sync::Arc;

use atio_core::format::{FileEntry, Manifest};
use atio_core::log::{Snapshot, Table};
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;

use super::dynamic::Above;
use super::prune::{Listed, Pruner};
use super::read_set::{ReadSet, Scan, Version};
use super::row_ids::{Found, RowIds};
use super::scan_file::{Numbers, ScanFile, scan_files};
use super::selected::Selected;
use super::whole::whole;
use crate::error::Error;

/// What a scan is asked for.
pub(crate) struct Request<'a> {
    pub(crate) projection: Option<&'a Vec<usize>>,
    pub(crate) filters: &'a [Expr],
    pub(crate) limit: Option<usize>,
    /// What the statement does above it.
    pub(crate) above: Above,
    /// Set where it is to say of each row where it lies.
    pub(crate) row_ids: Option<&'a RowIds>,
    /// Where it notes what it reads.
    pub(crate) reads: Option<&'a ReadSet>,
}

/// Which files of which version are read, what of them, and for what.
///
/// The version is resolved, and what its manifests say of the files is in it: whoever has the value
/// needs neither the log nor the manifests. It has no order: files overlap, and tables declare none.
#[derive(Debug)]
pub(super) struct VersionScan {
    pub(super) table: Arc<Table>,
    pub(super) store_url: ObjectStoreUrl,
    pub(super) snapshot: Arc<Snapshot>,
    /// Those that may hold rows which are asked for, as the version lists them.
    pub(super) files: Vec<ScanFile>,
    /// The places of the columns in the schema of the version; all of them where it is None.
    pub(super) projection: Option<Vec<usize>>,
    /// Conditions that the rows which matter meet; others may come as well.
    pub(super) filters: Vec<Expr>,
    /// So many rows are enough, whichever they are.
    pub(super) limit: Option<usize>,
    /// What the statement does above it.
    pub(super) above: Above,
    pub(super) left_out: LeftOut,
    /// Each row says where it lies.
    pub(super) has_row_ids: bool,
    /// Each row says what became of it.
    pub(super) has_changes: bool,
}

/// What of a version is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) files: usize,
    pub(super) rows: u64,
}

impl VersionScan {
    /// Reads all columns of `files`, and nothing is left out.
    pub(super) fn of_files(
        table: &Arc<Table>,
        store_url: &ObjectStoreUrl,
        snapshot: &Arc<Snapshot>,
        files: Vec<ScanFile>,
    ) -> Self {
        Self {
            table: Arc::clone(table),
            store_url: store_url.clone(),
            snapshot: Arc::clone(snapshot),
            files,
            projection: None,
            filters: Vec::new(),
            limit: None,
            above: Above::UNKNOWN,
            left_out: LeftOut { files: 0, rows: 0 },
            has_row_ids: false,
            has_changes: false,
        }
    }

    /// Decides which files are read, and reads their deletion vectors; `manifests` are those of
    /// `snapshot`.
    pub(super) async fn new(
        state: &dyn Session,
        table: &Arc<Table>,
        store_url: &ObjectStoreUrl,
        snapshot: &Arc<Snapshot>,
        manifests: &[Arc<Manifest>],
        request: Request<'_>,
    ) -> Result<Self> {
        let listed: Vec<Listed<'_>> = manifests
            .iter()
            .flat_map(|manifest| manifest.files.iter().map(|file| (manifest.as_ref(), file)))
            .collect();
        check_unique(table, snapshot, &listed)?;
        let (all, all_rows) = (listed.len(), count_rows(&listed));
        let numbers = request.row_ids.map(|_| Numbers::of(&listed));
        let pruner = Pruner::new(state, snapshot, request.filters)?.map(Arc::new);
        let mut listed = match &pruner {
            Some(pruner) => pruner.matching(listed),
            None => listed,
        };
        if let Some(reads) = request.reads {
            // What the statement changes says which rows count of those that it only finds.
            let only_finds = request.row_ids.is_some_and(RowIds::only_finds);
            let whole = listed.iter().filter(|_| !only_finds);
            let paths = whole.map(|(_, file)| file.path.as_str());
            let of = Version {
                table: Arc::clone(table),
                store_url: store_url.clone(),
                snapshot: Arc::clone(snapshot),
            };
            let scan = Scan {
                by_statistics: pruner,
                by_values: Selected::of(state, &snapshot.arrow, request.filters),
                finds: request.row_ids.is_some(),
            };
            reads.add(of, paths, scan);
        }
        if let (Some(row_ids), Some(numbers)) = (request.row_ids, &numbers) {
            listed = leave_out_whole(state, snapshot, row_ids, numbers, listed)?;
        }
        if request.filters.is_empty() {
            limit_files(&mut listed, request.limit);
        }
        Ok(Self {
            table: Arc::clone(table),
            store_url: store_url.clone(),
            snapshot: Arc::clone(snapshot),
            files: scan_files(table, snapshot, &listed, numbers.as_ref()).await?,
            projection: request.projection.cloned(),
            filters: request.filters.to_vec(),
            limit: request.limit,
            above: request.above,
            left_out: LeftOut {
                files: all - listed.len(),
                rows: all_rows - count_rows(&listed),
            },
            has_row_ids: request.row_ids.is_some(),
            has_changes: false,
        })
    }
}

/// What errors call a scan of `snapshot`.
pub(super) fn subject(table: &Table, snapshot: &Snapshot) -> Arc<str> {
    format!(
        "the scan of version {} of '{}'",
        snapshot.version,
        table.name()
    )
    .into()
}

/// Leaves out the files of which every row is asked for, and says which of them matter.
fn leave_out_whole<'a>(
    state: &dyn Session,
    snapshot: &Arc<Snapshot>,
    row_ids: &RowIds,
    numbers: &Numbers<'_>,
    listed: Vec<Listed<'a>>,
) -> Result<Vec<Listed<'a>>> {
    let whole = match row_ids.whole() {
        Some(condition) => whole(state, snapshot, condition, &listed)?,
        None => Vec::new(),
    };
    let numbered = |files: &[Listed<'_>]| {
        files
            .iter()
            .map(|(_, file)| numbers.of_file(file))
            .collect()
    };
    let found = Found {
        whole: numbered(&whole),
    };
    let left: HashSet<_> = whole.iter().map(|(_, file)| file.path.as_str()).collect();
    let rest = listed
        .iter()
        .filter(|(_, file)| !left.contains(file.path.as_str()));
    let rest = rest.copied().collect();
    row_ids.set_found(found);
    Ok(rest)
}

fn check_unique(table: &Table, snapshot: &Snapshot, files: &[Listed<'_>]) -> Result<()> {
    let mut seen = HashSet::with_capacity(files.len());
    match files
        .iter()
        .find(|(_, file)| !seen.insert(file.path.as_str()))
    {
        None => Ok(()),
        Some((_, file)) => Err(Error::damaged(format!(
            "version {} of '{}' lists data file {} twice",
            snapshot.version,
            table.name(),
            file.path
        ))
        .into()),
    }
}

/// Leaves the first files that together have `limit` rows.
fn limit_files(files: &mut Vec<Listed<'_>>, limit: Option<usize>) {
    let Some(limit) = limit.and_then(|limit| u64::try_from(limit).ok()) else {
        return;
    };
    let mut rows: u64 = 0;
    let enough = files.iter().position(|(_, file)| {
        rows = rows.saturating_add(live_rows(file));
        rows >= limit
    });
    if let Some(last) = enough {
        files.truncate(last + 1);
    }
}

fn count_rows(files: &[Listed<'_>]) -> u64 {
    files.iter().map(|(_, file)| live_rows(file)).sum()
}

/// The rows of a file that are rows of the table, as far as they are known.
fn live_rows(file: &FileEntry) -> u64 {
    file.live_rows().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use atio_core::format::stats::{Bound, ColumnStats, Value};
    use atio_core::format::{Checksum, Reads};
    use atio_core::log::{NewTable, OpenOptions, RowChange, Transaction};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::stats::Precision;
    use datafusion::datasource::listing::PartitionedFile;
    use datafusion::prelude::{SessionContext, col, lit};
    use object_store::memory::InMemory;

    use super::*;

    /// A table with a column `a`, and a file for each of these: its rows, and its least and greatest
    /// value. Nothing reads them.
    async fn table(files: &[(u64, i128, i128)]) -> Arc<Table> {
        let options = OpenOptions {
            single_writer: true,
            ..OpenOptions::default()
        };
        let store = Arc::new(InMemory::new());
        let location = "memory:///sales".to_owned();
        let table = Table::new(store, "sales".into(), location, None, options);
        let new = NewTable {
            schema: Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)])),
            options: Default::default(),
            commit: Default::default(),
        };
        table.create(&new).await.unwrap();
        let txn = Transaction::begin(&table);
        let mut entries = Vec::new();
        for (rows, min, max) in files {
            let bound = |value: &i128| {
                let value = Value::Int(*value);
                Some(Bound { value, cut: false })
            };
            entries.push(FileEntry {
                path: txn.data_file().await.unwrap(),
                format: "parquet".to_owned(),
                size: Some(100 * rows),
                rows: Some(*rows),
                checksum: Some(Checksum::of(b"")),
                stats: vec![ColumnStats {
                    nulls: Some(0),
                    min: bound(min),
                    max: bound(max),
                    nan: false,
                }],
                dv: None,
                column_bytes: Vec::new(),
            });
        }
        let base = table.newest().await.unwrap();
        let change = RowChange::append(base.schema.id, vec![1], entries);
        let table = Arc::new(table);
        let options = Default::default();
        let committed = table.commit(txn, base, change, Vec::new(), options).await;
        committed.unwrap();
        table
    }

    /// Marks rows of the file of so many rows as deleted.
    async fn mark(table: &Arc<Table>, of: u64, rows: impl Iterator<Item = u64>) {
        let txn = Transaction::begin(table);
        let base = table.newest().await.unwrap();
        let manifests = table.manifests(&base).await.unwrap();
        let mut files = manifests.iter().flat_map(|manifest| &manifest.files);
        let file = files.find(|file| file.rows == Some(of)).unwrap();
        let marks = BTreeMap::from([(file.path.clone(), rows.collect())]);
        let none = Manifest::new(base.schema.id, Vec::new(), Vec::new());
        let change = RowChange::delete(BTreeSet::new(), none, Reads::default()).marking(marks);
        let options = Default::default();
        let committed = table.commit(txn, base, change, Vec::new(), options).await;
        committed.unwrap();
    }

    async fn scan(table: &Arc<Table>, filters: &[Expr], limit: Option<usize>) -> VersionScan {
        let snapshot = table.newest().await.unwrap();
        let manifests = table.manifests(&snapshot).await.unwrap();
        let request = Request {
            projection: Some(&vec![0]),
            filters,
            limit,
            above: Above::UNKNOWN,
            row_ids: None,
            reads: None,
        };
        let state = SessionContext::new().state();
        let store_url = ObjectStoreUrl::parse("memory://").unwrap();
        let scan = VersionScan::new(&state, table, &store_url, &snapshot, &manifests, request);
        scan.await.unwrap()
    }

    /// What the engine is told of the files: sizes and rows.
    fn told(scan: VersionScan) -> Vec<(u64, Precision<usize>)> {
        let files = scan.files.into_iter().map(PartitionedFile::from);
        let told = files.map(|file| (file.object_meta.size, file.statistics.unwrap().num_rows));
        let mut told: Vec<_> = told.collect();
        told.sort_unstable_by_key(|(size, _)| *size);
        told
    }

    #[tokio::test]
    async fn a_scan_knows_its_version_and_the_size_and_rows_of_each_file() {
        let table = table(&[(10, 1, 9), (20, 11, 19)]).await;
        let scan = scan(&table, &[], None).await;
        assert_eq!(scan.snapshot.version.get(), 1);
        assert_eq!(
            subject(&scan.table, &scan.snapshot).as_ref(),
            "the scan of version 1 of 'sales'"
        );
        assert_eq!(scan.left_out, LeftOut { files: 0, rows: 0 });
        let exact = Precision::Exact;
        assert_eq!(told(scan), [(1000, exact(10)), (2000, exact(20))]);
    }

    #[tokio::test]
    async fn files_that_cannot_match_are_left_out_and_counted() {
        let table = table(&[(10, 1, 9), (20, 11, 19), (30, 21, 29)]).await;
        let filter = col("a").gt(lit(15_i64)).and(col("a").lt(lit(20_i64)));
        let scan = scan(&table, std::slice::from_ref(&filter), Some(1)).await;
        assert_eq!(scan.left_out, LeftOut { files: 2, rows: 40 });
        assert_eq!(
            (scan.filters.as_slice(), scan.limit),
            ([filter].as_slice(), Some(1))
        );
        assert_eq!(told(scan), [(2000, Precision::Exact(20))]);
    }

    /// With a filter nobody knows how many of the rows match.
    #[tokio::test]
    async fn a_limit_leaves_files_out_unless_there_is_a_filter() {
        let table = table(&[(10, 1, 9), (20, 1, 9), (30, 1, 9)]).await;
        for (limit, left) in [(1, 2), (10, 2), (11, 1), (30, 1), (31, 0), (1000, 0)] {
            let scan = scan(&table, &[], Some(limit)).await;
            assert_eq!(scan.left_out.files, left, "{limit}");
        }
        let filter = col("a").eq(lit(5_i64));
        let scan = scan(&table, &[filter], Some(1)).await;
        assert_eq!(scan.left_out.files, 0);
    }

    #[tokio::test]
    async fn marked_rows_are_no_rows_of_the_scan_and_bounds_may_be_those_of_marked_rows() {
        let table = table(&[(10, 1, 9), (20, 11, 19)]).await;
        mark(&table, 20, 0..15).await;
        let scan = scan(&table, &[], None).await;
        let exact = Precision::Exact;
        let mut marked = scan.files.iter().map(|file| &file.statistics);
        let marked = marked.find(|statistics| statistics.num_rows == exact(5));
        let column = &marked.unwrap().column_statistics[0];
        let of = |value: i64| Precision::Inexact(value.into());
        assert_eq!((&column.min_value, &column.max_value), (&of(11), &of(19)));
        // None of all is none of some.
        assert_eq!(column.null_count, exact(0));
        assert_eq!(column.byte_size, Precision::Inexact(5 * 8));
        assert_eq!(told(scan), [(1000, exact(10)), (2000, exact(5))]);
    }

    #[tokio::test]
    async fn files_are_left_out_by_the_rows_that_are_not_marked() {
        let table = table(&[(10, 1, 9), (20, 11, 19), (30, 21, 29)]).await;
        mark(&table, 30, 1..30).await;
        mark(&table, 20, 3..20).await;
        for (limit, left) in [(10, 2), (11, 1), (14, 0), (1000, 0)] {
            let scan = scan(&table, &[], Some(limit)).await;
            assert_eq!(scan.left_out.files, left, "{limit}");
        }
        // Bounds hold of fewer rows, too.
        let filter = col("a").lt(lit(10_i64));
        let scan = scan(&table, &[filter], None).await;
        assert_eq!(scan.left_out, LeftOut { files: 2, rows: 4 });
    }
}
