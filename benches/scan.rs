//! What a query pays for the table around the Parquet files.
//!
//! TPC-H `lineitem` is written once into an atio table. Each query then runs through atio and over
//! the very same Parquet files through DataFusion's own `ListingTable`, in a session that knows
//! nothing of atio. The two take turns, so that both see the same machine; criterion reports atio's
//! side, the table at the end has the ratio of the medians.
//!
//! `ATIO_BENCH_SF` sets the scale factor (1 by default, 6 million rows). The data stays under
//! `target/tmp/` for the next run. Without `--bench` (as in `cargo test --benches`) the scale factor
//! is 0.01 and each query runs once.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod report;

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::LineItemArrow;

use report::{median, milliseconds, print_table, ratio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const COLUMNS: &str = "l_orderkey BIGINT NOT NULL, l_partkey BIGINT NOT NULL, l_suppkey BIGINT NOT NULL, \
    l_linenumber INT NOT NULL, l_quantity DECIMAL(15, 2) NOT NULL, l_extendedprice DECIMAL(15, 2) NOT NULL, \
    l_discount DECIMAL(15, 2) NOT NULL, l_tax DECIMAL(15, 2) NOT NULL, l_returnflag VARCHAR NOT NULL, \
    l_linestatus VARCHAR NOT NULL, l_shipdate DATE NOT NULL, l_commitdate DATE NOT NULL, \
    l_receiptdate DATE NOT NULL, l_shipinstruct VARCHAR NOT NULL, l_shipmode VARCHAR NOT NULL, \
    l_comment VARCHAR NOT NULL";

const Q1: &str = "SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice),
    sum(l_extendedprice * (1 - l_discount)), sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)),
    avg(l_quantity), avg(l_extendedprice), avg(l_discount), count(*)
    FROM lineitem WHERE l_shipdate <= DATE '1998-09-02'
    GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus";

const Q6: &str = "SELECT sum(l_extendedprice * l_discount) FROM lineitem
    WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'
    AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24";

const ONE_WEEK: &str = "SELECT count(*), sum(l_extendedprice) FROM lineitem
    WHERE l_shipdate BETWEEN DATE '1995-06-12' AND DATE '1995-06-18'";

fn main() -> Result<()> {
    let measured = env::args().any(|argument| argument == "--bench");
    let scale_factor = match env::var("ATIO_BENCH_SF") {
        Ok(text) => text.parse()?,
        Err(_) if measured => 1.0,
        Err(_) => 0.01,
    };
    let runtime = Runtime::new()?;
    let sides = runtime.block_on(Sides::open(scale_factor))?;
    let mut criterion = Criterion::default().configure_from_args();
    let mut rows = Vec::new();
    for (name, sql) in queries(scale_factor) {
        runtime.block_on(sides.check_same_answer(name, &sql))?;
        let samples = compare(&mut criterion, &runtime, &sides, name, &sql)?;
        if samples.atio.is_empty() {
            continue; // filtered out on the command line
        }
        let (atio, listing) = (median(&samples.atio), median(&samples.listing));
        rows.push(vec![
            name.to_owned(),
            milliseconds(atio),
            milliseconds(listing),
            format!("{:.2}", ratio(atio, listing)),
        ]);
    }
    criterion.final_summary();
    let title =
        format!("lineitem at scale factor {scale_factor}, the same Parquet files (medians)");
    print_table(
        &title,
        &["query", "atio", "ListingTable", "atio / ListingTable"],
        &rows,
    );
    Ok(())
}

fn queries(scale_factor: f64) -> [(&'static str, String); 5] {
    // Every multiple of 32 up to 6,000,000 times the scale factor is the key of an order.
    let order = 32 * (scale_factor * 93_750.0) as i64;
    let one_order = format!(
        "SELECT l_linenumber, l_partkey, l_extendedprice, l_shipdate FROM lineitem
         WHERE l_orderkey = {order} ORDER BY l_linenumber"
    );
    [
        ("Q1", Q1.to_owned()),
        ("Q6", Q6.to_owned()),
        ("one order", one_order),
        ("one week", ONE_WEEK.to_owned()),
        ("count(*)", "SELECT count(*) FROM lineitem".to_owned()),
    ]
}

/// How long each run of a query took on either side.
#[derive(Default)]
struct Samples {
    atio: Vec<Duration>,
    listing: Vec<Duration>,
}

/// Lets criterion sample a query through atio; each run has one over the plain files beside it.
fn compare(
    criterion: &mut Criterion,
    runtime: &Runtime,
    sides: &Sides,
    name: &str,
    sql: &str,
) -> Result<Samples> {
    let mut samples = Samples::default();
    let mut failed = None;
    let mut group = criterion.benchmark_group(format!("scan, scale factor {}", sides.scale_factor));
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let runs =
                (0..iterations).map(|_| runtime.block_on(sides.take_turns(sql, &mut samples)));
            runs.sum::<Result<Duration>>().unwrap_or_else(|error| {
                failed.get_or_insert(error);
                Duration::from_secs(1)
            })
        });
    });
    group.finish();
    match failed {
        Some(error) => Err(error),
        None => Ok(samples),
    }
}

