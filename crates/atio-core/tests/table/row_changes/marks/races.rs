//! Two statements that were planned on one version, of which one or both mark rows.

use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::log::{CommitOptions, Expiry};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::super::super::fault_store::{Fault, FaultStore};
use super::super::super::{everything, handle, on_store};
use super::super::{Place, TRUNCATE, append, delete, objects, on_both, overwrite, update};
use super::{A, ALL, B, C, OfFile, Step, add, create, left, left_now, mark, of, paths};
use Ends::{Added, Removed, State, With};
use Step::{Back, Does, Marks};

/// What became of the second: the rows that are then there, or why it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    With(&'static [OfFile]),
    /// What it counts on was changed.
    Removed,
    /// Rows came that it would have selected.
    Added,
    /// It counts on all rows.
    State,
}

const ALL_C: OfFile = (C, &[0, 1, 2]);
const ALL_B: OfFile = (B, &[0, 1]);

/// The second, the first, and what becomes of the second.
const RACES: &[(Step, Step, Ends)] = &[
    // Other rows of one file: what both marked is marked.
    (
        Marks(mark(&[(A, &[0])])),
        Marks(mark(&[(A, &[2])])),
        With(&[(A, &[1, 3]), ALL_B, ALL_C]),
    ),
    (
        Marks(mark(&[(A, &[0]), (C, &[2])])),
        Marks(mark(&[(A, &[1, 2]), (C, &[0])])),
        With(&[(A, &[3]), ALL_B, (C, &[1])]),
    ),
    (
        Marks(mark(&[(A, &[0])]).adding(&[11])),
        Marks(mark(&[(A, &[1])]).adding(&[12])),
        With(&[(A, &[2, 3]), ALL_B, ALL_C, (11, &[0]), (12, &[0])]),
    ),
    (
        Marks(mark(&[(A, &[0])]).adding(&[11]).merging()),
        Marks(mark(&[(A, &[1])]).serializable()),
        With(&[(A, &[2, 3]), ALL_B, ALL_C, (11, &[0])]),
    ),
    // In other files.
    (
        Marks(mark(&[(A, &[0])])),
        Marks(mark(&[(B, &[0])])),
        With(&[(A, &[1, 2, 3]), (B, &[1]), ALL_C]),
    ),
    (
        Marks(mark(&[(A, &[0])])),
        Marks(mark(&[(C, &[0])])),
        With(&[(A, &[1, 2, 3]), ALL_B, (C, &[1, 2])]),
    ),
    // All rows that the two leave.
    (
        Marks(mark(&[(A, &[0, 1])])),
        Marks(mark(&[(A, &[2, 3])])),
        With(&[ALL_B, ALL_C]),
    ),
    (
        Marks(mark(&[(A, &[1]), (B, &[0])])),
        Marks(mark(&[(B, &[1])])),
        With(&[(A, &[0, 2, 3]), ALL_C]),
    ),
    // One row twice.
    (
        Marks(mark(&[(A, &[0])])),
        Marks(mark(&[(A, &[0])])),
        Removed,
    ),
    (
        Marks(mark(&[(A, &[1, 2])])),
        Marks(mark(&[(A, &[2, 3])])),
        Removed,
    ),
    (
        Marks(mark(&[(A, &[0]), (C, &[1])])),
        Marks(mark(&[(B, &[0]), (C, &[1])])),
        Removed,
    ),
    (
        Marks(mark(&[(A, &[0])]).adding(&[11])),
        Marks(mark(&[(A, &[0])]).adding(&[12])),
        Removed,
    ),
    // One row, with all others of its file.
    (
        Marks(mark(&[(B, &[0])])),
        Marks(mark(&[(B, &[0, 1])])),
        Removed,
    ),
    // A file that goes as a whole, or is written anew.
    (Marks(mark(&[(A, &[0])])), Does(delete(&[A])), Removed),
    (
        Marks(mark(&[(A, &[0])])),
        Does(update(&[A], &[11])),
        Removed,
    ),
    (Does(delete(&[A])), Marks(mark(&[(A, &[0])])), Removed),
    (
        Does(update(&[A], &[11])),
        Marks(mark(&[(A, &[0])])),
        Removed,
    ),
    (
        Marks(mark(&[(C, &[0])]).removing(&[A])),
        Marks(mark(&[(A, &[0])])),
        Removed,
    ),
    (
        Marks(mark(&[(A, &[0])])),
        Does(delete(&[B])),
        With(&[(A, &[1, 2, 3]), ALL_C]),
    ),
    (
        Does(delete(&[A])),
        Marks(mark(&[(B, &[0])])),
        With(&[(B, &[1]), ALL_C]),
    ),
    (
        Marks(mark(&[(A, &[0])]).removing(&[B])),
        Marks(mark(&[(A, &[1]), (C, &[0])])),
        With(&[(A, &[2, 3]), (C, &[1, 2])]),
    ),
    // A file that was read for all its rows.
    (
        Marks(mark(&[(A, &[0])]).reading(&[B])),
        Marks(mark(&[(B, &[0])])),
        Removed,
    ),
    (
        Marks(mark(&[(A, &[0])]).reading(&[A])),
        Marks(mark(&[(A, &[1])])),
        Removed,
    ),
    (
        Marks(mark(&[(A, &[0])]).reading(&[B])),
        Marks(mark(&[(C, &[0])])),
        With(&[(A, &[1, 2, 3]), ALL_B, (C, &[1, 2])]),
    ),
    (
        Does(append(&[9]).selecting(&[A]).serializable()),
        Marks(mark(&[(A, &[0])])),
        Removed,
    ),
    (
        Does(append(&[9]).selecting(&[A])),
        Marks(mark(&[(A, &[0])])),
        With(&[(A, &[1, 2, 3]), ALL_B, ALL_C, (9, &[0])]),
    ),
    // Rows that come; those of a file that is listed anew do not.
    (
        Marks(mark(&[(A, &[0])]).selecting(&[A, B, 9])),
        Marks(mark(&[(A, &[1]), (B, &[0])]).adding(&[8])),
        With(&[(A, &[2, 3]), (B, &[1]), ALL_C, (8, &[0])]),
    ),
    (
        Marks(mark(&[]).adding(&[7]).merging().selecting(&[A, B, 9])),
        Marks(mark(&[(A, &[1])]).adding(&[8])),
        With(&[(A, &[0, 2, 3]), ALL_B, ALL_C, (7, &[0]), (8, &[0])]),
    ),
    (
        Marks(mark(&[(A, &[0])]).selecting(&[A, 9])),
        Marks(mark(&[(A, &[1])]).adding(&[9])),
        Added,
    ),
    // Rows that statistics do not exclude are asked for, and those of a file that is listed anew are not.
    (
        Marks(mark(&[(A, &[0])]).selecting(&[A, 9]).exactly(&[A])),
        Marks(mark(&[(A, &[1])]).adding(&[9])),
        With(&[(A, &[2, 3]), ALL_B, ALL_C, (9, &[0])]),
    ),
    (
        Marks(mark(&[(A, &[0])]).selecting(&[A, 9]).exactly(&[A, 9])),
        Marks(mark(&[(A, &[1])]).adding(&[9])),
        Added,
    ),
    (
        Marks(mark(&[(A, &[0])]).selecting(&[A, 9]).exactly(&[])),
        Marks(mark(&[(A, &[0])]).adding(&[9])),
        Removed,
    ),
    (
        Marks(mark(&[(A, &[0])]).selecting(&[9])),
        Does(append(&[9])),
        With(&[(A, &[1, 2, 3]), ALL_B, ALL_C, (9, &[0])]),
    ),
    (
        Marks(mark(&[(A, &[0])]).selecting(&[9]).serializable()),
        Does(append(&[9])),
        Added,
    ),
    // All of them.
    (Marks(mark(&[(A, &[0])])), Does(overwrite(&[A])), Removed),
    (Marks(mark(&[(A, &[0])])), Does(TRUNCATE), Removed),
    (Does(overwrite(&[7])), Marks(mark(&[(A, &[0])])), State),
    (Does(TRUNCATE), Marks(mark(&[(A, &[0])])), State),
    (
        Does(append(&[9])),
        Marks(mark(&[(A, &[0])])),
        With(&[(A, &[1, 2, 3]), ALL_B, ALL_C, (9, &[0])]),
    ),
    // Back to the version before C came.
    (
        Marks(mark(&[(A, &[0])])),
        Back(1),
        With(&[(A, &[1, 2, 3]), ALL_B]),
    ),
    (Marks(mark(&[(C, &[0])])), Back(1), Removed),
];

