//! Runs every `.slt` file of this directory, on memory and on a temporary directory.
//!
//! `{root}` in a statement or a result is the place of the test. Records marked
//! `onlyif disk` or `onlyif memory` run on one of the two; `system` records find the place
//! as `${ROOT}`. Each `connection` is a session of its own, like another process.
//! `UPDATE_SLT=1` writes results into the files: read the difference before you keep it.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::session::Place;

struct Connection {
    ctx: SessionContext,
    place: Place,
}

/// An error whose text does not depend on where the test runs.
#[derive(Debug)]
struct Shown(String);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Shown {}

impl Connection {
    /// Hides what differs from run to run: the place and transaction ids.
    fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.place.root(), "{root}");
        let root = self.place.root();
        let key = root.trim_start_matches('/').trim_start_matches("memory://test/");
        hide_ids(&text.replace(key, "{root}"))
    }
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Shown;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Shown> {
        let sql = sql.replace("{root}", &self.place.root());
        let shown = |error: DataFusionError| Shown(self.plain(&error.strip_backtrace()));
        let frame = self.ctx.sql(&sql).await.map_err(shown)?;
        let schema = frame.schema().clone();
        let batches = frame.collect().await.map_err(shown)?;
        if schema.fields().is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let types = schema.fields().iter().map(|field| column_type(field.data_type())).collect();
        let rows = batches.iter().flat_map(|batch| self.rows(batch)).collect();
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        match self.place {
            Place::Memory(_) => "memory",
            Place::Disk(_) => "disk",
        }
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Connection {
    fn rows(&self, batch: &RecordBatch) -> Vec<Vec<String>> {
        let options = FormatOptions::default().with_null("NULL");
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        let cell = |column: &ArrayFormatter<'_>, row| match column.value(row).to_string() {
            text if text.is_empty() => "(empty)".to_owned(),
            text => self.plain(&text),
        };
        (0..batch.num_rows()).map(|row| columns.iter().map(|column| cell(column, row)).collect()).collect()
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        data_type if data_type.is_integer() => DefaultColumnType::Integer,
        data_type if data_type.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

/// Puts `{id}` for runs of 16 or more hexadecimal digits.
fn hide_ids(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() >= 16 { "{id}" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sql-tests")
}

async fn check(subject: &str, place: Place) {
    let file = directory().join(format!("{subject}.slt"));
    let root = place.root();
    let mut runner = Runner::new(move || {
        let place = place.clone();
        async move { Ok(Connection { ctx: place.session(), place }) }
    });
    runner.set_var("ROOT".to_owned(), root);
    if std::env::var_os("UPDATE_SLT").is_some() {
        let validator = sqllogictest::default_validator;
        let normalizer = sqllogictest::default_normalizer;
        runner
            .update_test_file(&file, "\t", validator, normalizer, sqllogictest::default_column_validator)
            .await
            .unwrap();
        return;
    }
    if let Err(error) = runner.run_file_async(&file).await {
        panic!("{}", error.display(false));
    }
}

macro_rules! subjects {
    ($($subject:ident),+ $(,)?) => {
        const SUBJECTS: &[&str] = &[$(stringify!($subject)),+];

        $(mod $subject {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_memory() {
                super::check(stringify!($subject), super::Place::memory()).await;
            }

            #[tokio::test]
            async fn on_disk() {
                super::check(stringify!($subject), super::Place::disk()).await;
            }
        })+
    };
}

subjects!(smoke);

#[test]
fn every_file_is_run() {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort_unstable();
    assert!(!found.is_empty());
    assert_eq!(found, SUBJECTS);
}
