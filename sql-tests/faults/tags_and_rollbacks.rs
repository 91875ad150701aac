//! Tags, rollbacks and keys beside what others commit in the same moment.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atio::ErrorKind;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};

use super::attempt::in_runtime;
use super::call::{Fault, Operation};
use super::cases::{self, SET_KEY};
use super::fault_store::FaultStore;
use super::invariants::{EXPIRE_ALL, kind, open, query, session, verify, verify_next};
use crate::session::run;

/// How a statement ended before whose commit others committed, and the rows after it.
struct Met {
    ended: Result<Vec<String>, (Option<ErrorKind>, String)>,
    rows: Vec<String>,
    tags: Vec<String>,
    newest: String,
}

/// Runs `statements` on the table of versions 0 to 2, and `others` when the last of them is
/// about to create its record: too late for it to know.
fn meets(statements: &[&str], others: &[&str]) -> Met {
    let case = cases::insert();
    in_runtime(async {
        let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
        let store = FaultStore::new(Arc::clone(&objects));
        let ctx = session(Arc::new(store.clone()));
        query(&ctx, &open(case.root)).await.unwrap();
        let (last, first) = statements.split_last().unwrap();
        for sql in first {
            query(&ctx, sql).await.unwrap();
        }
        let other = session(Arc::clone(&objects));
        query(&other, &open(case.root)).await.unwrap();
        let others: Arc<[String]> = others.iter().map(|sql| (*sql).to_owned()).collect();
        let begun = AtomicBool::new(false);
        store.direct(move |call| {
            let commits =
                call.operation == Operation::Create && call.key.ends_with(".metadata.json");
            let begins = commits && !begun.swap(true, Ordering::SeqCst);
            let (other, others) = (other.clone(), Arc::clone(&others));
            Box::pin(async move {
                if begins {
                    for sql in others.iter() {
                        query(&other, sql).await.unwrap();
                    }
                }
                Fault::None
            })
        });
        let ended = match run(&ctx, last).await {
            Ok(batches) => Ok(crate::query::texts(&batches)),
            Err(error) => Err((kind(&error), error.strip_backtrace())),
        };
        let rows = verify(&objects, case.root).await.unwrap().unwrap();
        let fresh = session(Arc::clone(&objects));
        query(&fresh, &open(case.root)).await.unwrap();
        let tags = query(&fresh, "SELECT tag, version FROM atio_tags('t')");
        let tags = tags.await.unwrap();
        let newest = "SELECT version, operation, parent FROM atio_history('t') \
                      ORDER BY version DESC LIMIT 1";
        let newest = query(&fresh, newest).await.unwrap().concat();
        verify_next(&objects, case.root, Some(rows.clone()))
            .await
            .unwrap();
        Met {
            ended,
            rows,
            tags,
            newest,
        }
    })
}

impl Met {
    #[track_caller]
    fn assert_failed(&self, wanted: ErrorKind, says: &[&str]) {
        let Err((kind, said)) = &self.ended else {
            panic!("{:?}", self.ended);
        };
        assert_eq!(*kind, Some(wanted), "{said}");
        for part in says {
            assert!(said.contains(part), "{said} does not say {part}");
        }
    }

    #[track_caller]
    fn assert_gave(&self, row: &str) {
        assert_eq!(self.ended, Ok(vec![row.to_owned()]));
    }
}

const TAG: &str = "SELECT * FROM atio_tag('t', tag => 'best', version => 1)";
const BACK: &str = "SELECT * FROM atio_rollback('t', version => 1)";
/// Takes nobody for abandoned.
const EXPIRE: &str = "SELECT path FROM expire_snapshots('t', keep_for => INTERVAL '0 days', \
                      dry_run => false)";
const INSERT: &str = "INSERT INTO t VALUES (4), (5)";

#[test]
fn tag_on_a_version_that_expires_meanwhile_fails() {
    let met = meets(&[TAG], &[EXPIRE]);
    met.assert_failed(
        ErrorKind::VersionExpired,
        &["version 1 of 't' has expired; readable versions are 2 to 3"],
    );
    assert_eq!((met.tags.len(), met.newest.as_str()), (0, "3|expire|2"));
}

#[test]
fn rollback_to_a_version_that_expires_meanwhile_fails() {
    let met = meets(&[BACK], &[EXPIRE]);
    met.assert_failed(ErrorKind::VersionExpired, &["version 1 of 't' has expired"]);
    assert_eq!(met.rows, ["1", "2", "3"]);
}

/// Between the fence and the tombstone a version looks as if it could be read (A5).
#[test]
fn version_that_is_fenced_and_still_there_is_not_named_and_not_gone_back_to() {
    let case = cases::insert();
    in_runtime(async {
        let objects: Arc<dyn ObjectStore> = Arc::new(case.store.fork());
        let store = FaultStore::new(Arc::clone(&objects));
        let expirer = session(Arc::new(store.clone()));
        query(&expirer, &open(case.root)).await.unwrap();
        store.script(|call| match call.operation {
            Operation::Put if call.key.ends_with("/v1.metadata.json") => Fault::Before,
            _ => Fault::None,
        });
        run(&expirer, EXPIRE).await.unwrap_err();
        let path = format!("{}/metadata/v1.metadata.json", case.root);
        let record = objects.get(&path.into()).await.unwrap().bytes().await;
        let record = String::from_utf8(record.unwrap().to_vec()).unwrap();
        assert!(!record.contains("tombstone"), "{record}");
        let ctx = session(Arc::clone(&objects));
        query(&ctx, &open(case.root)).await.unwrap();
        for sql in [TAG, BACK] {
            let error = run(&ctx, sql).await.unwrap_err();
            assert_eq!(kind(&error), Some(ErrorKind::VersionExpired), "{error}");
        }
    });
}

