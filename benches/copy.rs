//! What COPY pays for a file that is there completely or not at all.
//!
//! TPC-H `lineitem` is read from one Parquet file and written as CSV, JSON and Parquet: by
//! DataFusion alone, by atio without waiting for the disk, and by atio as it is by default.
//! The three take turns, so that all see the same machine. The first ratio is that of the work,
//! the last column what the disk costs beside it; each hash has a row of its own.
//!
//! The processor time of all threads is compared, too: it tells the work apart from the noise of
//! a machine that others use.
//!
//! `ATIO_BENCH_SF` sets the scale factor (1 by default, 6 million rows), `ATIO_BENCH_ROUNDS` how
//! often each writes (6 by default, in every order once). Without `--bench` the scale factor is
//! 0.01, and each writes once. Formats may be named, as in `-- csv`. Files lie under
//! `target/tmp/`; the source stays for the next run.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod report;

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::SchemaRef;
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

const FORMATS: [&str; 3] = ["csv", "json", "parquet"];
/// Each comes first, and behind each other one, equally often: what a write leaves in the page cache
/// makes the next one slower or faster.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
    [0, 2, 1],
    [1, 0, 2],
];
/// The first is the default.
const HASHES: [&str; 2] = ["crc32c", "sha256"];

fn main() -> Result<()> {
    let measured = env::args().any(|argument| argument == "--bench");
    let scale_factor: f64 = match env::var("ATIO_BENCH_SF") {
        Ok(text) => text.parse()?,
        Err(_) if measured => 1.0,
        Err(_) => 0.01,
    };
    let rounds = match env::var("ATIO_BENCH_ROUNDS") {
        Ok(text) => text.parse()?,
        Err(_) if measured => 6,
        Err(_) => 1,
    };
    Runtime::new()?.block_on(compare(scale_factor, rounds))
}

async fn compare(scale_factor: f64, rounds: usize) -> Result<()> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("copy-sf{scale_factor}"));
    fs::create_dir_all(&root)?;
    let source = source(&root, scale_factor).await?;
    let (engine, atio) = (session(&source).await?, session(&source).await?);
    atio::register(&atio)?;

    let mut rows = Vec::new();
    let named: Vec<_> = env::args().skip(1).collect();
    let wanted = |format: &&str| {
        let none = named.iter().all(|name| name.starts_with('-'));
        none || named.iter().any(|name| name == format)
    };
    for format in FORMATS.into_iter().filter(wanted) {
        for hash in HASHES {
            let to = |side: &str| root.join(format!("{side}.{format}"));
            let durable = |durability: &str| {
                format!(" OPTIONS ('atio.hash' '{hash}', 'atio.durability' '{durability}')")
            };
            let sides = [
                (&engine, to("engine"), String::new()),
                (&atio, to("atio-none"), durable("none")),
                (&atio, to("atio-full"), durable("full")),
            ];
            let mut samples = [const { Vec::new() }; 3];
            let mut busy = [Duration::ZERO; 3];
            for round in 0..rounds {
                for side in ORDERS[round % ORDERS.len()] {
                    let (ctx, to, options) = &sides[side];
                    // Nobody pays for what another left to be written.
                    rustix::fs::sync();
                    let before = processor_time();
                    samples[side].push(write(ctx, to, options).await?);
                    busy[side] += processor_time().saturating_sub(before);
                }
            }
            let [engine, none, full] = samples.map(|samples| median(&samples));
            rows.push(vec![
                format.to_owned(),
                hash.to_owned(),
                milliseconds(engine),
                milliseconds(none),
                format!("{:.3}", ratio(none, engine)),
                format!("{:.3}", ratio(busy[1], busy[0])),
                milliseconds(full),
                milliseconds(full.saturating_sub(none)),
            ]);
            for (_, to, _) in &sides {
                fs::remove_file(to)?;
            }
        }
    }
    let title = format!("COPY of lineitem at scale factor {scale_factor} (medians of {rounds})");
    let columns = [
        "format",
        "hash",
        "DataFusion",
        "atio, not synced",
        "ratio",
        "of processor time",
        "atio",
        "for the disk",
    ];
    print_table(&title, &columns, &rows);
    Ok(())
}

/// What all threads of this process have used of the processors; zero where nobody tells.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name of the program; in hundredths of a second, as Linux shows it everywhere.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

async fn write(ctx: &SessionContext, to: &Path, options: &str) -> Result<Duration> {
    let sql = format!("COPY lineitem TO '{}'{options}", to.display());
    let start = Instant::now();
    ctx.sql(&sql).await?.collect().await?;
    Ok(start.elapsed())
}

async fn session(source: &Path) -> Result<SessionContext> {
    let ctx = SessionContext::new();
    let location = source.display();
    let sql = format!("CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION '{location}'");
    ctx.sql(&sql).await?;
    Ok(ctx)
}

/// The rows, in one Parquet file that an earlier run may have left.
async fn source(root: &Path, scale_factor: f64) -> Result<PathBuf> {
    let source = root.join("lineitem.parquet");
    if !source.exists() {
        let ctx = SessionContext::new();
        atio::register(&ctx)?;
        let schema = LineItemArrow::schema_ref();
        let generator = Arc::new(Generator {
            scale_factor,
            schema: Arc::clone(&schema),
        });
        let table = StreamingTable::try_new(Arc::clone(&schema), vec![generator])?;
        ctx.register_table("lineitem", Arc::new(table))?;
        write(&ctx, &source, "").await?;
    }
    println!("lineitem is in {}", source.display());
    Ok(source)
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

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = LineItemArrow::new(LineItemGenerator::new(self.scale_factor, 1, 1))
            .map(|batch| batch.map_err(DataFusionError::from));
        let stream = futures::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(self.schema().clone(), stream))
    }
}
