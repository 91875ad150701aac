//! What a version that marks rows lists, and what it says that it changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use atio_core::format::record::Features;
use atio_core::format::{FileEntry, Manifest, Totals, Version};
use atio_core::log::{Snapshot, Table};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::super::super::fault_store::{Fault, FaultStore};
use super::super::super::{handle, on_store};
use super::super::{Place, append, create, objects, on_both, record};
use super::{A, B, C, add, entries, left, left_now, mark, of};

/// The files that a version says it removed.
async fn removed(table: &Table, snapshot: &Snapshot) -> Vec<FileEntry> {
    let named = record(snapshot).changes.removed.as_ref().unwrap();
    let key = table.data_key(&named.path).unwrap();
    let bytes = table
        .store()
        .get(&key)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    named.verify(&bytes).unwrap();
    Manifest::parse(&named.path, &bytes, false).unwrap().files
}

/// The objects of deletion vectors.
async fn vectors(table: &Table) -> Vec<String> {
    let mut found: Vec<_> = objects(table, "data").await.into_iter().collect();
    found.retain(|name| name.ends_with(".dv"));
    found
}

fn features(read: &[&str], write: &[&str]) -> Features {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Features {
        read: names(read),
        write: names(write),
    }
}

async fn check_one(place: Place) {
    let open = place.of_files("one").await;
    let table = open();
    let before = table.newest().await.unwrap();
    let was = entries(&table, &before).await.unwrap();
    mark(&[(A, &[1, 3]), (C, &[0])])
        .run_now(&table)
        .await
        .unwrap();
    let newest = open().newest().await.unwrap();
    let is = entries(&table, &newest).await.unwrap();
    assert_eq!(is[&B], was[&B]);
    // One object, and each entry names its part of it.
    let [object] = vectors(&table).await.try_into().unwrap();
    let mut end = 0;
    for (file, rows) in [(A, 2), (C, 1)] {
        let named = is[&file].dv.clone().unwrap();
        assert!(object.ends_with(&named.path), "{object}");
        assert_eq!((named.offset, named.rows), (end, rows));
        end = named.range().end;
        let unmarked = FileEntry {
            dv: None,
            ..is[&file].clone()
        };
        assert_eq!(unmarked, was[&file]);
    }
    let key = table.store().head(&object.as_str().into()).await.unwrap();
    assert_eq!(key.size, end);

    // A file that is listed anew goes and comes.
    let of_record = record(&newest);
    let without_stats = |file: &FileEntry| FileEntry {
        stats: Vec::new(),
        ..file.clone()
    };
    let gone = removed(&table, &newest).await;
    assert_eq!(gone, [A, C].map(|file| without_stats(&was[&file])));
    let totals = |files, rows, bytes| Totals { files, rows, bytes };
    assert_eq!(of_record.removed, totals(2, 7, 2));
    assert_eq!(of_record.added, totals(2, 4, 2));
    assert_eq!(newest.totals(), totals(3, 6, 3));
    assert_eq!(of_record.operation.word(), "delete");
    // In one manifest, whatever manifests they were in.
    let [added] = of_record.changes.added.as_slice() else {
        panic!("{:?}", of_record.changes.added);
    };
    let listed = &newest.state.manifests;
    let marked: Vec<_> = listed.iter().map(|manifest| manifest.marked).collect();
    assert_eq!(marked, [0, 3]);
    assert_eq!(listed[1].object, *added);
    let dropped: Vec<_> = before
        .state
        .manifests
        .iter()
        .map(|m| m.object.path.clone())
        .collect();
    assert_eq!(of_record.changes.manifests_dropped, dropped);
    assert_eq!(of_record.features, features(&["dv"], &["dv"]));
    assert_eq!(of_record.snapshot_filename, None);

    // A second one goes on from there: its vector has all, and what goes is the entry with the first.
    mark(&[(A, &[0])])
        .adding(&[9])
        .run_now(&table)
        .await
        .unwrap();
    let second = open().newest().await.unwrap();
    let gone = removed(&table, &second).await;
    assert_eq!(gone, [without_stats(&is[&A])]);
    let entry = &entries(&table, &second).await.unwrap()[&A];
    assert_eq!(entry.marked_rows(), 3);
    assert_eq!(record(&second).removed, totals(1, 2, 1));
    // With the new file, which has a manifest of its own.
    assert_eq!(record(&second).added, totals(2, 2, 2));
    assert_eq!(record(&second).changes.added.len(), 2);
    assert_eq!(vectors(&table).await.len(), 2);
    assert_eq!(
        left(&table, &second).await,
        of(&[(A, &[2]), (B, &[0, 1]), (C, &[1, 2]), (9, &[0])])
    );
    // Each version has its own.
    assert_eq!(
        left(&open(), &newest).await,
        of(&[(A, &[0, 2]), (B, &[0, 1]), (C, &[1, 2])])
    );
    assert_eq!(left(&open(), &before).await, of(&super::ALL));

    // Its last row: the file goes, and with it the feature to read, of what is not named any more.
    mark(&[(A, &[2]), (C, &[1, 2])])
        .run_now(&table)
        .await
        .unwrap();
    let third = open().newest().await.unwrap();
    assert_eq!(record(&third).added, totals(0, 0, 0));
    assert_eq!(record(&third).removed, totals(2, 3, 2));
    assert_eq!(removed(&table, &third).await.len(), 2);
    assert_eq!(left(&table, &third).await, of(&[(B, &[0, 1]), (9, &[0])]));
    assert_eq!(record(&third).features, features(&[], &["dv"]));
    assert_eq!(vectors(&table).await.len(), 2);
}

