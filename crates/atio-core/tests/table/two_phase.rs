//! Writes that several processes prepare and one commits.

use std::future::ready;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use atio_core::format::checksum::seal;
use atio_core::format::ticket::Ticket;
use atio_core::format::{Checksum, FileEntry, Version};
use atio_core::log::{CommitOptions, Committed, Expiry, Table};
use atio_core::{ErrorKind, Result};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;

use super::fault_store::{Fault, FaultStore};
use super::{append, create, everything, handle, on_disk, on_store};

/// A Parquet file with the columns of `table` and so many rows.
async fn parquet(table: &Table, rows: i64) -> Vec<u8> {
    let base = table.newest().await.unwrap();
    let schema = base.schema.to_arrow_with_ids().unwrap();
    let column = Arc::new(Int64Array::from_iter_values(0..rows));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Prepares a part of one file.
pub(super) async fn prepare(table: &Table, ticket: &Ticket, rows: i64) -> Result<Vec<u8>> {
    let (base, txn) = table.resume_ticket(ticket).await?;
    let path = txn.data_file().await?;
    let bytes = parquet(table, rows).await;
    let file = FileEntry {
        path: path.clone(),
        format: "parquet".to_owned(),
        size: Some(bytes.len() as u64),
        rows: Some(u64::try_from(rows).unwrap()),
        checksum: Some(Checksum::of(&bytes)),
        stats: Vec::new(),
        dv: None,
        column_bytes: Vec::new(),
    };
    let payload = PutPayload::from(bytes);
    txn.store().put(&path.into(), payload).await.unwrap();
    table.hand_over(ticket, &base, &txn, vec![file]).await
}

pub(super) async fn commit(
    table: &Arc<Table>,
    ticket: &Ticket,
    parts: &[Vec<u8>],
) -> Result<Committed> {
    table
        .commit_ticket(ticket, parts, CommitOptions::default(), ready(Ok(None)))
        .await
}

async fn rows(table: &Table) -> u64 {
    table.newest().await.unwrap().totals().rows
}

/// The number of the version that a commit made, or found.
fn number(committed: Result<Committed>) -> u64 {
    committed.unwrap().version().get()
}

async fn parts_of_several_processes_become_one_version(open: impl Fn() -> Arc<Table>) {
    create(&open()).await;
    let ticket = open().begin_ticket(false).await.unwrap();
    let ticket = Ticket::from_bytes(&ticket.to_bytes().unwrap()).unwrap();
    let parts = [
        prepare(&open(), &ticket, 3).await.unwrap(),
        prepare(&open(), &ticket, 4).await.unwrap(),
    ];
    // Others commit meanwhile.
    append(&open()).await.unwrap();
    assert_eq!(rows(&open()).await, 1);
    let first = commit(&open(), &ticket, &parts).await;
    assert!(matches!(first, Ok(Committed::As(_))), "{first:?}");
    assert_eq!((number(first), rows(&open()).await), (2, 8));

    // Again, as one does who did not get the answer.
    append(&open()).await.unwrap();
    let again = commit(&open(), &ticket, &parts).await;
    assert!(matches!(again, Ok(Committed::Before(_))), "{again:?}");
    assert_eq!((number(again), rows(&open()).await), (2, 9));
    let error = commit(&open(), &ticket, &parts[..1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(
        error.message().contains("committed as version 2"),
        "{error}"
    );
    assert_eq!(rows(&open()).await, 9);
}

#[tokio::test]
async fn parts_of_several_processes_become_one_version_on_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("t");
    parts_of_several_processes_become_one_version(|| on_disk(&root)).await;
    let staging = std::fs::read_dir(root.join("_atio_tmp"))
        .into_iter()
        .flatten();
    let left: Vec<_> = staging.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "reserve"), "{left:?}");
}

#[tokio::test]
async fn parts_of_several_processes_become_one_version_on_a_store() {
    let store = Arc::new(InMemory::new());
    parts_of_several_processes_become_one_version(|| on_store(&store)).await;
}

