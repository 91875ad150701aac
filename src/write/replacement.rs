//! The end of a statement that changes rows: those that go are marked, or what is left of their files is
//! written anew, and all of it becomes one version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atio_core::format::{DeletionVector, FileEntry, Manifest};
use atio_core::log::{CommitOptions, Committed, RowChange, StagedMerge, Table, stats_columns};
use datafusion::common::Result;
use datafusion::common::runtime::JoinSet;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::change::{Change, Changed, Verb};
use super::feed::Feed;
use super::job::Job;
use super::moved::Moved;
use super::outcome::Counts;
use super::positions::Positions;
use super::target::WriteTarget;
use super::version_writer::VersionWriter;
use crate::error::Error;
use crate::scan::{RowsLeft, SourceKeys, rows_left};

/// Files of so many rows are written anew together, for each of which a bit says whether it stays.
const ROWS_AT_ONCE: usize = 1 << 27;

/// What the rest of files is written from and for.
struct Rest<'a> {
    job: &'a Job,
    store_url: &'a ObjectStoreUrl,
    manifests: &'a [Arc<Manifest>],
}

/// What a statement changes, with the files that it wrote.
struct StagedReplacement {
    removes: BTreeSet<String>,
    /// Rows of files that it does not remove.
    marks: BTreeMap<String, DeletionVector>,
    adds: Vec<FileEntry>,
    merges: Vec<StagedMerge>,
    counts: Counts,
    /// Which rows these are, where the statement has checks.
    moved: Option<Moved>,
}

impl VersionWriter {
    /// Commits what a statement changes, whose new rows are in `files`; gives how many rows it
    /// changed. Where that is none it makes no version.
    pub(super) async fn replace(
        &self,
        (change, changed, keys): (&Change, &Changed, &Arc<SourceKeys>),
        job: &Job,
        files: SendableRecordBatchStream,
        options: CommitOptions,
    ) -> Result<u64> {
        let base = &self.target.base;
        let truncates = change.verb == Verb::Truncate;
        let staged = match truncates {
            true => self.stage_truncation(job, files).await,
            false => {
                let checked = !options.checks.is_empty();
                let staged = self.stage_replacement((change, changed), job, files, checked);
                staged.await
            }
        };
        let staged = self.or_abort(job, base, staged).await?;
        let StagedReplacement {
            removes,
            marks,
            adds,
            merges,
            counts,
            moved,
        } = staged;
        let changes = match truncates {
            // It lets loads begin anew, too.
            true => base.totals().files > 0 || Table::has_loads(&base.state),
            false => !removes.is_empty() || !marks.is_empty() || !adds.is_empty(),
        };
        if !changes {
            job.txn().abort().await;
            return Ok(0);
        }
        job.writing().staged(&adds);
        let (ids, _) = stats_columns(&base.schema, &base.arrow);
        let adds = Manifest::new(base.schema.id, ids, adds);
        let session = job.writing().context.session_config();
        // Without them nobody knows what the statement would have read, so any row that comes counts.
        let reads = self.target.reads(session).unwrap_or_default();
        let row_change = match change.verb {
            Verb::Delete => RowChange::delete(removes, adds, reads),
            Verb::Update => RowChange::update(removes, adds, reads),
            Verb::Merge => RowChange::merge(removes, adds, reads),
            Verb::Truncate => RowChange::truncate(),
        };
        let merged = change.merged.as_ref().map(|merged| (merged, keys));
        let does_select = self.target.does_select(&job.writing().context, merged);
        let row_change = row_change.marking(marks).asking(does_select);
        let row_change = (row_change, moved);
        let committed = self.commit_change(job, row_change, merges, options).await?;
        Ok(counted(job, &committed, counts))
    }

    async fn stage_truncation(
        &self,
        job: &Job,
        files: SendableRecordBatchStream,
    ) -> Result<StagedReplacement> {
        // None come: the partitions end, as they have to.
        let adds = self.gather_rows(job, files).await?;
        Ok(StagedReplacement {
            removes: BTreeSet::new(),
            marks: BTreeMap::new(),
            adds,
            merges: Vec::new(),
            counts: Counts {
                deleted: self.target.base.totals().rows,
                ..Counts::default()
            },
            moved: None,
        })
    }

