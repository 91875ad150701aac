//! Statements to cut off, and what must hold of their table afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use datafusion::prelude::SessionContext;

use super::job::{Job, kind};
use super::leftovers::{copy_all, leftovers};
use crate::query::{row, rows, texts};
use crate::session::{run, session_at};

pub(crate) const EXPIRE: &str = "SELECT count(*) FROM expire_snapshots('{t}', keep_for => INTERVAL '0 days', \
                                 orphan_age => INTERVAL '0 days', dry_run => false)";
const OPEN: &str = "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{t}'";
const UNDROP: &str = "SELECT table_name FROM atio_undrop('w.s.t')";
pub(super) const MANAGED: &str =
    "CREATE TABLE w.s.t AS SELECT value AS a FROM generate_series(1, 10)";

/// A statement; `{t}` is where its table is. A state of the table is told as the number of
/// its rows and their sum, or is None if there is no table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Makes what is there before.
    before: &'static [&'static str],
    /// Prepares the session, and writes nothing.
    session: &'static [&'static str],
    pub(crate) statement: &'static str,
    old: Option<&'static str>,
    new: Option<&'static str>,
}

const CREATE: &str = "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{t}'";
const ONE: &[&str] = &[CREATE, "INSERT INTO t VALUES (1), (2)"];
const TWO: &[&str] = &[
    CREATE,
    "INSERT INTO t VALUES (1), (2)",
    "INSERT INTO t VALUES (3)",
];

pub(crate) const INSERT: Case = Case {
    name: "insert",
    before: ONE,
    session: &[OPEN],
    statement: "INSERT INTO t VALUES (10)",
    old: Some("2|3"),
    new: Some("3|13"),
};

pub(crate) const EXPIRY: Case = Case {
    name: "expiry",
    before: &[
        CREATE,
        "INSERT INTO t VALUES (7), (8)",
        "INSERT OVERWRITE t VALUES (9)",
        "INSERT OVERWRITE t VALUES (1), (2)",
    ],
    session: &[],
    statement: EXPIRE,
    old: Some("2|3"),
    new: Some("2|3"),
};

/// Those that are not run at every step unless the long form is asked for.
pub(crate) const OTHERS: [Case; 11] = [
    Case {
        name: "create",
        before: &[],
        session: &[],
        statement: CREATE,
        old: None,
        new: Some("0|NULL"),
    },
    Case {
        name: "create-as",
        before: &["CREATE SCHEMA w.s"],
        session: &[],
        statement: MANAGED,
        old: None,
        new: Some("10|55"),
    },
    Case {
        name: "drop",
        before: &["CREATE SCHEMA w.s", MANAGED],
        session: &[],
        statement: "DROP TABLE w.s.t",
        old: Some("10|55"),
        new: None,
    },
    Case {
        name: "undrop",
        before: &["CREATE SCHEMA w.s", MANAGED, "DROP TABLE w.s.t"],
        session: &[],
        statement: UNDROP,
        old: None,
        new: Some("10|55"),
    },
    Case {
        name: "overwrite",
        before: ONE,
        session: &[OPEN],
        statement: "INSERT OVERWRITE t VALUES (5)",
        old: Some("2|3"),
        new: Some("1|5"),
    },
    Case {
        name: "delete",
        before: TWO,
        session: &[OPEN],
        statement: "DELETE FROM t WHERE a = 1",
        old: Some("3|6"),
        new: Some("2|5"),
    },
    Case {
        name: "delete-by-mark",
        before: TWO,
        session: &[OPEN, "SET atio.delete_mode = 'mark'"],
        statement: "DELETE FROM t WHERE a = 1",
        old: Some("3|6"),
        new: Some("2|5"),
    },
    Case {
        name: "update",
        before: TWO,
        session: &[OPEN],
        statement: "UPDATE t SET a = a + 10 WHERE a = 1",
        old: Some("3|6"),
        new: Some("3|16"),
    },
    Case {
        name: "merge",
        before: TWO,
        session: &[OPEN],
        statement: "MERGE INTO t USING (VALUES (1), (7)) AS s(a) ON t.a = s.a \
                    WHEN MATCHED THEN UPDATE SET a = 20 WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        old: Some("3|6"),
        new: Some("4|32"),
    },
    Case {
        name: "truncate",
        before: TWO,
        session: &[OPEN],
        statement: "TRUNCATE TABLE t",
        old: Some("3|6"),
        new: Some("0|NULL"),
    },
    Case {
        name: "many-files",
        before: &[
            "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{t}' \
             OPTIONS ('atio.target_file_size' '1000', 'atio.max_row_group_rows' '1000')",
            "INSERT INTO t VALUES (1), (2)",
        ],
        session: &[
            OPEN,
            "SET datafusion.execution.objectstore_writer_buffer_size = 2000",
            "SET datafusion.execution.parquet.allow_single_file_parallelism = false",
            "SET datafusion.execution.batch_size = 500",
        ],
        statement: "INSERT INTO t SELECT value FROM generate_series(1, 3000)",
        old: Some("2|3"),
        new: Some("3002|4501503"),
    },
];

