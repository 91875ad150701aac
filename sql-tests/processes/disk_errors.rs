//! Errors of the disk at every step of every statement.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ended::Ended;
use super::job::Job;
use super::statements::{self, Case, EXPIRY, INSERT, OTHERS};
use crate::long_form::{long, sample};
use crate::objects::{assert_same, files};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EPERM: i32 = 1;
const EINVAL: i32 = 22;

/// What one child does for all errors of a statement, in a directory for each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sweep {
    case: String,
    prepared: PathBuf,
    scratch: PathBuf,
    /// The step, and which time that it comes fails, from 1.
    points: Vec<(String, usize)>,
    errno: i32,
    /// If every later step of the kind fails too.
    lasting: bool,
}

impl Sweep {
    pub(super) async fn run(&self, say: impl Fn(String)) {
        let case = statements::named(&self.case);
        for (step, time) in &self.points {
            let at = self.scratch.join("t");
            case.copy(&self.prepared, &at);
            let fails = format!("return({})", self.errno);
            let passes = match time {
                1 => String::new(),
                time => format!("{}*off->", time - 1),
            };
            let actions = match self.lasting {
                true => format!("{passes}{fails}"),
                false => format!("{passes}1*{fails}->off"),
            };
            fail::cfg(step.as_str(), &actions).unwrap();
            let ended = case.run(&at).await;
            fail::remove(step);
            let what = format!(
                "with error {} at {step} number {time}: {ended:?}",
                self.errno
            );
            let told = ended
                .as_ref()
                .map_err(|error| error.split(':').next().unwrap());
            match told {
                Ok(()) | Err("CommitNotDurable") => case.check(&at, true, &what).await,
                Err("CommitUnknown") => case.check(&at, false, &what).await,
                // DataFusion says that there was no such table, whatever became of it.
                Err("Other") if case.name == "drop" => case.check(&at, false, &what).await,
                Err("InvalidInput") => panic!("{what}"),
                Err(_) => {
                    let cause = format!("os error {}", self.errno);
                    assert!(what.contains(&cause), "{what}");
                    // What did not happen leaves nothing, unless it could not be removed.
                    let old = case.state(&self.prepared).await;
                    assert_eq!(case.state(&at).await, old, "{what}");
                    if step != "remove" && case.name == INSERT.name {
                        let before = files(&case.table(&self.prepared));
                        assert_same(&before, &files(&case.table(&at)), &what);
                    }
                    case.check(&at, false, &what).await;
                }
            }
            std::fs::remove_dir_all(&at).unwrap();
            say(format!(
                "point {}",
                told.map_or_else(|kind| kind, |()| "Ok")
            ));
        }
    }
}

/// Every step of the statement, with its number among those of its name.
async fn points(case: &Case, at: &Path) -> Vec<(String, usize)> {
    let mut seen = BTreeMap::new();
    let steps = case.job(at).steps().await;
    steps
        .into_iter()
        .map(|step| {
            let time = seen.entry(step.clone()).or_insert(0);
            *time += 1;
            (step, *time)
        })
        .collect()
}

async fn fail_at_each_step(case: &Case, most: usize) {
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    case.prepare(&prepared).await;
    let counted = directory.path().join("counted");
    case.copy(&prepared, &counted);
    let all = points(case, &counted).await;
    for (errno, lasting) in [(ENOSPC, true), (ENOSPC, false), (EIO, false)] {
        let chosen = match long() {
            true => all.clone(),
            false => sample(all.len(), most)
                .into_iter()
                .map(|at| all[at].clone())
                .collect(),
        };
        let number = chosen.len();
        let scratch = directory.path().join(format!("{errno}-{lasting}"));
        let sweep = Sweep {
            case: case.name.to_owned(),
            prepared: prepared.clone(),
            scratch,
            points: chosen,
            errno,
            lasting,
        };
        let mut job = Job::new(directory.path(), Vec::new());
        job.errors = Some(sweep);
        let ended = job.run().await;
        assert_eq!(told(&ended).values().sum::<usize>(), number);
        println!("{}, error {errno}: {:?}", case.name, told(&ended));
    }
}

