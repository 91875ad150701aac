//! A hundred bad inputs: each gives an error of its kind that says what and where, and
//! nothing is lost, made or read in part. `list` names all of them.

#![cfg(test)]

mod create_table;
mod damaged_metadata;
mod data_files;
mod list;
mod manifest_paths;
mod opening;
mod policy;
#[cfg(feature = "aws")]
mod secrets;
mod statements;

use std::error::Error as _;

use atio::ErrorKind;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use crate::damage::broken_table::Broken;
use crate::objects::{Objects, assert_same, files};
use crate::query::{rows, texts};
use crate::session::{Place, run};

/// A statement, in which `{root}` is the place of the test, and what it must give: an error
/// of this kind (none is the engine's own), with these words.
struct Bad<'a>(u8, &'a str, Option<ErrorKind>, &'a [&'a str]);

/// How a statement failed.
#[derive(Debug)]
struct Failure {
    kind: Option<ErrorKind>,
    text: String,
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        let mut text = error.strip_backtrace();
        let mut next = error.source();
        while let Some(source) = next {
            text += &format!("\n{source}");
            next = source.source();
        }
        Self {
            kind: atio::Error::find(&error).map(atio::Error::kind),
            text,
        }
    }
}

impl Failure {
    #[track_caller]
    fn assert(&self, line: u8, what: &str, kind: Option<ErrorKind>, says: &[&str]) {
        let Self { kind: found, text } = self;
        assert_eq!(*found, kind, "line {line}, {what}: {text}");
        for words in says {
            assert!(
                text.contains(words),
                "line {line}, {what}: {text} does not say {words:?}"
            );
        }
        for never in ["panic", "unwrap", "bug in DataFusion", "SECRET"] {
            assert!(!text.contains(never), "line {line}, {what}: {text}");
        }
    }
}

async fn attempt(ctx: &SessionContext, sql: &str) -> Result<Vec<String>, Failure> {
    Ok(texts(&run(ctx, sql).await?))
}

/// A place on disk with a table `t` of one row, a directory of somebody else, and a file.
struct Bench {
    place: Place,
    ctx: SessionContext,
}

impl Bench {
    async fn new() -> Self {
        let place = Place::disk();
        std::fs::create_dir(place.path().join("foreign")).unwrap();
        std::fs::write(place.path().join("foreign/x.csv"), "a,b\n1,2\n").unwrap();
        std::fs::write(place.path().join("file"), "mine").unwrap();
        let ctx = place.session();
        let bench = Self { place, ctx };
        let create = "CREATE EXTERNAL TABLE t (a BIGINT NOT NULL, b VARCHAR) STORED AS ATIO LOCATION '{root}/t'";
        rows(&bench.ctx, &bench.sql(create)).await;
        rows(&bench.ctx, "INSERT INTO t VALUES (1, 'one')").await;
        bench
    }

    fn sql(&self, sql: &str) -> String {
        sql.replace("{root}", &self.place.root())
    }

    fn files(&self) -> Objects {
        files(self.place.path())
    }

    /// Runs statements that must fail; after each the disk is as it was, and `t` is read.
    async fn refuse(&self, statements: &[Bad<'_>]) {
        let before = self.files();
        for Bad(line, sql, kind, says) in statements {
            let sql = self.sql(sql);
            match attempt(&self.ctx, &sql).await {
                Ok(rows) => panic!("line {line}, {sql}: succeeded with {rows:?}"),
                Err(failure) => failure.assert(*line, &sql, *kind, says),
            }
            assert_same(&before, &self.files(), &sql);
            let found = rows(&self.ctx, "SELECT a, b FROM t").await;
            assert_eq!(found, ["1|one"], "after line {line}, {sql}");
        }
    }
}

/// Runs a statement on a broken table, opened as `t` in a session of its own if `sql` is
/// about `t`, and by its path as `{t}` otherwise.
async fn on_broken(table: &Broken, sql: &str) -> Result<Vec<String>, Failure> {
    let location = table.root().display().to_string();
    let ctx = table.place().session();
    if !sql.contains("{t}") {
        let open = format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'");
        attempt(&ctx, &open).await?;
    }
    attempt(&ctx, &sql.replace("{t}", &location)).await
}

const READ: &str = "SELECT a, b FROM atio_table('{t}')";
const APPEND: &str = "INSERT INTO t VALUES (60, 'sixty')";
const OVERWRITE: &str = "INSERT OVERWRITE t VALUES (70, 'seventy')";
const EXPIRE: &str = "SELECT path FROM expire_snapshots('{t}', keep_for => INTERVAL '0 days', \
     retain_last => 2, orphan_age => INTERVAL '0 days', dry_run => false)";

/// Passes if each statement fails so and changes nothing, and version 3 is still read.
async fn refuse_on_broken(
    table: &Broken,
    line: u8,
    what: &str,
    statements: &[&str],
    kind: ErrorKind,
    says: &[&str],
) {
    let before = files(&table.root());
    for sql in statements {
        match on_broken(table, sql).await {
            Ok(rows) => panic!("line {line}, {what}: {sql} succeeded with {rows:?}"),
            Err(failure) => failure.assert(line, &format!("{what}, {sql}"), Some(kind), says),
        }
        assert_same(&before, &files(&table.root()), &format!("{what}, {sql}"));
    }
    table.assert_version(3, what).await;
}
