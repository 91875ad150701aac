//! What DELETE, UPDATE and MERGE cost beside writing the whole table anew.
//!
//! TPC-H `lineitem` lies in six data files, each with a range of orders. A statement that changes one
//! row of a hundred changes each of them: it marks the rows as deleted, or, where that is asked for, it
//! writes the files anew. Beside it stands COPY of the same files by DataFusion alone, which reads and
//! writes every row, and does not wait for the disk; so each statement runs once without waiting for
//! it, and once as it is by default. After each the table is rolled back. So does a compaction of all
//! files. The last rows read a table with and without marks.
//!
//! Of a table of a thousand commits the second list reads what one of them changed, beside the one data
//! file that it added.
//!
//! Each run is a process of its own, which tells the most memory that it had. All take turns.
//! `ATIO_BENCH_SF` sets the scale factor (1 by default, 6 million rows), `ATIO_BENCH_ROUNDS` how
//! often each runs (5). The data stays under `target/tmp/` for the next run. Without `--bench` the
//! scale factor is 0.01, and each runs once. Statements may be named, as in `-- merge`.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

#[path = "rows/lineitem.rs"]
mod lineitem;
#[path = "rows/one_commit.rs"]
mod one_commit;
mod report;

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::runtime::Runtime;

use lineitem::{COLUMNS, FILES, order_key};
use one_commit::{COMMITS, ITS_FILE};
use report::{median, milliseconds, print_table, ratio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The table of which one row of a hundred is marked as deleted.
const MARKED: &str = "marked";

/// What a child process is told.
const ROOT: &str = "ATIO_BENCH_ROWS_ROOT";
const STATEMENT: &str = "ATIO_BENCH_ROWS_STATEMENT";
const DURABILITY: &str = "ATIO_BENCH_ROWS_DURABILITY";
const SCALE_FACTOR: &str = "ATIO_BENCH_SF";

/// One row of a hundred, all over the table.
const SCATTERED: &str = "l_partkey % 100 = 7";

const DURABILITIES: [&str; 2] = ["none", "full"];

/// A query that reads all rows and most bytes of the table.
const SCAN: &str = "count(*), sum(l_quantity), max(l_comment), max(l_shipdate), sum(l_partkey)";

/// What is measured beside COPY.
struct Statement {
    name: &'static str,
    sql: String,
    /// What the session's queries may take, in bytes.
    pool: Option<usize>,
    /// How many of the data files are there before and after it.
    kept: Option<usize>,
    /// Whether it marks rows or writes files anew.
    mode: &'static str,
    /// It changes no table.
    reads: bool,
    /// It is compared with the read of one data file.
    of_one_commit: bool,
}

fn statements(scale_factor: f64) -> Vec<Statement> {
    // The orders of the third file.
    let orders = 1_500_000.0 * scale_factor;
    let last = |file: usize| order_key((orders * file as f64 / FILES as f64) as u64);
    let merge = |source: &str| {
        let columns = COLUMNS.map(|(name, _)| format!("s.{name}"));
        format!(
            "MERGE INTO lineitem USING {source} AS s \
             ON lineitem.l_orderkey = s.l_orderkey AND lineitem.l_linenumber = s.l_linenumber \
             WHEN MATCHED THEN UPDATE SET l_quantity = s.l_quantity, l_comment = s.l_comment \
             WHEN NOT MATCHED THEN INSERT VALUES ({})",
            columns.join(", ")
        )
    };
    let statement = |name, sql| Statement {
        name,
        sql,
        pool: None,
        kept: Some(FILES),
        mode: "auto",
        reads: false,
        of_one_commit: false,
    };
    let rewriting = |name, sql| Statement {
        kept: Some(0),
        mode: "rewrite",
        ..statement(name, sql)
    };
    let scan = |name, table: &'static str| Statement {
        reads: true,
        ..statement(name, format!("SELECT {SCAN} FROM {table}"))
    };
    let of_one_commit = |(name, sql)| Statement {
        reads: true,
        of_one_commit: true,
        ..statement(name, sql)
    };
    let delete = || format!("DELETE FROM lineitem WHERE {SCATTERED}");
    let update = || {
        format!(
            "UPDATE lineitem SET l_quantity = l_quantity + 1, l_comment = 'changed' WHERE {SCATTERED}"
        )
    };
    let mut statements = vec![
        statement("delete of 1 %", delete()),
        statement("update of 1 %", update()),
        Statement {
            kept: Some(FILES - 1),
            ..statement(
                "delete of one file's orders",
                format!(
                    "DELETE FROM lineitem WHERE l_orderkey > {} AND l_orderkey <= {}",
                    last(2),
                    last(3)
                ),
            )
        },
        Statement {
            pool: Some(512 * 1024 * 1024),
            kept: None,
            ..statement("merge of 1,000 rows, 512 MiB pool", merge("some_rows"))
        },
        statement("merge of 1 %", merge("many_rows")),
        rewriting("delete of 1 %, files anew", delete()),
        rewriting("update of 1 %, files anew", update()),
        rewriting("merge of 1 %, files anew", merge("many_rows")),
        Statement {
            kept: Some(0),
            ..statement(
                "compaction",
                "SELECT * FROM atio_compact('lineitem', dry_run => false)".to_owned(),
            )
        },
        scan("scan of all rows", "lineitem"),
        scan("scan where 1 % are marked", MARKED),
    ];
    statements.extend(one_commit::statements().map(of_one_commit));
    statements
}

