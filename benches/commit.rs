//! What a commit costs while the history grows.
//!
//! One table on the local disk gets 10,000 versions by one-row appends (`INSERT INTO t VALUES (..)`,
//! ten columns). Two questions are answered:
//!
//! 1. How long does an append take when the table has 1, 100, 1,000 and 10,000 versions? Criterion
//!    samples at those points, on the same table; every append is timed, so the table at the end
//!    looks at up to 100 of them from each point on. Beside it stands what one small file costs on
//!    the same disk, with and without fsync. Commits to a local disk are not fsynced (see the design
//!    document), so only the file without fsync is a fair base for a ratio.
//! 2. How many bytes of metadata does a commit write? On average, at p99 and at worst, with and
//!    without the merged manifests that are staged beside the data.
//!
//! `ATIO_BENCH_VERSIONS` sets the length of the history. Without `--bench` (as in
//! `cargo test --benches`) only a few versions are made, to see that the benchmark works.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod metadata;
mod report;

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, io};

use criterion::{Criterion, SamplingMode};
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;

use metadata::{CommitBytes, MetadataBytes};
use report::{median, milliseconds, print_table, quantile, ratio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CREATE: &str = "id BIGINT, at TIMESTAMP, day DATE, store VARCHAR, item VARCHAR, \
                      quantity INT, price DECIMAL(12, 2), discount DOUBLE, paid BOOLEAN, note VARCHAR";

fn main() -> Result<()> {
    let measured = env::args().any(|argument| argument == "--bench");
    let longest = match env::var("ATIO_BENCH_VERSIONS") {
        Ok(text) => text.parse()?,
        Err(_) if measured => 10_000,
        Err(_) => 10,
    };
    let mut criterion = Criterion::default().configure_from_args();
    let mut first = History::create()?; // what the process does for the first time is not measured
    first.grow_to(10)?;
    let usual = median(&first.appends);

    let mut history = History::create()?;
    let mut points = Vec::new();
    for versions in [1, 100, 1_000, 10_000] {
        if versions <= longest {
            history.grow_to(versions)?;
            points.extend(measure_appends(&mut criterion, &mut history, usual)?);
        }
    }
    history.grow_to(longest)?;
    criterion.final_summary();
    report_latency(&history, &points);
    report_metadata(&history)
}

/// What one small file cost when the table had `versions` versions.
struct Point {
    versions: usize,
    file: Duration,
    synced_file: Duration,
}

/// A table whose every version is one appended row.
struct History {
    directory: tempfile::TempDir,
    runtime: Runtime,
    ctx: SessionContext,
    /// How long each append took, in the order of the versions: `[0]` made version 1.
    appends: Vec<Duration>,
}

impl History {
    fn create() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let runtime = Runtime::new()?;
        let ctx = SessionContext::new();
        atio::register(&ctx)?;
        let location = directory.path().join("t");
        let create = format!(
            "CREATE EXTERNAL TABLE t ({CREATE}) STORED AS ATIO LOCATION '{}'",
            location.display()
        );
        runtime.block_on(async { ctx.sql(&create).await?.collect().await })?;
        Ok(Self {
            directory,
            runtime,
            ctx,
            appends: Vec::new(),
        })
    }

    fn versions(&self) -> usize {
        self.appends.len()
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("t")
    }

    /// Appends one row and returns how long that took.
    fn append(&mut self) -> Result<Duration> {
        let n = self.versions();
        let insert = format!(
            "INSERT INTO t VALUES ({n}, TIMESTAMP '2026-01-01T00:00:00' + INTERVAL '{n} seconds', \
             DATE '2026-01-01' + INTERVAL '{} days', 'store {}', 'item {}', {}, {}.99, {}, {}, 'note {n}')",
            n / 100,
            n % 10,
            n % 1_000,
            n % 7,
            n % 500,
            (n % 4) as f64 / 4.0,
            n.is_multiple_of(3),
        );
        let start = Instant::now();
        self.runtime
            .block_on(async { self.ctx.sql(&insert).await?.collect().await })?;
        let took = start.elapsed();
        self.appends.push(took);
        Ok(took)
    }

    fn grow_to(&mut self, versions: usize) -> Result<()> {
        let start = Instant::now();
        let before = self.versions();
        while self.versions() < versions {
            self.append()?;
        }
        let grown = self.versions() - before;
        println!(
            "{grown} versions made in {:.1} s",
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

/// Lets criterion sample appends to the table as it is.
///
/// A few appends a sample and as few samples as criterion and the length of the history allow:
/// each append is a version too, and must not move the table far from the point that is measured.
/// Returns nothing if the command line filters this point out.
fn measure_appends(
    criterion: &mut Criterion,
    history: &mut History,
    usual: Duration,
) -> Result<Option<Point>> {
    let versions = history.versions();
    let samples = (versions / 20).clamp(10, 100);
    let directory = history.directory.path();
    let files = (0..100).map(|at| small_file(directory, &format!("a{at}"), false));
    let files = files.collect::<io::Result<Vec<_>>>()?;
    let synced_files = (0..20).map(|at| small_file(directory, &format!("b{at}"), true));
    let synced_files = synced_files.collect::<io::Result<Vec<_>>>()?;
    let mut failed = None;
    let mut group = criterion.benchmark_group("append");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(samples)
        .warm_up_time(Duration::from_nanos(1))
        .measurement_time(usual.mul_f64(2.5 * samples as f64));
    group.bench_function(format!("{versions} versions"), |bencher| {
        bencher.iter_custom(|iterations| {
            let appends = (0..iterations).map(|_| history.append());
            appends.sum::<Result<Duration>>().unwrap_or_else(|error| {
                failed.get_or_insert(error);
                Duration::from_secs(1)
            })
        });
    });
    group.finish();
    if let Some(error) = failed {
        return Err(error);
    }
    let point = Point {
        versions,
        file: median(&files),
        synced_file: median(&synced_files),
    };
    Ok((history.versions() > versions).then_some(point))
}

/// Writes one file of 1 KiB aside, gives it the name `name`, and returns how long that took.
fn small_file(directory: &Path, name: &str, synced: bool) -> io::Result<Duration> {
    let (staged, published) = (directory.join("staged"), directory.join(name));
    let start = Instant::now();
    let mut file = File::create(&staged)?;
    file.write_all(&[b'x'; 1024])?;
    if synced {
        file.sync_all()?;
    }
    fs::rename(&staged, &published)?;
    if synced {
        File::open(directory)?.sync_all()?;
    }
    let took = start.elapsed();
    fs::remove_file(published)?;
    Ok(took)
}

/// Returns how long the appends from `versions` on took: at most 100, and at most doubling it.
fn appends_from(history: &History, versions: usize) -> &[Duration] {
    let end = (versions + versions.clamp(10, 100)).min(history.versions());
    history.appends.get(versions..end).unwrap_or_default()
}

/// Returns the mean of the samples, zero without samples.
fn mean(samples: &[Duration]) -> Duration {
    let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    samples.iter().sum::<Duration>() / count.max(1)
}

fn report_latency(history: &History, points: &[Point]) {
    let row = |point: &Point| {
        let appends = appends_from(history, point.versions);
        vec![
            point.versions.to_string(),
            milliseconds(median(appends)),
            milliseconds(mean(appends)),
            milliseconds(quantile(appends, 0.99)),
            milliseconds(point.file),
            format!("{:.1}", ratio(median(appends), point.file)),
            milliseconds(point.synced_file),
        ]
    };
    let rows: Vec<_> = points.iter().map(row).collect();
    let header = [
        "versions",
        "append, median",
        "mean",
        "p99",
        "one file",
        "append / file",
        "one file, fsynced",
    ];
    let title =
        "Latency of a one-row append (not fsynced: no base for a claim about durable commits)";
    print_table(title, &header, &rows);

    let (early, late) = (appends_from(history, 100), appends_from(history, 10_000));
    if !early.is_empty() && !late.is_empty() {
        let medians = ratio(median(late), median(early));
        let means = ratio(mean(late), mean(early));
        println!("\n10,000th / 100th append: {medians:.2} (means: {means:.2})");
    }
}

fn report_metadata(history: &History) -> Result<()> {
    let commits = MetadataBytes::read(&history.root())?.commits;
    let row = |what: &str, bytes: fn(&CommitBytes) -> u64| {
        let sizes: Vec<_> = commits.iter().map(bytes).collect();
        vec![
            what.to_owned(),
            kibibytes(sizes.iter().sum::<u64>() / sizes.len().max(1) as u64),
            kibibytes(quantile(&sizes, 0.99)),
            kibibytes(quantile(&sizes, 1.0)),
        ]
    };
    let rows = [
        row("everything", |commit| commit.own + commit.merged),
        row("without merged manifests", |commit| commit.own),
        row("merged manifests", |commit| commit.merged),
    ];
    let title = format!(
        "Metadata written per commit, over {} commits",
        commits.len()
    );
    print_table(&title, &["what", "average", "p99", "worst"], &rows);
    Ok(())
}

fn kibibytes(bytes: u64) -> String {
    format!("{:.2} KiB", bytes as f64 / 1024.0)
}
