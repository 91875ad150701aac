//! Settings of the engine at their limits and beyond: right rows, or an error that names the
//! setting; nothing lost, nothing left behind, and the session lives on.

#![cfg(test)]

use std::sync::mpsc;
use std::time::Duration;

use datafusion::prelude::SessionContext;

use crate::objects::{Objects, assert_same, objects};
use crate::query::{rows, texts};
use crate::session::{Place, run};

const MANY: &str = "1000000000000";
const MOST: &str = "18446744073709551615";
/// A setting that takes longer has a statement that never ends.
const PATIENCE: Duration = Duration::from_secs(120);

const WRITING: &[(&str, &[&str])] = &[
    ("parquet.max_row_group_size", &["0", "1", "7", MOST]),
    ("parquet.write_batch_size", &["0", "1", MOST]),
    ("parquet.data_pagesize_limit", &["0", "1", MOST]),
    ("parquet.dictionary_page_size_limit", &["0", "1", MOST]),
    ("parquet.data_page_row_count_limit", &["0", "1", MOST]),
    ("parquet.statistics_truncate_length", &["0", "1", MOST]),
    ("parquet.column_index_truncate_length", &["0", "1", MOST]),
    (
        "parquet.encoding",
        &[
            "plain",
            "plain_dictionary",
            "rle",
            "bit_packed",
            "delta_binary_packed",
            "delta_length_byte_array",
            "delta_byte_array",
            "rle_dictionary",
            "byte_stream_split",
            "nonsense",
        ],
    ),
    (
        "parquet.bloom_filter_fpp",
        &["-1", "0", "1e-300", "0.5", "1", "2", "NaN", "inf"],
    ),
    ("parquet.bloom_filter_ndv", &["0", "1", "1000"]),
    ("parquet.writer_version", &["1.0", "2.0", "3.0"]),
    ("parquet.statistics_enabled", &["none", "chunk", "nonsense"]),
    (
        "parquet.compression",
        &[
            "zstd(", "zstd(3", "zstd(é", "zstd(99)", "zstd('", "gzip(", "nonsense",
        ],
    ),
    ("parquet.dictionary_enabled", &["false"]),
    ("parquet.skip_arrow_metadata", &["true"]),
    ("parquet.created_by", &[""]),
    ("parquet.max_row_group_bytes", &["0", "1"]),
    (
        "parquet.maximum_parallel_row_group_writers",
        &["0", MANY, MOST],
    ),
    (
        "parquet.maximum_buffered_record_batches_per_stream",
        &["0", MANY, MOST],
    ),
    ("parquet.allow_single_file_parallelism", &["false"]),
    ("batch_size", &["0", "1", "100000"]),
    ("target_partitions", &["0", "1"]),
    ("planning_concurrency", &["0"]),
    ("meta_fetch_concurrency", &["0"]),
    ("minimum_parallel_output_files", &["0", MANY, MOST]),
    ("soft_max_rows_per_output_file", &["0", "1", MOST]),
    ("max_buffered_batches_per_output_file", &["0", "1", MOST]),
    ("objectstore_writer_buffer_size", &["0", "1", MOST]),
    ("sort_spill_reservation_bytes", &["0", MOST]),
    ("sort_in_place_threshold_bytes", &["0", MOST]),
];

const READING: &[(&str, &[&str])] = &[
    ("parquet.enable_page_index", &["false"]),
    ("parquet.pruning", &["false"]),
    ("parquet.metadata_size_hint", &["0", "1", "8", MOST]),
    ("parquet.pushdown_filters", &["true"]),
    ("parquet.reorder_filters", &["true"]),
    ("parquet.force_filter_selections", &["true"]),
    ("parquet.max_predicate_cache_size", &["0", MOST]),
    ("parquet.max_in_list_size", &["0", MOST]),
    ("parquet.coerce_int96", &["ns", "nonsense", ""]),
    ("parquet.coerce_int96_tz", &["UTC", "nonsense"]),
    ("parquet.binary_as_string", &["true"]),
    ("parquet.schema_force_view_types", &["false"]),
    ("parquet.skip_metadata", &["false"]),
    ("parquet.bloom_filter_on_read", &["false"]),
    ("collect_statistics", &["false"]),
    ("split_file_groups_by_statistics", &["true"]),
    ("time_zone", &["nonsense"]),
];