/// How often the statement ended how.
fn told(ended: &Ended) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for kind in ended
        .said
        .iter()
        .filter_map(|line| line.strip_prefix("point "))
    {
        *told.entry(kind.to_owned()).or_default() += 1;
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_that_meets_an_error_at_any_step_is_there_whole_or_not_at_all() {
    fail_at_each_step(&INSERT, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_that_meets_an_error_at_any_step_loses_nothing() {
    fail_at_each_step(&EXPIRY, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_that_meets_an_error_at_any_step_takes_effect_wholly_or_not_at_all() {
    for case in &OTHERS {
        fail_at_each_step(case, 3).await;
    }
}

/// A table with version 1, and an insert that meets these errors.
struct Met {
    directory: tempfile::TempDir,
    ended: Ended,
}

impl Met {
    async fn by(errors: &[(&str, impl Display)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        INSERT.prepare(directory.path()).await;
        let mut job = INSERT.job(directory.path());
        let words = errors
            .iter()
            .map(|(step, how)| ((*step).to_owned(), how.to_string()));
        job.fail = words.collect();
        let ended = job.run().await;
        Self { directory, ended }
    }

    /// Passes if the insert was not acknowledged, took no effect, and can be run again.
    async fn assert_refused(&self, kind: &str, words: &str) {
        let failure = self.ended.failure(INSERT.number());
        assert!(
            failure.starts_with(kind) && failure.contains(words),
            "{failure}"
        );
        let state = INSERT.state(self.directory.path()).await;
        assert_eq!(state, Ok(Some("2|3".to_owned())));
        INSERT.check(self.directory.path(), false, failure).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_file_that_cannot_be_synced_fails_its_statement_before_the_commit() {
    let met = Met::by(&[("sync-file", format!("1*return({EIO})->off"))]).await;
    met.assert_refused("Storage", "Input/output error").await;
}

/// In two rounds: what the record names and the record itself, at once; then the record's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_makes_everything_durable_in_two_rounds_and_syncs_no_hint() {
    let directory = tempfile::tempdir().unwrap();
    INSERT.prepare(directory.path()).await;
    let steps = INSERT.job(directory.path()).steps().await;
    let kept: Vec<_> = steps
        .iter()
        .map(String::as_str)
        .filter(|step| step.starts_with("sync-") || *step == "publish")
        .collect();
    let expected = [
        // Data file, manifest and snapshot get their names.
        &["publish"; 3][..],
        // They and the record; `data/`, `data/<txn>/` and `metadata/`.
        &["sync-file"; 4],
        &["sync-folder"; 3],
        // The record gets its name, which is made durable.
        &["publish", "sync-folder"],
        // Pointer and marker.
        &["publish"; 2],
    ];
    assert_eq!(kept, expected.concat(), "{steps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_whose_directory_cannot_be_synced_is_visible_and_told_as_not_durable() {
    // Once for the objects that the record names, which must be durable before it is made.
    let before = Met::by(&[("sync-folder:metadata", format!("1*return({EIO})->off"))]).await;
    before.assert_refused("Storage", "Input/output error").await;

    let met = Met::by(&[("sync-folder:metadata", format!("1*off->return({EIO})"))]).await;
    let failure = met.ended.failure(INSERT.number());
    assert!(
        failure.starts_with("CommitNotDurable: ")
            && failure.contains("version 2")
            && failure.contains("do not write its rows again"),
        "{failure}"
    );
    // Visible, and the table goes on.
    INSERT.check(met.directory.path(), true, failure).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_whose_rename_happened_but_answered_with_an_error_is_found_by_reading_it_back() {
    let met = Met::by(&[("published:v2.metadata.json", format!("return({EIO})"))]).await;
    assert!(met.ended.done(INSERT.number()), "{:?}", met.ended.said);
    INSERT
        .check(met.directory.path(), true, "answered with an error")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_system_that_cannot_keep_two_writers_apart_is_refused_at_once() {
    let began = std::time::Instant::now();
    let met = Met::by(&[
        ("rename-new", format!("return({EINVAL})")),
        ("link-new", format!("return({EPERM})")),
    ])
    .await;
    met.assert_refused("UnsafeStore", "overwrite each other's commits")
        .await;
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());

    // Hard links alone are enough.
    let met = Met::by(&[("rename-new", format!("return({EINVAL})"))]).await;
    assert!(met.ended.done(INSERT.number()), "{:?}", met.ended.said);
    INSERT
        .check(met.directory.path(), true, "by hard links")
        .await;
}