    async fn stage_replacement(
        &self,
        (change, changed): (&Change, &Changed),
        job: &Job,
        files: SendableRecordBatchStream,
        checked: bool,
    ) -> Result<StagedReplacement> {
        let WriteTarget { table, base, .. } = &self.target;
        let (mut adds, merges) = self.gather_files(job, files).await?;
        let manifests = table.manifests(base).await?;
        let listed: Vec<_> = manifests
            .iter()
            .flat_map(|manifest| &manifest.files)
            .collect();
        let of_number = |number: u32| {
            let file = usize::try_from(number).ok().and_then(|at| listed.get(at));
            file.copied().ok_or_else(|| {
                Error::damaged(format!(
                    "version {} of '{}' has no data file of number {number}",
                    base.version,
                    table.name()
                ))
            })
        };
        let (mut gone, merged) = changed.take();
        let mode = self
            .target
            .delete_mode(job.writing().context.session_config());
        let (mut removes, mut marks) = (BTreeSet::new(), BTreeMap::new());
        let mut counts = match change.verb {
            Verb::Update => Counts {
                updated: gone.count(),
                ..Counts::default()
            },
            Verb::Delete | Verb::Truncate => Counts {
                deleted: gone.count(),
                ..Counts::default()
            },
            Verb::Merge => merged,
        };
        check_rows(counts.inserted + counts.updated, &adds)?;
        let mut moved = checked.then(|| Moved::coming(&adds));
        for number in &change.whole {
            let file = of_number(*number)?;
            counts.deleted += file.live_rows()?;
            if let Some(moved) = &mut moved {
                moved.goes(file);
            }
            removes.insert(file.path.clone());
        }
        let rest = Rest {
            job,
            store_url: &change.store_url,
            manifests: &manifests,
        };
        let (mut left, mut rows) = (Vec::new(), 0);
        let loses: Vec<_> = gone.files().collect();
        for (number, count) in loses {
            let file = of_number(number)?;
            let some_stay = count < file.live_rows()?;
            match (&mut moved, some_stay) {
                (Some(moved), true) => moved.loses(file, number, rows_of(file)?),
                (Some(moved), false) => moved.goes(file),
                (None, _) => {}
            }
            if some_stay && mode.marks(file.marked_rows() + count, file.stored_rows()?) {
                let marked = match checked {
                    true => gone.vector(number),
                    false => gone.take(number),
                };
                marks.insert(file.path.clone(), marked);
                continue;
            }
            removes.insert(file.path.clone());
            if !some_stay {
                continue;
            }
            let of_file = what_is_left(&gone, number, count, file)?;
            rows += of_file.of.rows.len();
            left.push(of_file);
            if rows >= ROWS_AT_ONCE {
                adds.extend(self.rewrite(&rest, std::mem::take(&mut left)).await?);
                rows = 0;
            }
        }
        if !left.is_empty() {
            adds.extend(self.rewrite(&rest, left).await?);
        }
        if let Some(moved) = &mut moved {
            moved.gone = gone;
        }
        Ok(StagedReplacement {
            removes,
            marks,
            adds,
            merges,
            counts,
            moved,
        })
    }

    /// Writes the rows that are `left` into new files, in several partitions side by side.
    async fn rewrite(&self, rest: &Rest<'_>, left: Vec<Left>) -> Result<Vec<FileEntry>> {
        let kept = left.iter().map(|file| file.count).sum();
        let left = left.into_iter().map(|file| file.of).collect();
        let WriteTarget { table, base, .. } = &self.target;
        let context = &rest.job.writing().context;
        let plan = rows_left(context, table, rest.store_url, base, rest.manifests, left).await?;
        let written = self.write_all(rest.job, plan).await?;
        check_rows(kept, &written)?;
        Ok(written)
    }

    /// Writes the rows of all partitions of `plan`, side by side.
    async fn write_all(&self, job: &Job, plan: Arc<dyn ExecutionPlan>) -> Result<Vec<FileEntry>> {
        let partitions = plan.output_partitioning().partition_count();
        let (txn, base) = (Arc::clone(job.txn()), &self.target.base);
        let rest = Arc::new(self.begin(txn, base, job.writing(), partitions)?);
        let mut tasks = JoinSet::new();
        for partition in 0..partitions {
            let (rest, plan) = (Arc::clone(&rest), Arc::clone(&plan));
            let context = Arc::clone(&job.writing().context);
            tasks.spawn(async move {
                let rows = plan.execute(partition, context)?;
                let mut feed = Feed::new(rest.schema(), rows, None);
                rest.write_stream(partition, partitions, &mut feed).await
            });
        }
        let written = async {
            let mut files = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                let ended = ended.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)));
                files.extend(ended??);
            }
            rest.check_ended(&files)?;
            Ok(files)
        };
        let written = written.await;
        if written.is_err() {
            tasks.shutdown().await;
            rest.ended().await;
        }
        written
    }
}

/// How many rows the statement changed, where its version was not there before.
fn counted(job: &Job, committed: &Committed, counts: Counts) -> u64 {
    match committed {
        Committed::As(version) => {
            job.writing().committed(*version);
            job.writing().changed(counts);
            counts.sum()
        }
        Committed::Before(_) => 0,
    }
}

/// Fails unless `files` have as many rows as were to be written: a row that is lost on the way must
/// not be committed.
fn check_rows(expected: u64, files: &[FileEntry]) -> Result<()> {
    let written: u64 = files.iter().filter_map(|file| file.rows).sum();
    match written == expected {
        true => Ok(()),
        false => Err(Error::damaged(format!(
            "{expected} rows were to be written and {written} were: nothing was committed"
        ))
        .into()),
    }
}

/// What is written anew of a file.
struct Left {
    of: RowsLeft,
    /// How many rows that is.
    count: u64,
}

/// What stays of `file`, which loses `count` rows.
fn what_is_left(gone: &Positions, number: u32, count: u64, file: &FileEntry) -> Result<Left> {
    let of = rows_of(file)?;
    let rows = gone.others(number, of);
    if Some(rows.count_set_bits() as u64) != (of as u64).checked_sub(count) {
        return Err(Error::damaged(format!(
            "data file {} has {of} rows, and a row beyond them",
            file.path
        ))
        .into());
    }
    Ok(Left {
        of: RowsLeft {
            path: file.path.clone(),
            rows,
        },
        count: file.live_rows()?.saturating_sub(count),
    })
}

/// How many rows are in `file`.
fn rows_of(file: &FileEntry) -> Result<usize> {
    let rows = usize::try_from(file.stored_rows()?);
    rows.map_err(|_| Error::damaged("a data file has too many rows").into())
}
