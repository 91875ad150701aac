//! A process that dies at any step on a local disk: the table is as it was or as it should be.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use atio_core::format::Version;
use atio_core::log::RowChange;
use atio_core::storage::Durability;

use super::{
    append, append_rows, append_two, create, durable, everything, mark, on_disk, rewrite, rows_left,
};

const DIRECTORY: &str = "ATIO_TEST_KILLED_IN";
const STATEMENT: &str = "ATIO_TEST_KILLED_STATEMENT";
const STEP: &str = "ATIO_TEST_KILLED_AT";
const UNSYNCED: &str = "ATIO_TEST_KILLED_UNSYNCED";
/// A command that is run before the process dies: one that takes the power away.
const LAST: &str = "ATIO_TEST_KILLED_AFTER";
/// Between its words.
const BETWEEN: char = '\u{1f}';
const SAYS: &str = "steps: ";
/// The step after the answer.
pub(super) const ANSWERED: u64 = u64::MAX;
/// How many steps this process has taken.
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// Every step that the local disk is asked for.
const STEPS: [&str; 11] = [
    "make-folder",
    "begin-file",
    "write-file",
    "sync-file",
    "sync-folder",
    "publish",
    "published",
    "rename-new",
    "link-new",
    "remove",
    "removed",
];

/// Does nothing unless the tests below gave it something to do.
#[tokio::test]
async fn child() {
    let Some(directory) = env::var_os(DIRECTORY) else {
        return;
    };
    let last: u64 = env::var(STEP).unwrap().parse().unwrap();
    let table = match env::var_os(UNSYNCED) {
        Some(_) => on_disk(Path::new(&directory)),
        None => durable(Path::new(&directory)),
    };
    for step in STEPS {
        fail::cfg_callback(step, move || {
            if TAKEN.fetch_add(1, Ordering::SeqCst) + 1 == last {
                die();
            }
        })
        .unwrap();
    }
    match env::var(STATEMENT).unwrap().as_str() {
        "append" => drop(append(&table).await.unwrap()),
        "delete" => drop(rewrite(&table, RowChange::delete, 0).await.unwrap()),
        "update" => drop(rewrite(&table, RowChange::update, 2).await.unwrap()),
        "mark" => drop(mark(&table).await.unwrap()),
        "expire" => drop(table.expire(&everything(), None).await.unwrap()),
        other => panic!("{other}"),
    }
    println!("\n{SAYS}{}", TAKEN.load(Ordering::SeqCst));
    if last == ANSWERED {
        die();
    }
}

fn die() {
    if let Ok(last) = env::var(LAST) {
        let words: Vec<&str> = last.split(BETWEEN).collect();
        let ran = Command::new(words[0]).args(&words[1..]).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }
    std::process::abort();
}

/// A statement on the table in `directory`, in a process that dies at `step`.
pub(super) struct Killed<'a> {
    pub(super) statement: &'a str,
    pub(super) directory: &'a Path,
    pub(super) step: u64,
    pub(super) durability: Durability,
    /// What it runs before.
    pub(super) last: Option<&'a [String]>,
}

