//! Power failures under COPY: the old file or the new one, and never one that was acknowledged less.

use std::path::Path;

use futures::StreamExt;

use super::mount::{Mount, cannot, may_mount, power_off};
use super::power_loss::{PARALLEL, disk};
use crate::files::add_to_directory::{counted, dealt};
use crate::files::replacements::{CASES, Case};
use crate::files::{copy, crc32c, names, numbers, read, said, session};
use crate::long_form::{long, sample};
use crate::processes::job::{Act, Job, When};
use crate::query::{failure, row, rows};
use atio::Marker;

/// Replaces the old target in another process; the power fails as soon as that is acknowledged.
async fn replace_and_fail(disk: &mut Mount, case: &Case, flush: bool) -> std::path::PathBuf {
    let at = disk.path().join(format!("done-{flush}"));
    std::fs::remove_dir_all(&at).ok();
    case.prepare(&at).await;
    disk.sync();
    let mut job = case.job(&at);
    let off = Act::PowerOff(power_off(&disk.path(), flush));
    job.act = Some((When::AtTheEnd, off));
    let ended = job.run().await;
    assert!(ended.done(0), "{:?}", ended.said);
    disk.again();
    at
}

fn check_hash(target: &Path, case: &Case) {
    if !case.has_marker() {
        return;
    }
    let marker = Marker::read(target).unwrap().unwrap();
    match marker.files.is_empty() {
        true => assert_eq!(crc32c(target), marker.hash),
        false => {
            for file in &marker.files {
                assert_eq!(crc32c(&target.join(&file.path)), file.hash);
            }
        }
    }
}

async fn check_acknowledged(kind: &str) {
    let Some(mut disk) = disk(kind) else { return };
    for case in &CASES {
        let durable = !case.options.contains("none");
        for flush in [false, true] {
            let what = format!("{kind}, {} {}, flush: {flush}", case.name, case.options);
            if durable {
                let at = replace_and_fail(&mut disk, case, flush).await;
                assert!(case.check(&at, &what).await, "{what}");
                check_hash(&at.join(case.name), case);
            } else if !flush {
                // What is not synced is lost, unless the journal happens to be written just then:
                // so this test can fail.
                let mut lost = false;
                for _ in 0..3 {
                    let at = replace_and_fail(&mut disk, case, flush).await;
                    lost |= !case.check(&at, &what).await;
                }
                assert!(lost, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_done_survives_a_power_failure_of_ext4() {
    check_acknowledged("ext4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_done_survives_a_power_failure_of_xfs() {
    check_acknowledged("xfs").await;
}

/// Lets the power fail at `most` steps of the case; gives how often the old target was there
/// after it, and how often the new one.
async fn fail_at_steps(disk: &mut Mount, kind: &str, case: &Case, most: usize) -> [usize; 2] {
    let mut seen = [0, 0];
    let directory = tempfile::tempdir().unwrap();
    let counted = directory.path().join("counted");
    case.prepare(&counted).await;
    let steps = case.job(&counted).steps().await;
    for number in sample(steps.len(), most) {
        let at = disk.path().join(format!("step-{number}"));
        case.prepare(&at).await;
        disk.sync();
        let flush = number % 2 == 1;
        let mut job = case.job(&at);
        let off = Act::PowerOff(power_off(&disk.path(), flush));
        job.act = Some((When::Step(number + 1), off));
        job.run().await;
        disk.again();
        let what = format!(
            "{kind}, {} {}: power failed at step {} {}, flush: {flush}",
            case.name,
            case.options,
            number + 1,
            steps[number]
        );
        let new = case.check(&at, &what).await;
        seen[usize::from(new)] += 1;
        case.check_next(&at, new, &what).await;
        std::fs::remove_dir_all(&at).unwrap();
    }
    seen
}

/// At some steps of each durable case, at least.
async fn check_steps(kind: &str) {
    if disk(kind).is_none() {
        return;
    }
    let most = if long() { 8 } else { 3 };
    let durable = CASES.iter().filter(|case| !case.options.contains("none"));
    let seen = futures::stream::iter(durable).map(async |case| {
        let mut disk = disk(kind).unwrap();
        fail_at_steps(&mut disk, kind, case, most).await
    });
    let seen: Vec<_> = seen.buffer_unordered(PARALLEL).collect().await;
    let [old, new]: [usize; 2] = [0, 1].map(|which| seen.iter().map(|seen| seen[which]).sum());
    println!("{kind}: the old one {old} times, the new one {new} times");
    assert!(old > 0 && new > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_failure_of_ext4_at_any_step_of_a_copy_leaves_the_old_target_or_the_new() {
    check_steps("ext4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_failure_of_xfs_at_any_step_of_a_copy_leaves_the_old_target_or_the_new() {
    check_steps("xfs").await;
}

/// Nothing can be staged beside it: that is another file system.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_mounted_takes_files_and_gives_them_back() {
    if !may_mount() {
        return;
    }
    let disk = match Mount::memory("size=64m") {
        Ok(disk) => disk,
        Err(why) => return cannot(&why),
    };
    let (at, above) = (disk.path(), disk.path().parent().unwrap().to_owned());
    let to = at.to_str().unwrap();
    let around = names(&above);
    let ctx = session(2);
    assert_eq!(row(&ctx, &dealt(1, 30, to, "csv", "")).await, "30");
    let added = dealt(31, 60, to, "csv", "");
    let home = tempfile::tempdir().unwrap();
    let mut job = Job::new(home.path(), vec![added.clone()]);
    job.act = Some((When::Nth("copy-link".to_owned(), 3), Act::Kill));
    let ended = job.run().await;
    assert!(ended.killed);
    assert_eq!(ended.warned("nothing can be staged"), 1, "{:?}", ended.said);
    // A part of the new files, and all of them in a hidden directory.
    let left = names(&at);
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left[0].ends_with(".within"), "{left:?}");
    let clean = format!("SELECT count(*) FROM atio_clean('{to}')");
    assert_eq!(row(&ctx, &clean).await, "1");
    assert_eq!(counted(to, "csv").await, "30|30");
    assert_eq!(row(&ctx, &added).await, "30");
    assert_eq!(counted(to, "csv").await, "60|60");
    assert_eq!(names(&at), ["m=0", "m=1", "m=2"]);
    // A file in it is linked where it is, and one that replaces another staged there.
    for n in [5, 6] {
        let file = at.join("one.csv");
        rows(&ctx, &copy(&numbers(n), file.to_str().unwrap(), "csv", "")).await;
        assert_eq!(read(file.to_str().unwrap(), "csv").await, said(n));
    }
    assert_eq!(names(&at), ["m=0", "m=1", "m=2", "one.csv"]);
    // What would have to take its place cannot.
    let replace = dealt(1, 9, to, "csv", "'atio.if_exists' 'replace'");
    let failed = failure(&ctx, &replace).await;
    assert!(failed.contains("cannot write"), "{failed}");
    assert_eq!(names(&at), ["m=0", "m=1", "m=2", "one.csv"]);
    assert_eq!(names(&above), around);
}