async fn check_races(place: Place) {
    for (number, (mine, theirs, ends)) in RACES.iter().enumerate() {
        let open = place.of_files(&number.to_string()).await;
        let (ours, other) = (open(), open());
        let base = ours.newest().await.unwrap();
        assert_eq!(left(&ours, &base).await, of(&ALL));
        let winner = theirs.run_now(&other).await.unwrap().version();
        let (before, files) = (left_now(&other).await, objects(&other, "data").await);
        let what = format!("{mine:?} after {theirs:?}");
        let ended = mine.run(&ours, &base).await;
        // Each reads what is there, not what it kept.
        let rows = left_now(&open()).await;
        let why = match ends {
            With(expected) => {
                assert_eq!(ended.unwrap().version(), winner.next().unwrap(), "{what}");
                assert_eq!(rows, of(expected), "{what}");
                continue;
            }
            Removed => "rows that this statement read were changed",
            Added => "rows that it has not seen were added",
            State => "it was changed",
        };
        let error = ended.expect_err(&what);
        assert_eq!(error.kind(), ErrorKind::Conflict, "{what}");
        let newest = other.newest().await.unwrap();
        let (word, txn) = (newest.record.operation(), newest.txn().unwrap());
        let (name, word) = (ours.name(), word.word());
        assert_eq!(
            error.message(),
            format!(
                "cannot commit to '{name}': {why} ({word}) by transaction {txn} in version {winner}, after this statement started; nothing was written: run it again"
            ),
            "{what}"
        );
        // Nothing of it is left.
        assert_eq!(
            (rows, objects(&other, "data").await),
            (before, files),
            "{what}"
        );
    }
}

