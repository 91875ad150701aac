//! One table directory that Python and atio take turns at.

use std::path::{Path, PathBuf};

use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use serde_json::Value;
use tempfile::TempDir;

use super::directory_bytes::Tree;
use super::interpreter::Python;
use super::rows::Rows;

pub(super) struct Table {
    python: &'static Python,
    scratch: TempDir,
}

/// What Python's `read_table` made of a version.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    Rows(Rows),
    /// It returned `None`: no data file is listed.
    None,
    /// It raised; kind and message.
    Refused(String),
}

impl Table {
    /// A table that does not exist yet, or `None` where Python is missing.
    pub(super) fn new() -> Option<Self> {
        let python = Python::find()?;
        let scratch = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Some(Self { python, scratch })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.scratch.path().join("sales")
    }

    /// The path as scripts and SQL take it.
    pub(super) fn location(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    pub(super) fn tree(&self) -> Tree {
        Tree::of(&self.path())
    }

    /// A file of the table, parsed.
    pub(super) fn json(&self, name: impl AsRef<Path>) -> Value {
        let text = std::fs::read_to_string(self.path().join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Writes versions with Python, in this mode from this frame.
    #[track_caller]
    pub(super) fn write_in_python(&self, versions: &[(&str, &Value)]) {
        for result in self.try_to_write_in_python(versions) {
            result.unwrap();
        }
    }

    /// The same, each for itself; an `Err` is the exception that Python raised.
    pub(super) fn try_to_write_in_python(
        &self,
        versions: &[(&str, &Value)],
    ) -> Vec<Result<(), String>> {
        let modes: Vec<_> = versions.iter().map(|(mode, _)| *mode).collect();
        let frames: String = versions.iter().map(|(_, f)| format!("{f}\n")).collect();
        self.attempt("write.py", &modes, &frames)
    }

    /// Tries to expire with Python what is older than now, for real.
    pub(super) fn try_to_expire_in_python(&self) -> Result<(), String> {
        self.attempt("expire.py", &["0"], "").remove(0)
    }

    fn attempt(&self, script: &str, args: &[&str], input: &str) -> Vec<Result<(), String>> {
        let location = self.location();
        let args = [&[location.as_str()], args].concat();
        let results = self.python.script(script, &args, input, args.len() - 1);
        let outcome = |result: &Value| match result["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => {
                assert_eq!(result["done"], true);
                Ok(())
            }
        };
        results.iter().map(outcome).collect()
    }

    /// Reads with Python the version it takes by itself, then `versions`.
    pub(super) fn read_in_python(&self, versions: &[u64]) -> (Read, Vec<Read>) {
        let numbers: Vec<_> = versions.iter().map(u64::to_string).collect();
        let location = self.location();
        let mut args = vec![location.as_str(), "newest"];
        args.extend(numbers.iter().map(String::as_str));
        let results = self.python.script("read.py", &args, "", args.len() - 1);
        let mut reads = results.iter().map(|read| {
            if read["none"] == true {
                return Read::None;
            }
            match read["error"].as_str() {
                Some(error) => Read::Refused(error.to_owned()),
                None => Read::Rows(Rows::of_json(read)),
            }
        });
        (reads.next().unwrap(), reads.collect())
    }

    /// A session in which this directory is the table `t`, opened as it is.
    pub(super) async fn open(&self) -> Result<SessionContext> {
        let location = self.location();
        self.session(&format!(
            "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'"
        ))
        .await
    }

    /// A session that has run one CREATE statement.
    pub(super) async fn session(&self, create: &str) -> Result<SessionContext> {
        let ctx = SessionContext::new();
        atio::register(&ctx)?;
        rows(&ctx, create).await?;
        Ok(ctx)
    }

    /// What a new session reads from a version, given only the path: the way
    /// to the older versions of a table that does not open.
    pub(super) async fn version_at_path(&self, version: u64) -> Result<Rows> {
        let ctx = self.session("SELECT 1").await?;
        let location = self.location();
        let sql = format!("SELECT * FROM atio_table('{location}', version => {version})");
        rows(&ctx, &sql).await
    }

    /// Passes if Python and atio read the same from every version, the newest
    /// being the last one: these rows, or nothing where `expected` has none.
    #[track_caller]
    pub(super) fn assert_agreed<'a>(
        &'a self,
        ctx: &'a SessionContext,
        expected: &'a [(u64, Rows)],
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let versions: Vec<_> = expected.iter().map(|(version, _)| *version).collect();
            let (newest, reads) = self.read_in_python(&versions);
            for ((version, rows_of_version), read) in expected.iter().zip(&reads) {
                let by_atio = version_rows(ctx, *version).await.unwrap();
                assert_eq!(&by_atio, rows_of_version, "atio, v{version}, {caller}");
                match read {
                    Read::None => assert_eq!(by_atio.len(), 0, "v{version}, {caller}"),
                    read => assert_eq!(
                        read,
                        &Read::Rows(by_atio),
                        "Python (left) and atio, v{version}, {caller}"
                    ),
                }
            }
            let (_, last) = expected.last().unwrap();
            let by_atio = rows(ctx, "SELECT * FROM t").await.unwrap();
            assert_eq!(&by_atio, last, "atio, newest, {caller}");
            assert_eq!(Some(&newest), reads.last(), "Python, newest, {caller}");
            let wrong = "SELECT * FROM atio_check('t', deep => true)";
            let wrong = rows(ctx, wrong).await.unwrap();
            assert_eq!(wrong.len(), 0, "{wrong:?}, {caller}");
        }
    }
}

/// Runs one statement to its end.
pub(super) async fn rows(ctx: &SessionContext, sql: &str) -> Result<Rows> {
    let frame = ctx.sql(sql).await?;
    let fields = frame.schema().fields().iter();
    let columns = fields.map(|field| field.name().clone()).collect();
    Ok(Rows::of_batches(columns, &frame.collect().await?))
}

/// What atio reads from a version of the table `t`.
pub(super) async fn version_rows(ctx: &SessionContext, version: u64) -> Result<Rows> {
    let sql = format!("SELECT * FROM atio_table('t', version => {version})");
    rows(ctx, &sql).await
}
