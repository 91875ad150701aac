//! Repairs of tables that are damaged or restored in part, also beside writers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atio_core::ErrorKind;
use atio_core::format::pointer;
use atio_core::log::{CommitOptions, RepairOptions, RowChange, Severity, Table, Transaction};
use bytes::Bytes;
use object_store::memory::InMemory;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::fault_store::{Fault, FaultStore};
use super::health::{
    REPAIR, appended, found, objects, put, record, remove, repaired, rewritten, tag, tagged,
    version, wrong,
};
use super::{append, append_on, everything, file, handle, on_store};

const POINTER: &str = "_current_version.json";
const MARKER: &str = "_SUCCESS";

#[tokio::test]
async fn numbers_above_a_partial_restore_are_occupied_and_never_used_again() {
    let store = tagged(6).await;
    remove(&store, (4..=6).map(record)).await;
    let before = objects(&store).await;
    assert_eq!(
        on_store(&store).newest().await.unwrap_err().kind(),
        ErrorKind::Damaged
    );

    let would = on_store(&store)
        .repair(&RepairOptions::default())
        .await
        .unwrap();
    let [row] = would.as_slice() else {
        panic!("{would:?}")
    };
    assert_eq!((row.object.as_str(), row.done), (record(4).as_str(), false));
    assert!(
        row.problem.contains("versions 4 to 6 are missing"),
        "{row:?}"
    );
    assert!(
        row.action.starts_with("Occupy the numbers 4 to 6"),
        "{row:?}"
    );
    assert!(
        before == objects(&store).await,
        "a dry run changed something"
    );

    let rows = repaired(&store).await;
    assert!(rows.len() == 1 && rows[0].done, "{rows:?}");
    assert_eq!(rows[0].action, row.action);
    assert_eq!(found(&store).await, []);
    assert_eq!(repaired(&store).await, []);
    let table = on_store(&store);
    let newest = table.newest().await.unwrap();
    assert_eq!(newest.version, version(7));
    assert_eq!(newest.record.operation().word(), "repair");
    assert_eq!(newest.record.parent(), Some(version(3)));
    for (number, lost) in [(3, false), (4, true), (6, true), (7, false)] {
        assert_eq!(newest.has_expired(version(number)), lost, "{number}");
    }
    let error = table.version(version(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionExpired, "{error}");
    // The tag is that of version 3.
    assert_eq!(table.tags().await.unwrap()["best"].version, version(2));
    let history = table.history().await.unwrap();
    let words: Vec<_> = history
        .iter()
        .map(|entry| entry.operation.as_str())
        .collect();
    assert_eq!(
        words,
        [
            "create", "tag", "tag", "tag", "lost", "lost", "lost", "repair"
        ]
    );
    assert_eq!(
        history[7].message.as_deref(),
        Some("the records of versions 4 to 6 are lost")
    );
    // It is written, and expires, like any other.
    let committed = append(&table).await.unwrap();
    assert_eq!(committed.version(), version(8));
    table.expire(&everything(), None).await.unwrap();
    assert_eq!(on_store(&store).newest().await.unwrap().totals().rows, 1);
    assert_eq!(wrong(&store).await, [""; 0]);
}

#[tokio::test]
async fn marker_tells_of_lost_versions_where_the_pointer_is_lost_too() {
    let store = tagged(3).await;
    remove(&store, [record(3), POINTER.to_owned()]).await;
    let rows = repaired(&store).await;
    assert!(rows.iter().all(|row| row.done), "{rows:?}");
    assert_eq!(on_store(&store).newest().await.unwrap().version, version(4));
    assert_eq!(found(&store).await, []);
}

/// A writer that knows version 2 as the newest, of a table that then loses what came after.
async fn writer_on_2() -> (Arc<InMemory>, Arc<Table>) {
    let store = tagged(2).await;
    let writer = on_store(&store);
    writer.newest().await.unwrap();
    let other = on_store(&store);
    for name in ["a", "b", "c"] {
        tag(&other, name).await;
    }
    other.flush().await;
    remove(&store, (3..=5).map(record)).await;
    (store, writer)
}

#[tokio::test]
async fn writer_that_takes_a_number_before_the_repair_has_won() {
    let (store, writer) = writer_on_2().await;
    let hooked = FaultStore::new(&store, u64::MAX, Fault::Before);
    let writers = Arc::new(Mutex::new(vec![writer]));
    let waiting = Arc::clone(&writers);
    hooked.before_records(move || {
        let writers = Arc::clone(&waiting);
        Box::pin(async move {
            if let Some(writer) = writers.lock().await.pop() {
                let committed = append(&writer).await.unwrap();
                assert_eq!(committed.version(), version(3));
                writer.flush().await;
            }
        })
    });
    let rows = handle(Arc::clone(&hooked) as _)
        .repair(&REPAIR)
        .await
        .unwrap();
    assert!(writers.lock().await.is_empty());
    let table = on_store(&store);
    let newest = table.newest().await.unwrap();
    assert_eq!(newest.totals().rows, 1, "the row of the writer: {rows:?}");
    assert!(!newest.has_expired(version(3)));
    assert_eq!(wrong(&store).await, [""; 0]);
    append(&table).await.unwrap();
    assert_eq!(on_store(&store).newest().await.unwrap().totals().rows, 2);
}

#[tokio::test]
async fn writer_that_comes_after_the_repair_is_revoked_and_leaves_nothing() {
    let (store, writer) = writer_on_2().await;
    let base = writer.last_seen().unwrap();
    assert_eq!(base.version, version(2));
    repaired(&store).await;
    let before = objects(&store).await;
    let error = append_on(&writer, base, CommitOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Revoked, "{error}");
    assert!(error.message().contains("version 3 is lost"), "{error}");
    let after = objects(&store).await;
    let names = |objects: &BTreeMap<String, Bytes>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    // Run again, it stands.
    assert_eq!(append(&writer).await.unwrap().version(), version(7));
}

/// What is lost lies below the version that it was planned on.
#[tokio::test]
async fn overwrite_stands_beside_a_repair_of_older_versions() {
    let store = appended(5).await;
    let writer = on_store(&store);
    let base = writer.newest().await.unwrap();
    let txn = Transaction::begin(&writer);
    let files = vec![file(&txn).await.unwrap()];
    remove(&store, [record(2), record(3)]).await;
    assert!(repaired(&store).await[0].done);
    let change = RowChange::overwrite(base.schema.id, Vec::new(), files);
    let options = CommitOptions::default();
    let committed = writer.commit(txn, base, change, Vec::new(), options).await;
    assert_eq!(committed.unwrap().version(), version(7));
    assert_eq!(on_store(&store).newest().await.unwrap().totals().rows, 1);
}

/// At each record that the repair creates, another one runs from beginning to end.
#[tokio::test]
async fn two_repairs_at_once_are_one() {
    for race in 0..4_usize {
        let (store, _) = writer_on_2().await;
        let hooked = FaultStore::new(&store, u64::MAX, Fault::Before);
        let creates = Arc::new(Mutex::new(0));
        let (other, count) = (Arc::clone(&store), Arc::clone(&creates));
        hooked.before_records(move || {
            let (other, count) = (Arc::clone(&other), Arc::clone(&count));
            Box::pin(async move {
                let mut count = count.lock().await;
                if *count == race {
                    repaired(&other).await;
                }
                *count += 1;
            })
        });
        handle(Arc::clone(&hooked) as _)
            .repair(&REPAIR)
            .await
            .unwrap();
        assert!(*creates.lock().await > race, "{race}");
        assert_eq!(found(&store).await, [], "{race}");
        let newest = on_store(&store).newest().await.unwrap();
        assert_eq!(newest.version, version(6), "{race}");
    }
}

#[tokio::test]
async fn repair_that_dies_at_any_request_is_finished_by_the_next() {
    let mut died = 0;
    for at in 1.. {
        let (store, writer) = writer_on_2().await;
        let faulty = FaultStore::new(&store, at, Fault::Dies);
        let table = handle(Arc::clone(&faulty) as _);
        let repair = tokio::time::timeout(Duration::from_millis(200), table.repair(&REPAIR));
        let ended = repair.await;
        if !faulty.met() {
            assert!(ended.unwrap().is_ok());
            break;
        }
        died += 1;
        // A writer beside it commits on version 2, or fails cleanly.
        let base = writer.last_seen().unwrap();
        let committed = append_on(&writer, base, CommitOptions::default()).await;
        writer.flush().await;
        repaired(&store).await;
        assert_eq!(wrong(&store).await, [""; 0], "died at {at}");
        let rows = on_store(&store).newest().await.unwrap().totals().rows;
        assert_eq!(
            rows,
            u64::from(committed.is_ok()),
            "died at {at}: {committed:?}"
        );
        assert_eq!(
            on_store(&store).repair(&REPAIR).await.unwrap().len(),
            rows as usize
        );
    }
    assert!(died > 10, "{died}");
}

#[tokio::test]
async fn record_lost_in_the_middle_is_told_and_stands_in_the_way_of_nothing_after_a_repair() {
    let store = tagged(5).await;
    remove(&store, [record(2), record(3)]).await;
    let table = on_store(&store);
    let refused = table.expire(&everything(), None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged);
    let findings = found(&store).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].severity, Severity::Error);
    assert_eq!(
        findings[0].finding,
        "the commit records of versions 2 to 3 are missing"
    );
    assert!(repaired(&store).await[0].done);
    assert_eq!(found(&store).await, []);
    let newest = on_store(&store).newest().await.unwrap();
    assert_eq!(
        (newest.version, newest.record.parent()),
        (version(6), Some(version(5)))
    );
    on_store(&store).expire(&everything(), None).await.unwrap();
    on_store(&store).version(version(5)).await.unwrap();
}

