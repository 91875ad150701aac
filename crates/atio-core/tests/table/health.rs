//! Tables that are whole, damaged or cannot be opened: what a check finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::format::Version;
use atio_core::log::{
    CheckOptions, CommitOptions, Finding, RefUpdate, RepairOptions, RepairRow, RowChange, Severity,
    Table,
};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::fault_store::{Fault, FaultStore};
use super::{append, append_rows, create, handle, mark, on_store, rewrite};

pub(super) const REPAIR: RepairOptions = RepairOptions { dry_run: false };

pub(super) fn record(version: u64) -> String {
    format!("metadata/v{version}.metadata.json")
}

pub(super) fn key(name: &str) -> Path {
    Path::from(format!("t/{name}"))
}

pub(super) async fn tag(table: &Arc<Table>, name: &str) {
    let tag = RefUpdate::Tag {
        name: name.to_owned(),
        version: None,
        message: None,
        replace: true,
    };
    table
        .update_refs(tag, CommitOptions::default())
        .await
        .unwrap();
}

/// A table with so many versions above 0, which have no data files.
pub(super) async fn tagged(versions: u64) -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    for _ in 0..versions {
        tag(&table, "best").await;
    }
    table.flush().await;
    store
}

/// A table with so many appends of one row.
pub(super) async fn appended(appends: u64) -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    for _ in 0..appends {
        append(&table).await.unwrap();
    }
    table.flush().await;
    store
}

/// A table whose version 2 wrote the row of version 1 anew, so that an expiry removes something.
pub(super) async fn rewritten() -> (Arc<InMemory>, Arc<Table>) {
    let store = appended(1).await;
    let table = on_store(&store);
    rewrite(&table, RowChange::update, 1).await.unwrap();
    table.flush().await;
    (store, table)
}

pub(super) async fn remove(store: &InMemory, names: impl IntoIterator<Item = String>) {
    for name in names {
        store.delete(&key(&name)).await.unwrap();
    }
}

pub(super) async fn put(store: &InMemory, name: &str, bytes: impl Into<Bytes>) {
    store.put(&key(name), bytes.into().into()).await.unwrap();
}

/// All objects, by name.
pub(super) async fn objects(store: &InMemory) -> BTreeMap<String, Bytes> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for object in listed {
        let bytes = store.get(&object.location).await.unwrap().bytes().await;
        objects.insert(object.location.to_string(), bytes.unwrap());
    }
    objects
}

pub(super) async fn found(store: &Arc<InMemory>) -> Vec<Finding> {
    on_store(store)
        .check(CheckOptions::default())
        .await
        .unwrap()
}

pub(super) async fn repaired(store: &Arc<InMemory>) -> Vec<RepairRow> {
    on_store(store).repair(&REPAIR).await.unwrap()
}

/// What is wrong but the data files of these tests, which hold a byte.
pub(super) async fn wrong(store: &Arc<InMemory>) -> Vec<String> {
    let findings = found(store).await.into_iter();
    let findings = findings.filter(|finding| !finding.object.starts_with("data/"));
    findings
        .map(|finding| format!("{}: {}", finding.object, finding.finding))
        .collect()
}

pub(super) fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

#[tokio::test]
async fn whole_table_has_no_finding_and_nothing_to_repair() {
    let store = tagged(5).await;
    assert_eq!(found(&store).await, []);
    let before = objects(&store).await;
    assert_eq!(repaired(&store).await, []);
    assert!(before == objects(&store).await);
}

