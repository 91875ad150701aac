//! Compaction: data files are read and written anew, so that there are fewer of them, or others that
//! are better to read. The rows stay the same.
//!
//! Groups of files are committed one after the other, each as a version of its own: what is done stays
//! done, whatever becomes of the rest. A group whose files another statement changes first gives way.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use atio_core::format::{FileEntry, Manifest, Version};
use atio_core::log::{CommitOptions, RowChange, Snapshot, Table, Transaction, stats_columns};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::compacted::{CompactOutcome, CompactedGroup};
use super::feed::{ChunkLimit, Feed};
use super::file_groups::{self, FileGroup};
use super::job::Job;
use super::options::TableOptions;
use super::target::WriteTarget;
use super::version_writer::VersionWriter;
use super::writing::Writing;
use crate::error::{self, Error, ErrorKind, Result as AtioResult};
use crate::fair_memory::shared_with_a_sort;
use crate::scan::{may_hold, some_files};

/// So often files are chosen where groups give way.
const ROUNDS: usize = 3;

/// What is to be compacted, and how.
#[derive(Debug, Clone)]
pub(crate) struct Compaction {
    pub(crate) table: Arc<Table>,
    /// Where the data files are.
    pub(crate) store_url: ObjectStoreUrl,
    /// The columns that the table had when this was planned.
    pub(crate) columns: SchemaRef,
    /// So many bytes a file is to have; as the table's options say where it is None.
    pub(crate) target_file_size: Option<u64>,
    /// Files that hold no row which meets this condition over the columns are left.
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    /// The order of the rows; as they come where it is None.
    pub(crate) order: Option<LexOrdering>,
}

/// The groups of files of one version, and how they are written.
struct Groups {
    planned_on: Arc<Snapshot>,
    options: TableOptions,
    groups: Vec<FileGroup>,
}

impl Compaction {
    /// The groups that would be compacted now.
    pub(crate) async fn plan(&self) -> AtioResult<Vec<CompactedGroup>> {
        let groups = self.choose().await?.groups;
        let planned = groups.iter();
        let planned = planned.map(|group| CompactedGroup::new(group, CompactOutcome::Planned));
        Ok(planned.collect())
    }

    /// Compacts one group after the other; each version carries `options`. Files of groups that gave way
    /// are chosen anew, for a few rounds: a group that is lost is work that was in vain, and where
    /// others never stop one has to.
    pub(crate) async fn run(
        &self,
        options: CommitOptions,
        context: &Arc<TaskContext>,
    ) -> AtioResult<Vec<CompactedGroup>> {
        check_options(&options)?;
        let (mut done, mut gave_way) = (Vec::new(), Vec::new());
        let mut first: Option<Arc<Snapshot>> = None;
        for round in 0..ROUNDS {
            let chosen = match self.choose().await {
                Ok(chosen) => chosen,
                // To that the groups gave way.
                Err(error) if round > 0 && error.kind() == ErrorKind::SchemaChanged => break,
                Err(error) => return Err(self.stopped(error, &done)),
            };
            let first = first.get_or_insert_with(|| Arc::clone(&chosen.planned_on));
            if chosen.planned_on.table != first.table && first.python.is_none() {
                // Another table is in its place now.
                break;
            }
            gave_way = match self.round(&chosen, &options, context, &mut done).await {
                Ok(gave_way) => gave_way,
                Err(error) => return Err(self.stopped(error, &done)),
            };
            if gave_way.is_empty() {
                break;
            }
        }
        done.append(&mut gave_way);
        Ok(done)
    }

    /// Compacts the groups that are chosen into `done`; gives those that gave way.
    async fn round(
        &self,
        chosen: &Groups,
        options: &CommitOptions,
        context: &Arc<TaskContext>,
        done: &mut Vec<CompactedGroup>,
    ) -> AtioResult<Vec<CompactedGroup>> {
        let rows = chosen.groups.iter().map(|group| group.rows).sum();
        let metrics = ExecutionPlanMetricsSet::new();
        let writing = Writing::begin(context, self.table.name(), Some(rows), &metrics);
        let writing = Arc::new(writing);
        let mut gave_way = Vec::new();
        // The newest version of which it is known that it has all files of the groups that are left.
        let mut seen = chosen.planned_on.version;
        for (at, group) in chosen.groups.iter().enumerate() {
            // To write a group takes its time, so it is worth a look before the next.
            let base = match at {
                0 => Arc::clone(&chosen.planned_on),
                _ => self.table.newest().await?,
            };
            let on = (base, &mut seen);
            let compacted = self.compact(chosen, group, on, options.clone(), &writing);
            let compacted = compacted.await?;
            match compacted.outcome {
                CompactOutcome::GaveWay(_) => gave_way.push(compacted),
                _ => done.push(compacted),
            }
        }
        Ok(gave_way)
    }

