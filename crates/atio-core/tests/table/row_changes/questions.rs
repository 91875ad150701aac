//! Which rows a statement is asked for that others added, and when.

use std::sync::{Arc, Mutex};

use atio_core::ErrorKind;
use atio_core::format::{Isolation, Manifest, Reads};
use atio_core::log::{
    CommitOptions, Committed, DoesSelect, RowChange, Snapshot, Table, Transaction,
};
use object_store::memory::InMemory;

use super::super::{everything, on_store};
use super::{
    COLUMN, Place, Statement, append, create, delete, file_of, merge, newest_rows, on_both,
};
use super::{update, value};

/// What a statement was asked for, each time, in order.
type Asked = Arc<Mutex<Vec<Vec<i64>>>>;

/// Commits on `base` a MERGE that adds `row`, and would select any row by its statistics but 5, and in
/// truth `row` alone.
async fn merge_asking(
    table: &Arc<Table>,
    base: &Arc<Snapshot>,
    row: i64,
    isolation: Isolation,
) -> (atio_core::Result<Committed>, Vec<Vec<i64>>) {
    let txn = Transaction::begin(table);
    let added = vec![file_of(&txn, row).await.unwrap()];
    let adds = Manifest::new(base.schema.id, vec![COLUMN], added);
    let reads = Reads {
        may_select: Some(Arc::new(|manifest: &Manifest| {
            let files = manifest.files.iter();
            files.map(|file| value(manifest, file) != 5).collect()
        })),
        isolation,
        ..Reads::default()
    };
    let asked = Asked::default();
    let known = Arc::clone(&asked);
    let does_select = DoesSelect::new(move |manifests| {
        let files = manifests
            .iter()
            .flat_map(|of| of.files.iter().map(move |file| value(of, file)));
        let mut files: Vec<_> = files.collect();
        files.sort_unstable();
        let selects = files.contains(&row);
        known.lock().unwrap().push(files);
        Box::pin(std::future::ready(Ok(selects)))
    });
    let change = RowChange::merge(Default::default(), adds, reads).asking(Some(does_select));
    let (base, options) = (Arc::clone(base), CommitOptions::default());
    let ended = table.commit(txn, base, change, Vec::new(), options).await;
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    (ended, asked)
}

/// Under an isolation: statements that come first, and what a MERGE of the row 9 is asked for then.
type Question = (Isolation, &'static [Statement], &'static [&'static [i64]]);

const QUESTIONS: &[Question] = &[
    (Isolation::WriteSerializable, &[], &[]),
    // Statistics exclude it; nobody reads the rows.
    (Isolation::WriteSerializable, &[merge(&[], &[5])], &[]),
    (Isolation::WriteSerializable, &[delete(&[1])], &[]),
    (Isolation::WriteSerializable, &[append(&[7])], &[]),
    (Isolation::Serializable, &[append(&[7])], &[&[7]]),
    // Each version by itself, of its new rows those that statistics do not exclude.
    (
        Isolation::WriteSerializable,
        &[update(&[1], &[11, 5, 12]), append(&[7]), merge(&[], &[8])],
        &[&[11, 12], &[8]],
    ),
];

async fn check_questions(place: Place) {
    for (number, (isolation, first, expected)) in QUESTIONS.iter().enumerate() {
        let open = place.table(&number.to_string()).await;
        let (ours, other) = (open(), open());
        let base = ours.newest().await.unwrap();
        for statement in *first {
            statement.run_now(&other).await.unwrap();
        }
        let (ended, asked) = merge_asking(&ours, &base, 9, *isolation).await;
        ended.unwrap();
        assert_eq!(asked, *expected, "{first:?}");
        assert!(newest_rows(&other).await.contains(&9));
    }
}

#[tokio::test]
async fn statement_is_asked_once_for_each_version_of_rows_that_statistics_do_not_exclude() {
    on_both(check_questions).await;
}

async fn check_second_winner(place: Place) {
    let open = place.table("t").await;
    let (ours, other) = (open(), open());
    let base = ours.newest().await.unwrap();
    merge(&[], &[7]).run_now(&other).await.unwrap();
    let second = merge(&[], &[9]).run_now(&other).await.unwrap().version();
    merge(&[], &[8]).run_now(&other).await.unwrap();
    let (ended, asked) = merge_asking(&ours, &base, 9, Isolation::default()).await;
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let says = format!("in version {second}, after");
    assert!(error.message().contains(&says), "{error}");
    assert_eq!(asked, [[7], [9]]);
}

#[tokio::test]
async fn version_with_a_row_that_would_have_been_selected_stands_against_the_statement() {
    on_both(check_second_winner).await;
}

/// Of what expired it is not known which rows it added.
#[tokio::test]
async fn nobody_is_asked_for_rows_of_which_no_list_is_left() {
    let store = Arc::new(InMemory::new());
    let (ours, other) = (on_store(&store), on_store(&store));
    create(&ours).await;
    append(&[1]).run_now(&ours).await.unwrap();
    let base = ours.newest().await.unwrap();
    ours.manifests(&base).await.unwrap();
    for row in [&[7], &[8]] {
        merge(&[], row).run_now(&other).await.unwrap();
    }
    let expiry = atio_core::log::Expiry {
        orphan_age_us: i64::MAX,
        ..everything()
    };
    other.expire(&expiry, None).await.unwrap();
    let (ended, asked) = merge_asking(&ours, &base, 9, Isolation::default()).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(asked, [[0; 0]; 0]);
}
