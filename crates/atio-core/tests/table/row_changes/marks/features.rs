//! Programs that know no features: they refuse by name what they could read or write wrong.

use atio_core::ErrorKind;
use atio_core::format::Record;
use atio_core::format::record::Features;
use atio_core::log::{CheckOptions, CommitOptions, Finding, RefUpdate};
use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use super::super::super::everything;
use super::super::{Open, Place, TRUNCATE, append, on_both, overwrite, record};
use super::{A, C, create, go_back, left, left_now, mark, of, version};

/// What the first release did with a record before anything else: it knew no feature.
fn refused_by_release_1(record: &Value, list: &str) -> Option<String> {
    let names = record["features"][list].as_array().expect("a list");
    names.first().map(|name| name.as_str().unwrap().to_owned())
}

/// The record of a version as it is stored, or its tombstone.
async fn stored(open: &Open, number: u64) -> Value {
    let table = open();
    let path = format!("metadata/v{number}.metadata.json");
    let key = table.data_key(&path).unwrap();
    let bytes = table
        .store()
        .get(&key)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The features that the first release refuses to read and to write version `number` for.
async fn refused(open: &Open, number: u64) -> [Option<String>; 2] {
    let record = stored(open, number).await;
    ["read", "write"].map(|list| refused_by_release_1(&record, list))
}

fn neither() -> [Option<String>; 2] {
    [None, None]
}

fn both() -> [Option<String>; 2] {
    ["dv", "dv"].map(|name| Some(name.to_owned()))
}

fn writing() -> [Option<String>; 2] {
    [None, Some("dv".to_owned())]
}

async fn check_old_programs(place: Place) {
    let open = place.of_files("old").await;
    let table = open();
    let options = CommitOptions::default;
    let tag = |name: &str| RefUpdate::Tag {
        name: name.to_owned(),
        version: None,
        message: None,
        replace: false,
    };
    mark(&[(A, &[0])]).run_now(&table).await.unwrap();
    append(&[9]).run_now(&table).await.unwrap();
    table.update_refs(tag("x"), options()).await.unwrap();
    go_back(&table, 2).await.unwrap();
    table.update_refs(tag("y"), options()).await.unwrap();
    go_back(&table, 4).await.unwrap();
    mark(&[(C, &[0])])
        .adding(&[8])
        .merging()
        .run_now(&table)
        .await
        .unwrap();
    let untag = |name: &str| RefUpdate::Untag {
        name: name.to_owned(),
    };
    table.update_refs(untag("y"), options()).await.unwrap();
    overwrite(&[7]).run_now(&table).await.unwrap();
    TRUNCATE.run_now(&table).await.unwrap();
    // Older versions it reads, what has vectors it does not, and it writes nothing from then on.
    let expected = [
        neither(), // create
        neither(),
        neither(),
        both(),    // marks
        both(),    // append
        both(),    // tag
        writing(), // back to version 2
        writing(), // tag
        both(),    // back to version 4
        both(),    // marks
        both(),    // untag
        writing(), // overwrite
        writing(), // truncate
    ];
    for (number, expected) in expected.into_iter().enumerate() {
        assert_eq!(refused(&open, number as u64).await, expected, "{number}");
        // Python neither reads what has vectors.
        let shown = !stored(&open, number as u64).await["snapshot_filename"].is_null();
        assert_eq!(shown, expected[0].is_none(), "{number}");
    }
    table.expire(&everything(), None).await.unwrap();
    // The tag keeps version 5, which has vectors.
    assert_eq!(refused(&open, 13).await, writing());
    table.update_refs(untag("x"), options()).await.unwrap();
    assert_eq!(refused(&open, 14).await, writing());
    table.expire(&everything(), None).await.unwrap();
    assert_eq!(refused(&open, 15).await, neither());
    // What is left of the others it can read: it asks them for keys and for times.
    for number in 0..12 {
        let record = stored(&open, number).await;
        assert_eq!(record["tombstone"], "expired", "{number}");
        assert_eq!(refused(&open, number).await, neither(), "{number}");
    }
}

#[tokio::test]
async fn program_that_knows_no_features_reads_the_versions_before_the_first_marks() {
    on_both(check_old_programs).await;
}

/// On an object store the log stays when a table is dropped: whoever makes the next one may be old.
#[tokio::test]
async fn table_that_is_made_where_one_with_marks_was_dropped_needs_no_feature() {
    let open = Place::Memory.of_files("dropped").await;
    let table = open();
    mark(&[(A, &[0])]).run_now(&table).await.unwrap();
    table.drop_log_at(None).await.unwrap();
    for number in 0..=4 {
        assert_eq!(refused(&open, number).await, neither(), "{number}");
    }
    assert_eq!(stored(&open, 4).await["operation"], "drop");
    create(&open()).await;
    let newest = open().newest().await.unwrap();
    assert_eq!(newest.version, version(5));
    assert_eq!(record(&newest).features, Features::default());
    append(&[9]).run_now(&open()).await.unwrap();
    assert_eq!(left_now(&open()).await, of(&[(9, &[0])]));
}

/// Puts another record in the place of that of version `number`, with its checksum made right.
async fn forge(open: &Open, number: u64, change: impl FnOnce(&mut Value)) {
    let mut record = stored(open, number).await;
    change(&mut record);
    record.as_object_mut().unwrap().remove("checksum");
    let body = serde_json::to_vec(&record).unwrap();
    let sealed = atio_core::format::checksum::seal(body).unwrap();
    let table = open();
    let path = format!("metadata/v{number}.metadata.json");
    let key = table.data_key(&path).unwrap();
    table.store().put(&key, sealed.into()).await.unwrap();
}

/// This release does the same with features that it does not know.
async fn check_newer(place: Place) {
    let open = place.of_files("newer").await;
    mark(&[(A, &[0])]).run_now(&open()).await.unwrap();
    forge(&open, 3, |record| {
        record["features"]["write"] = json!(["dv", "later"])
    })
    .await;
    let table = open();
    let newest = table.newest().await.unwrap();
    assert_eq!(
        left_now(&table).await,
        of(&[(A, &[1, 2, 3]), (super::B, &[0, 1]), (C, &[0, 1, 2])])
    );
    let says = "version 3 needs writers to know the feature 'later', which this release does not: upgrade to write";
    let marks = mark(&[(A, &[1])]).run_now(&table).await.unwrap_err();
    let append = append(&[9]).run_now(&table).await.unwrap_err();
    let expiry = table.expire(&everything(), None).await.unwrap_err();
    for error in [marks, append, expiry] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
    assert_eq!(open().newest().await.unwrap().version, newest.version);
    forge(&open, 3, |record| {
        record["features"]["read"] = json!(["dv", "later"])
    })
    .await;
    let error = open().newest().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(
        error.message().contains("needs the feature 'later'"),
        "{error}"
    );
    // Of which older versions know nothing.
    let older = open().version(version(2)).await.unwrap();
    assert_eq!(left(&open(), &older).await, of(&super::ALL));
}

#[tokio::test]
async fn feature_that_this_release_does_not_know_is_refused_by_name() {
    on_both(check_newer).await;
}

/// A record that hides that its version has vectors lets others read it wrong.
async fn check_hidden(place: Place) {
    let open = place.of_files("hidden").await;
    mark(&[(A, &[0])]).run_now(&open()).await.unwrap();
    forge(&open, 3, |record| record["features"]["read"] = json!([])).await;
    let error = open().newest().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    let says = "has deletion vectors, and the record does not name that feature";
    assert!(error.message().contains(says), "{error}");
    let findings = open().check(CheckOptions::default()).await.unwrap();
    let record = "metadata/v3.metadata.json";
    let says = format!("version 3 has deletion vectors, and {record} does not name that feature");
    let is_told =
        |finding: &Finding| (finding.object.as_str(), &finding.finding) == (record, &says);
    assert!(findings.iter().any(is_told), "{findings:?}");
}

#[tokio::test]
async fn version_with_vectors_whose_record_does_not_say_so_is_damaged() {
    on_both(check_hidden).await;
}

/// Marks that the snapshot does not count would let the next version pass for one without.
async fn check_uncounted(place: Place) {
    let open = place.of_files("uncounted").await;
    mark(&[(A, &[0])]).run_now(&open()).await.unwrap();
    let table = open();
    let newest = table.newest().await.unwrap();
    let Record::Live(live) = &newest.record.record else {
        panic!()
    };
    let object = live.snapshot.clone().unwrap();
    let key = table.data_key(&object.path).unwrap();
    let bytes = table
        .store()
        .get(&key)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let forged = text.replace(",\"marked\":1", "");
    assert_ne!(forged, text);
    let named = atio_core::format::ObjectRef::of(object.path.clone(), forged.as_bytes());
    table.store().put(&key, forged.into()).await.unwrap();
    forge(&open, 3, |record| {
        record["snapshot"] = serde_json::to_value(&named).unwrap();
    })
    .await;
    let table = open();
    let newest = table.newest().await.unwrap();
    let error = table.manifests(&newest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(
        error
            .message()
            .contains("does not hold what its snapshot says"),
        "{error}"
    );
}

#[tokio::test]
async fn manifest_with_marks_that_its_snapshot_does_not_count_is_damaged() {
    on_both(check_uncounted).await;
}

/// A delete says that it took a mark away: what else it changed nobody knows.
async fn check_taken_away(place: Place) {
    let open = place.of_files("away").await;
    let table = open();
    mark(&[(A, &[0])]).run_now(&table).await.unwrap();
    mark(&[(A, &[1])]).run_now(&table).await.unwrap();
    let base = table.newest().await.unwrap();
    go_back(&open(), 3).await.unwrap();
    forge(&open, 5, |record| record["operation"] = json!("delete")).await;
    let error = mark(&[(A, &[2])]).run(&open(), &base).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let says = "(delete) by transaction";
    assert!(error.message().contains(says), "{error}");
    mark(&[(C, &[0])]).run(&open(), &base).await.unwrap();
}

#[tokio::test]
async fn delete_that_takes_marks_away_stands_against_marks_in_the_same_file() {
    on_both(check_taken_away).await;
}