    async fn choose(&self) -> AtioResult<Groups> {
        let table = &self.table;
        let newest = table.newest().await?;
        table.check_writable(&newest)?;
        if newest.arrow.fields() != self.columns.fields() {
            return Err(Error::new(
                ErrorKind::SchemaChanged,
                format!(
                    "the schema of '{}' was changed after this compaction was planned: run it again",
                    table.name()
                ),
            ));
        }
        let mut options = TableOptions::of_table(&newest.state.options)?;
        let target = self.target_file_size.unwrap_or(options.target_file_size);
        let manifests = table.manifests(&newest).await?;
        let files = match &self.filter {
            Some(filter) => may_hold(&newest, filter, &manifests),
            None => manifests
                .iter()
                .flat_map(|manifest| &manifest.files)
                .collect(),
        };
        let groups = match &self.order {
            Some(_) => file_groups::together(&files, target)?,
            None => file_groups::unfit(&files, target)?,
        };
        // Files end by their rows; this is for those of which a few rows have most of the bytes.
        options.target_file_size = target.saturating_mul(2);
        Ok(Groups {
            planned_on: newest,
            options,
            groups,
        })
    }

    async fn compact(
        &self,
        chosen: &Groups,
        group: &FileGroup,
        (base, seen): (Arc<Snapshot>, &mut Version),
        options: CommitOptions,
        writing: &Arc<Writing>,
    ) -> AtioResult<CompactedGroup> {
        let (table, planned_on) = (&self.table, &chosen.planned_on);
        if base.table != planned_on.table && planned_on.python.is_none() {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "'{}' was dropped and created again while it was compacted: run it again",
                    table.name()
                ),
            ));
        }
        let gives_way = |to| CompactedGroup::new(group, CompactOutcome::GaveWay(to));
        if base.version != *seen && !self.has(&base, group, planned_on).await? {
            let winner = self.winner(group, planned_on).await;
            let others = || "another statement: its files were changed".to_owned();
            return Ok(gives_way(winner.unwrap_or_else(others)));
        }
        let compacted = self.write(chosen, group, &base, options, writing).await;
        let error = match compacted {
            Ok((files, version)) => {
                // Of a base that others made it is known of this group alone.
                if base.version == *seen && version == base.version.next()? {
                    *seen = version;
                }
                return Ok(CompactedGroup::committed(group, &files, version));
            }
            Err(error) => error,
        };
        let kind = error::kind_below(&error);
        match kind {
            ErrorKind::Conflict | ErrorKind::Revoked | ErrorKind::VersionExpired => {
                let winner = self.winner(group, &base).await;
                Ok(gives_way(winner.unwrap_or_else(|| {
                    let error = error::from_datafusion("its files were changed", error);
                    // What is to be done is not said of a group: the others go on.
                    let said = error.message().split("; nothing was written").next();
                    format!("another statement: {}", said.unwrap_or_default())
                })))
            }
            _ => {
                let what = format!("cannot compact '{}'", table.name());
                Err(error::of_datafusion_in(&what, error))
            }
        }
    }

    /// Writes the rows of a group into other files, and commits them on `base`.
    async fn write(
        &self,
        chosen: &Groups,
        group: &FileGroup,
        base: &Arc<Snapshot>,
        options: CommitOptions,
        writing: &Arc<Writing>,
    ) -> Result<(Vec<FileEntry>, Version)> {
        let table = &self.table;
        let target = WriteTarget {
            options: chosen.options.clone(),
            ..WriteTarget::appending(table, Arc::clone(base), Some(group.rows))?
        };
        let writer = VersionWriter::new(target)?;
        let job = writer.begin(Transaction::begin(table), base, writing, 1)?;
        let paths = group.files.iter().map(|file| file.path.clone());
        let paths: BTreeSet<_> = paths.collect();
        let write = self.write_files(&job, group, base, &paths);
        let written = writer.beside_merges(&job, base, write).await;
        let (files, merges) = writer.or_abort(&job, base, written).await?;
        writing.staged(&files);
        let (ids, _) = stats_columns(&base.schema, &base.arrow);
        let adds = Manifest::new(base.schema.id, ids, files.clone());
        let change = RowChange::compact(paths, adds);
        let committed = writer.commit_change(&job, (change, None), merges, options);
        Ok((files, committed.await?.version()))
    }

    async fn write_files(
        &self,
        job: &Job,
        group: &FileGroup,
        base: &Arc<Snapshot>,
        paths: &BTreeSet<String>,
    ) -> Result<Vec<FileEntry>> {
        let context = &job.writing().context;
        let streams = match self.order {
            // Rows that lie beside each other in a file stay so.
            None => 1,
            Some(_) => context.session_config().target_partitions(),
        };
        let (table, url) = (&self.table, &self.store_url);
        let rows = some_files(context, table, url, base, paths, streams).await?;
        let rows = match &self.order {
            None => rows.execute(0, Arc::clone(context))?,
            Some(order) => {
                let all = Arc::new(CoalescePartitionsExec::new(rows));
                let sorted = SortExec::new(order.clone(), all);
                sorted.execute(0, shared_with_a_sort(context, 1)?)?
            }
        };
        let timer = job.writing().write_time(0);
        let _timer = timer.timer();
        let mut feed = Feed::new(job.schema(), rows, None);
        let mut files = Vec::new();
        while feed.has_more().await {
            feed.begin_chunk(ChunkLimit {
                rows: Some(group.rows_per_file()),
                bytes: None,
            });
            files.extend(job.write(&mut feed).await?);
        }
        check_rows(group, &files)?;
        Ok(files)
    }

    /// True if `base` lists each file of `group` as `planned_on` did.
    async fn has(
        &self,
        base: &Arc<Snapshot>,
        group: &FileGroup,
        planned_on: &Snapshot,
    ) -> AtioResult<bool> {
        if base.schema.id != planned_on.schema.id {
            return Ok(false);
        }
        let manifests = self.table.manifests(base).await?;
        Ok(lists_all(&manifests, group))
    }

    /// The first version above `since` that does not list all files of `group` any more, for messages;
    /// None where it is not known. One that has expired already is taken for it if it removed files.
    async fn winner(&self, group: &FileGroup, since: &Snapshot) -> Option<String> {
        let newest = self.table.newest().await.ok()?.version.get();
        let above = newest.checked_sub(since.version.get())?;
        for entry in self.table.last_versions(above).await.ok()? {
            if entry.version <= since.version {
                continue;
            }
            let removes = entry.removed.is_none_or(|removed| removed.files > 0);
            let changed = match self.table.version(entry.version).await {
                Ok(snapshot) if !removes && snapshot.schema.id == since.schema.id => false,
                Ok(snapshot) => !self.has(&snapshot, group, since).await.unwrap_or(!removes),
                Err(_) => removes,
            };
            if changed {
                return Some(format!(
                    "version {}: its files were changed ({})",
                    entry.version,
                    entry.operation.escape_debug()
                ));
            }
        }
        None
    }

    /// The error of a compaction that has `done` some groups.
    fn stopped(&self, error: Error, done: &[CompactedGroup]) -> Error {
        let versions: Vec<_> = done.iter().filter_map(|group| group.version).collect();
        match (versions.len(), versions.last()) {
            (_, None) => error,
            (groups, Some(last)) => error.context(format!(
                "{groups} group(s) of files of '{}' were compacted, the last one in version {last}, and then it stopped: run it again for the rest",
                self.table.name()
            )),
        }
    }
}

