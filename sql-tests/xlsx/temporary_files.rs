//! The temporary files of a workbook: where there is no room for them, and what is left of them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::processes::job::Job;

use super::sheets;

/// Copies so many rows to `x.xlsx`.
fn copy_of(at: &Path, rows: u32) -> String {
    let target = at.join("x.xlsx");
    format!(
        "COPY (SELECT value AS a, md5(CAST(value AS TEXT)) AS b FROM range({rows})) \
         TO '{}' STORED AS XLSX",
        target.display()
    )
}

#[tokio::test]
async fn full_disk_for_temporary_files_is_told_and_the_old_workbook_stays() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut job = Job::new(at, vec![copy_of(at, 1), copy_of(at, 100_000)]);
    job.file_size = Some(500_000);
    // Whoever goes beyond the size is killed, unless the signal is ignored.
    let child = job.start_by(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    let ended = spawn_blocking(|| child.end()).await.unwrap();
    assert!(ended.done(0), "{:?}", ended.said);
    let failure = ended.failure(1);
    let said = "Storage: External error: writing the workbook broke off; \
                the disk for temporary files may be full: ";
    assert!(failure.starts_with(said), "{failure}");
    let [(_, rows)] = sheets(fs::read(at.join("x.xlsx")).unwrap())
        .try_into()
        .unwrap();
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn directory_for_temporary_files_that_is_missing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let missing = at.join("missing");
    let variable = format!("TMPDIR={}", missing.display());
    let child = Job::new(at, vec![copy_of(at, 1)]).start_by(&["env", &variable]);
    let ended = spawn_blocking(|| child.end()).await.unwrap();
    let failure = ended.failure(0);
    let said = format!(
        "Storage: External error: temporary directory {}: cannot write the workbook: ",
        missing.display()
    );
    assert!(failure.starts_with(&said), "{failure}");
    assert!(failure.contains("No such file or directory"), "{failure}");
    assert!(!at.join("x.xlsx").exists());
}

#[tokio::test]
async fn writer_that_is_killed_leaves_no_temporary_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let temporary = at.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let variable = format!("TMPDIR={}", temporary.display());
    let job = Job::new(at, vec![copy_of(at, 1_000_000)]);
    let mut child = job.start_by(&["env", &variable]);
    let ended = spawn_blocking(move || {
        assert_eq!(child.next().as_deref(), Some("begin 0"));
        std::thread::sleep(Duration::from_millis(700));
        child.kill();
        child.end()
    });
    assert!(ended.await.unwrap().killed, "it was too fast to be killed");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!at.join("x.xlsx").exists());
}
