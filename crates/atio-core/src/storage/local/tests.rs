//! What the writer of a local table does to its directory.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use uuid::Uuid;

use super::{Disk, LocalWriter};
use crate::error::ErrorKind;
use crate::format::{Txn, Version, layout};
use crate::storage::durability::Durability;
use crate::storage::objects::Created;

struct Table {
    directory: tempfile::TempDir,
    disk: Disk,
    txn: Txn,
    writer: LocalWriter,
}

impl Table {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(directory.path().join("t"), Durability::Full);
        disk.make_table().unwrap();
        let txn = Txn::new(Uuid::now_v7());
        let writer = LocalWriter::new(disk.clone(), (txn, None), Arc::new(InMemory::new()));
        Self {
            directory,
            disk,
            txn,
            writer,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("t").join(name)
    }

    fn staged(&self) -> usize {
        let folder = self.path(&format!("{}/{}", layout::STAGING, self.txn));
        fs::read_dir(folder).into_iter().flatten().count()
    }

    async fn create(&self, name: &str, bytes: &'static [u8]) -> Created {
        self.writer.create(name, Bytes::from_static(bytes)).await
    }
}

fn record(number: u64) -> String {
    layout::record(Version::new(number).unwrap())
}

#[tokio::test]
async fn the_first_of_two_records_stays_and_nothing_else() {
    let table = Table::new();
    let created = table.create(&record(1), b"first").await;
    assert!(matches!(created, Created::Yes(_)), "{created:?}");
    let created = table.create(&record(1), b"second").await;
    assert!(matches!(created, Created::Unclear(_)), "{created:?}");
    assert_eq!(fs::read(table.path(&record(1))).unwrap(), b"first");
    assert_eq!(table.staged(), 0);
    table.writer.finish(false).await;
    assert!(fs::read_dir(table.path(layout::STAGING)).unwrap().count() == 1);
}

#[tokio::test]
async fn a_table_that_is_dropped_and_made_again_takes_no_record_of_an_older_writer() {
    let table = Table::new();
    table.writer.begin().await.unwrap();
    fs::rename(table.path(""), table.directory.path().join("aside")).unwrap();
    for made_again in [false, true] {
        if made_again {
            table.disk.make_table().unwrap();
        }
        let Created::Refused(error) = table.create(&record(1), b"late").await else {
            panic!("the record was not refused");
        };
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(!table.path(&record(1)).exists());
    }
}

#[tokio::test]
async fn a_data_file_is_there_whole_or_not_at_all() {
    let table = Table::new();
    let name = layout::data_file(table.txn, 0, 7);
    let key = Path::parse(&name).unwrap();
    let mut upload = table.writer.put_multipart(&key).await.unwrap();
    upload.put_part("hello ".into()).await.unwrap();
    assert!(!table.path(&name).exists());
    upload.put_part("world".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(fs::read(table.path(&name)).unwrap(), b"hello world");

    let dropped = layout::data_file(table.txn, 1, 7);
    let mut upload = table
        .writer
        .put_multipart(&Path::parse(&dropped).unwrap())
        .await
        .unwrap();
    // A part that nobody waited for may not have been written.
    drop(upload.put_part("lost".into()));
    upload.complete().await.unwrap_err();
    assert!(!table.path(&dropped).exists());
    assert_eq!(table.staged(), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_written_through_a_symbolic_link() {
    let table = Table::new();
    let outside = table.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir(table.path(layout::METADATA)).unwrap();
    std::os::unix::fs::symlink(&outside, table.path(layout::METADATA)).unwrap();
    let created = table.create(&record(1), b"x").await;
    assert!(matches!(created, Created::Refused(_)), "{created:?}");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_whom_the_umask_allows() {
    use std::os::unix::fs::PermissionsExt;

    let table = Table::new();
    table.create(&record(1), b"x").await;
    let plain = table.directory.path().join("plain");
    fs::write(&plain, "x").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(table.path(&record(1))), mode(plain));
}

#[tokio::test]
async fn a_walk_finds_files_and_directories_of_transactions_that_hold_none() {
    let table = Table::new();
    table.writer.begin().await.unwrap();
    fs::write(table.path("data/x.parquet"), "x").unwrap();
    let names = |folder: &str| {
        let found = table.disk.walk(folder).unwrap();
        found
            .into_iter()
            .map(|found| found.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(layout::DATA), ["data/x.parquet"]);
    let staging = format!("{}/{}", layout::STAGING, table.txn);
    assert!(names(layout::STAGING).contains(&staging));
    // What is staged is found by itself, and the directories go with it.
    let data = format!("{}/{}", layout::DATA, table.txn);
    fs::create_dir(table.path(&data)).unwrap();
    fs::write(table.path(&staging).join("x"), "x").unwrap();
    assert_eq!(names(layout::DATA), ["data/x.parquet"]);
    fs::remove_file(table.path(&staging).join("x")).unwrap();
    assert!(names(layout::DATA).contains(&staging));
    table.disk.remove(&staging).unwrap();
    assert!(!table.path(&data).exists());
    assert!(!names(layout::STAGING).contains(&staging));
    // An expiry that was killed behind the last file leaves this.
    fs::create_dir(table.path(&data)).unwrap();
    assert!(names(layout::DATA).contains(&staging));
    let missing = table.disk.remove(&staging).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(names(layout::DATA), ["data/x.parquet"]);
}