/// Some rows of many types, with NULLs, in which long texts and numbers repeat.
const ROWS: &str = "SELECT value AS n, CAST(value % 7 AS INT) AS i, value / 2.0 AS f, \
    CASE WHEN value % 3 = 0 THEN NULL ELSE repeat(CAST(value % 50 AS TEXT), 40) END AS s, \
    value % 2 = 0 AS b, CAST(value AS DECIMAL(30, 2)) AS d, \
    arrow_cast(CAST(value AS TEXT), 'Binary') AS y, make_array(value, NULL) AS l \
    FROM generate_series(1, 300)";

/// Statements that write the rows, and what reads them again.
const WRITES: [(&str, &str); 7] = [
    ("INSERT INTO t {rows}", "SELECT * FROM t"),
    ("INSERT OVERWRITE t {rows}", "SELECT * FROM t"),
    ("INSERT INTO t {rows} ORDER BY s, n", "SELECT * FROM t"),
    (
        "CREATE TABLE w.public.c AS {rows}",
        "SELECT * FROM w.public.c",
    ),
    (
        "COPY ({rows}) TO '{root}/out.parquet' STORED AS PARQUET",
        "SELECT * FROM file",
    ),
    (
        "COPY ({rows}) TO '{root}/folder/' STORED AS PARQUET",
        "SELECT * FROM folder",
    ),
    (
        "COPY (SELECT n, s FROM ({rows})) TO '{root}/out.csv' STORED AS CSV",
        "SELECT * FROM t",
    ),
];

const READS: [&str; 5] = [
    "SELECT * FROM t",
    "SELECT count(*), min(n), max(s) FROM t",
    "SELECT * FROM t WHERE n IN (1, 2, 3) AND s IS NOT NULL AND f < 2",
    "SELECT s, count(*) FROM t WHERE b GROUP BY s ORDER BY s",
    "SELECT a.n FROM t a JOIN t b ON a.n = b.n WHERE a.n > 290",
];

/// How a statement ended: with its rows, or with what is wrong with that.
enum Ended {
    Rows(Vec<String>),
    Failed(String),
    Wrong(String),
}

async fn ended(ctx: &SessionContext, sql: &str) -> Ended {
    let (ctx, sql) = (ctx.clone(), sql.to_owned());
    match tokio::spawn(async move { run(&ctx, &sql).await }).await {
        Err(panic) => Ended::Wrong(format!("it panics: {panic}")),
        Ok(Err(error)) => Ended::Failed(error.strip_backtrace()),
        Ok(Ok(batches)) => Ended::Rows(texts(&batches)),
    }
}

/// Runs a case in a thread and a runtime of its own: one that never ends must not hold the
/// others.
fn apart(case: impl Future<Output = Result<(), String>> + Send + 'static) -> Result<(), String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let done = runtime.block_on(case);
        sender.send(done).unwrap();
        runtime.shutdown_background();
    });
    let done = receiver.recv_timeout(PATIENCE);
    done.unwrap_or_else(|error| Err(format!("it does not end, or the test failed: {error}")))
}

struct Case {
    place: Place,
    ctx: SessionContext,
    name: &'static str,
    value: &'static str,
}

impl Case {
    /// A table with rows, and a session with the setting; None if the engine refuses it.
    async fn begin(name: &'static str, value: &'static str) -> Option<Self> {
        let place = Place::disk();
        let ctx = place.session();
        let create = "CREATE EXTERNAL TABLE t (n BIGINT, i INT, f DOUBLE, s TEXT, b BOOLEAN, \
            d DECIMAL(30, 2), y BYTEA, l BIGINT[]) STORED AS ATIO";
        rows(&ctx, &format!("{create} LOCATION '{}/t'", place.root())).await;
        rows(&ctx, &format!("INSERT INTO t {ROWS}")).await;
        rows(&ctx, &format!("INSERT INTO t {ROWS}")).await;
        let case = Self {
            place,
            ctx,
            name,
            value,
        };
        let set = case.set(&case.ctx, value).await;
        set.is_ok().then_some(case)
    }

    async fn set(&self, ctx: &SessionContext, value: &str) -> Result<(), String> {
        let value = value.replace('\'', "''");
        let set = format!("SET datafusion.execution.{} = '{value}'", self.name);
        let done = run(ctx, &set).await.map(drop);
        done.map_err(|error| error.strip_backtrace())
    }

