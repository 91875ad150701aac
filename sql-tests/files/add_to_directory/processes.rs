//! Processes that die, or meet an error of the disk, while they add files to a directory.

use futures::StreamExt;

use super::*;
use crate::files::replacements::PARALLEL;
use crate::processes::ended::Ended;
use crate::processes::job::{Act, Job, When};

/// The directories of the old rows, and one of the new ones.
const ALL: [&str; 4] = ["m=0", "m=1", "m=2", "m=3"];
const OLD: i64 = 20;
const NEW: i64 = 60;

async fn prepare(at: &Path) {
    std::fs::create_dir_all(at.join("warehouse")).unwrap();
    rows(&session(2), &sql(at, 1, OLD)).await;
}

fn sql(at: &Path, from: i64, until: i64) -> String {
    dealt(from, until, at.join("out").to_str().unwrap(), "csv", "")
}

/// Adds files in directories that are there, and in one that is not.
fn job(at: &Path) -> Job {
    Job::new(at, vec![again(at)])
}

fn again(at: &Path) -> String {
    let to = at.join("out");
    dealt_to(4, OLD + 1, NEW, to.to_str().unwrap(), "csv", "")
}

/// What the place of a directory does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Nothing,
    UnnamedFiles,
    /// A directory above it that may be written.
    Above,
}

impl Lacks {
    /// Takes it from the place, and tells the job.
    fn take(self, at: &Path, job: &mut Job) {
        match self {
            Lacks::Nothing => {}
            Lacks::UnnamedFiles => job.fail = vec![no("copy-unnamed", EOPNOTSUPP)],
            Lacks::Above => {
                job.obeys_modes = true;
                set_mode(at, 0o555);
            }
        }
    }

    fn check(self, ended: &Ended, what: &str) {
        let warned = [
            ended.warned("has no unnamed files"),
            ended.warned("nothing can be staged"),
        ];
        let expected = match self {
            Lacks::Nothing => [0, 0],
            Lacks::UnnamedFiles => [1, 0],
            Lacks::Above => [0, 1],
        };
        assert_eq!(warned, expected, "{what}: {:?}", ended.said);
    }
}

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// A step that a file system does not know.
fn no(step: &str, errno: i32) -> (String, String) {
    (step.to_owned(), format!("return({errno})"))
}

fn set_mode(folder: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(folder, mode).unwrap();
}

async fn count(at: &Path) -> i64 {
    let counted = counted(at.join("out").to_str().unwrap(), "csv").await;
    let (all, different) = counted.split_once('|').unwrap();
    assert_eq!(all, different);
    all.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_dies_while_it_adds_files_is_taken_back_and_can_be_run_again() {
    for lacks in [Lacks::Nothing, Lacks::UnnamedFiles, Lacks::Above] {
        kill_at_every_step(lacks).await;
    }
}

async fn kill_at_every_step(lacks: Lacks) {
    let directory = tempfile::tempdir().unwrap();
    let counted = directory.path().join("counted");
    prepare(&counted).await;
    let mut counting = job(&counted);
    lacks.take(&counted, &mut counting);
    let ended = counting.run().await;
    lacks.check(&ended, "counted");
    set_mode(&counted, 0o755);
    assert_eq!(count(&counted).await, NEW);
    assert_eq!(names(&counted), ["out", "warehouse"]);
    assert_eq!(names(&counted.join("out")), ALL);
    let steps = ended.steps();
    let most = if crate::long_form::long() {
        steps.len()
    } else {
        12
    };
    let numbers = match lacks {
        Lacks::Nothing => (0..steps.len()).collect(),
        _ => crate::long_form::sample(steps.len(), most),
    };
    let kills = numbers.into_iter().map(|number| {
        let (at, step) = (directory.path().join(number.to_string()), &steps[number]);
        async move {
            prepare(&at).await;
            // Something of somebody else's.
            std::fs::write(at.join("out/m=0/others.csv"), "i\n1000\n").unwrap();
            let mut job = job(&at);
            job.act = Some((When::Step(number + 1), Act::Kill));
            lacks.take(&at, &mut job);
            let ended = job.run().await;
            set_mode(&at, 0o755);
            let what = format!("{lacks:?}, killed at {} {step}", number + 1);
            assert!(ended.killed && !ended.done(0), "{what}");
            // What lies in the directory itself is read, too.
            let seen = match lacks {
                Lacks::Above => None,
                _ => Some(count(&at).await),
            };
            let ctx = session(2);
            let clean = format!("SELECT * FROM atio_clean('{}')", at.join("out").display());
            rows(&ctx, &clean).await;
            let kept = count(&at).await;
            assert!([OLD + 1, NEW + 1].contains(&kept), "{what}: {kept}");
            let seen = seen.unwrap_or(kept);
            assert!(kept <= seen, "{what}");
            if kept == OLD + 1 {
                rows(&ctx, &again(&at)).await;
                assert_eq!(count(&at).await, NEW + 1, "{what}");
            }
            assert_eq!(names(&at), ["out", "warehouse"], "{what}");
            assert_eq!(names(&at.join("out")), ALL, "{what}");
            (seen > OLD + 1 && seen < NEW + 1, kept == NEW + 1)
        }
    });
    let ended: Vec<_> = futures::stream::iter(kills)
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    let parts = ended.iter().filter(|(part, _)| *part).count();
    let kept = ended.iter().filter(|(_, kept)| *kept).count();
    println!(
        "{lacks:?}: killed at {} of {} steps: {parts} with a part of the files, {kept} kept",
        ended.len(),
        steps.len()
    );
    assert!(kept > 0 && kept < ended.len());
    assert!(parts > 0 || lacks == Lacks::Above);
}

/// The next writer takes back what a dead one has added, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_a_copy_again_that_died_while_it_added_files_doubles_nothing() {
    for lacks in [Lacks::Nothing, Lacks::Above] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        prepare(at).await;
        let mut job = job(at);
        // When all files but the last are in the directory.
        job.act = Some((When::Nth("copy-link".to_owned(), 3), Act::Kill));
        lacks.take(at, &mut job);
        assert!(job.run().await.killed);
        set_mode(at, 0o755);
        if lacks == Lacks::Nothing {
            let seen = count(at).await;
            assert!(OLD < seen && seen < NEW, "{seen}");
        }
        rows(&session(2), &again(at)).await;
        assert_eq!(count(at).await, NEW);
        assert_eq!(names(at), ["out", "warehouse"]);
    }
}