#[test]
fn expiry_that_meets_a_tag_keeps_its_version() {
    let met = meets(&[EXPIRE_ALL], &[TAG]);
    assert!(met.ended.is_ok(), "{:?}", met.ended);
    assert_eq!(met.tags, ["best|1"]);
}

/// The files that are about to go are those of the newest version then.
#[test]
fn expiry_that_meets_a_rollback_keeps_what_it_went_back_to() {
    for expiry in [EXPIRE_ALL, EXPIRE] {
        for others in [&[BACK][..], &[INSERT, BACK]] {
            let met = meets(&[expiry], others);
            assert!(met.ended.is_ok(), "{:?}", met.ended);
            assert_eq!(met.rows, ["1", "2"]);
        }
    }
}

#[test]
fn tags_that_meet_are_both_there() {
    let other = "SELECT * FROM atio_tag('t', tag => 'other')";
    let met = meets(&[TAG], &[INSERT, other]);
    met.assert_gave("best|1|5");
    assert_eq!(met.tags, ["best|1", "other|3"]);
    assert_eq!(met.rows, ["1", "2", "3", "4", "5"]);
}

#[test]
fn tag_that_meets_the_same_name_is_refused_or_has_nothing_to_do() {
    let elsewhere = "SELECT * FROM atio_tag('t', tag => 'best', version => 2)";
    let met = meets(&[TAG], &[elsewhere]);
    met.assert_failed(
        ErrorKind::InvalidInput,
        &["has the tag 'best' on version 2 already"],
    );
    assert_eq!(met.tags, ["best|2"]);
    let met = meets(&[TAG], &[TAG]);
    met.assert_gave("best|1|NULL");
    assert_eq!(met.newest, "3|tag|2");
}

/// The newest version is the one of that moment, whatever comes between.
#[test]
fn tag_on_the_newest_version_stays_on_the_one_that_it_saw() {
    let met = meets(&["SELECT * FROM atio_tag('t', tag => 'best')"], &[INSERT]);
    met.assert_gave("best|2|4");
}

#[test]
fn rollback_that_meets_an_append_is_a_conflict_that_names_the_winner() {
    let met = meets(&[BACK], &[INSERT]);
    met.assert_failed(
        ErrorKind::Conflict,
        &[
            "cannot commit to 't': it was changed (append) by transaction ",
            " in version 3, after this statement started; nothing was written: run it again",
        ],
    );
    assert_eq!(met.rows, ["1", "2", "3", "4", "5"]);
    let met = meets(&["INSERT OVERWRITE t VALUES (7)"], &[BACK]);
    met.assert_failed(ErrorKind::Conflict, &["(rollback)", "version 3"]);
    assert_eq!(met.rows, ["1", "2"]);
}

#[test]
fn rollback_that_meets_a_tag_goes_back_all_the_same() {
    let met = meets(&[BACK], &[TAG]);
    met.assert_gave("1|4");
    assert_eq!((met.rows.len(), met.newest.as_str()), (2, "4|rollback|1"));
    assert_eq!(met.tags, ["best|1"]);
}

#[test]
fn append_that_meets_a_rollback_is_added_to_its_rows() {
    let met = meets(&[INSERT], &[BACK]);
    met.assert_gave("2");
    assert_eq!(met.rows, ["1", "2", "4", "5"]);
}

#[test]
fn statements_with_one_key_that_meet_are_there_once() {
    let met = meets(&[SET_KEY, INSERT], &[SET_KEY, INSERT]);
    met.assert_gave("0");
    assert_eq!(met.rows, ["1", "2", "3", "4", "5"]);
    // Others may have come after it; what would be a conflict is a repetition.
    let overwrite = "INSERT OVERWRITE t VALUES (9)";
    let met = meets(&[SET_KEY, overwrite], &[SET_KEY, overwrite, INSERT]);
    met.assert_gave("0");
    assert_eq!(met.rows, ["4", "5", "9"]);
    let met = meets(&[SET_KEY, TAG], &[SET_KEY, TAG]);
    met.assert_gave("best|1|3");
    assert_eq!(met.newest, "3|tag|2");
    // It may have expired by then, and keeps its key.
    let met = meets(
        &[SET_KEY, INSERT],
        &[SET_KEY, INSERT, "INSERT OVERWRITE t VALUES (9)", EXPIRE_ALL],
    );
    met.assert_gave("0");
    assert_eq!(met.rows, ["9"]);
}

#[test]
fn statements_with_different_keys_that_meet_are_both_there() {
    let met = meets(
        &[SET_KEY, INSERT],
        &[
            "SET atio.idempotency_key = 'other'",
            "INSERT INTO t VALUES (6)",
        ],
    );
    met.assert_gave("2");
    assert_eq!(met.rows, ["1", "2", "3", "4", "5", "6"]);
}