pub(crate) fn named(name: &str) -> &'static Case {
    const ALL: [&Case; 2] = [&INSERT, &EXPIRY];
    let mut all = ALL.into_iter().chain(&OTHERS);
    all.find(|case| case.name == name).unwrap()
}

impl Case {
    /// Where its table is, in a directory of its own.
    pub(crate) fn table(&self, at: &Path) -> PathBuf {
        match self.statement.contains("w.s.t") {
            true => at.join("warehouse/s/t"),
            false => at.join("t"),
        }
    }

    fn fill(&self, sql: &str, at: &Path) -> String {
        let at = at.canonicalize().unwrap();
        sql.replace("{t}", self.table(&at).to_str().unwrap())
    }

    /// Makes `at` as it is before the statement.
    pub(crate) async fn prepare(&self, at: &Path) {
        fs::create_dir_all(at).unwrap();
        let ctx = session_at(at);
        for sql in self.before {
            rows(&ctx, &self.fill(sql, at)).await;
        }
    }

    /// The directory as it is before the statement, once more.
    pub(crate) fn copy(&self, prepared: &Path, to: &Path) {
        copy_all(prepared, to);
    }

    /// The statement as a job; the number of the statement is [`Case::number`].
    pub(crate) fn job(&self, at: &Path) -> Job {
        let all = self.session.iter().chain([&self.statement]);
        Job::new(at, all.map(|sql| self.fill(sql, at)).collect())
    }

    pub(crate) fn number(&self) -> usize {
        self.session.len()
    }

    /// Runs the statement in a session of its own; `Err` begins with the kind.
    pub(crate) async fn run(&self, at: &Path) -> Result<(), String> {
        let ctx = session_at(at);
        for sql in self.session {
            rows(&ctx, &self.fill(sql, at)).await;
        }
        self.run_in(&ctx, at).await
    }

    async fn run_in(&self, ctx: &SessionContext, at: &Path) -> Result<(), String> {
        match run(ctx, &self.fill(self.statement, at)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{}: {}", kind(&error), error.strip_backtrace())),
        }
    }

    /// The state of the table, for one who knows nothing of it.
    pub(crate) async fn state(&self, at: &Path) -> Result<Option<String>, String> {
        let sql = self.fill("SELECT count(*), sum(a) FROM atio_table('{t}')", at);
        match run(&session_at(at), &sql).await {
            Ok(batches) => Ok(Some(texts(&batches).concat())),
            Err(error) if kind(&error) == "TableNotFound" => Ok(None),
            Err(error) => Err(format!("{}: {}", kind(&error), error.strip_backtrace())),
        }
    }

