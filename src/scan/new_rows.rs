//! The rows that others added while a statement ran: whether it would have read one of them.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atio_core::format::Manifest;
use atio_core::log::DoesSelect;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{FutureExt, TryStreamExt};

use super::parquet_exec::parquet_exec;
use super::prune::Listed;
use super::read_set::{ReadSet, Version};
use super::scan_file::scan_files;
use super::source_keys::{Keys, SourceKeys};
use super::version_scan::VersionScan;
use super::wanted::Wanted;
use crate::error::{Error, Result as AtioResult, from_datafusion};

/// A statement reads no more bytes of what others added: the commits of its process wait meanwhile.
const MOST_BYTES: u64 = 64 << 20;

/// What a file counts for at least: a request takes as long as some bytes.
const FEWEST_BYTES: u64 = 256 << 10;

/// Tells whether a row that others added would have been read by a statement, too, of which these are
/// the `reads`, once it has run in `context`; None where any would.
///
/// For `merged` see [`ReadSet::wanted`].
pub(crate) fn does_select(
    reads: &ReadSet,
    context: &Arc<TaskContext>,
    merged: Option<(&Keys, &Arc<SourceKeys>)>,
) -> Option<DoesSelect> {
    let (of, wanted) = reads.wanted(merged)?;
    let this = Arc::new((of, Arc::clone(context), wanted, AtomicU64::new(MOST_BYTES)));
    Some(DoesSelect::new(move |files| {
        let this = Arc::clone(&this);
        Box::pin(async move {
            let (of, context, wanted, left) = &*this;
            let asked = AssertUnwindSafe(have_one(of, context, wanted, left, &files));
            // The commit would end with it, and nobody knew how.
            let asked = asked.catch_unwind().await;
            let what = "cannot read rows that others added";
            let panicked = || Err(Error::invalid(format!("{what}: the condition panicked")));
            asked.unwrap_or_else(|_| panicked())
        })
    }))
}

async fn have_one(
    of: &Version,
    context: &Arc<TaskContext>,
    wanted: &[Wanted],
    left: &AtomicU64,
    manifests: &[Manifest],
) -> AtioResult<bool> {
    let files = manifests.iter().flat_map(|manifest| &manifest.files);
    let bytes = files.map(|file| Ok(file.bytes()?.max(FEWEST_BYTES)));
    let bytes = bytes.sum::<AtioResult<u64>>()?;
    let of_schema = |manifest: &Manifest| manifest.schema == of.snapshot.schema.id;
    let enough = |left: u64| left.checked_sub(bytes);
    let are_few = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough);
    if are_few.is_err() || !manifests.iter().all(of_schema) {
        return Ok(true);
    }
    let found = find_one(of, context, wanted, manifests).await;
    found.map_err(|error| from_datafusion("cannot read rows that others added", error))
}

async fn find_one(
    of: &Version,
    context: &Arc<TaskContext>,
    wanted: &[Wanted],
    manifests: &[Manifest],
) -> Result<bool> {
    let schema = &of.snapshot.arrow;
    let columns = wanted.iter().map(|wanted| wanted.columns(schema));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let columns: BTreeSet<_> = columns.into_iter().flatten().collect();
    if columns.is_empty() {
        return Ok(true);
    }
    let plan = scan(of, context, manifests, columns).await?;
    let schema = plan.schema();
    let wanted = wanted.iter().map(|wanted| wanted.over(&schema));
    let wanted = wanted.collect::<Result<Vec<_>>>()?;
    for partition in 0..plan.output_partitioning().partition_count() {
        let mut rows = plan.execute(partition, Arc::clone(context))?;
        while let Some(rows) = rows.try_next().await? {
            for wanted in &wanted {
                if wanted.has_one(&rows)? {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// The plan that reads all rows of the files, with these columns.
async fn scan(
    of: &Version,
    context: &Arc<TaskContext>,
    manifests: &[Manifest],
    columns: BTreeSet<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let listed = manifests
        .iter()
        .flat_map(|manifest| manifest.files.iter().map(move |file| (manifest, file)));
    let listed: Vec<Listed<'_>> = listed.collect();
    let files = scan_files(&of.table, &of.snapshot, &listed, None).await?;
    let scan = VersionScan {
        projection: Some(columns.into_iter().collect()),
        ..VersionScan::of_files(&of.table, &of.store_url, &of.snapshot, files)
    };
    parquet_exec(context.session_config(), &context.runtime_env(), scan)
}

#[cfg(test)]
mod tests {
    use atio_core::format::FileEntry;
    use atio_core::log::{NewTable, OpenOptions, Table, Transaction};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::logical_expr::{col, lit};
    use datafusion::prelude::SessionContext;
    use object_store::memory::InMemory;

    use super::*;
    use crate::scan::{Above, Request, plan};

    /// What a scan with a condition that found nothing says of a file with so many bytes, which is not
    /// there, and of a schema that is or is not that of the table: the last of so many answers.
    async fn asked(bytes: u64, same_schema: bool, times: usize) -> AtioResult<bool> {
        let filter = col("a").gt(lit(5_i64));
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
        table.create(&new).await?;
        let snapshot = table.newest().await?;
        let table = Arc::new(table);
        let reads = ReadSet::default();
        let request = Request {
            projection: None,
            filters: std::slice::from_ref(&filter),
            limit: None,
            above: Above::UNKNOWN,
            row_ids: None,
            reads: Some(&reads),
        };
        let session = SessionContext::new();
        let store_url = ObjectStoreUrl::parse("memory://").unwrap();
        let state = session.state();
        let scan = plan(&state, &table, &store_url, &snapshot, request);
        scan.await.unwrap();
        let file = FileEntry {
            path: Transaction::begin(&table).data_file().await?,
            format: "parquet".to_owned(),
            size: Some(bytes),
            rows: Some(1),
            checksum: None,
            stats: Vec::new(),
            dv: None,
            column_bytes: Vec::new(),
        };
        let schema = snapshot.schema.id + u32::from(!same_schema);
        let files = vec![Manifest::new(schema, Vec::new(), vec![file])];
        let question = does_select(&reads, &session.task_ctx(), None);
        let question = question.expect("a scan with a condition");
        let mut answer = Ok(true);
        for _ in 0..times {
            answer = question.ask(files.clone()).await;
        }
        answer
    }

    #[tokio::test]
    async fn files_are_not_read_that_are_large_or_many_or_have_other_columns() {
        assert!(asked(MOST_BYTES + 1, true, 1).await.unwrap());
        assert!(asked(1, false, 1).await.unwrap());
        asked(MOST_BYTES, true, 1).await.unwrap_err();
        // All that one statement asks for count together.
        asked(MOST_BYTES / 2, true, 2).await.unwrap_err();
        assert!(asked(MOST_BYTES / 2, true, 3).await.unwrap());
        asked(1, true, 256).await.unwrap_err();
        assert!(asked(1, true, 257).await.unwrap());
    }
}
