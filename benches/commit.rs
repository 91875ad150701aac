//! What a commit costs while the history grows.
//!
//! Tables on the local disk get 1, 100, 1,000 and 10,000 versions by one-row appends
//! (`INSERT INTO t VALUES (..)`, ten columns). Two questions are answered:
//!
//! 1. How long does the next append take? The tables take turns, one append each, so that a machine
//!    that gets slower or faster does so for all of them: points measured a minute apart differ more
//!    by the machine than by the history. Criterion samples each table afterwards, for its own
//!    statistics. Commits are durable: each waits for the disk several times.
//! 2. How many bytes of metadata does a commit write? On average, at p99 and at worst, with and
//!    without the merged manifests that are staged beside the data.
//!
//! `ATIO_BENCH_VERSIONS` sets the length of the longest history. Without `--bench` (as in
//! `cargo test --benches`) only a few versions are made, to see that the benchmark works.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod history;
mod metadata;
mod report;

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};

use history::History;
use metadata::{CommitBytes, MetadataBytes};
use report::{median, milliseconds, print_table, quantile, ratio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How often each table takes its turn.
const TURNS: usize = 400;

fn main() -> Result<()> {
    let measured = env::args().any(|argument| argument == "--bench");
    let longest = match env::var("ATIO_BENCH_VERSIONS") {
        Ok(text) => text.parse()?,
        Err(_) if measured => 10_000,
        Err(_) => 10,
    };
    let turns = if measured { TURNS } else { 4 };

    let mut points = Vec::new();
    for versions in [1, 100, 1_000].into_iter().filter(|&v| v < longest) {
        points.push(Point::at(versions)?);
    }
    let start = Instant::now();
    points.push(Point::at(longest)?);
    let seconds = start.elapsed().as_secs_f64();
    println!("{longest} versions made in {seconds:.1} s");

    take_turns(&mut points, turns)?;
    let mut criterion = Criterion::default().configure_from_args();
    for point in &mut points {
        point.sample(&mut criterion)?;
    }
    criterion.final_summary();
    report_latency(&points);
    match points.last() {
        Some(longest) => report_metadata(&longest.history),
        None => Ok(()),
    }
}

/// One table, and how long the appends to it took.
struct Point {
    versions: usize,
    history: History,
    appends: Vec<Duration>,
}

impl Point {
    fn at(versions: usize) -> Result<Self> {
        let history = History::of(versions)?;
        Ok(Self {
            versions,
            history,
            appends: Vec::new(),
        })
    }

    /// Times one append; the table is made anew when its history is twice as long as it should be.
    fn take_turn(&mut self) -> Result<()> {
        if self.history.versions() >= (2 * self.versions).max(8) {
            self.history = History::of(self.versions)?;
        }
        self.appends.push(self.history.append()?);
        Ok(())
    }

    /// Lets criterion sample appends: few, because each is a version too.
    fn sample(&mut self, criterion: &mut Criterion) -> Result<()> {
        let usual = median(&self.appends);
        let history = &mut self.history;
        let mut failed = None;
        let mut group = criterion.benchmark_group("append");
        group
            .sampling_mode(SamplingMode::Flat)
            .sample_size(10)
            .warm_up_time(Duration::from_nanos(1))
            .measurement_time(usual * 30);
        group.bench_function(format!("{} versions", self.versions), |bencher| {
            bencher.iter_custom(|iterations| {
                let appends = (0..iterations).map(|_| history.append());
                appends.sum::<Result<Duration>>().unwrap_or_else(|error| {
                    failed.get_or_insert(error);
                    Duration::from_secs(1)
                })
            });
        });
        group.finish();
        failed.map_or(Ok(()), Err)
    }
}

/// Appends to one table after the other; who goes first changes with every turn.
fn take_turns(points: &mut [Point], turns: usize) -> Result<()> {
    for turn in 0..turns {
        points.rotate_left(turn % points.len().max(1));
        for point in points.iter_mut() {
            point.take_turn()?;
        }
        points.sort_by_key(|point| point.versions);
    }
    Ok(())
}

fn report_latency(points: &[Point]) {
    let row = |point: &Point| {
        vec![
            point.versions.to_string(),
            milliseconds(median(&point.appends)),
            milliseconds(mean(&point.appends)),
            milliseconds(quantile(&point.appends, 0.99)),
        ]
    };
    let rows: Vec<_> = points.iter().map(row).collect();
    let title = "Latency of a one-row append, taking turns (not fsynced)";
    print_table(title, &["versions", "median", "mean", "p99"], &rows);

    let at = |versions| points.iter().find(|point| point.versions == versions);
    if let (Some(early), Some(late)) = (at(100), at(10_000)) {
        report_growth(&early.appends, &late.appends);
    }
}

/// Prints the growth as one number, and how far it moves between the quarters of the run.
fn report_growth(early: &[Duration], late: &[Duration]) {
    let quarter = early.len().div_ceil(4).max(1);
    let mut quarters: Vec<_> = (early.chunks(quarter).zip(late.chunks(quarter)))
        .map(|(early, late)| ratio(median(late), median(early)))
        .collect();
    quarters.sort_by(f64::total_cmp);
    if let (Some(least), Some(most)) = (quarters.first(), quarters.last()) {
        let medians = ratio(median(late), median(early));
        let means = ratio(mean(late), mean(early));
        println!(
            "\n10,000th / 100th append: {medians:.2} (quarters of the run: {least:.2} to {most:.2}; \
             of the means: {means:.2})"
        );
    }
}

/// Returns the mean of the samples, zero without samples.
fn mean(samples: &[Duration]) -> Duration {
    let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    samples.iter().sum::<Duration>() / count.max(1)
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