/// What another user left decides nothing, and is not added to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_not_added_to_what_a_dead_writer_of_another_user_left() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    prepare(at).await;
    let mut job = job(at);
    job.act = Some((When::Nth("copy-link".to_owned(), 3), Act::Kill));
    assert!(job.run().await.killed);
    let seen = count(at).await;
    let left = names(at).into_iter().find(|name| name.ends_with(".add"));
    let left = at.join(left.unwrap());
    std::os::unix::fs::chown(&left, Some(12345), None).unwrap();
    let failed = failure(&session(2), &again(at)).await;
    assert!(failed.contains("cannot be taken back"), "{failed}");
    assert!(failed.contains(left.to_str().unwrap()), "{failed}");
    assert_eq!(count(at).await, seen);
    std::os::unix::fs::chown(&left, Some(0), None).unwrap();
    rows(&session(2), &again(at)).await;
    assert_eq!(count(at).await, NEW);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_files_have_the_group_that_the_directory_gives() {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a group that it is not in");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    prepare(at).await;
    let out = at.join("out");
    for folder in ["", "m=0", "m=1", "m=2"] {
        std::os::unix::fs::chown(out.join(folder), None, Some(12345)).unwrap();
        set_mode(&out.join(folder), 0o2775);
    }
    let before = crate::objects::files(&out);
    rows(&session(2), &again(at)).await;
    let after = crate::objects::files(&out);
    let added: Vec<_> = after
        .keys()
        .filter(|name| !before.contains_key(*name))
        .collect();
    assert!(!added.is_empty());
    for name in added {
        let meta = std::fs::metadata(out.join(name)).unwrap();
        assert_eq!((meta.gid(), meta.mode() & 0o777), (12345, 0o644), "{name}");
    }
}

