//! Tables that are dropped, dropped and made again or brought back, or expired at any request of a
//! statement: right rows, or an error that says so. Never that anything is damaged, or that the
//! storage failed.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use atio::{AtioCatalog, ErrorKind};
use datafusion::object_store::ObjectStore;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::memory::InMemory;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::FutureExt;
use tokio::runtime::Runtime;
use url::Url;

use super::call::{Fault, Operation};
use super::fault_store::FaultStore;
use super::invariants::kind;
use crate::long_form::long;
use crate::query::{rows, texts};
use crate::session::{flush, run};

/// What somebody else does meanwhile, and what there is after it.
struct Meanwhile {
    statements: &'static [&'static str],
    /// What is done at the next request.
    later: &'static [&'static str],
    left: Left,
}

/// The table that there is in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Another one, or the rows of another version.
    Rows(&'static [&'static str]),
    /// The same.
    AsBefore,
}

const DROP: Meanwhile = Meanwhile {
    statements: &["DROP TABLE w.public.t"],
    later: &[],
    left: Left::Nothing,
};

const REPLACE: Meanwhile = Meanwhile {
    statements: &[
        "DROP TABLE w.public.t",
        "CREATE TABLE w.public.t AS SELECT arrow_cast(77, 'Int64') AS a",
    ],
    later: &[],
    left: Left::Rows(&["77"]),
};

const RETURN: Meanwhile = Meanwhile {
    statements: &[
        "DROP TABLE w.public.t",
        "SELECT * FROM atio_undrop('w.public.t')",
    ],
    later: &[],
    left: Left::AsBefore,
};

/// Another table is in the place for a while. What is back at the next request was missing at this
/// one, and may be told as damaged.
const AWAY: Meanwhile = Meanwhile {
    statements: REPLACE.statements,
    later: &[
        "DROP TABLE w.public.t",
        "SELECT * FROM atio_undrop('w.public.t', new_name => 'other')",
        "SELECT * FROM atio_undrop('w.public.t')",
    ],
    left: Left::AsBefore,
};

const EXPIRE: Meanwhile = Meanwhile {
    statements: &[
        "INSERT OVERWRITE w.public.t VALUES (50)",
        "SELECT count(*) FROM expire_snapshots('w.public.t', keep_for => INTERVAL '0 days', dry_run => false)",
    ],
    later: &[],
    left: Left::Rows(&["50"]),
};

const BEFORE: &[&str] = &["1", "2", "3", "4"];

/// A statement on `{t}`, and the rows that it may give; None if they are not looked at.
type Statement = (&'static str, Option<&'static [&'static [&'static str]]>);

const STATEMENTS: &[Statement] = &[
    ("SELECT a FROM {t}", Some(&[BEFORE, &["77"], &["50"]])),
    (
        "SELECT a FROM w.public.t",
        Some(&[BEFORE, &["77"], &["50"]]),
    ),
    (
        "SELECT a FROM {t} WHERE a > 3",
        Some(&[&["4"], &["77"], &["50"]]),
    ),
    ("SELECT count(*) FROM {t}", Some(&[&["4"], &["1"]])),
    ("SELECT sum(a) FROM {t}", Some(&[&["10"], &["77"], &["50"]])),
    (
        "SELECT a FROM atio_table('{t}', version => 1)",
        Some(&[&["1", "2"], &["77"]]),
    ),
    (
        "SELECT a FROM atio_table('{t}', tag => 'best')",
        Some(&[&["1", "2"]]),
    ),
    ("SELECT operation FROM atio_history('{t}')", None),
    ("SELECT path FROM atio_files('{t}')", None),
    ("SELECT tag FROM atio_tags('{t}')", Some(&[&["best"], &[]])),
    ("SELECT source FROM atio_sources('{t}')", None),
    ("SELECT version FROM atio_stats('{t}')", None),
    ("SELECT object FROM atio_check('{t}')", None),
    ("INSERT INTO {t} VALUES (9)", None),
    ("INSERT OVERWRITE {t} SELECT a + 10 FROM {t}", None),
    (
        "SELECT version FROM atio_tag('{t}', tag => 'new', version => 2)",
        None,
    ),
    ("SELECT version FROM atio_untag('{t}', tag => 'best')", None),
    (
        "SELECT version FROM atio_rollback('{t}', version => 1)",
        None,
    ),
    (
        "SELECT path FROM expire_snapshots('{t}', keep_for => INTERVAL '0 days', dry_run => false)",
        None,
    ),
    (
        "SELECT path FROM expire_snapshots('{t}', keep_for => INTERVAL '0 days')",
        None,
    ),
    ("CREATE TABLE w.public.c AS SELECT a FROM {t}", None),
];

