//! Marks that are not made, and deletion vectors that cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use atio_core::ErrorKind;
use atio_core::format::{Manifest, Reads};
use atio_core::log::{CommitOptions, NewTable, RowChange, Transaction};
use object_store::ObjectStoreExt;

use super::super::super::everything;
use super::super::{Place, append, delete, newest_rows, objects, on_both};
use super::{A, ALL, B, add, entries, left_now, mark, of};

/// A table for programs that know no features.
async fn check_old_readers(place: Place) {
    let open = place.place("old");
    let table = open();
    let column = Field::new("a", DataType::Int64, true);
    let new = NewTable {
        schema: Arc::new(Schema::new(vec![column])),
        options: [("compatibility".to_owned(), "format-1".to_owned())].into(),
        commit: CommitOptions::default(),
    };
    table.create(&new).await.unwrap();
    add(&table, &[(A, 4), (B, 1)]).await.unwrap();
    let before = objects(&table, "").await;
    let error = mark(&[(A, &[0])]).adding(&[9]).run_now(&table).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.message(),
        format!(
            "rows of '{}' cannot be marked as deleted: programs are to read it that know no marks; write its files anew",
            table.name()
        )
    );
    assert_eq!(objects(&table, "").await, before);
    delete(&[A]).run_now(&table).await.unwrap();
    let newest = open().newest().await.unwrap();
    assert_eq!(super::super::record(&newest).features, Default::default());
    assert_eq!(newest_rows(&open()).await, [B]);
}

#[tokio::test]
async fn table_for_programs_that_know_no_features_gets_no_marks() {
    on_both(check_old_readers).await;
}

