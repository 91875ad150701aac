//! A process that dies at any step on a local disk: the table is as it was or as it should be.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use atio_core::format::Version;

use super::{append, create, durable, everything};

const DIRECTORY: &str = "ATIO_TEST_KILLED_IN";
const STATEMENT: &str = "ATIO_TEST_KILLED_STATEMENT";
const STEP: &str = "ATIO_TEST_KILLED_AT";
const SAYS: &str = "steps: ";
/// How many steps this process has taken.
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// Every step that the local disk is asked for.
const STEPS: [&str; 10] = [
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
];

/// Does nothing unless the tests below gave it something to do.
#[tokio::test]
async fn child() {
    let Some(directory) = env::var_os(DIRECTORY) else {
        return;
    };
    let last: u64 = env::var(STEP).unwrap().parse().unwrap();
    let table = durable(Path::new(&directory));
    for step in STEPS {
        fail::cfg_callback(step, move || {
            if TAKEN.fetch_add(1, Ordering::SeqCst) + 1 == last {
                std::process::abort();
            }
        })
        .unwrap();
    }
    match env::var(STATEMENT).unwrap().as_str() {
        "append" => drop(append(&table).await.unwrap()),
        "expire" => drop(table.expire(&everything(), None).await.unwrap()),
        other => panic!("{other}"),
    }
    println!("\n{SAYS}{}", TAKEN.load(Ordering::SeqCst));
}

/// Runs the statement up to this step; gives how many it took, if it was not killed.
fn run(statement: &str, directory: &Path, step: u64) -> Option<u64> {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "table::kills::child", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(STATEMENT, statement)
        .env(STEP, step.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let steps = said.lines().find_map(|line| line.strip_prefix(SAYS));
    steps.map(|steps| steps.parse().unwrap())
}

fn copy(from: &Path, to: &Path) {
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
async fn check(directory: &Path, what: &str) -> u64 {
    let table = durable(directory);
    let newest = table.newest().await.unwrap();
    for version in Version::ZERO.through(newest.version) {
        let Ok(snapshot) = table.version(version).await else {
            assert!(newest.has_expired(version), "{what}: {version}");
            continue;
        };
        for manifest in table.manifests(&snapshot).await.unwrap() {
            for file in &manifest.files {
                assert!(
                    directory.join(&file.path).is_file(),
                    "{what}: {}",
                    file.path
                );
            }
        }
    }
    newest.totals().rows
}

/// Every data file of the table, be it of a version or of none.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(directory).unwrap();
            found.insert(name.display().to_string());
        }
    }
    found.retain(|name| name.starts_with("data/"));
    found
}

async fn kill_at_each_step(statement: &str) {
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    let table = durable(&prepared);
    create(&table).await;
    for _ in 0..3 {
        append(&table).await.unwrap();
    }
    let before = table.newest().await.unwrap().totals().rows;
    let after = match statement {
        "append" => before + 1,
        _ => before,
    };
    for step in 1.. {
        let at = directory.path().join(step.to_string());
        copy(&prepared, &at);
        let what = format!("{statement} that is killed at step {step}");
        let ended = run(statement, &at, step);
        let rows = check(&at, &what).await;
        match ended {
            Some(_) => assert_eq!(rows, after, "{what}"),
            None => assert!(rows == before || rows == after, "{what}: {rows} rows"),
        }
        // The next statement works, and the next expiry leaves the files of the newest version.
        let next = durable(&at);
        append(&next).await.unwrap();
        next.expire(&everything(), None).await.unwrap();
        assert_eq!(check(&at, &what).await, rows + 1);
        assert_eq!(files(&at).len() as u64, rows + 1, "{what}");
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
async fn expiry_that_is_killed_at_any_step_loses_nothing() {
    kill_at_each_step("expire").await;
}