const CONTENT: &str = "SELECT a FROM w.public.t";

/// The rows that a table must have after `sql` was done, which met the rows `before`, and `rows`
/// after that: what was not yet written then is among them.
fn written(sql: &str, before: &[String], rows: &[&str]) -> Vec<String> {
    let is_done = |row: &str| before.iter().any(|before| before == row);
    let mut numbers: Vec<i64> = rows.iter().map(|row| row.parse().unwrap()).collect();
    if sql.starts_with("INSERT INTO") && !is_done("9") {
        numbers.push(9);
    } else if sql.starts_with("INSERT OVERWRITE") && !is_done("11") {
        numbers.iter_mut().for_each(|number| *number += 10);
    } else if sql.contains("atio_rollback") && before != ["1", "2"] && rows != ["77"] {
        numbers = vec![1, 2];
    }
    let mut rows: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    // As the rows of an answer are compared.
    rows.sort();
    rows
}

/// Words that are not true of a table that somebody dropped.
const UNTRUE: [&str; 6] = [
    "damage",
    "missing",
    "failed",
    "cannot be read",
    "No such file",
    "unknown",
];

#[derive(Clone)]
enum World {
    Memory(Arc<InMemory>),
    Disk(Arc<tempfile::TempDir>),
}

impl World {
    fn root(&self) -> String {
        match self {
            World::Memory(_) => "memory://test/base".to_owned(),
            World::Disk(at) => at
                .path()
                .canonicalize()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        match self {
            World::Memory(store) => Arc::clone(store) as _,
            World::Disk(_) => Arc::new(LocalFileSystem::new()),
        }
    }

    fn session(&self, store: Arc<dyn ObjectStore>) -> SessionContext {
        let config = SessionConfig::new().with_target_partitions(1);
        let ctx = SessionContext::new_with_config(config);
        let url = match self {
            World::Memory(_) => "memory://test/",
            World::Disk(_) => "file:///",
        };
        ctx.register_object_store(&Url::parse(url).unwrap(), store);
        atio::register(&ctx).unwrap();
        let catalog = AtioCatalog::open(&ctx, &format!("{}/warehouse", self.root())).unwrap();
        ctx.register_catalog("w", Arc::new(catalog));
        ctx
    }

    fn new(disk: bool) -> Self {
        match disk {
            true => World::Disk(Arc::new(tempfile::tempdir().unwrap())),
            false => World::Memory(Arc::default()),
        }
    }

    /// The same tables in a place of its own.
    fn copy(&self) -> Self {
        match self {
            World::Memory(store) => World::Memory(Arc::new(store.fork())),
            World::Disk(at) => {
                let copy = tempfile::tempdir().unwrap();
                copy_below(at.path(), copy.path());
                World::Disk(Arc::new(copy))
            }
        }
    }

    /// Makes the table, in versions 0 to 3 and with a tag.
    async fn prepare(&self) {
        if let World::Disk(at) = self {
            std::fs::create_dir_all(at.path().join("warehouse")).unwrap();
        }
        let ctx = self.session(self.store());
        for sql in [
            "CREATE TABLE w.public.t (a BIGINT)",
            "INSERT INTO w.public.t VALUES (1), (2)",
            "INSERT INTO w.public.t VALUES (3)",
            "INSERT INTO w.public.t VALUES (4)",
            "SELECT * FROM atio_tag('w.public.t', tag => 'best', version => 1)",
        ] {
            rows(&ctx, sql).await;
        }
    }
}

fn copy_below(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .unwrap();
        let copy = to.join(name);
        if path.is_dir() {
            std::fs::create_dir_all(&copy).unwrap();
            copy_below(&path, &copy);
        } else {
            std::fs::copy(&path, &copy).unwrap();
        }
    }
}