#[tokio::test]
async fn version_that_marks_rows_lists_their_files_anew() {
    on_both(check_one).await;
}

/// Each statement rewrites a manifest, and lists a file in another.
#[tokio::test]
async fn marks_keep_the_list_of_manifests_short_and_leave_nothing_behind() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    let files: Vec<_> = (100..130).map(|value| (value, 40)).collect();
    add(&table, &files).await.unwrap();
    let mut longest = 0;
    static ROWS: [u64; 40] = {
        let mut rows = [0; 40];
        let mut at = 0;
        while at < rows.len() {
            rows[at] = at as u64;
            at += 1;
        }
        rows
    };
    static FILES: [i64; 30] = {
        let mut files = [0; 30];
        let mut at = 0;
        while at < files.len() {
            files[at] = 100 + at as i64;
            at += 1;
        }
        files
    };
    for number in 0..200 {
        let file = FILES[number * 7 % FILES.len()];
        let row = number / FILES.len();
        let marks: &'static [(i64, &'static [u64])] =
            Box::leak(Box::new([(file, &ROWS[row..=row])]));
        mark(marks).run_now(&table).await.unwrap();
        if number % 3 == 0 {
            append(&[9]).run_now(&table).await.unwrap();
        }
        let newest = table.newest().await.unwrap();
        longest = longest.max(newest.state.manifests.len());
    }
    assert!(longest <= 15, "{longest}");
    let newest = on_store(&store).newest().await.unwrap();
    assert_eq!(newest.totals().rows, 30 * 40 - 200 + 67);
    let (mut manifests, mut vectors) = (BTreeSet::new(), BTreeSet::new());
    for version in Version::ZERO.through(newest.version) {
        let snapshot = table.version(version).await.unwrap();
        let listed = snapshot.state.manifests.iter();
        manifests.extend(listed.map(|manifest| manifest.object.path.clone()));
        for manifest in table.manifests(&snapshot).await.unwrap() {
            let files = manifest.files.iter();
            let named = files.filter_map(|file| file.dv.as_ref());
            vectors.extend(named.map(|vector| vector.path.clone()));
        }
    }
    let mut found = objects(&table, "metadata").await;
    found.retain(|path| path.contains("/manifest-"));
    assert_eq!(found.len(), manifests.len());
    assert_eq!(super::lists::vectors(&table).await.len(), vectors.len());
}

/// What a lost attempt wrote for its base alone is removed once the next has succeeded.
async fn check_lost_attempts(place: Place) {
    let open = place.of_files("lost").await;
    let (ours, other) = (open(), open());
    let base = ours.newest().await.unwrap();
    for rows in [mark(&[(A, &[0])]), mark(&[(A, &[1])])] {
        rows.run_now(&other).await.unwrap();
    }
    mark(&[(A, &[2])]).run(&ours, &base).await.unwrap();
    assert_eq!(vectors(&other).await.len(), 3);
    assert_eq!(
        left_now(&open()).await,
        of(&[(A, &[3]), (B, &[0, 1]), (C, &[0, 1, 2])])
    );
}

#[tokio::test]
async fn attempts_to_mark_rows_that_were_lost_leave_nothing_behind() {
    on_both(check_lost_attempts).await;
}

/// All vectors of an object are read by one request, and then not again.
#[tokio::test]
async fn vectors_of_one_statement_are_read_at_once() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    let files: Vec<_> = (0..100).map(|value| (value, 10)).collect();
    add(&table, &files).await.unwrap();
    let marks: Vec<_> = (0..100).map(|file| (file, [3, 5].as_slice())).collect();
    mark(Box::leak(marks.into_boxed_slice()))
        .run_now(&table)
        .await
        .unwrap();
    table.flush().await;
    let counting = FaultStore::new(&store, u64::MAX, Fault::Before);
    let other = handle(Arc::clone(&counting) as Arc<dyn ObjectStore>);
    let newest = other.newest().await.unwrap();
    let manifests = other.manifests(&newest).await.unwrap();
    let files: Vec<_> = manifests.iter().flat_map(|found| &found.files).collect();
    for requests in [1, 0] {
        let before = counting.requests();
        let vectors = other.vectors(&newest, &files).await.unwrap();
        assert_eq!(counting.requests() - before, requests);
        for vector in vectors {
            assert_eq!(vector.unwrap().rows().collect::<Vec<_>>(), [3, 5]);
        }
    }
    // Who made them reads none.
    let counting = FaultStore::new(&store, u64::MAX, Fault::Before);
    let ours = handle(Arc::clone(&counting) as Arc<dyn ObjectStore>);
    mark(&[(7, &[0])]).run_now(&ours).await.unwrap();
    ours.flush().await;
    let newest = ours.newest().await.unwrap();
    let entry = entries(&ours, &newest).await.unwrap()[&7].clone();
    let before = counting.requests();
    let vectors = ours.vectors(&newest, &[&entry]).await.unwrap();
    assert_eq!(vectors[0].as_ref().unwrap().len(), 3);
    assert_eq!(counting.requests(), before);
}
