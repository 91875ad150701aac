//! File systems that are full, or may not be written.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::mount::{Mount, cannot, may_mount};
use crate::objects::{assert_same, files};
use crate::processes::statements::{EXPIRE, EXPIRY, INSERT, named};
use crate::query::{row, rows};
use crate::session::session_at;

pub(crate) fn memory(options: &str) -> Option<Mount> {
    if !may_mount() {
        return None;
    }
    Mount::memory(options).inspect_err(|why| cannot(why)).ok()
}

/// A foreign file that takes all the space there is but for `free` bytes.
pub(crate) fn fill_space(at: &Path, free: u64) {
    let path = at.join("filler");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap();
    for size in [64 * 1024, 4096, 512, 1] {
        while match file.write(&vec![b'x'; size]) {
            Ok(written) => written > 0,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                false
            }
        } {}
    }
    let length = file.metadata().unwrap().len();
    assert!(length >= free, "{length} bytes to fill");
    file.set_len(length - free).unwrap();
}

/// Foreign empty files that leave `free` names.
fn fill_names(at: &Path, free: usize) {
    let folder = at.join("fillers");
    fs::create_dir_all(&folder).unwrap();
    let mut made = 0;
    loop {
        match File::create_new(folder.join(made.to_string())) {
            Ok(_) => made += 1,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => made += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                break;
            }
        }
    }
    for number in made - free..made {
        fs::remove_file(folder.join(number.to_string())).unwrap();
    }
}

fn unfill(at: &Path) {
    fs::remove_file(at.join("filler")).ok();
    fs::remove_dir_all(at.join("fillers")).ok();
}

/// Runs the insert with more and more room, until it passes.
async fn insert_with_more_and_more_room(case: &str, at: &Path, fill: impl Fn(usize)) {
    let case = named(case);
    let prepared = tempfile::tempdir().unwrap();
    case.prepare(prepared.path()).await;
    let mut failures = 0;
    for room in 0.. {
        case.copy(prepared.path(), &at.join("here"));
        let here = at.join("here");
        let before = files(&here);
        fill(room);
        let ended = case.run(&here).await;
        if let Err(failure) = &ended {
            assert!(failure.contains("No space left on device"), "{failure}");
            assert_same(&before, &files(&here), failure);
            failures += 1;
        }
        unfill(at);
        let what = format!("with room for {room}");
        case.check(&here, ended.is_ok(), &what).await;
        fs::remove_dir_all(&here).unwrap();
        if ended.is_ok() {
            break;
        }
    }
    println!("{}: {failures} failures before it passed", case.name);
    assert!(failures > 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_that_finds_the_disk_full_at_any_file_leaves_nothing() {
    let Some(mount) = memory("size=4m") else {
        return;
    };
    let at = mount.path();
    for case in [INSERT.name, "many-files"] {
        // It stores whole pages.
        let fill = |room: usize| fill_space(&at, 4096 * room as u64);
        insert_with_more_and_more_room(case, &at, fill).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_that_finds_no_more_file_names_at_any_file_leaves_nothing() {
    let Some(mount) = memory("size=16m,nr_inodes=400") else {
        return;
    };
    let at = mount.path();
    insert_with_more_and_more_room(INSERT.name, &at, |room| fill_names(&at, room)).await;
}

/// Fills the disk to the last byte, and expires.
async fn expire_on_full_disk(mount: &Mount, fill: impl Fn(&Path)) {
    let at = mount.path();
    EXPIRY.prepare(&at).await;
    let location = at.join("t").canonicalize().unwrap().display().to_string();
    let ctx = session_at(&at);
    let open = format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'");
    rows(&ctx, &open).await;
    fill(&at);
    let insert = ctx.sql("INSERT INTO t VALUES (1)").await.unwrap();
    let failure = insert.collect().await.unwrap_err();
    let told = failure.to_string();
    assert!(told.contains("No space left on device"), "{told}");
    let kind = atio::Error::find(&failure).map(atio::Error::kind);
    assert_eq!(kind, Some(atio::ErrorKind::Storage), "{told}");
    fill(&at);
    let expired = row(&ctx, &EXPIRE.replace("{t}", &location)).await;
    assert_ne!(expired, "0");
    EXPIRY.check_history(&at, "on a full disk").await;
    assert_eq!(EXPIRY.state(&at).await, Ok(Some("2|3".to_owned())));
    println!("expired {expired} files on a full disk");
    unfill(&at);
    EXPIRY.check(&at, true, "after the disk was full").await;
    fs::remove_dir_all(at.join("t")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_makes_room_while_the_disk_is_full_to_the_last_byte() {
    let Some(mount) = memory("size=4m,nr_inodes=400") else {
        return;
    };
    expire_on_full_disk(&mount, |at| fill_space(at, 0)).await;
    expire_on_full_disk(&mount, |at| fill_names(at, 0)).await;
    for (kind, size) in [("ext4", 16), ("xfs", 320)] {
        match Mount::image(kind, size) {
            Ok(mount) => expire_on_full_disk(&mount, |at| fill_space(at, 0)).await,
            Err(why) => eprintln!("skipped: {why}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_file_system_can_be_read_and_says_why_it_is_not_written() {
    let Some(mount) = memory("size=4m") else {
        return;
    };
    let at = mount.path();
    INSERT.prepare(&at).await;
    let before = files(&at);
    mount.set_read_only(true);
    assert_eq!(INSERT.state(&at).await, Ok(Some("2|3".to_owned())));
    let location = at.join("t").canonicalize().unwrap().display().to_string();
    let ctx = session_at(&at);
    let open = format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'");
    rows(&ctx, &open).await;
    let expire = EXPIRE.replace("{t}", &location);
    let create = format!(
        "CREATE EXTERNAL TABLE u (a BIGINT) STORED AS ATIO LOCATION '{}/u'",
        at.display()
    );
    for sql in [
        "INSERT INTO t VALUES (1)",
        "INSERT OVERWRITE t VALUES (1)",
        "DELETE FROM t WHERE a = 1",
        "DELETE FROM t",
        "UPDATE t SET a = 5",
        "MERGE INTO t USING (VALUES (1), (7)) AS s(a) ON t.a = s.a \
         WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        "TRUNCATE TABLE t",
        &expire,
        &create,
        "CREATE TABLE w.public.u AS SELECT 1 AS a",
    ] {
        let failure = crate::query::failure(&ctx, sql).await;
        assert!(
            failure.contains("Read-only file system"),
            "{sql}: {failure}"
        );
    }
    assert_same(&before, &files(&at), "what was refused");
    mount.set_read_only(false);
    INSERT.check(&at, false, "after it was read-only").await;
}