#[tokio::test]
async fn second_of_two_statements_marks_its_rows_unless_the_first_changed_one_of_them() {
    on_both(check_races).await;
}

/// Each of several was planned on the first version, and passes all others.
async fn check_many(place: Place) {
    let open = place.of_files("many").await;
    let base = open().newest().await.unwrap();
    let first = [A, C].map(|_| Arc::clone(&base));
    for (step, base) in [mark(&[(A, &[0])]), mark(&[(A, &[1]), (C, &[2])])]
        .into_iter()
        .zip(&first)
    {
        step.run(&open(), base).await.unwrap();
    }
    let last = mark(&[(A, &[3]), (B, &[1])]).adding(&[9]);
    last.run(&open(), &base).await.unwrap();
    assert_eq!(
        left_now(&open()).await,
        of(&[(A, &[2]), (B, &[0]), (C, &[0, 1]), (9, &[0])])
    );
    let error = mark(&[(A, &[1])]).run(&open(), &base).await.unwrap_err();
    assert!(error.message().contains("in version 4"), "{error}");
    // The last row of the file goes with it, and then nobody can mark one.
    mark(&[(A, &[2])]).run(&open(), &base).await.unwrap();
    assert_eq!(
        left_now(&open()).await,
        of(&[(B, &[0]), (C, &[0, 1]), (9, &[0])])
    );
    let error = mark(&[(A, &[2])]).run(&open(), &base).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn marks_of_many_statements_are_all_there() {
    on_both(check_many).await;
}

/// A rollback takes marks away and brings them back, and neither is what a statement saw.
async fn check_rollback(place: Place) {
    for (number, (from, to)) in [(3, 2), (2, 3)].into_iter().enumerate() {
        let open = place.of_files(&format!("back-{number}")).await;
        let table = open();
        mark(&[(A, &[0])]).run_now(&table).await.unwrap();
        if from == 2 {
            super::go_back(&table, 2).await.unwrap();
        }
        let base = table.newest().await.unwrap();
        super::go_back(&open(), to).await.unwrap();
        let marks = [mark(&[(A, &[1])]), mark(&[(C, &[0]), (A, &[1])])];
        for mine in marks {
            let error = mine.run(&open(), &base).await.unwrap_err();
            assert!(error.message().contains("(rollback)"), "{error}");
        }
        mark(&[(C, &[0])]).run(&open(), &base).await.unwrap();
        let a: &[u64] = if to == 2 { &[0, 1, 2, 3] } else { &[1, 2, 3] };
        let mut expected = of(&[ALL_B, (C, &[1, 2])]);
        expected.insert(A, a.to_vec());
        assert_eq!(left_now(&open()).await, expected);
    }
}

#[tokio::test]
async fn who_marks_rows_of_a_file_fails_after_a_rollback_that_marks_others_in_it() {
    on_both(check_rollback).await;
}

/// Where nobody can tell which rows were marked they may be the same.
async fn check_unknown(place: Place) {
    // An expiry has made a tombstone of it.
    let expiry = Expiry {
        orphan_age_us: i64::MAX,
        ..everything()
    };
    let open = place.of_files("expired").await;
    let (ours, other) = (open(), open());
    let base = ours.newest().await.unwrap();
    // It has read these before they expire.
    paths(&ours, &base).await.unwrap();
    mark(&[(A, &[1])]).run_now(&other).await.unwrap();
    mark(&[(A, &[2])]).run_now(&other).await.unwrap();
    other.expire(&expiry, None).await.unwrap();
    assert!(!other.history().await.unwrap()[3].readable);
    let error = mark(&[(A, &[0])]).run(&ours, &base).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("in version 3"), "{error}");

    // Its deletion vectors are gone, perhaps just now. Nobody else needs them.
    let open = place.of_files("gone").await;
    let (ours, other) = (open(), open());
    let base = ours.newest().await.unwrap();
    mark(&[(A, &[1])]).run_now(&other).await.unwrap();
    let marked = other.newest().await.unwrap();
    let vector = super::entries(&other, &marked).await.unwrap()[&A]
        .dv
        .clone()
        .unwrap();
    mark(&[(A, &[2])]).run_now(&other).await.unwrap();
    let key = other.data_key(&vector.path).unwrap();
    other.store().delete(&key).await.unwrap();
    let error = mark(&[(A, &[0])]).run(&ours, &base).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("in version 3"), "{error}");
    // Another file is not concerned.
    mark(&[(C, &[0])]).run(&open(), &base).await.unwrap();
    assert_eq!(
        left_now(&open()).await,
        of(&[(A, &[0, 3]), ALL_B, (C, &[1, 2])])
    );
}