/// Without links a file is renamed, and without a rename that does not replace as others are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_without_links_takes_all_files_or_none() {
    let lacks = [
        vec![no("copy-link", EPERM)],
        vec![no("copy-link", EOPNOTSUPP), no("copy-unnamed", EOPNOTSUPP)],
        vec![
            no("copy-link", EPERM),
            no("copy-unnamed", EOPNOTSUPP),
            no("rename-new", ENOSYS),
            no("link-new", EPERM),
        ],
    ];
    for lacks in lacks {
        for fails in [None, Some("copy-publish"), Some("sync-folder")] {
            let directory = tempfile::tempdir().unwrap();
            let at = directory.path();
            prepare(at).await;
            let before = crate::objects::files(&at.join("out"));
            let mut job = job(at);
            job.fail = lacks.clone();
            // When two files are there.
            let after = if fails == Some("copy-publish") { 2 } else { 1 };
            let fails = fails.map(|step| (step.to_owned(), format!("{after}*off->return(5)")));
            job.fail.extend(fails.clone());
            let ended = job.run().await;
            let what = format!("{:?}: {:?}", job.fail, ended.said);
            match ended.done(0) {
                true => assert_eq!(count(at).await, NEW, "{what}"),
                false => crate::objects::assert_same(
                    &before,
                    &crate::objects::files(&at.join("out")),
                    &what,
                ),
            }
            assert_eq!(ended.done(0), fails.is_none(), "{what}");
            assert!(ended.warned("has no hard links") <= 1, "{what}");
            assert_eq!(
                ended.warned("has no hard links"),
                usize::from(fails.is_none() || after == 2),
                "{what}"
            );
            assert_eq!(names(at), ["out", "warehouse"], "{what}");
        }
    }
}

const STEPS: [&str; 10] = [
    "copy-unnamed",
    "copy-begin",
    "copy-file",
    "copy-write",
    "copy-sync",
    "sync-folder",
    "make-folder",
    "copy-publish",
    "copy-published",
    "copy-link",
];
/// By then the files are there.
const TOO_LATE: [&str; 1] = ["copy-published"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_disk_while_files_are_added_leaves_those_that_were_there() {
    let met = STEPS.into_iter().flat_map(|step| {
        let errors = [(0, 5), (0, 28), (1, 5), (2, 28)];
        errors.map(|(after, errno)| async move {
            let failed = meet_error(step, after, errno).await;
            failed.then_some(step)
        })
    });
    let met = futures::stream::iter(met).buffer_unordered(PARALLEL);
    let failed: Vec<_> = met.filter_map(std::future::ready).collect().await;
    let mut too_late = STEPS.to_vec();
    too_late.retain(|step| !failed.contains(step));
    assert_eq!(too_late, TOO_LATE);
}

/// Runs a job whose step fails with this error of the system after so many that did not;
/// true if its files are not there.
async fn meet_error(step: &str, after: usize, errno: i32) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    prepare(at).await;
    let before = crate::objects::files(&at.join("out"));
    let mut job = job(at);
    job.fail = vec![(step.to_owned(), format!("{after}*off->return({errno})"))];
    let ended = job.run().await;
    let what = format!("{step} fails with {errno} after {after}: {:?}", ended.said);
    let undone = !ended.done(0) && ended.failure(0).starts_with("CommitNotDurable");
    let all = ended.done(0) || undone;
    if all {
        assert_eq!(count(at).await, NEW, "{what}");
    } else {
        assert!(
            ended.failure(0).contains(&format!("(os error {errno})")),
            "{what}"
        );
        crate::objects::assert_same(&before, &crate::objects::files(&at.join("out")), &what);
        assert_eq!(names(&at.join("out")), ALL[..3], "{what}");
    }
    // What says that they are there is kept until that is durable.
    let left = names(at).into_iter().filter(|name| name.ends_with(".done"));
    assert_eq!(left.count(), usize::from(undone), "{what}");
    let clean = format!("SELECT * FROM atio_clean('{}')", at.join("out").display());
    rows(&session(2), &clean).await;
    assert_eq!(count(at).await, if all { NEW } else { OLD }, "{what}");
    assert_eq!(names(at), ["out", "warehouse"], "{what}");
    !all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_living_writer_adds_is_not_taken_back() {
    // Some of its files are there.
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    prepare(at).await;
    let mut job = job(at);
    job.act = Some((When::Nth("copy-link".to_owned(), 3), Act::Stop));
    let child = tokio::task::spawn_blocking(move || {
        let child = job.start();
        child.wait_until_stopped();
        child
    });
    let child = child.await.unwrap();
    let seen = count(at).await;
    assert!(OLD < seen && seen < NEW, "{seen}");
    let clean = format!("SELECT count(*) FROM atio_clean('{}')", at.display());
    let cleaning = tokio::spawn(async move { row(&session(2), &clean).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(count(at).await, seen);
    child.go_on();
    let ended = tokio::task::spawn_blocking(|| child.end()).await.unwrap();
    assert!(ended.done(0), "{:?}", ended.said);
    assert_eq!(cleaning.await.unwrap(), "0");
    assert_eq!(count(at).await, NEW);
}
