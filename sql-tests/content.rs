//! What tests look at: the cells of a result, and the bytes that lie at a place.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::object_store::{Error, ObjectStore, ObjectStoreExt};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use crate::session::{Place, run};

/// Runs each check on memory and on disk, on one thread and on several.
macro_rules! on_every_place {
    ($($check:ident),+ $(,)?) => { $(
        mod $check {
            use crate::session::Place;

            #[tokio::test]
            async fn on_memory() {
                super::$check(Place::memory()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_memory_with_threads() {
                super::$check(Place::memory()).await;
            }

            #[tokio::test]
            async fn on_disk() {
                super::$check(Place::disk()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_disk_with_threads() {
                super::$check(Place::disk()).await;
            }
        }
    )+ };
}
pub(crate) use on_every_place;

/// Objects by name, with their bytes.
pub(crate) type Objects = BTreeMap<String, Vec<u8>>;

/// Every object at `place`; directories do not count.
pub(crate) async fn objects(place: &Place) -> Objects {
    match place {
        Place::Memory(store) => {
            let mut found = Objects::new();
            for meta in ObjectStore::list(store.as_ref(), None)
                .try_collect::<Vec<_>>()
                .await
                .unwrap()
            {
                let object = match store.get(&meta.location).await {
                    // Deleted since it was listed.
                    Err(Error::NotFound { .. }) => continue,
                    object => object.unwrap(),
                };
                let bytes = object.bytes().await.unwrap();
                found.insert(meta.location.to_string(), bytes.to_vec());
            }
            found
        }
        Place::Disk(directory) => files(directory.path()),
    }
}

/// Every file below `root`, named relative to it.
pub(crate) fn files(root: &Path) -> Objects {
    let mut found = Objects::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(directory) = pending.pop() {
        let entries = match fs::read_dir(&directory) {
            // Removed since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound && directory != root => continue,
            entries => entries.unwrap(),
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            // Space that is kept for expiry says nothing.
            if name.contains("_atio_tmp/reserve/") {
                continue;
            }
            match fs::read(&path) {
                // Deleted since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                bytes => drop(found.insert(name, bytes.unwrap())),
            }
        }
    }
    found
}

/// The name of an object of the table `t` of a place, as the table itself calls it.
pub(crate) fn in_t(name: &str) -> &str {
    let name = name.strip_prefix("root/").unwrap_or(name);
    name.strip_prefix("t/").unwrap_or(name)
}

/// Passes if both hold the same objects, to the byte; otherwise names those that differ.
#[track_caller]
pub(crate) fn assert_same(before: &Objects, after: &Objects, what: &str) {
    assert!(
        !before.is_empty(),
        "nothing to compare: the test is at fault"
    );
    let differing = |a: &Objects, b: &Objects| -> Vec<String> {
        a.iter()
            .filter(|(name, bytes)| b.get(*name) != Some(bytes))
            .map(|(name, _)| name.clone())
            .collect()
    };
    let (lost, new) = (differing(before, after), differing(after, before));
    assert!(
        lost.is_empty() && new.is_empty(),
        "{what} changed or removed {lost:?}, made or changed {new:?}"
    );
}

/// The rows of a result as text, cells parted by `|`, sorted.
pub(crate) fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            rows.push(cells.join("|"));
        }
    }
    rows.sort_unstable();
    rows
}

/// The rows of a statement that must succeed.
pub(crate) async fn rows(ctx: &SessionContext, sql: &str) -> Vec<String> {
    match run(ctx, sql).await {
        Ok(batches) => texts(&batches),
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// The only row of a statement that must succeed.
pub(crate) async fn row(ctx: &SessionContext, sql: &str) -> String {
    let mut rows = rows(ctx, sql).await;
    assert_eq!(rows.len(), 1, "{sql} gave {rows:?}");
    rows.remove(0)
}

/// What a statement that must fail says.
pub(crate) async fn failure(ctx: &SessionContext, sql: &str) -> String {
    match run(ctx, sql).await {
        Ok(batches) => panic!("{sql} succeeded with {:?}", texts(&batches)),
        Err(error) => error.strip_backtrace(),
    }
}

/// Opens or creates the table `t` of `place`, with a column `a`, under `name`.
pub(crate) async fn open(ctx: &SessionContext, place: &Place, name: &str) {
    let sql = format!(
        "CREATE EXTERNAL TABLE {name} (a BIGINT) STORED AS ATIO LOCATION '{}/t'",
        place.root()
    );
    rows(ctx, &sql).await;
}
