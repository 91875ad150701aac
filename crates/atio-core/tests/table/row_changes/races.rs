//! Two statements that were planned on one version: what becomes of the second.

use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::format::Version;
use atio_core::log::{CommitOptions, Expiry, RefUpdate, RollbackTarget};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::super::fault_store::{Fault, FaultStore};
use super::super::{everything, handle, on_store};
use super::{
    Does, Place, Statement, TRUNCATE, append, compact, delete, merge, newest_rows, objects,
    on_both, overwrite, update,
};

/// What became of the second: the rows that are then there, or why it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    With(&'static [i64]),
    /// What it read was changed.
    Removed,
    /// Rows came that it would have selected.
    Added,
    /// It counts on all rows.
    State,
}
use Ends::{Added, Removed, State, With};

/// The second, the first, and what becomes of the second. The rows are 1 to 4 before.
const RACES: &[(Statement, Statement, Ends)] = &[
    // An append stands beside all, and all stand beside it, though they would have changed its rows.
    (append(&[9]), delete(&[1]), With(&[2, 3, 4, 9])),
    (append(&[9]), update(&[1], &[11]), With(&[2, 3, 4, 9, 11])),
    (append(&[9]), merge(&[], &[9]), With(&[1, 2, 3, 4, 9, 9])),
    (append(&[9]), TRUNCATE, With(&[9])),
    (delete(&[1]), append(&[1]), With(&[1, 2, 3, 4])),
    (update(&[1], &[11]), append(&[1]), With(&[1, 2, 3, 4, 11])),
    (
        merge(&[], &[9]).selecting(&[9]),
        append(&[9]),
        With(&[1, 2, 3, 4, 9, 9]),
    ),
    // Unless they are serializable.
    (delete(&[1]).serializable(), append(&[1]), Added),
    (
        delete(&[1]).serializable(),
        append(&[9]),
        With(&[2, 3, 4, 9]),
    ),
    (update(&[1], &[11]).serializable(), append(&[5, 1]), Added),
    (
        merge(&[], &[9]).selecting(&[9]).serializable(),
        append(&[9]),
        Added,
    ),
    (
        append(&[9]).selecting(&[1]).serializable(),
        append(&[1]),
        Added,
    ),
    (
        append(&[9]).selecting(&[1]).serializable(),
        append(&[2]),
        With(&[1, 2, 2, 3, 4, 9]),
    ),
    (
        append(&[9]).selecting(&[1]).serializable(),
        delete(&[1]),
        Removed,
    ),
    (
        append(&[9]).selecting(&[1]).serializable(),
        delete(&[2]),
        With(&[1, 3, 4, 9]),
    ),
    (
        append(&[9]).selecting(&[1]),
        delete(&[1]),
        With(&[2, 3, 4, 9]),
    ),
    // Files of others, in the same manifest and in another.
    (delete(&[1]), delete(&[2]), With(&[3, 4])),
    (delete(&[1]), delete(&[4]), With(&[2, 3])),
    (delete(&[1]), delete(&[2, 3]), With(&[4])),
    (delete(&[1, 4]), update(&[2], &[12]), With(&[3, 12])),
    (
        update(&[1], &[11]),
        update(&[2], &[12]),
        With(&[3, 4, 11, 12]),
    ),
    (update(&[1], &[11]), delete(&[2]), With(&[3, 4, 11])),
    (
        merge(&[1], &[11, 5]),
        merge(&[2], &[12, 6]),
        With(&[3, 4, 5, 6, 11, 12]),
    ),
    // The same files.
    (delete(&[1]), delete(&[1]), Removed),
    (delete(&[1, 2]), delete(&[2, 3]), Removed),
    (update(&[1], &[11]), update(&[1], &[21]), Removed),
    (update(&[1], &[11]), delete(&[1]), Removed),
    (delete(&[1]), merge(&[1], &[11]), Removed),
    // A file that was only read.
    (
        update(&[1], &[11]).selecting(&[1, 2]),
        delete(&[2]),
        Removed,
    ),
    (
        merge(&[], &[9]).selecting(&[2]),
        update(&[2], &[12]),
        Removed,
    ),
    // Rows that came by a change.
    (delete(&[1]).selecting(&[1, 12]), update(&[2], &[12]), Added),
    (merge(&[], &[9]).selecting(&[9]), merge(&[], &[9]), Added),
    (merge(&[], &[9]).selecting(&[9]), overwrite(&[9]), Added),
    (
        merge(&[], &[9]).selecting(&[9]),
        overwrite(&[8]),
        With(&[8, 9]),
    ),
    // Rows that statistics do not exclude: they are asked for.
    (
        update(&[1], &[11]).selecting(&[1, 12]).exactly(&[1]),
        update(&[2], &[12]),
        With(&[3, 4, 11, 12]),
    ),
    (
        update(&[1], &[11]).selecting(&[1, 12]).exactly(&[1, 12]),
        update(&[2], &[12]),
        Added,
    ),
    (
        merge(&[], &[9]).selecting(&[9, 7]).exactly(&[9]),
        merge(&[], &[7]),
        With(&[1, 2, 3, 4, 7, 9]),
    ),
    (
        merge(&[], &[9]).selecting(&[9, 7]).exactly(&[9]),
        merge(&[], &[7, 9]),
        Added,
    ),
    (
        merge(&[], &[9]).selecting(&[9, 7]).exactly(&[9]),
        overwrite(&[7]),
        With(&[7, 9]),
    ),
    (
        delete(&[1]).selecting(&[1, 7]).exactly(&[1]).serializable(),
        append(&[7]),
        With(&[2, 3, 4, 7]),
    ),
    (
        delete(&[1]).selecting(&[1, 7]).exactly(&[1]).serializable(),
        append(&[7, 1]),
        Added,
    ),
    (
        append(&[9]).selecting(&[1, 7]).exactly(&[1]).serializable(),
        append(&[7]),
        With(&[1, 2, 3, 4, 7, 9]),
    ),
    // The rest of them statistics do, and nobody asks.
    (
        merge(&[], &[9]).selecting(&[9, 7]).exactly(&[9, 5]),
        merge(&[], &[5, 7]),
        With(&[1, 2, 3, 4, 5, 7, 9]),
    ),
    // Without an answer.
    (
        update(&[1], &[11]).selecting(&[1, 12]).failing(),
        update(&[2], &[12]),
        Added,
    ),
    // Rows that go are another matter.
    (
        update(&[1], &[11]).selecting(&[1, 2]).exactly(&[]),
        update(&[2], &[12]),
        Removed,
    ),
    // All of them.
    (delete(&[1]), overwrite(&[1]), Removed),
    (delete(&[1]), TRUNCATE, Removed),
    (merge(&[], &[9]).selecting(&[9]), TRUNCATE, With(&[9])),
    (TRUNCATE, append(&[9]), State),
    (TRUNCATE, delete(&[1]), State),
    (TRUNCATE, TRUNCATE, State),
    (overwrite(&[7]), delete(&[1]), State),
    (overwrite(&[7]), update(&[1], &[11]), State),
    (overwrite(&[7]), TRUNCATE, State),
    // The same rows in other files.
    (compact(&[1, 2]), append(&[9]), With(&[1, 2, 3, 4, 9])),
    (append(&[9]), compact(&[1, 2]), With(&[1, 2, 3, 4, 9])),
    (compact(&[1, 4]), delete(&[2]), With(&[1, 3, 4])),
    (compact(&[1, 2]), update(&[3], &[1]), With(&[1, 1, 2, 4])),
    (compact(&[1, 2]), compact(&[3, 4]), With(&[1, 2, 3, 4])),
    (compact(&[1, 2]), delete(&[1]), Removed),
    (compact(&[1, 2]), update(&[2], &[12]), Removed),
    (compact(&[1, 2]), merge(&[2], &[12]), Removed),
    (compact(&[1, 2]), compact(&[2, 3]), Removed),
    (compact(&[1, 2]), overwrite(&[1]), Removed),
    (compact(&[1, 2]), TRUNCATE, Removed),
    (delete(&[3]), compact(&[1, 2]), With(&[1, 2, 4])),
    (delete(&[1]), compact(&[1, 2]), Removed),
    (update(&[1], &[11]), compact(&[1, 2]), Removed),
    (
        merge(&[], &[9]).selecting(&[9, 2]),
        compact(&[1, 2]),
        Removed,
    ),
    (
        merge(&[], &[9]).selecting(&[9]).serializable(),
        compact(&[1, 2]),
        With(&[1, 2, 3, 4, 9]),
    ),
    (TRUNCATE, compact(&[1, 2]), With(&[])),
    (overwrite(&[7]), compact(&[1, 2]), With(&[7])),
];