/// What a fence revoked is lost with it.
#[tokio::test]
async fn fence_that_is_lost_is_not_replaced() {
    let (store, table) = rewritten().await;
    table.expire(&everything(), None).await.unwrap();
    let fence = table.newest().await.unwrap().version;
    tag(&table, "after").await;
    table.flush().await;
    remove(&store, [record(fence.get())]).await;
    let rows = repaired(&store).await;
    let row = rows.iter().find(|row| row.object == record(fence.get()));
    let row = row.unwrap_or_else(|| panic!("{rows:?}"));
    // The version below it goes by no fence that is lost.
    on_store(&store).version(version(2)).await.unwrap();
    assert_eq!(
        (row.done, row.action.as_str()),
        (
            false,
            "Restore it from a copy of the table. A repair cannot go on without it, because an expiry may be among \
             what is lost: what it removed is not known."
        )
    );
}

#[tokio::test]
async fn hint_that_is_lost_damaged_or_behind_is_written_anew() {
    let of_another = pointer::pointer(version(2), Uuid::from_u128(9)).unwrap();
    let far_of_another = pointer::pointer(version(9), Uuid::from_u128(9)).unwrap();
    let behind = br#"{"version_id":"1"}"#.to_vec();
    // It names version 8.
    let mut flipped = pointer::pointer(version(4), Uuid::from_u128(9)).unwrap();
    flipped[15] ^= b'4' ^ b'8';
    assert_eq!(pointer::parse_pointer(&flipped), Some(version(8)));
    let mut errors = 0;
    for (name, bytes) in [
        (POINTER, None),
        (POINTER, Some(b"".to_vec())),
        (POINTER, Some(b"[1,2]".to_vec())),
        (POINTER, Some(flipped)),
        (POINTER, Some(of_another)),
        (POINTER, Some(far_of_another)),
        (POINTER, Some(behind)),
        (MARKER, None),
        (MARKER, Some(b"{".to_vec())),
    ] {
        let store = tagged(4).await;
        let before = objects(&store).await;
        match &bytes {
            Some(bytes) => put(&store, name, bytes.clone()).await,
            None => remove(&store, [name.to_owned()]).await,
        }
        let what = format!("{name}: {bytes:?}");
        let findings = found(&store).await;
        assert_eq!(findings.len(), 1, "{what}: {findings:?}");
        let severity = match on_store(&store).newest().await {
            Ok(_) => Severity::Warning,
            // Readers believe the version that it names.
            Err(_) => Severity::Error,
        };
        assert_eq!(findings[0].severity, severity, "{what}");
        errors += usize::from(severity == Severity::Error);
        assert_eq!(findings[0].object, name, "{what}");
        let rows = repaired(&store).await;
        assert!(rows.len() == 1 && rows[0].done, "{what}: {rows:?}");
        assert!(before == objects(&store).await, "{what}");
    }
    assert_eq!(
        errors, 2,
        "a flipped bit and another table's, both far ahead"
    );
}