fn main() -> Result<()> {
    let measured = env::args().any(|argument| argument == "--bench");
    let scale_factor: f64 = match env::var(SCALE_FACTOR) {
        Ok(text) => text.parse()?,
        Err(_) if measured => 1.0,
        Err(_) => 0.01,
    };
    if let (Ok(root), Ok(name)) = (env::var(ROOT), env::var(STATEMENT)) {
        return Runtime::new()?.block_on(child(Path::new(&root), &name, scale_factor));
    }
    let rounds = match env::var("ATIO_BENCH_ROUNDS") {
        Ok(text) => text.parse()?,
        Err(_) if measured => 5,
        Err(_) => 1,
    };
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rows-sf{scale_factor}"));
    fs::create_dir_all(&root)?;
    let runtime = Runtime::new()?;
    runtime.block_on(prepare(&root, scale_factor))?;

    let named: Vec<_> = env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    let wanted = |statement: &Statement| {
        named.is_empty() || named.iter().any(|name| statement.name.contains(name))
    };
    let statements = statements(scale_factor);
    let statements: Vec<_> = statements.into_iter().filter(wanted).collect();
    let mut copies = Vec::new();
    let mut runs: Vec<_> = statements
        .iter()
        .map(|_| [Runs::default(), Runs::default()])
        .collect();
    let mut copy = Runs::default();
    for _ in 0..rounds {
        let ran = run(&root, "copy", "none", scale_factor)?;
        copies.push(ran.took);
        copy.add(ran);
        for (statement, runs) in statements.iter().zip(&mut runs) {
            for (durability, runs) in DURABILITIES.iter().zip(runs) {
                if statement.reads {
                    runs.add(run(&root, statement.name, durability, scale_factor)?);
                    continue;
                }
                let before = runtime.block_on(files(&root))?;
                let bytes = bytes_below(&table(&root))?;
                runs.add(run(&root, statement.name, durability, scale_factor)?);
                runs.bytes = bytes_below(&table(&root))? - bytes;
                let after = runtime.block_on(files(&root))?;
                let kept = after.iter().filter(|file| before.contains(file)).count();
                if statement.kept.is_some_and(|expected| kept != expected) {
                    return Err(format!("{}: {kept} of the files are there", statement.name).into());
                }
                runtime.block_on(roll_back(&root))?;
            }
        }
    }

    let base = median(&copies);
    let mut rows = vec![vec![
        "COPY of the table".to_owned(),
        milliseconds(base),
        "1.00".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        copy.peak(),
    ]];
    let beside_copy = statements.iter().zip(&runs);
    for (statement, [none, full]) in beside_copy.filter(|(statement, _)| !statement.of_one_commit) {
        let (fast, synced) = (median(&none.took), median(&full.took));
        rows.push(vec![
            statement.name.to_owned(),
            milliseconds(fast),
            format!("{:.2}", ratio(fast, base)),
            milliseconds(synced),
            format!("{:.2}", ratio(synced, base)),
            format!("{:.1} MB", full.bytes as f64 / 1e6),
            full.peak(),
        ]);
    }
    print_table(
        &format!("lineitem at scale factor {scale_factor} in {FILES} files (medians of {rounds})"),
        &[
            "statement",
            "not synced",
            "to COPY",
            "synced",
            "to COPY",
            "adds",
            "most memory",
        ],
        &rows,
    );
    let of_one = statements.iter().zip(&runs);
    let of_one = of_one.filter(|(statement, _)| statement.of_one_commit);
    let took: Vec<_> = of_one
        .map(|(statement, [_, full])| (statement.name, median(&full.took)))
        .collect();
    one_commit::print(&took, rounds);
    Ok(())
}