impl Killed<'_> {
    /// Gives how many steps it took, if it came to its answer.
    pub(super) fn run(&self) -> Option<u64> {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "table::kills::child", "--nocapture"])
            .env(DIRECTORY, self.directory)
            .env(STATEMENT, self.statement)
            .env(STEP, self.step.to_string())
            .stdin(Stdio::null());
        if let Some(last) = self.last {
            command.env(LAST, last.join(&BETWEEN.to_string()));
        }
        if self.durability == Durability::None {
            command.env(UNSYNCED, "1");
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let steps = said.lines().find_map(|line| line.strip_prefix(SAYS));
        let died = output.status.signal() == Some(rustix::process::Signal::ABORT.as_raw());
        assert!(died || output.status.success(), "{output:?}");
        assert!(died || steps.is_some(), "{output:?}");
        steps.map(|steps| steps.parse().unwrap())
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The rows of the newest version, whose files are all there, as are those of all that are not
/// expired.
pub(super) async fn check(directory: &Path, what: &str) -> u64 {
    let table = durable(directory);
    let newest = table.newest().await.unwrap();
    for version in Version::ZERO.through(newest.version) {
        let Ok(snapshot) = table.version(version).await else {
            assert!(newest.has_expired(version), "{what}: {version}");
            continue;
        };
        for path in rows_left(&table, &snapshot).await.unwrap().into_keys() {
            assert!(directory.join(&path).is_file(), "{what}: {path}");
        }
    }
    newest.totals().rows
}

/// What the newest version names below `data/`.
async fn named(directory: &Path) -> BTreeSet<String> {
    let table = durable(directory);
    let newest = table.newest().await.unwrap();
    let manifests = table.manifests(&newest).await.unwrap();
    let files = manifests.iter().flat_map(|manifest| &manifest.files);
    let paths = files.flat_map(|file| {
        let vector = file.dv.as_ref().map(|vector| vector.path.clone());
        [Some(file.path.clone()), vector]
    });
    paths.flatten().collect()
}

/// Every data file of the table, be it of a version or of none, and every directory that holds none.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        let paths = fs::read_dir(&folder).unwrap();
        let mut paths: Vec<_> = paths.map(|entry| entry.unwrap().path()).collect();
        let empty = paths.is_empty().then_some(folder);
        let is_folder = |path: &mut PathBuf| path.is_dir();
        folders.extend(paths.extract_if(.., is_folder));
        for path in paths.into_iter().chain(empty) {
            let name = path.strip_prefix(directory).unwrap();
            found.insert(name.display().to_string());
        }
    }
    found.retain(|name| name.starts_with("data/"));
    found
}

/// Makes a table of three rows; gives how many it has after the statement.
pub(super) async fn prepare(directory: &Path, statement: &str) -> u64 {
    let table = durable(directory);
    create(&table).await;
    if statement == "mark" {
        // Of one file, in which one is marked already.
        append_rows(&table, 4).await.unwrap();
        mark(&table).await.unwrap();
        return 2;
    }
    append(&table).await.unwrap();
    append_two(&table).await.unwrap();
    if statement == "expire" {
        // Something to delete: all files of a transaction, and the deletion vectors of one.
        append_rows(&table, 3).await.unwrap();
        for _ in 0..2 {
            mark(&table).await.unwrap();
        }
        rewrite(&table, RowChange::delete, 0).await.unwrap();
    }
    match statement {
        "append" | "update" => 4,
        "delete" => 2,
        _ => 3,
    }
}

/// Passes if the next statement works, and the next expiry leaves the files of the newest version.
pub(super) async fn check_next(directory: &Path, rows: u64, what: &str) {
    let next = durable(directory);
    append(&next).await.unwrap();
    next.expire(&everything(), None).await.unwrap();
    assert_eq!(check(directory, what).await, rows + 1, "{what}");
    assert_eq!(files(directory), named(directory).await, "{what}");
}

async fn kill_at_each_step(statement: &str) {
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    let after = prepare(&prepared, statement).await;
    for step in 1.. {
        let at = directory.path().join(step.to_string());
        copy(&prepared, &at);
        let what = format!("{statement} that is killed at step {step}");
        let killed = Killed {
            statement,
            directory: &at,
            step,
            durability: Durability::Full,
            last: None,
        };
        let ended = killed.run();
        let rows = check(&at, &what).await;
        match ended {
            Some(_) => assert_eq!(rows, after, "{what}"),
            None => assert!(rows == 3 || rows == after, "{what}: {rows} rows"),
        }
        check_next(&at, rows, &what).await;
        if let Some(steps) = ended {
            println!("{statement}: {steps} steps, killed at {}", step - 1);
            assert!(step > 10, "{step} of {steps}");
            return;
        }
    }
}

#[tokio::test]
async fn append_that_is_killed_at_any_step_is_there_or_not() {
    kill_at_each_step("append").await;
}

#[tokio::test]
async fn delete_that_is_killed_at_any_step_is_done_or_not() {
    kill_at_each_step("delete").await;
}

#[tokio::test]
async fn update_that_is_killed_at_any_step_is_done_or_not() {
    kill_at_each_step("update").await;
}

#[tokio::test]
async fn delete_that_marks_a_row_and_is_killed_at_any_step_is_done_or_not() {
    kill_at_each_step("mark").await;
}

#[tokio::test]
async fn expiry_that_is_killed_at_any_step_loses_nothing() {
    kill_at_each_step("expire").await;
}