async fn ticket_that_several_commit_at_once_makes_one_version(open: impl Fn() -> Arc<Table>) {
    create(&open()).await;
    for round in 0..10 {
        let ticket = open().begin_ticket(false).await.unwrap();
        let parts = [
            prepare(&open(), &ticket, 1).await.unwrap(),
            prepare(&open(), &ticket, 1).await.unwrap(),
        ];
        let before = rows(&open()).await;
        let (one, two) = (open(), open());
        // The second commits the same, or other parts of as many rows.
        let other = match round % 2 {
            0 => &parts[..1],
            _ => &parts[1..],
        };
        let (first, second) = tokio::join!(
            commit(&one, &ticket, &parts[..1]),
            commit(&two, &ticket, other)
        );
        assert_eq!(rows(&open()).await, before + 1);
        match round % 2 {
            0 => assert_eq!(number(first), number(second)),
            _ => {
                let failed = [first, second].into_iter().filter_map(Result::err);
                let failed: Vec<_> = failed.map(|error| error.kind()).collect();
                assert_eq!(failed, [ErrorKind::InvalidInput]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticket_that_several_commit_at_once_makes_one_version_on_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("t");
    ticket_that_several_commit_at_once_makes_one_version(|| on_disk(&root)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticket_that_several_commit_at_once_makes_one_version_on_a_store() {
    let store = Arc::new(InMemory::new());
    ticket_that_several_commit_at_once_makes_one_version(|| on_store(&store)).await;
}

#[tokio::test]
async fn expiry_that_sweeps_a_part_makes_the_commit_fail() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    let ticket = table.begin_ticket(false).await.unwrap();
    let part = prepare(&table, &ticket, 1).await.unwrap();
    on_store(&store).expire(&everything(), None).await.unwrap();
    let error = commit(&table, &ticket, &[part]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Revoked, "{error}");
    // Also for what is prepared after it.
    let late = prepare(&table, &ticket, 1).await.unwrap();
    let error = commit(&table, &ticket, &[late]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Revoked, "{error}");
    assert_eq!(rows(&table).await, 0);
}

#[tokio::test]
async fn base_of_a_ticket_may_expire_before_it_is_committed() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    let ticket = table.begin_ticket(false).await.unwrap();
    let part = prepare(&table, &ticket, 2).await.unwrap();
    append(&table).await.unwrap();
    let keeping_orphans = Expiry {
        orphan_age_us: i64::MAX,
        ..everything()
    };
    on_store(&store)
        .expire(&keeping_orphans, None)
        .await
        .unwrap();
    commit(&on_store(&store), &ticket, &[part]).await.unwrap();
    assert_eq!(rows(&table).await, 3);
}

#[tokio::test]
async fn overwrite_that_was_prepared_before_an_append_is_a_conflict() {
    let table = on_store(&Arc::new(InMemory::new()));
    create(&table).await;
    let ticket = table.begin_ticket(true).await.unwrap();
    let part = prepare(&table, &ticket, 2).await.unwrap();
    append(&table).await.unwrap();
    let error = commit(&table, &ticket, &[part]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");

    let ticket = table.begin_ticket(true).await.unwrap();
    let part = prepare(&table, &ticket, 5).await.unwrap();
    commit(&table, &ticket, &[part]).await.unwrap();
    assert_eq!(rows(&table).await, 5);
}

#[tokio::test]
async fn key_that_was_seen_is_not_committed_again_by_a_ticket() {
    let table = on_store(&Arc::new(InMemory::new()));
    create(&table).await;
    let options = CommitOptions {
        idempotency_key: Some("load-1".to_owned()),
        ..CommitOptions::default()
    };
    for _ in 0..2 {
        let ticket = table.begin_ticket(false).await.unwrap();
        let part = prepare(&table, &ticket, 2).await.unwrap();
        let committed = table
            .commit_ticket(&ticket, &[part], options.clone(), ready(Ok(None)))
            .await;
        assert_eq!(number(committed), 1);
    }
    assert_eq!(rows(&table).await, 2);
}

#[tokio::test]
async fn ticket_of_another_table_is_refused() {
    let (one, two) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
    let (one, two) = (on_store(&one), on_store(&two));
    create(&one).await;
    create(&two).await;
    let ticket = one.begin_ticket(false).await.unwrap();
    let part = prepare(&one, &ticket, 1).await.unwrap();
    let error = commit(&two, &ticket, std::slice::from_ref(&part))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    prepare(&two, &ticket, 1).await.unwrap_err();
    let other = one.begin_ticket(false).await.unwrap();
    let error = commit(&one, &other, &[part]).await.unwrap_err();
    assert!(error.message().contains("another ticket"), "{error}");
    assert_eq!((rows(&one).await, rows(&two).await), (0, 0));
}

#[tokio::test]
async fn data_file_that_is_not_what_its_part_says_is_refused() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    let good = parquet(&table, 2).await;
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let cut = good[..last].to_vec();
    let other_rows = parquet(&table, 3).await;
    for (bytes, said) in [
        (cut, "bytes, not"),
        (changed, "is not whole"),
        (other_rows, "not"),
    ] {
        let ticket = table.begin_ticket(false).await.unwrap();
        let part = prepare(&table, &ticket, 2).await.unwrap();
        let file = &ticket.files(std::slice::from_ref(&part)).unwrap()[0];
        let path = format!("t/{}", file.path);
        store.put(&path.clone().into(), bytes.into()).await.unwrap();
        let error = commit(&table, &ticket, std::slice::from_ref(&part))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains(said), "{error}");
        store.delete(&path.into()).await.unwrap();
        let error = commit(&table, &ticket, &[part]).await.unwrap_err();
        assert!(error.message().contains("is not there"), "{error}");
    }
    assert_eq!(rows(&table).await, 0);
}

#[tokio::test]
async fn version_of_a_ticket_that_has_expired_is_known_by_its_files() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    let ticket = table.begin_ticket(false).await.unwrap();
    let parts = [
        prepare(&table, &ticket, 1).await.unwrap(),
        prepare(&table, &ticket, 1).await.unwrap(),
    ];
    commit(&table, &ticket, &parts[..1]).await.unwrap();
    append(&table).await.unwrap();
    on_store(&store).expire(&everything(), None).await.unwrap();

    // It is a tombstone, which counts a file of one row.
    let committed = commit(&on_store(&store), &ticket, &parts[..1]).await;
    assert!(
        matches!(committed, Ok(Committed::Before(_))),
        "{committed:?}"
    );
    let error = commit(&on_store(&store), &ticket, &parts[1..]).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error}");
    let error = commit(&on_store(&store), &ticket, &parts)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(rows(&table).await, 2);
}

#[tokio::test]
async fn ticket_whose_version_has_expired_when_its_lost_answer_is_looked_for_keeps_its_rows() {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    let ticket = table.begin_ticket(false).await.unwrap();
    let part = prepare(&table, &ticket, 2).await.unwrap();
    let slow = FaultStore::new(&store, u64::MAX, Fault::Before);
    let other = Arc::clone(&store);
    slow.instead_of_answer(move || {
        let other = on_store(&other);
        Box::pin(async move {
            append(&other).await.unwrap();
            other.expire(&everything(), None).await.unwrap();
        })
    });
    let committed = commit(&handle(slow), &ticket, &[part]).await;
    assert_eq!(number(committed), 1);
    let table = on_store(&store);
    let newest = table.newest().await.unwrap();
    assert!(newest.has_expired(Version::new(1).unwrap()));
    assert_eq!(newest.totals().rows, 3);
    let listed = table.manifests(&newest).await.unwrap();
    let listed = listed.iter().flat_map(|manifest| &manifest.files);
    assert_eq!(listed.count(), 2);
}

#[tokio::test]
async fn ticket_that_was_changed_to_bring_files_of_the_table_again_is_refused() {
    let table = on_store(&Arc::new(InMemory::new()));
    create(&table).await;
    let old = table.begin_ticket(false).await.unwrap();
    let part = prepare(&table, &old, 2).await.unwrap();
    commit(&table, &old, std::slice::from_ref(&part))
        .await
        .unwrap();
    let new = table.begin_ticket(false).await.unwrap();
    let forged = sealed_as(&new, &old);
    let error = commit(&table, &forged, &[part]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.message().contains("in version 1"), "{error}");
    assert_eq!(rows(&table).await, 2);
}

/// The ticket `new` with the transaction of `old`, as somebody makes it who knows how it is sealed.
fn sealed_as(new: &Ticket, old: &Ticket) -> Ticket {
    let text = String::from_utf8(new.to_bytes().unwrap()).unwrap();
    let text = text.replace(&new.txn().to_string(), &old.txn().to_string());
    let (json, _) = text.rsplit_once(",\"checksum\"").unwrap();
    let forged = seal(format!("{json}}}").into_bytes()).unwrap();
    Ticket::from_bytes(&forged).unwrap()
}