/// How long runs took, the most memory of any, in KiB, and how many bytes the last one added.
#[derive(Default)]
struct Runs {
    took: Vec<Duration>,
    memory: u64,
    bytes: u64,
}

struct Ran {
    took: Duration,
    memory: u64,
}

impl Runs {
    fn add(&mut self, ran: Ran) {
        self.took.push(ran.took);
        self.memory = self.memory.max(ran.memory);
    }

    fn peak(&self) -> String {
        format!("{} MB", self.memory * 1024 / 1_000_000)
    }
}

/// Runs a statement in a process of its own.
fn run(root: &Path, name: &str, durability: &str, scale_factor: f64) -> Result<Ran> {
    // Nobody pays for what another left to be written.
    rustix::fs::sync();
    let output = Command::new(env::current_exe()?)
        .env(ROOT, root)
        .env(STATEMENT, name)
        .env(DURABILITY, durability)
        .env(SCALE_FACTOR, scale_factor.to_string())
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    let numbers = said.lines().find_map(|line| line.strip_prefix("took "));
    let numbers = numbers.and_then(|numbers| numbers.split_once(' '));
    match numbers {
        Some((took, memory)) if output.status.success() => Ok(Ran {
            took: Duration::from_micros(took.parse()?),
            memory: memory.parse()?,
        }),
        _ => {
            let error = String::from_utf8_lossy(&output.stderr);
            Err(format!("{name} failed: {said}{error}").into())
        }
    }
}

/// What a child process does.
async fn child(root: &Path, name: &str, scale_factor: f64) -> Result<()> {
    let (ctx, sql) = match name {
        "copy" => {
            let ctx = SessionContext::new();
            let data = table(root).join("data");
            let to = root.join("copied");
            let _ = fs::remove_dir_all(&to);
            let below = "SET datafusion.execution.listing_table_ignore_subdirectory = false";
            ctx.sql(below).await?.collect().await?;
            let sql = "CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION";
            ctx.sql(&format!("{sql} '{}/'", data.display())).await?;
            let sql = format!("COPY lineitem TO '{}/' STORED AS PARQUET", to.display());
            (ctx, sql)
        }
        name => {
            let statements = statements(scale_factor);
            let statement = statements.into_iter().find(|found| found.name == name);
            let statement = statement.ok_or("there is no such statement")?;
            let mut runtime = RuntimeEnvBuilder::new();
            if let Some(pool) = statement.pool {
                runtime = runtime.with_memory_limit(pool, 1.0);
            }
            let runtime = runtime.build_arc()?;
            let ctx = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
            open(&ctx, root, &env::var(DURABILITY)?).await?;
            let mode = format!("SET atio.delete_mode = '{}'", statement.mode);
            ctx.sql(&mode).await?.collect().await?;
            (ctx, statement.sql)
        }
    };
    let start = Instant::now();
    ctx.sql(&sql).await?.collect().await?;
    let took = start.elapsed();
    atio::flush().await;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.split_whitespace().next());
    println!("took {} {}", took.as_micros(), peak.unwrap_or("0"));
    Ok(())
}

fn table(root: &Path) -> PathBuf {
    root.join("lineitem")
}

/// The bytes of all files below a directory.
fn bytes_below(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += match metadata.is_dir() {
            true => bytes_below(&entry.path())?,
            false => metadata.len(),
        };
    }
    Ok(bytes)
}