/// Fails if `options` ask for what a compaction cannot do. It commits several versions, none of which
/// has other rows than the one before.
fn check_options(options: &CommitOptions) -> AtioResult<()> {
    options.check()?;
    options.check_no_query("a compaction")?;
    options.check_no_checks("a compaction")?;
    if options.has_chunks() {
        return Err(Error::invalid(
            "a compaction commits each group of files by itself: atio.commit_every_rows and atio.commit_every_bytes are for INSERT INTO; nothing was written",
        ));
    }
    match options.idempotency_key {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            "a compaction needs no idempotency key: run again, it leaves what is compacted already; nothing was written",
        )),
    }
}

/// True if the files of `group` are listed as they were.
fn lists_all(manifests: &[Arc<Manifest>], group: &FileGroup) -> bool {
    let wanted: HashSet<_> = group.files.iter().map(FileEntry::id).collect();
    let files = manifests.iter().flat_map(|manifest| &manifest.files);
    files.filter(|file| wanted.contains(&file.id())).count() == wanted.len()
}

/// Fails unless `files` have the rows of `group`: a row that is lost on the way must not be committed.
fn check_rows(group: &FileGroup, files: &[FileEntry]) -> AtioResult<()> {
    let written: u64 = files.iter().filter_map(|file| file.rows).sum();
    match written == group.rows {
        true => Ok(()),
        false => Err(Error::damaged(format!(
            "the files to be compacted have {} rows, as their manifests say, and {written} were read: nothing of them was committed",
            group.rows
        ))),
    }
}