    fn check_named(&self, sql: &str, said: &str) -> Result<(), String> {
        let last = self.name.rsplit('.').next().unwrap();
        match said.contains(last) {
            true => Ok(()),
            false => Err(format!("{sql} does not name {last}: {said}")),
        }
    }

    async fn objects(&self) -> Objects {
        objects(&self.place).await
    }

    /// A session that knows nothing of the setting.
    async fn fresh(&self) -> SessionContext {
        let fresh = self.place.session();
        let root = self.place.root();
        for (name, format, location) in [
            ("t", "ATIO", "t"),
            ("file", "PARQUET", "out.parquet"),
            ("folder", "PARQUET", "folder/"),
        ] {
            if self.place.path().join(location).exists() {
                let sql = format!(
                    "CREATE EXTERNAL TABLE {name} STORED AS {format} LOCATION '{root}/{location}'"
                );
                rows(&fresh, &sql).await;
            }
        }
        fresh
    }

    /// Runs a statement that writes: it writes all rows, or fails and leaves nothing.
    async fn write(&self, (sql, written): (&str, &str)) -> Result<(), String> {
        let sql = sql
            .replace("{rows}", ROWS)
            .replace("{root}", &self.place.root());
        let before = self.objects().await;
        match ended(&self.ctx, &sql).await {
            Ended::Wrong(what) => Err(format!("{sql}: {what}")),
            Ended::Failed(said) => {
                self.check_named(&sql, &said)?;
                assert_same(&before, &self.objects().await, &said);
                println!("{} = {}: {said}", self.name, self.value);
                Ok(())
            }
            Ended::Rows(_) => {
                let fresh = self.fresh().await;
                let (want, found) = (rows(&fresh, ROWS).await, rows(&fresh, written).await);
                // The table has as many copies of the rows as were inserted.
                let copies = found.len() / want.len();
                let all: Vec<_> = (want.iter())
                    .flat_map(|row| std::iter::repeat_n(row, copies))
                    .collect();
                match copies > 0 && found.iter().eq(all) {
                    true => Ok(()),
                    false => Err(format!("{sql} wrote {} other rows", found.len())),
                }
            }
        }
    }

    async fn check_writes(self) -> Result<(), String> {
        for statement in WRITES {
            self.write(statement).await?;
        }
        self.lives_on().await
    }

    async fn check_reads(self) -> Result<(), String> {
        let before = self.objects().await;
        let fresh = self.fresh().await;
        for sql in READS {
            match ended(&self.ctx, sql).await {
                Ended::Wrong(what) => return Err(format!("{sql}: {what}")),
                Ended::Failed(said) => {
                    self.check_named(sql, &said)?;
                    println!("{} = {}: {said}", self.name, self.value);
                }
                Ended::Rows(found) if found == rows(&fresh, sql).await => {}
                Ended::Rows(found) => return Err(format!("{sql} gave {} rows", found.len())),
            }
        }
        assert_same(&before, &self.objects().await, self.name);
        self.lives_on().await
    }

    /// With the setting as it was the session goes on.
    async fn lives_on(&self) -> Result<(), String> {
        run(
            &self.ctx,
            &format!("RESET datafusion.execution.{}", self.name),
        )
        .await
        .map_err(|error| error.strip_backtrace())?;
        self.write(WRITES[0]).await?;
        self.write(WRITES[4]).await
    }
}

fn check(settings: &[(&'static str, &'static [&'static str])], writes: bool) {
    let mut wrong = Vec::new();
    for (name, values) in settings {
        for value in *values {
            let (name, value) = (*name, *value);
            let done = apart(async move {
                let Some(case) = Case::begin(name, value).await else {
                    return Ok(());
                };
                match writes {
                    true => case.check_writes().await,
                    false => case.check_reads().await,
                }
            });
            if let Err(what) = done {
                wrong.push(format!("{name} = '{value}': {what}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_setting_of_the_writer_at_its_limits_writes_the_rows_or_is_named() {
    check(WRITING, true);
}

#[test]
fn every_setting_of_the_reader_at_its_limits_gives_the_rows_or_is_named() {
    check(READING, false);
}
