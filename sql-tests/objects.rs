//! The bytes that lie at a place.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use datafusion::object_store::{Error, ObjectStore, ObjectStoreExt};
use futures::TryStreamExt;

use crate::session::{Place, flush};

/// Objects by name, with their bytes.
pub(crate) type Objects = BTreeMap<String, Vec<u8>>;

/// Every object at `place`; directories do not count.
pub(crate) async fn objects(place: &Place) -> Objects {
    match place {
        Place::Memory(store) => {
            // Hints follow the answers.
            flush();
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
    let name = name.strip_prefix("base/").unwrap_or(name);
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

/// Waits until what a dropped statement leaves to the background is done.
pub(crate) async fn assert_settles_to(before: &Objects, place: &Place, what: &str) {
    for _ in 0..200 {
        if *before == objects(place).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_same(before, &objects(place).await, what);
}