/// Runs `sql` while somebody else does `meanwhile` at its call with the number `at`; false if
/// it makes no such call. `world` is prepared.
async fn check(
    world: &World,
    (sql, gives): Statement,
    meanwhile: &'static Meanwhile,
    at: u64,
) -> Result<bool, String> {
    let store = FaultStore::new(world.store());
    let ctx = world.session(Arc::new(store.clone()));
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{}/warehouse/public/t'",
        world.root()
    );
    rows(&ctx, &open).await;
    let other = world.session(world.store());
    let count = Arc::new(AtomicU64::new(0));
    let calls = Arc::clone(&count);
    let met = Arc::new(Mutex::new(Vec::new()));
    let before = Arc::clone(&met);
    let turn = Arc::new(tokio::sync::Mutex::new(()));
    let turns = Arc::clone(&turn);
    let later = Arc::new(AtomicBool::new(false));
    let later_done = Arc::clone(&later);
    store.direct(move |call| {
        if call.operation == Operation::Item {
            return futures::future::ready(Fault::None).boxed();
        }
        let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
        let statements = match number.checked_sub(at) {
            Some(0) => meanwhile.statements,
            Some(1) => meanwhile.later,
            _ => return futures::future::ready(Fault::None).boxed(),
        };
        let (other, before, turn) = (other.clone(), Arc::clone(&before), Arc::clone(&turns));
        // Requests are made at once: what is done at the next one waits for this.
        let first = (number == at).then(|| Arc::clone(&turn).try_lock_owned().unwrap());
        let later = Arc::clone(&later_done);
        // To its end, even if the request is given up.
        let done = tokio::spawn(async move {
            let _turn = match first {
                Some(turn) => turn,
                None => turn.lock_owned().await,
            };
            if number == at {
                let met = rows(&other, CONTENT).await;
                *before.lock().unwrap() = met;
                all(&other, statements).await;
            } else if !later.swap(true, Ordering::SeqCst) {
                all(&other, statements).await;
            }
        });
        async move {
            done.await.unwrap();
            Fault::None
        }
        .boxed()
    });
    let filled = sql.replace("{t}", "t");
    let ended = run(&ctx, &filled).await;
    // A catalog makes tables in a runtime of several threads, where hints follow the answer. On a
    // disk they come before it.
    if let World::Memory(_) = world {
        flush();
    }
    if count.load(Ordering::SeqCst) < at {
        return Ok(false);
    }
    let _turn = turn.lock().await;
    if !later.swap(true, Ordering::SeqCst) {
        all(&world.session(world.store()), meanwhile.later).await;
    }
    let done = ended.is_ok();
    match ended {
        Ok(batches) => {
            let found = texts(&batches);
            if let Some(gives) = gives
                && !gives.iter().any(|rows| found == *rows)
            {
                return Err(format!("it gives {found:?}"));
            }
            let mut untrue = found.iter().filter(|_| meanwhile.later.is_empty());
            if let Some(untrue) = untrue.find(|row| row.contains("damage")) {
                return Err(format!("it gives {untrue}"));
            }
        }
        Err(error) => {
            let said = error.strip_backtrace();
            let mut untrue = UNTRUE.iter().filter(|_| meanwhile.later.is_empty());
            if let Some(untrue) = untrue.find(|words| said.contains(*words)) {
                return Err(format!("it says '{untrue}' ({:?}): {said}", kind(&error)));
            }
            match kind(&error) {
                Some(
                    ErrorKind::TableNotFound
                    | ErrorKind::SchemaChanged
                    | ErrorKind::VersionExpired
                    | ErrorKind::Conflict,
                ) => {}
                // A table that was made again has numbers of its own.
                Some(ErrorKind::VersionNotFound) if meanwhile.left != Left::Nothing => {}
                Some(ErrorKind::Revoked) if meanwhile.left == Left::AsBefore => {}
                Some(ErrorKind::Damaged | ErrorKind::Storage) if !meanwhile.later.is_empty() => {}
                None if said.contains("not found") => {}
                kind => return Err(format!("{kind:?}: {said}")),
            }
        }
    }
    let fresh = world.session(world.store());
    if !meanwhile.later.is_empty() {
        let other = rows(&fresh, "SELECT a FROM w.public.other").await;
        if other != ["77"] {
            return Err(format!("it left {other:?} in the other table"));
        }
    }
    let met = met.lock().unwrap().clone();
    let same: Vec<_> = met.iter().map(String::as_str).collect();
    let expected = match meanwhile.left {
        Left::Nothing => None,
        Left::Rows(rows) => Some(rows),
        Left::AsBefore => Some(same.as_slice()),
    };
    match (run(&fresh, CONTENT).await, expected) {
        (Err(_), None) => Ok(true),
        (Ok(batches), Some(rows)) => {
            let expected = match done {
                true => written(sql, &met, rows),
                false => rows.iter().map(ToString::to_string).collect(),
            };
            match texts(&batches) {
                found if found == expected => Ok(true),
                found => Err(format!("it left {found:?}, and not {expected:?}")),
            }
        }
        (Ok(batches), None) => Err(format!("it left {:?}", texts(&batches))),
        (Err(error), Some(_)) => Err(format!("it left {error}")),
    }
}