#[tokio::test]
async fn table_that_cannot_be_opened_is_checked_and_left_as_it_is() {
    for (what, breaks) in [("empty", None), ("flipped", Some(60))] {
        let store = tagged(3).await;
        let mut bytes = objects(&store).await[key(&record(3)).as_ref()].to_vec();
        match breaks {
            None => bytes.clear(),
            Some(at) => bytes[at] ^= 1,
        }
        put(&store, &record(3), bytes).await;
        let before = objects(&store).await;
        let findings = found(&store).await;
        assert_eq!(findings.len(), 1, "{what}: {findings:?}");
        assert_eq!(findings[0].object, record(3), "{what}");
        assert_eq!(findings[0].version, Some(version(3)), "{what}");
        assert_eq!(
            findings[0].action,
            "Restore it from a copy of the table. Version 2 is the newest that is whole, and can be read by number. \
             Without a copy, move metadata/v3.metadata.json away, and run a repair: it goes on from version 2, and \
             version 3 is lost.",
            "{what}"
        );
        assert!(!repaired(&store).await[0].done);
        assert!(before == objects(&store).await, "{what}");
    }
    let nothing = on_store(&Arc::new(InMemory::new()));
    let error = nothing.check(CheckOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableNotFound);
    let error = nothing.repair(&REPAIR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableNotFound);
}

#[tokio::test]
async fn every_object_is_read_once_however_many_versions_name_it() {
    // Each version has its record and its tags; all share one snapshot and one schema.
    let versions = 20;
    let store = tagged(versions).await;
    let counted = FaultStore::new(&store, u64::MAX, Fault::Before);
    let table = handle(Arc::clone(&counted) as _);
    assert_eq!(table.check(CheckOptions::default()).await.unwrap(), []);
    // The hints are read again at the end.
    let (records, refs, shared, hints) = (versions + 1, versions, 2, 4);
    assert_eq!(counted.requests(), records + refs + shared + hints);
}

/// What is found of deletion vectors: the data files of these tests hold a byte.
async fn found_of_vectors(store: &Arc<InMemory>, deep: bool) -> Vec<Finding> {
    let findings = on_store(store).check(CheckOptions { deep }).await.unwrap();
    let findings = findings.into_iter();
    findings
        .filter(|finding| finding.object.ends_with(".dv"))
        .collect()
}

#[tokio::test]
async fn deletion_vectors_that_are_missing_cut_or_changed_are_found() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    append_rows(&table, 10).await.unwrap();
    for _ in 0..2 {
        mark(&table).await.unwrap();
    }
    table.flush().await;
    assert_eq!(found_of_vectors(&store, true).await, []);
    let whole = objects(&store).await;
    let names = whole.keys().filter_map(|name| name.strip_prefix("t/"));
    let names: Vec<_> = names.filter(|name| name.ends_with(".dv")).collect();
    assert_eq!(names.len(), 2, "one of each version that marks rows");
    let mut versions = BTreeSet::new();
    for name in names {
        let bytes = whole[key(name).as_ref()].clone();
        let cut = bytes.slice(..bytes.len() - 1);
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() - 1] ^= 1;
        for (damaged, deep, says) in [
            (None, false, "is missing"),
            (Some(cut), false, "were written"),
            (Some(Bytes::from(flipped)), true, "the deletion vector at 0"),
        ] {
            match damaged {
                Some(damaged) => put(&store, name, damaged).await,
                None => remove(&store, [name.to_owned()]).await,
            }
            assert_eq!(found_of_vectors(&store, false).await.is_empty(), deep);
            let found = found_of_vectors(&store, true).await;
            let [finding] = found.as_slice() else {
                panic!("{says}: {found:?}")
            };
            assert_eq!(
                (finding.severity, finding.object.as_str()),
                (Severity::Error, name)
            );
            assert!(finding.finding.contains(says), "{finding:?}");
            versions.insert(finding.version);
            put(&store, name, bytes.clone()).await;
        }
    }
    assert_eq!(versions, [Some(version(2)), Some(version(3))].into());
}

#[tokio::test]
async fn table_that_is_made_where_another_was_dropped_is_whole() {
    let store = tagged(2).await;
    let table = on_store(&store);
    append(&table).await.unwrap();
    table.drop_log_at(None).await.unwrap();
    let error = on_store(&store)
        .check(CheckOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableNotFound);
    let table = on_store(&store);
    create(&table).await;
    tag(&table, "best").await;
    table.flush().await;
    assert_eq!(found(&store).await, []);
}
