//! Runs every file of `slt/`, on memory and on a temporary directory.
//!
//! `{root}` in a statement or a result is the place of the test. Records marked
//! `onlyif disk` or `onlyif memory` run on one of the two; `system` records find the place as
//! `$ROOT` where `control substitution on` stands above. Each `connection` is a session of its
//! own, like another process. `UPDATE_SLT=1` with one test, as in `cargo test create::on_disk`,
//! writes results into the file: read the difference before you keep it.

#![cfg(test)]

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
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

/// What `onlyif` and `skipif` call a place.
fn label(place: &Place) -> &'static str {
    match place {
        Place::Memory(_) => "memory",
        Place::Disk(_) => "disk",
    }
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
    /// Hides what differs from run to run: the place, ids, and times in names.
    fn plain(&self, text: &str) -> String {
        let root = self.place.root();
        // Plans and paths name an object by its key, which is the place without its beginning.
        let key = root
            .trim_start_matches("memory://test")
            .trim_start_matches('/');
        let text = text
            .replace(&root, "\u{1}")
            .replace(&format!("{key}/"), "\u{1}/");
        hide_ids(&text.replace('\u{1}', "{root}"))
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
        let types = schema
            .fields()
            .iter()
            .map(|field| column_type(field.data_type()))
            .collect();
        let rows = batches.iter().flat_map(|batch| self.rows(batch)).collect();
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        label(&self.place)
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Connection {
    fn rows(&self, batch: &RecordBatch) -> Vec<Vec<String>> {
        let options = FormatOptions::default().with_null("NULL");
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        let cell = |column: &ArrayFormatter<'_>, row| match column.value(row).to_string() {
            text if text.is_empty() => "(empty)".to_owned(),
            text => self.plain(&text),
        };
        (0..batch.num_rows())
            .flat_map(|row| by_line(columns.iter().map(|column| cell(column, row)).collect()))
            .collect()
    }
}

/// Gives each line of a plan, which is the last cell of its row, a row of its own.
fn by_line(mut row: Vec<String>) -> Vec<Vec<String>> {
    let last = row.pop().unwrap_or_default();
    let mut lines = last.trim_end().lines().map(str::to_owned);
    row.extend(lines.next());
    std::iter::once(row)
        .chain(lines.map(|line| vec![line]))
        .collect()
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        data_type if data_type.is_integer() => DefaultColumnType::Integer,
        data_type if data_type.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

/// Puts `{id}` for ids, `{millis}` for the times of snapshots and `{sum}` for checksums.
fn hide_ids(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if matches!(c, '0'..='9' | 'a'..='f') {
            run.push(c);
            continue;
        }
        out.push_str(match run.len() {
            32 => "{id}",
            16 if out.ends_with('-') => "{id}",
            13 if out.ends_with("snapshot-") => "{millis}",
            8 if out.ends_with("crc32c:") => "{sum}",
            _ => &run,
        });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// All tests of this program.
fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sql-tests")
}

async fn check(subject: &str, place: Place) {
    let file = directory().join(format!("slt/{subject}.slt"));
    let (root, label) = (place.root(), label(&place));
    let mut runner = Runner::new(move || {
        let place = place.clone();
        async move {
            Ok(Connection {
                ctx: place.session(),
                place,
            })
        }
    });
    runner.set_var("ROOT".to_owned(), root);
    runner.with_column_validator(sqllogictest::strict_column_validator);
    // Conditions of `system` records see labels only, not the name of the engine.
    runner.add_label(label);
    if std::env::var_os("UPDATE_SLT").is_some() {
        let validator = sqllogictest::default_validator;
        let normalizer = sqllogictest::default_normalizer;
        runner
            .update_test_file(
                &file,
                "\t",
                validator,
                normalizer,
                sqllogictest::strict_column_validator,
            )
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

subjects!(
    as_of,
    catalog,
    changes,
    check,
    checks,
    chunks,
    compact,
    copy,
    create,
    delete,
    deletion_vectors,
    drops,
    errors,
    expire,
    explain,
    files,
    filters,
    history,
    insert,
    keys,
    merge,
    messages,
    overwrite,
    pushdown,
    repair,
    rollback,
    row_changes,
    stats,
    tags,
    time_travel,
    truncate,
    types,
    update
);

/// A file in another folder would not be run.
#[test]
fn every_file_is_run() {
    let mut found = Vec::new();
    let mut pending = vec![directory()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "slt") {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    let wanted = |subject| directory().join(format!("slt/{subject}.slt"));
    let wanted: Vec<_> = SUBJECTS.iter().map(wanted).collect();
    assert!(!found.is_empty());
    assert_eq!(found, wanted);
}
