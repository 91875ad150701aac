//! What a commit costs while the history grows.
//!
//! One table on the local disk gets 10,000 versions by one-row appends (`INSERT INTO t VALUES (..)`,
//! ten columns). Two questions are answered:
//!
//! 1. How long does an append take when the table has 1, 100, 1,000 and 10,000 versions? Criterion
//!    samples at those points, on the same table, beside the floor of the machine: one small file
//!    written, fsynced, renamed, and its directory fsynced.
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
    report_latency(&points);
    report_metadata(&history)
}

/// What was measured when the table had `versions` versions.
struct Point {
    versions: usize,
    append: Duration,
    append_p99: Duration,
    floor: Duration,
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
/// About two appends a sample and as few samples as criterion and the length of the history allow:
/// each append is a version too, and must not move the table far from the point that is measured.
/// Returns nothing if the command line filters this point out.
fn measure_appends(
    criterion: &mut Criterion,
    history: &mut History,
    usual: Duration,
) -> Result<Option<Point>> {
    let versions = history.versions();
    let samples = (versions / 20).clamp(10, 100);
    let floors = (0..samples)
        .map(|_| durable_file(history.directory.path()))
        .collect::<io::Result<Vec<_>>>()?;
    let mut failed = None;
    let mut group = criterion.benchmark_group("append");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(samples)
        .warm_up_time(Duration::from_nanos(1))
        .measurement_time(usual.mul_f64(1.5 * samples as f64));
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
    let sampled = history.appends.get(versions..).unwrap_or_default();
    let point = Point {
        versions,
        append: median(sampled),
        append_p99: quantile(sampled, 0.99),
        floor: median(&floors),
    };
    Ok((!sampled.is_empty()).then_some(point))
}

/// Writes one small file as durably as a commit record must be, and returns how long that took.
fn durable_file(directory: &Path) -> io::Result<Duration> {
    let (staged, published) = (directory.join("staged"), directory.join("published"));
    let start = Instant::now();
    let mut file = File::create(&staged)?;
    file.write_all(&[b'x'; 1024])?;
    file.sync_all()?;
    fs::rename(&staged, &published)?;
    File::open(directory)?.sync_all()?;
    Ok(start.elapsed())
}

fn report_latency(points: &[Point]) {
    let rows: Vec<_> = points
        .iter()
        .map(|point| {
            vec![
                point.versions.to_string(),
                milliseconds(point.append),
                milliseconds(point.append_p99),
                milliseconds(point.floor),
                format!("{:.2}", ratio(point.append, point.floor)),
            ]
        })
        .collect();
    let header = [
        "versions",
        "append, median",
        "p99",
        "one durable file",
        "append / file",
    ];
    print_table("Latency of a one-row append", &header, &rows);

    let at = |versions| points.iter().find(|point| point.versions == versions);
    if let (Some(early), Some(late)) = (at(100), at(10_000)) {
        let growth = ratio(late.append, early.append);
        println!("\n10,000th / 100th append: {growth:.2}");
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
