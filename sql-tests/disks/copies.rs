//! Power failures under COPY: the old file or the new one, and never one that was acknowledged less.

use std::path::Path;

use super::mount::{Mount, power_off};
use super::power::disk;
use crate::files::crc32c;
use crate::files::killed::{CASES, Case};
use crate::processes::child::{Act, When};
use crate::processes::{long, sample};
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

fn check_hash(target: &Path) {
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
                check_hash(&at.join(case.name));
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

/// At some steps of each durable case, at least.
async fn check_steps(kind: &str) {
    let Some(mut disk) = disk(kind) else { return };
    let most = if long() { 8 } else { 3 };
    let mut seen = [0, 0];
    for case in CASES.iter().filter(|case| !case.options.contains("none")) {
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
    }
    println!(
        "{kind}: the old one {} times, the new one {} times",
        seen[0], seen[1]
    );
    assert!(seen[0] > 0 && seen[1] > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_failure_of_ext4_at_any_step_of_a_copy_leaves_the_old_target_or_the_new() {
    check_steps("ext4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_failure_of_xfs_at_any_step_of_a_copy_leaves_the_old_target_or_the_new() {
    check_steps("xfs").await;
}