#[tokio::test]
async fn marks_that_nobody_can_tell_stand_against_who_marks_rows_of_the_same_file() {
    on_both(check_unknown).await;
}

/// The base of a statement expires, and with it a vector that it is about to read.
async fn check_expired_base(place: Place) {
    let expiry = Expiry {
        orphan_age_us: i64::MAX,
        ..everything()
    };
    let open = place.of_files("base").await;
    mark(&[(A, &[0])]).run_now(&open()).await.unwrap();
    let (ours, other) = (open(), open());
    let base = ours.newest().await.unwrap();
    // The manifests, and no vector.
    paths(&ours, &base).await.unwrap();
    mark(&[(A, &[1])]).run_now(&other).await.unwrap();
    other.expire(&expiry, None).await.unwrap();
    let error = mark(&[(A, &[2])]).run(&ours, &base).await.unwrap_err();
    // As whoever had read it is told: to run it again helps.
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("in version 4"), "{error}");
    mark(&[(A, &[2])]).run_now(&ours).await.unwrap();
    assert_eq!(left_now(&open()).await, of(&[(A, &[3]), ALL_B, ALL_C]));
}

#[tokio::test]
async fn statement_whose_base_expires_with_a_vector_is_in_conflict_with_what_came() {
    on_both(check_expired_base).await;
}

/// The requests of `mine`, which loses the race to `theirs`.
async fn requests(mine: Step, theirs: Step) -> u64 {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    create(&table).await;
    add(&table, &super::FILES).await.unwrap();
    table.flush().await;
    let counting = FaultStore::new(&store, u64::MAX, Fault::Before);
    let ours = handle(Arc::clone(&counting) as Arc<dyn ObjectStore>);
    let base = ours.newest().await.unwrap();
    ours.manifests(&base).await.unwrap();
    theirs.run_now(&table).await.unwrap();
    table.flush().await;
    let before = counting.requests();
    mine.run(&ours, &base).await.unwrap();
    ours.flush().await;
    counting.requests() - before
}

#[tokio::test]
async fn marks_of_a_winner_are_read_only_by_who_marks_rows_of_the_same_file() {
    let lost_append = requests(Does(append(&[9])), Does(append(&[8]))).await;
    let marks = Marks(mark(&[(A, &[0])]));
    assert_eq!(requests(Does(append(&[9])), marks).await, lost_append);
    // Beside what a removal of another file costs: the manifest of what the winner lists anew, which
    // is a part of its list.
    let by_files = requests(Marks(mark(&[(B, &[0])])), Does(delete(&[A]))).await;
    let of_another = requests(Marks(mark(&[(B, &[0])])), marks).await;
    assert!(of_another <= by_files + 1, "{of_another} and {by_files}");
    // And the vector, once: what is compared is what is united. The file is alone in its manifest, of
    // which no other need be written.
    let of_the_same = requests(Marks(mark(&[(A, &[1])])), marks).await;
    assert_eq!(of_the_same, of_another);
}

/// With a key, what the statement marked is its own work.
async fn check_keys(place: Place) {
    let open = place.of_files("keys").await;
    let keyed = || CommitOptions {
        idempotency_key: Some("nightly".to_owned()),
        ..CommitOptions::default()
    };
    let base = open().newest().await.unwrap();
    let mut made = Vec::new();
    for _ in 0..2 {
        let table = open();
        let txn = atio_core::log::Transaction::begin(&table);
        let change = mark(&[(A, &[0])])
            .change(&table, &base, &txn)
            .await
            .unwrap();
        let base = Arc::clone(&base);
        let committed = table.commit(txn, base, change, Vec::new(), keyed());
        made.push(committed.await.unwrap().version());
    }
    assert_eq!(made, [super::version(3); 2]);
    assert_eq!(
        left_now(&open()).await,
        of(&[(A, &[1, 2, 3]), ALL_B, ALL_C])
    );
}

#[tokio::test]
async fn delete_that_marks_rows_with_a_key_is_done_once() {
    on_both(check_keys).await;
}