#[tokio::test]
async fn pointer_of_another_table_hides_nothing_that_the_marker_tells() {
    let store = tagged(3).await;
    remove(&store, [record(3)]).await;
    let of_another = pointer::pointer(version(9), Uuid::from_u128(9)).unwrap();
    put(&store, POINTER, of_another).await;
    let rows = repaired(&store).await;
    assert!(
        rows.len() == 2 && rows.iter().all(|row| row.done),
        "{rows:?}"
    );
    assert_eq!(rows[0].object, record(3));
    assert_eq!(on_store(&store).newest().await.unwrap().version, version(4));
    assert_eq!(found(&store).await, []);
}

/// Nothing is said to be done that is not.
#[tokio::test]
async fn hint_is_not_written_where_no_version_is_left_that_it_could_name() {
    let store = appended(3).await;
    let table = on_store(&store);
    let id = table.newest().await.unwrap().table;
    table.expire(&everything(), None).await.unwrap();
    table.flush().await;
    // Of version 2 there is a tombstone.
    remove(&store, (3..=4).map(record)).await;
    let behind = pointer::pointer(version(0), id).unwrap();
    put(&store, POINTER, behind).await;
    let before = objects(&store).await;
    let rows = repaired(&store).await;
    let objects_told: Vec<_> = rows.iter().map(|row| row.object.as_str()).collect();
    assert!(objects_told.contains(&POINTER), "{rows:?}");
    assert!(rows.iter().all(|row| !row.done), "{rows:?}");
    assert!(before == objects(&store).await);
}

#[tokio::test]
async fn number_that_is_too_far_away_is_not_filled_up_to() {
    let store = tagged(1).await;
    put(&store, POINTER, r#"{"version_id":"9007199254740991"}"#).await;
    let before = objects(&store).await;
    let rows = repaired(&store).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(
        !rows[0].done && rows[0].action.ends_with("delete _current_version.json."),
        "{rows:?}"
    );
    assert!(before == objects(&store).await);
}