/// The two ways to read the same Parquet files, each in a session of its own.
struct Sides {
    scale_factor: f64,
    atio: SessionContext,
    listing: SessionContext,
}

impl Sides {
    async fn open(scale_factor: f64) -> Result<Self> {
        let root =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lineitem-sf{scale_factor}"));
        fs::create_dir_all(&root)?;
        let atio = SessionContext::new();
        atio::register(&atio)?;
        let create = format!(
            "CREATE EXTERNAL TABLE lineitem ({COLUMNS}) STORED AS ATIO LOCATION '{}'",
            root.display()
        );
        run(&atio, &create).await?;
        write_once(&atio, scale_factor, &root).await?;

        let listing = SessionContext::new();
        let directory = data_directory(&atio, &root).await?;
        let create = format!(
            "CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION '{}/'",
            directory.display()
        );
        run(&listing, &create).await?;
        Ok(Self {
            scale_factor,
            atio,
            listing,
        })
    }

    async fn check_same_answer(&self, name: &str, sql: &str) -> Result<()> {
        let atio = pretty_format_batches(&run(&self.atio, sql).await?)?.to_string();
        let listing = pretty_format_batches(&run(&self.listing, sql).await?)?.to_string();
        if atio != listing {
            return Err(format!("{name}: atio says\n{atio}\nListingTable says\n{listing}").into());
        }
        println!("{name}: both sides agree");
        Ok(())
    }

    /// Runs a query on both sides, who goes first changing each time; returns how long atio took.
    async fn take_turns(&self, sql: &str, samples: &mut Samples) -> Result<Duration> {
        let atio_first = samples.atio.len().is_multiple_of(2);
        if !atio_first {
            samples.listing.push(timed(&self.listing, sql).await?);
        }
        let atio = timed(&self.atio, sql).await?;
        samples.atio.push(atio);
        if atio_first {
            samples.listing.push(timed(&self.listing, sql).await?);
        }
        Ok(atio)
    }
}

/// Fills the table by one INSERT, unless an earlier run did.
async fn write_once(ctx: &SessionContext, scale_factor: f64, root: &Path) -> Result<()> {
    let counted = run(ctx, "SELECT count(*) FROM lineitem").await?;
    if pretty_format_batches(&counted)?
        .to_string()
        .contains("| 0 ")
    {
        let generator = Arc::new(Generator {
            scale_factor,
            schema: LineItemArrow::schema_ref(),
        });
        let table = StreamingTable::try_new(LineItemArrow::schema_ref(), vec![generator])?;
        ctx.register_table("generated", Arc::new(table))?;
        let start = Instant::now();
        run(ctx, "INSERT INTO lineitem SELECT * FROM generated").await?;
        println!("lineitem written in {:.1} s", start.elapsed().as_secs_f64());
    }
    println!("lineitem is in {}", root.display());
    Ok(())
}

/// Returns the one directory that holds exactly the data files of the table.
async fn data_directory(ctx: &SessionContext, root: &Path) -> Result<PathBuf> {
    let mut named = BTreeSet::new();
    for batch in run(
        ctx,
        "SELECT CAST(path AS VARCHAR) AS path FROM atio_files('lineitem')",
    )
    .await?
    {
        let paths = batch.column(0).as_string_view();
        named.extend(paths.iter().flatten().map(|path| root.join(path)));
    }
    let directories: BTreeSet<_> = named.iter().filter_map(|path| path.parent()).collect();
    let [directory] = directories.into_iter().collect::<Vec<_>>()[..] else {
        return Err("the data files are not in one directory".into());
    };
    let found = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<BTreeSet<_>>>()?;
    if found != named {
        return Err(format!("'{}' holds other files than the table", directory.display()).into());
    }
    println!("{} data files", named.len());
    Ok(directory.to_owned())
}

async fn run(ctx: &SessionContext, sql: &str) -> datafusion::error::Result<Vec<RecordBatch>> {
    ctx.sql(sql).await?.collect().await
}

async fn timed(ctx: &SessionContext, sql: &str) -> Result<Duration> {
    let start = Instant::now();
    run(ctx, sql).await?;
    Ok(start.elapsed())
}

/// The generator of TPC-H as a table that is never held in memory.
#[derive(Debug)]
struct Generator {
    scale_factor: f64,
    schema: SchemaRef,
}

impl PartitionStream for Generator {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = LineItemArrow::new(LineItemGenerator::new(self.scale_factor, 1, 1))
            .map(|batch| batch.map_err(DataFusionError::from));
        let stream = futures::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(self.schema().clone(), stream))
    }
}