async fn all(ctx: &SessionContext, statements: &[&str]) {
    for sql in statements {
        rows(ctx, sql).await;
    }
}

fn runtime(disk: bool) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(!disk).build().unwrap()
}

fn sweep(meanwhile: &'static Meanwhile, disk: bool) {
    let prepared = World::new(disk);
    runtime(disk).block_on(prepared.prepare());
    let mut wrong = BTreeSet::new();
    let mut checked = 0;
    // Every third request, unless the long form is asked for.
    let step = if long() { 1 } else { 3 };
    for (first, statement) in STATEMENTS.iter().enumerate() {
        for at in (1 + (first % step) as u64..).step_by(step) {
            let world = prepared.copy();
            match runtime(disk).block_on(check(&world, *statement, meanwhile, at)) {
                Ok(true) => checked += 1,
                Ok(false) => break,
                Err(what) => drop(wrong.insert(format!("{} at {at}: {what}", statement.0))),
            }
        }
    }
    println!("{checked} passed");
    let wrong: Vec<_> = wrong.into_iter().collect();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn table_that_is_dropped_on_a_store_at_any_request_is_told_as_dropped() {
    sweep(&DROP, false);
}

#[test]
fn table_that_is_dropped_on_a_disk_at_any_request_is_told_as_dropped() {
    sweep(&DROP, true);
}

#[test]
fn table_that_is_made_again_on_a_store_at_any_request_is_told_from_the_old_one() {
    sweep(&REPLACE, false);
}

#[test]
fn table_that_is_made_again_on_a_disk_at_any_request_is_told_from_the_old_one() {
    sweep(&REPLACE, true);
}

#[test]
fn table_that_is_dropped_and_brought_back_at_any_request_is_the_same() {
    sweep(&RETURN, true);
}

#[test]
fn table_that_is_away_between_two_requests_takes_nothing_that_is_of_another() {
    sweep(&AWAY, true);
}

#[test]
fn version_that_expires_on_a_store_at_any_request_is_told_as_expired() {
    sweep(&EXPIRE, false);
}

#[test]
fn version_that_expires_on_a_disk_at_any_request_is_told_as_expired() {
    sweep(&EXPIRE, true);
}