async fn check_python(place: Place) {
    let open = place.of_python("python").await;
    let table = open();
    let base = table.newest().await.unwrap();
    let path = table.manifests(&base).await.unwrap()[0].files[0]
        .path
        .clone();
    let run = async |base| {
        let txn = Transaction::begin(&table);
        let rows = BTreeMap::from([(path.clone(), [0].into_iter().collect())]);
        let adds = Manifest::new(1, Vec::new(), Vec::new());
        let change = RowChange::delete(BTreeSet::new(), adds, Reads::default()).marking(rows);
        let options = CommitOptions::default();
        let ended = table.commit(txn, base, change, Vec::new(), options).await;
        ended.unwrap_err()
    };
    let error = run(Arc::clone(&base)).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(table.newest().await.unwrap().python.is_some());
    // Nor once atio has taken it over, also where that came first.
    append(&[9]).run_now(&open()).await.unwrap();
    for base in [base, open().newest().await.unwrap()] {
        let error = run(base).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let newest = open().newest().await.unwrap();
    assert!(newest.state.is_for_old_readers());
}

#[tokio::test]
async fn table_of_python_gets_no_marks_before_or_after_it_was_taken_over() {
    on_both(check_python).await;
}

/// What a statement asks for that cannot be right.
async fn check_wrong(place: Place) {
    let open = place.of_files("wrong").await;
    let table = open();
    let before = objects(&table, "").await;
    for rows in [mark(&[(B, &[2])]), mark(&[(A, &[0]), (B, &[0, 1 << 40])])] {
        let error = rows.run_now(&table).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let says = "which has 2 rows, beyond its end; nothing was written";
        assert!(error.message().ends_with(says), "{error}");
    }
    assert_eq!(objects(&table, "").await, before);
    // A file that is not there, and rows that were marked before.
    let base = table.newest().await.unwrap();
    mark(&[(B, &[0])]).run_now(&table).await.unwrap();
    delete(&[A]).run_now(&table).await.unwrap();
    let gone = super::paths(&table, &base).await.unwrap()[&A].clone();
    let txn = Transaction::begin(&table);
    let rows = BTreeMap::from([(gone.clone(), [0].into_iter().collect())]);
    let adds = Manifest::new(1, Vec::new(), Vec::new());
    let change = RowChange::delete(BTreeSet::new(), adds, Reads::default()).marking(rows);
    let newest = table.newest().await.unwrap();
    let options = CommitOptions::default();
    let error = table.commit(txn, newest, change, Vec::new(), options).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let says = format!("cannot remove {gone} from");
    assert!(error.message().starts_with(&says), "{error}");
    let error = mark(&[(B, &[0])]).run_now(&table).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let says = "rows that this statement changes were deleted in version 4";
    assert!(error.message().contains(says), "{error}");
    assert_eq!(open().newest().await.unwrap().version.get(), 4);
}

#[tokio::test]
async fn rows_that_are_not_there_cannot_be_marked() {
    on_both(check_wrong).await;
}

/// What a reader finds in the place of deletion vectors.
async fn check_damage(place: Place) {
    let open = place.of_files("damage").await;
    let table = open();
    mark(&[(A, &[0])]).run_now(&table).await.unwrap();
    mark(&[(B, &[1]), (A, &[1])]).run_now(&table).await.unwrap();
    let newest = table.newest().await.unwrap();
    let found = entries(&table, &newest).await.unwrap();
    let files: Vec<_> = found.values().collect();
    let named = found[&A].dv.clone().unwrap();
    let key = table.data_key(&named.path).unwrap();
    let whole = table.store().get(&key).await.unwrap();
    let whole = whole.bytes().await.unwrap();
    let put = async |bytes: Option<Vec<u8>>| {
        match bytes {
            Some(bytes) => drop(table.store().put(&key, bytes.into()).await.unwrap()),
            None => table.store().delete(&key).await.unwrap(),
        }
        // Nobody has kept them.
        let other = open();
        let newest = other.newest().await.unwrap();
        other.vectors(&newest, &files).await
    };
    let damaged = async |bytes: Option<Vec<u8>>, says: &str| {
        let error = put(bytes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        let version = format!("version 4 of '{}': ", table.name());
        assert!(error.message().starts_with(&version), "{error}");
        assert!(error.message().contains(says), "{error}");
        assert!(error.message().contains(&named.path), "{error}");
    };
    damaged(None, "is missing").await;
    damaged(Some(Vec::new()), "has 0 bytes").await;
    for end in [1, named.size as usize, whole.len() - 1] {
        let says = format!("has {end} bytes, {} were written", whole.len());
        damaged(Some(whole[..end].to_vec()), &says).await;
    }
    for at in 0..whole.len() {
        let mut changed = whole.to_vec();
        changed[at] ^= 16;
        damaged(Some(changed), "was written").await;
    }
    // What follows is nobody's.
    put(Some([&whole[..], b"more"].concat())).await.unwrap();
    // A statement that marks more rows there must know which are, and changes nothing.
    put(None).await.unwrap_err();
    let other = open();
    let error = mark(&[(A, &[2])]).run_now(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_eq!(other.newest().await.unwrap().version, newest.version);
    // Other files do not mind, and to remove the file needs no rows of it.
    mark(&[(super::C, &[0])]).run_now(&other).await.unwrap();
    delete(&[A]).run_now(&other).await.unwrap();
}

#[tokio::test]
async fn vector_that_is_missing_cut_or_changed_is_damage_and_no_row_comes_back() {
    on_both(check_damage).await;
}

async fn check_expired(place: Place) {
    let open = place.of_files("expired").await;
    let table = open();
    mark(&[(A, &[0])]).run_now(&table).await.unwrap();
    let other = open();
    let base = other.newest().await.unwrap();
    let found = entries(&other, &base).await.unwrap();
    mark(&[(A, &[1])]).run_now(&table).await.unwrap();
    table.expire(&everything(), None).await.unwrap();
    let error = other.vectors(&base, &[&found[&A]]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionExpired, "{error}");
    let mut expected = of(&ALL);
    expected.insert(A, vec![2, 3]);
    assert_eq!(left_now(&open()).await, expected);
}

#[tokio::test]
async fn reader_whose_version_expires_is_told_so_where_a_vector_is_gone() {
    on_both(check_expired).await;
}
