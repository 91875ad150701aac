//! `kill -9` at every step of COPY, and errors of the disk at every step.

use futures::StreamExt;

use super::replacements::{CASES, Case, NEW, PARALLEL};
use super::*;
use crate::processes::job::{Act, Job, When};
use atio::Marker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_killed_at_any_step_leaves_the_old_or_the_new_target_whole() {
    for case in &CASES {
        kill_at_steps(case, usize::MAX, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_unnamed_files_that_is_killed_at_any_step_leaves_the_old_or_the_new_target_whole()
 {
    let most = if crate::long_form::long() {
        usize::MAX
    } else {
        6
    };
    for case in &CASES {
        let lacks = ("copy-unnamed".to_owned(), "return(95)".to_owned());
        kill_at_steps(case, most, &[lacks]).await;
    }
}

/// Kills a job at so many of its steps, where some of them fail.
async fn kill_at_steps(case: &Case, most: usize, fail: &[(String, String)]) {
    let directory = tempfile::tempdir().unwrap();
    let counted = directory.path().join("counted");
    case.prepare(&counted).await;
    let mut counting = case.job(&counted);
    counting.fail = fail.to_vec();
    let steps = counting.steps().await;
    assert!(case.check(&counted, "not killed").await);
    let mut seen = [0, 0];
    let kills = crate::long_form::sample(steps.len(), most)
        .into_iter()
        .map(|number| {
            let (at, step) = (directory.path().join(number.to_string()), &steps[number]);
            async move {
                case.prepare(&at).await;
                let mut job = case.job(&at);
                job.fail = fail.to_vec();
                job.act = Some((When::Step(number + 1), Act::Kill));
                let ended = job.run().await;
                let what = format!(
                    "{} {}: killed at {} {step}",
                    case.name,
                    case.options,
                    number + 1
                );
                assert!(ended.killed && !ended.done(0), "{what}");
                let new = case.check(&at, &what).await;
                case.check_next(&at, new, &what).await;
                new
            }
        });
    let ended: Vec<bool> = futures::stream::iter(kills)
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    for new in ended {
        seen[usize::from(new)] += 1;
    }
    println!(
        "{} {}: {} steps, old {} new {}",
        case.name,
        case.options,
        steps.len(),
        seen[0],
        seen[1]
    );
    assert!(seen[0] > 0 && seen[1] > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_disk_at_any_step_is_told_and_leaves_a_whole_target() {
    // EIO and ENOSPC.
    let met = CASES.iter().flat_map(|case| {
        let steps = [
            "copy-begin",
            "copy-file",
            "copy-write",
            "write-file",
            "copy-sync",
            "copy-backup",
            "copy-unmark",
            "copy-publish",
            "copy-rename",
            "copy-published",
            "sync-folder",
            "copy-mark",
            "copy-marked",
        ];
        steps
            .into_iter()
            .flat_map(move |step| [5, 28].map(|errno| meet_error(case, step, errno)))
    });
    let met = futures::stream::iter(met).buffer_unordered(PARALLEL);
    met.collect::<()>().await;
}

/// Runs a job one of whose steps fails with this error of the system.
async fn meet_error(case: &Case, step: &str, errno: i32) {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    case.prepare(at).await;
    let mut job = case.job(at);
    job.fail = vec![(step.to_owned(), format!("return({errno})"))];
    let ended = job.run().await;
    let what = format!(
        "{} {}: {step} fails with {errno}: {:?}",
        case.name, case.options, ended.said
    );
    let new = case.check(at, &what).await;
    if ended.done(0) {
        assert!(new, "{what}");
    } else {
        let failure = ended.failure(0);
        let why = format!("(os error {errno})");
        assert!(failure.contains(&why), "{what}");
        let durable = failure.starts_with("CommitNotDurable") || failure.contains("is written");
        assert_eq!(new, durable, "{what}");
        // What was not replaced keeps its marker.
        assert!(
            new || !case.has_marker() || Marker::read(at.join(case.name)).unwrap().is_some(),
            "{what}"
        );
    }
    let left = names(at)
        .into_iter()
        .filter(|name| name.ends_with(".tmp") || name.ends_with(".swap"));
    // An old directory is kept if its replacement may be undone, or if it is to be a backup.
    let kept =
        |said: &String| said.contains("CommitNotDurable") || said.contains("is still called");
    let kept = case.name == "out" && ended.said.iter().any(kept);
    assert_eq!(left.count(), usize::from(kept), "{what}");
    case.check_next(at, new, &what).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_it_is_published_is_unknown_and_leaves_a_whole_target() {
    let met = CASES.iter().flat_map(|case| {
        let steps = ["copy-unmark", "copy-publish", "copy-published", "copy-mark"];
        steps.map(|step| meet_panic(case, step))
    });
    let met = futures::stream::iter(met).buffer_unordered(PARALLEL);
    let unknown = met.filter(|unknown| std::future::ready(*unknown));
    let unknown = unknown.count().await;
    assert!(unknown >= 3 * CASES.len(), "{unknown}");
}

/// Runs a job one of whose steps panics; true if it cannot know what became of it.
async fn meet_panic(case: &Case, step: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    case.prepare(at).await;
    let mut job = case.job(at);
    job.fail = vec![(step.to_owned(), "panic".to_owned())];
    let ended = job.run().await;
    let what = format!("{} {}: {step} panics", case.name, case.options);
    let new = case.check(at, &what).await;
    let unknown = !ended.done(0);
    if unknown {
        let failure = ended.failure(0);
        assert!(failure.starts_with("CommitUnknown"), "{what}: {failure}");
        assert!(failure.contains("look before you write it again"), "{what}");
    } else {
        assert!(new, "{what}");
    }
    case.check_next(at, new, &what).await;
    unknown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_marker_is_gone_before_the_new_target_is_seen_and_the_new_comes_after() {
    for case in CASES.iter().filter(|case| case.has_marker()) {
        for (step, new, marked) in [
            ("copy-unmark", false, true),
            ("copy-publish", false, false),
            ("copy-published", true, false),
            ("copy-mark", true, false),
            ("copy-marked", true, true),
        ] {
            let directory = tempfile::tempdir().unwrap();
            case.prepare(directory.path()).await;
            let mut job = case.job(directory.path());
            job.act = Some((When::Named(step.to_owned()), Act::Kill));
            job.run().await;
            assert_eq!(case.check(directory.path(), step).await, new, "{step}");
            let marker = Marker::read(directory.path().join(case.name)).unwrap();
            assert_eq!(marker.is_some(), marked, "{} {step}", case.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_living_writer_has_is_not_cleaned_and_what_a_dead_one_left_is() {
    let directory = tempfile::tempdir().unwrap();
    let case = &CASES[2];
    case.prepare(directory.path()).await;
    let mut job = case.job(directory.path());
    job.act = Some((When::Named("copy-publish".to_owned()), Act::Stop));
    let child = tokio::task::spawn_blocking(move || {
        let child = job.start();
        child.wait_until_stopped();
        child
    });
    let child = child.await.unwrap();
    let temporary = |names: Vec<String>| {
        names
            .into_iter()
            .filter(|name| name.ends_with(".tmp"))
            .count()
    };
    let found = temporary(names(directory.path()));
    assert!(found >= 1);
    let clean = format!(
        "SELECT count(*) FROM atio_clean('{}')",
        directory.path().display()
    );
    let ctx = session(2);
    assert_eq!(crate::query::row(&ctx, &clean).await, "0");
    assert_eq!(temporary(names(directory.path())), found);
    child.kill();
    let ended = tokio::task::spawn_blocking(|| child.end()).await.unwrap();
    assert!(ended.killed);
    let dry = format!(
        "SELECT removed FROM atio_clean('{}', dry_run => true)",
        directory.path().display()
    );
    assert_eq!(rows(&ctx, &dry).await, vec!["false"; found]);
    assert_eq!(crate::query::row(&ctx, &clean).await, found.to_string());
    assert_eq!(temporary(names(directory.path())), 0);
    assert!(!case.check(directory.path(), "killed").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_living_writer_is_about_to_make_the_backup_is_not_cleaned() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let case = &CASES[3];
    case.prepare(at).await;
    let mut job = case.job(at);
    job.act = Some((When::Named("copy-published".to_owned()), Act::Stop));
    let child = tokio::task::spawn_blocking(move || {
        let child = job.start();
        child.wait_until_stopped();
        child
    });
    let child = child.await.unwrap();
    let before = names(at);
    assert!(before.iter().any(|name| name.ends_with(".swap")));
    let clean = format!("SELECT count(*) FROM atio_clean('{}')", at.display());
    let cleaning = tokio::spawn(async move { crate::query::row(&session(2), &clean).await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(names(at), before);
    child.go_on();
    let ended = tokio::task::spawn_blocking(|| child.end()).await.unwrap();
    assert!(ended.done(0), "{:?}", ended.said);
    assert_eq!(cleaning.await.unwrap(), "0");
    assert!(case.check(at, "continued").await);
    case.check_next(at, true, "continued").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_its_writers_alone_until_it_is_published() {
    use std::os::unix::fs::PermissionsExt;
    let bits = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let case = &CASES[2];
    for replaced in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        std::fs::create_dir(at.join("warehouse")).unwrap();
        if replaced {
            case.prepare(at).await;
        }
        let mut job = case.job(at);
        job.act = Some((When::Named("copy-sync".to_owned()), Act::Kill));
        assert!(job.run().await.killed);
        let staged = names(at).into_iter().find(|name| name.ends_with(".tmp"));
        assert_eq!(bits(&at.join(staged.unwrap())), 0o700);
        rows(&session(2), &case.sql(at, NEW)).await;
        let out = at.join(case.name);
        assert_eq!(
            bits(&out),
            bits(&at.join("warehouse")),
            "replaced: {replaced}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_may_not_be_written_is_told_and_the_old_target_stays() {
    use std::os::unix::fs::PermissionsExt;
    for case in &CASES {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("at");
        case.prepare(&at).await;
        let before = crate::objects::files(&at);
        let set = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&at, mode).unwrap();
        };
        set(0o555);
        let mut job = case.job(&at);
        job.obeys_modes = true;
        let ended = job.run().await;
        set(0o755);
        let failure = ended.failure(0);
        let named = at.join(case.name).display().to_string();
        assert!(failure.contains("Permission denied"), "{failure}");
        assert!(failure.contains(&named), "{failure}");
        let what = format!("{} {}", case.name, case.options);
        crate::objects::assert_same(&before, &crate::objects::files(&at), &what);
        assert!(!case.check(&at, &what).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_cannot_be_restored_changes_nothing() {
    for case in [&CASES[1], &CASES[3]] {
        for step in ["copy-unmark", "sync-folder", "copy-publish"] {
            let directory = tempfile::tempdir().unwrap();
            let at = directory.path();
            case.prepare(at).await;
            let before = crate::objects::files(at);
            let to = at.join(case.name);
            let restore = format!("SELECT * FROM atio_restore('{}')", to.display());
            let mut job = Job::new(at, vec![restore]);
            job.fail = vec![(step.to_owned(), "return(5)".to_owned())];
            let ended = job.run().await;
            let failure = ended.failure(0);
            assert!(failure.contains("cannot restore"), "{failure}");
            let what = format!("{} at {step}: {failure}", case.name);
            crate::objects::assert_same(&before, &crate::objects::files(at), &what);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_by_another_user_lets_nobody_read_more_than_before() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let case = &CASES[0];
    case.prepare(at).await;
    set(at, 0o777);
    let to = at.join(case.name);
    for (mode, expected) in [(0o640, 0o600), (0o664, 0o644), (0o4755, 0o755)] {
        std::os::unix::fs::chown(&to, Some(0), Some(0)).unwrap();
        set(&to, mode);
        let child = case.job(at).start_by(&[
            "setpriv",
            "--reuid=12345",
            "--regid=12345",
            "--clear-groups",
        ]);
        let ended = tokio::task::spawn_blocking(|| child.end()).await.unwrap();
        assert!(ended.done(0), "{:?}", ended.said);
        let meta = std::fs::metadata(&to).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (12345, 12345));
        assert_eq!(meta.mode() & 0o7777, expected, "{mode:o}");
    }
}
