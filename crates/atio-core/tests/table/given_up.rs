//! Repairs that give up versions: what is known of them afterwards, and what they leave to do.

use std::sync::Arc;

use atio_core::ErrorKind;
use object_store::memory::InMemory;

use super::health::{
    appended, found, objects, put, record, remove, repaired, rewritten, tag, tagged, version, wrong,
};
use super::{append, create, everything, on_store};

/// Version 3 is an expiry, of which the tombstones of versions 0 and 1 are left.
async fn table_whose_expiry_is_lost() -> Arc<InMemory> {
    let (store, table) = rewritten().await;
    table.expire(&everything(), None).await.unwrap();
    append(&table).await.unwrap();
    table.flush().await;
    remove(&store, (3..=4).map(record)).await;
    store
}

#[tokio::test]
async fn what_a_lost_expiry_removed_stands_in_the_way_of_nothing_after_a_repair() {
    let store = table_whose_expiry_is_lost().await;
    let rows = repaired(&store).await;
    let row = rows.iter().find(|row| row.object == record(3)).unwrap();
    assert!(row.done, "{rows:?}");
    assert_eq!(wrong(&store).await, [""; 0]);
    let table = on_store(&store);
    let newest = table.newest().await.unwrap();
    assert_eq!(newest.version, version(5));
    for (number, expired) in [(0, true), (1, true), (2, false), (3, true), (4, true)] {
        assert_eq!(newest.has_expired(version(number)), expired, "{number}");
    }
    table.expire(&everything(), None).await.unwrap();
    append(&table).await.unwrap();
    table.expire(&everything(), None).await.unwrap();
    assert_eq!(wrong(&store).await, [""; 0]);
}

#[tokio::test]
async fn rows_of_history_begin_anew_below_a_version_that_is_lost() {
    let store = appended(4).await;
    remove(&store, (3..=4).map(record)).await;
    repaired(&store).await;
    let history = on_store(&store).history().await.unwrap();
    let rows: Vec<_> = history
        .iter()
        .map(|entry| entry.totals.map(|totals| totals.rows))
        .collect();
    assert_eq!(rows, [Some(0), Some(1), Some(2), None, None, Some(2)]);
}

#[tokio::test]
async fn newest_snapshot_that_is_lost_is_given_up_with_its_record() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    tag(&table, "empty").await;
    append(&table).await.unwrap();
    table.flush().await;
    let newest = table.newest().await.unwrap();
    let bytes = objects(&store).await[&format!("t/{}", record(2))].clone();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let at = text.find("metadata/snapshot-").unwrap();
    let snapshot = text[at..].split('"').next().unwrap();
    assert_eq!(newest.version, version(2));
    remove(&store, [snapshot.to_owned()]).await;
    let findings = found(&store).await;
    let finding = findings.iter().find(|finding| finding.object == snapshot);
    assert_eq!(
        finding.unwrap().action,
        "Restore it from a copy of the table. Version 1 is the newest that is whole, and can be read by number. \
         Without a copy, move metadata/v2.metadata.json away, and run a repair: it goes on from version 1, and \
         version 2 is lost."
    );
    remove(&store, [record(2)]).await;
    repaired(&store).await;
    assert_eq!(found(&store).await, []);
    assert_eq!(on_store(&store).newest().await.unwrap().version, version(3));
}

#[tokio::test]
async fn tag_of_a_version_that_was_given_up_can_only_be_removed() {
    let store = tagged(3).await;
    // The tag, which version 4 sets, is of version 3.
    let table = on_store(&store);
    tag(&table, "good").await;
    table.flush().await;
    remove(&store, [record(3)]).await;
    repaired(&store).await;
    let findings = found(&store).await;
    let actions: Vec<_> = findings.iter().map(|finding| &finding.action).collect();
    assert_eq!(
        actions,
        ["Remove the tag with atio_untag('t', tag => 'good')."]
    );
}

#[tokio::test]
async fn tombstones_that_no_expiry_names_are_taken_over() {
    let (store, table) = rewritten().await;
    // The same table, in which version 3 is no expiry.
    let other = Arc::new(InMemory::new());
    for (name, bytes) in objects(&store).await {
        put(&other, name.strip_prefix("t/").unwrap(), bytes).await;
    }
    let appends = on_store(&other);
    append(&appends).await.unwrap();
    appends.flush().await;
    table.expire(&everything(), None).await.unwrap();
    let expired = objects(&store).await;
    for number in 0..2 {
        put(
            &other,
            &record(number),
            expired[&format!("t/{}", record(number))].clone(),
        )
        .await;
    }
    let refused = on_store(&other).expire(&everything(), None).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(wrong(&other).await.len(), 2);
    let rows = repaired(&other).await;
    let done = rows.iter().filter(|row| row.done).count();
    assert_eq!(done, 2, "{rows:?}");
    assert_eq!(wrong(&other).await, [""; 0]);
    let newest = on_store(&other).newest().await.unwrap();
    assert_eq!(newest.version, version(4));
    on_store(&other).expire(&everything(), None).await.unwrap();
    assert_eq!(wrong(&other).await, [""; 0]);
}