/// Opens the table, and the sources that are merged into it.
async fn open(ctx: &SessionContext, root: &Path, durability: &str) -> Result<()> {
    atio::register(ctx)?;
    for name in ["lineitem", MARKED] {
        let columns = COLUMNS.map(|(name, data_type)| format!("{name} {data_type}"));
        let sql = format!(
            "CREATE EXTERNAL TABLE {name} ({}) STORED AS ATIO LOCATION '{}' \
             OPTIONS ('atio.durability' '{durability}')",
            columns.join(", "),
            root.join(name).display()
        );
        ctx.sql(&sql).await?.collect().await?;
    }
    one_commit::open(ctx, root).await?;
    let sources = SOURCES.iter().map(|(name, _)| *name);
    for name in sources.chain([ITS_FILE]) {
        let file = root.join(format!("{name}.parquet"));
        if file.exists() {
            let sql = format!("CREATE EXTERNAL TABLE {name} STORED AS PARQUET LOCATION");
            ctx.sql(&format!("{sql} '{}'", file.display())).await?;
        }
    }
    Ok(())
}

/// The sources that are merged: a thousand rows, of which half are new, and one row of a hundred.
const SOURCES: [(&str, &str); 2] = [
    (
        "some_rows",
        "SELECT l_orderkey + CASE WHEN l_partkey % 2 = 0 THEN 8 ELSE 0 END AS l_orderkey, \
         * EXCLUDE (l_orderkey) FROM lineitem WHERE l_suppkey % 6000 = 7 LIMIT 1000",
    ),
    (
        "many_rows",
        "SELECT * FROM lineitem WHERE l_partkey % 100 = 7",
    ),
];

/// Makes the table and the sources, where an earlier run has not.
async fn prepare(root: &Path, scale_factor: f64) -> Result<()> {
    let made = root.join("made-2");
    if made.exists() {
        return roll_back(root).await;
    }
    for name in ["lineitem", MARKED, COMMITS] {
        let _ = fs::remove_dir_all(root.join(name));
    }
    let ctx = SessionContext::new();
    open(&ctx, root, "none").await?;
    for file in 0..FILES {
        lineitem::register_part(&ctx, scale_factor, file)?;
        for name in ["lineitem", MARKED] {
            let sql = format!("INSERT INTO {name} SELECT * FROM part_of_lineitem");
            ctx.sql(&sql).await?.collect().await?;
        }
        ctx.deregister_table("part_of_lineitem")?;
    }
    for sql in [
        "SET atio.delete_mode = 'mark'".to_owned(),
        format!("DELETE FROM {MARKED} WHERE {SCATTERED}"),
        "SET atio.delete_mode = 'auto'".to_owned(),
    ] {
        ctx.sql(&sql).await?.collect().await?;
    }
    for (name, query) in SOURCES {
        let to = root.join(format!("{name}.parquet"));
        let sql = format!("COPY ({query}) TO '{}'", to.display());
        ctx.sql(&sql).await?.collect().await?;
    }
    one_commit::prepare(&ctx, root).await?;
    ctx.sql("SELECT * FROM atio_tag('lineitem', tag => 'made')")
        .await?
        .collect()
        .await?;
    fs::write(made, "")?;
    Ok(())
}

/// The data files of the newest version.
async fn files(root: &Path) -> Result<Vec<String>> {
    let ctx = SessionContext::new();
    open(&ctx, root, "none").await?;
    let sql = "SELECT CAST(path AS VARCHAR) FROM atio_files('lineitem')";
    let mut files = Vec::new();
    for batch in ctx.sql(sql).await?.collect().await? {
        let paths = batch.column(0).as_string_view();
        files.extend(paths.iter().flatten().map(str::to_owned));
    }
    Ok(files)
}

/// Brings back the rows with which all runs begin, and deletes what is not needed for them.
async fn roll_back(root: &Path) -> Result<()> {
    let ctx = SessionContext::new();
    open(&ctx, root, "none").await?;
    let version = "SELECT CAST(version AS BIGINT UNSIGNED) FROM atio_tags('lineitem')";
    let version = ctx.sql(version).await?.collect().await?;
    let version = version[0].column(0).as_primitive::<UInt64Type>().value(0);
    for sql in [
        format!("SELECT * FROM atio_rollback('lineitem', version => {version})"),
        "SELECT * FROM expire_snapshots('lineitem', keep_for => INTERVAL '0 days', \
         retain_last => 1, orphan_age => INTERVAL '0 days', dry_run => false)"
            .to_owned(),
    ] {
        ctx.sql(&sql).await?.collect().await?;
    }
    Ok(())
}