    /// Passes if the statement took effect wholly or not at all, and wholly if it was
    /// acknowledged; if the table works on; and if nothing is left of what was cut off.
    pub(crate) async fn check(&self, at: &Path, acknowledged: bool, what: &str) {
        let what = &format!("{} {what}", self.name);
        let found = match self.state(at).await {
            Ok(found) => found,
            Err(error) => panic!("{what}: {error}"),
        };
        let (old, new) = (self.old.map(str::to_owned), self.new.map(str::to_owned));
        assert!(
            found == new || !acknowledged && found == old,
            "{what}: found {found:?}; {old:?} became {new:?}, acknowledged: {acknowledged}"
        );
        if found.is_some() {
            self.check_history(at, what).await;
        }
        // Whoever is told that it did not happen runs it again.
        if found != new {
            assert_eq!(self.run(at).await, Ok(()), "{what}, run again");
            assert_eq!(self.state(at).await, Ok(new.clone()), "{what}, run again");
        }
        if new.is_some() {
            self.check_goes_on(at, what).await;
        } else {
            self.check_comes_back(at, what).await;
        }
        self.check_folders(at, what).await;
    }

    /// Versions are contiguous, and those that are retained hold as many rows as they say.
    pub(crate) async fn check_history(&self, at: &Path, what: &str) {
        let ctx = session_at(at);
        let history = "SELECT version, rows, readable FROM atio_history('{t}')";
        let mut versions = Vec::new();
        for entry in rows(&ctx, &self.fill(history, at)).await {
            let cells: Vec<_> = entry.split('|').collect();
            versions.push(cells[0].parse::<usize>().unwrap());
            if cells[2] == "true" {
                let sql = format!(
                    "SELECT count(*) FROM (SELECT a FROM atio_table('{{t}}', version => {}))",
                    cells[0]
                );
                let count = row(&ctx, &self.fill(&sql, at)).await;
                assert_eq!(count, cells[1], "{what}: version {}", cells[0]);
            }
        }
        versions.sort_unstable();
        let all: Vec<_> = (0..versions.len()).collect();
        assert_eq!(versions, all, "{what}: versions");
    }

    /// The table takes another row, and an expiry removes all that no version names.
    async fn check_goes_on(&self, at: &Path, what: &str) {
        let ctx = session_at(at);
        rows(&ctx, &self.fill(OPEN, at)).await;
        rows(&ctx, "INSERT INTO t VALUES (1000)").await;
        let (count, sum) = self.new.unwrap_or_default().split_once('|').unwrap();
        let count = count.parse::<i64>().unwrap() + 1;
        let sum = sum.parse::<i64>().unwrap_or_default() + 1000;
        let expected = Ok(Some(format!("{count}|{sum}")));
        assert_eq!(self.state(at).await, expected, "{what}: one row more");
        rows(&ctx, &self.fill(EXPIRE, at)).await;
        assert_eq!(
            leftovers(&self.table(at)),
            [""; 0],
            "{what}: left by expiry"
        );
        assert_eq!(
            row(&ctx, &self.fill(EXPIRE, at)).await,
            "0",
            "{what}: a second expiry"
        );
        assert_eq!(self.state(at).await, expected, "{what}: after expiry");
    }

    /// A table that was dropped is whole when it comes back.
    async fn check_comes_back(&self, at: &Path, what: &str) {
        let ctx = session_at(at);
        assert_eq!(rows(&ctx, UNDROP).await, ["t"], "{what}");
        let old = self.old.map(str::to_owned);
        assert_eq!(self.state(at).await, Ok(old), "{what}: brought back");
        self.check_history(at, what).await;
        assert_eq!(rows(&ctx, "SELECT id FROM atio_dropped()").await, [""; 0]);
    }

    /// A table that was being made or deleted leaves a hidden directory, which goes when it is
    /// old and another is made.
    async fn check_folders(&self, at: &Path, what: &str) {
        let schema = at.join("warehouse/s");
        if !schema.exists() {
            return;
        }
        for entry in fs::read_dir(&schema).unwrap() {
            let folder = fs::File::open(entry.unwrap().path()).unwrap();
            let old = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
            folder.set_modified(old).unwrap();
        }
        rows(&session_at(at), "CREATE TABLE w.s.another AS SELECT 1 AS a").await;
        for entry in fs::read_dir(&schema).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(name == "t" || name == "another", "{what}: left {name:?}");
        }
    }
}