async fn check_races(place: Place) {
    for (number, (mine, theirs, ends)) in RACES.iter().enumerate() {
        let open = place.table(&number.to_string()).await;
        let (ours, other) = (open(), open());
        let base = ours.newest().await.unwrap();
        let winner = theirs.run_now(&other).await.unwrap().version();
        let (before, files) = (newest_rows(&other).await, objects(&other, "data").await);
        let what = format!("{mine:?} after {theirs:?}");
        let options = CommitOptions::default();
        let ended = mine.run(&ours, &base, options).await;
        let rows = newest_rows(&open()).await;
        let why = match ends {
            With(expected) => {
                assert_eq!(ended.unwrap().version(), winner.next().unwrap(), "{what}");
                assert_eq!(rows, *expected, "{what}");
                continue;
            }
            Removed if theirs.does == Does::Compact => {
                "files that this statement read were replaced"
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
        // Nothing of it is left, and again it works.
        assert_eq!(
            (rows, objects(&other, "data").await),
            (before, files),
            "{what}"
        );
        mine.run_now(&ours).await.unwrap();
    }
}

#[tokio::test]
async fn second_of_two_statements_goes_on_unless_the_first_changed_what_it_read() {
    on_both(check_races).await;
}

/// A tag, a rollback or an expiry between: what others than changes of rows mean for them.
async fn check_others(place: Place) {
    let options = CommitOptions::default;
    let open = place.table("others").await;
    let (ours, other) = (open(), open());
    let base = ours.newest().await.unwrap();
    let tag = RefUpdate::Tag {
        name: "x".to_owned(),
        version: None,
        message: None,
        replace: false,
    };
    other.update_refs(tag, options()).await.unwrap();
    delete(&[2]).run(&ours, &base, options()).await.unwrap();
    assert_eq!(newest_rows(&other).await, [1, 3, 4]);

    // Back to version 1: the row 2 comes, the row 4 goes.
    let base = ours.newest().await.unwrap();
    let to = RollbackTarget::Version(Version::new(1).unwrap());
    other
        .update_refs(RefUpdate::Rollback { to }, options())
        .await
        .unwrap();
    assert_eq!(newest_rows(&other).await, [1, 2, 3]);
    let conflict = |statement: Statement| {
        let (table, base) = (open(), Arc::clone(&base));
        async move {
            let ended = statement.run(&table, &base, options()).await;
            ended.map_err(|error| error.message().contains("(rollback)"))
        }
    };
    assert_eq!(conflict(delete(&[4])).await, Err(true));
    assert_eq!(conflict(delete(&[1]).selecting(&[1, 2])).await, Err(true));
    conflict(delete(&[1])).await.unwrap();
    assert_eq!(newest_rows(&other).await, [2, 3]);
}

#[tokio::test]
async fn change_of_rows_goes_on_after_a_tag_and_after_a_rollback_of_other_files() {
    on_both(check_others).await;
}

/// What is left of an expired version tells how much it changed and not what.
async fn check_tombstones(place: Place) {
    // The transactions that are under way are young.
    let expiry = Expiry {
        orphan_age_us: i64::MAX,
        ..everything()
    };
    let read_9 = merge(&[], &[9]).selecting(&[9]).serializable();
    for (number, (mine, theirs, goes_on)) in [
        (delete(&[1]), append(&[5]), true),
        (delete(&[1]).serializable(), append(&[5]), false),
        (delete(&[1]), delete(&[2]), false),
        (read_9, delete(&[2]), true),
        (read_9, append(&[5]), false),
        (delete(&[1]), update(&[], &[]), true),
        (delete(&[1]).serializable(), overwrite(&[]), false),
    ]
    .into_iter()
    .enumerate()
    {
        let open = place.table(&format!("tombstone-{number}")).await;
        let (ours, other) = (open(), open());
        let base = ours.newest().await.unwrap();
        // It has read these before they expire.
        ours.manifests(&base).await.unwrap();
        theirs.run_now(&other).await.unwrap();
        append(&[6]).run_now(&other).await.unwrap();
        other.expire(&expiry, None).await.unwrap();
        let expired = other.history().await.unwrap();
        assert!(!expired[3].readable);
        let ended = mine.run(&ours, &base, CommitOptions::default()).await;
        let what = format!("{mine:?} after {theirs:?}, which has expired");
        match goes_on {
            true => drop(ended.expect(&what)),
            false => assert_eq!(ended.expect_err(&what).kind(), ErrorKind::Conflict),
        }
    }
}

#[tokio::test]
async fn version_that_has_expired_stands_against_who_read_anything_unless_it_changed_nothing() {
    on_both(check_tombstones).await;
}

/// The requests of `mine`, which loses the race to `theirs`.
async fn requests(mine: Statement, theirs: Statement) -> u64 {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    super::create(&table).await;
    append(&[1, 2, 3]).run_now(&table).await.unwrap();
    append(&[4]).run_now(&table).await.unwrap();
    table.flush().await;
    let counting = FaultStore::new(&store, u64::MAX, Fault::Before);
    let ours = handle(Arc::clone(&counting) as Arc<dyn ObjectStore>);
    let base = ours.newest().await.unwrap();
    ours.manifests(&base).await.unwrap();
    theirs.run_now(&table).await.unwrap();
    table.flush().await;
    let before = counting.requests();
    let ended = mine.run(&ours, &base, CommitOptions::default()).await;
    ended.unwrap();
    ours.flush().await;
    counting.requests() - before
}

#[tokio::test]
async fn files_that_a_winner_changed_are_read_only_by_who_counts_on_some() {
    let lost_append = requests(append(&[9]), append(&[8])).await;
    for theirs in [
        delete(&[1]),
        update(&[1], &[11]),
        merge(&[], &[7]),
        TRUNCATE,
        overwrite(&[7]),
    ] {
        let found = requests(append(&[9]), theirs).await;
        assert_eq!(found, lost_append, "{theirs:?}");
    }
    // The manifest that an append added is read to know whether it lists a file that goes.
    let lost_delete = requests(delete(&[1]), append(&[8])).await;
    // Beside what was rewritten: the list of the removed files, and the manifest of the added.
    assert_eq!(requests(delete(&[1]), delete(&[2])).await, lost_delete + 1);
    assert_eq!(
        requests(delete(&[1]), update(&[2], &[12])).await,
        lost_delete + 2
    );
    // It adds a manifest to read, and is not asked what it removed: it says that it is nothing.
    assert_eq!(requests(delete(&[1]), merge(&[], &[7])).await, lost_delete);
}
