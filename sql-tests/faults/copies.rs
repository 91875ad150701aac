//! COPY to a store that fails while it publishes: only what lies there says what was done.

#![cfg(test)]

use std::sync::Arc;

use atio::ErrorKind;
use datafusion::error::DataFusionError;
use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;
use datafusion::prelude::SessionContext;

use super::call::{Call, Fault, Operation};
use super::fault_store::FaultStore;
use super::invariants::{kind, session};
use crate::session::run;

const TARGET: &str = "x/a.csv";
const MARKER: &str = "x/.a.csv._SUCCESS";
const BACKUP: &str = "x/.a.csv.atio-backup";
const BACKUP_MARKER: &str = "x/.a.csv.atio-backup._SUCCESS";
const OLD: usize = 5;
const NEW: usize = 3000;

/// How the last step of an object is taken: in one put, or after parts.
const WAYS: [(usize, Operation); 2] = [(10_485_760, Operation::Put), (10_000, Operation::Complete)];

struct Copies {
    objects: Arc<InMemory>,
    store: FaultStore,
    ctx: SessionContext,
}

impl Copies {
    /// With a target of [`OLD`] rows.
    async fn new(buffer: usize) -> Self {
        let copies = Self::without_target(buffer).await;
        copies.copy(OLD, "").await.unwrap();
        copies
    }

    async fn without_target(buffer: usize) -> Self {
        let objects = Arc::new(InMemory::new());
        let store = FaultStore::new(Arc::clone(&objects) as _);
        let ctx = session(Arc::new(store.clone()));
        let set = "SET datafusion.execution.objectstore_writer_buffer_size";
        run(&ctx, &format!("{set} = {buffer}")).await.unwrap();
        Self {
            objects,
            store,
            ctx,
        }
    }

    async fn copy(&self, rows: usize, options: &str) -> Result<(), DataFusionError> {
        let sql = format!(
            "COPY (SELECT value AS i, 'some text' AS s FROM generate_series(1, {rows})) \
             TO 'memory://test/{TARGET}' STORED AS CSV OPTIONS ('atio.marker' 'true'{options})"
        );
        run(&self.ctx, &sql).await.map(drop)
    }

    /// One call of this kind for this key goes wrong.
    fn fail(&self, operation: Operation, key: &'static str, fault: Fault) {
        let once = std::sync::atomic::AtomicBool::new(true);
        self.store.script(move |call: &Call| {
            let meant = call.operation == operation && call.key == key;
            match meant && once.swap(false, std::sync::atomic::Ordering::SeqCst) {
                true => fault,
                false => Fault::None,
            }
        });
    }

    async fn text(&self, key: &str) -> Option<String> {
        let got = self.objects.get(&Path::from(key)).await.ok()?;
        Some(String::from_utf8(got.bytes().await.unwrap().to_vec()).unwrap())
    }

    /// How many rows there are in an object of CSV.
    async fn rows(&self, key: &str) -> Option<usize> {
        Some(self.text(key).await?.lines().count() - 1)
    }

    /// How many rows a marker names.
    async fn marked(&self, key: &str) -> Option<usize> {
        let marker: serde_json::Value = serde_json::from_str(&self.text(key).await?).unwrap();
        Some(marker["rows"].as_u64().unwrap() as usize)
    }
}

#[tokio::test]
async fn copy_whose_last_answer_is_lost_is_done() {
    for (buffer, operation) in WAYS {
        let copies = Copies::new(buffer).await;
        copies.fail(operation, TARGET, Fault::After);
        copies.copy(NEW, "").await.unwrap();
        assert_eq!(copies.rows(TARGET).await, Some(NEW), "{operation:?}");
        assert_eq!(copies.marked(MARKER).await, Some(NEW), "{operation:?}");
        assert_eq!(copies.store.open_uploads(), 0);
    }
    let copies = Copies::new(WAYS[0].0).await;
    copies.fail(Operation::Put, MARKER, Fault::After);
    copies.copy(NEW, "").await.unwrap();
    assert_eq!(copies.marked(MARKER).await, Some(NEW));
}

#[tokio::test]
async fn copy_that_finds_its_own_object_there_is_done() {
    for existing in ["fail", "skip"] {
        let copies = Copies::without_target(WAYS[0].0).await;
        let options = format!(", 'atio.if_exists' '{existing}'");
        copies.fail(Operation::Create, TARGET, Fault::Again);
        copies.copy(NEW, &options).await.unwrap();
        assert_eq!(copies.rows(TARGET).await, Some(NEW), "{existing}");
        assert_eq!(copies.marked(MARKER).await, Some(NEW), "{existing}");
    }
}

#[tokio::test]
async fn copy_that_finds_the_object_of_another_there_leaves_it() {
    for existing in ["fail", "skip"] {
        let copies = Copies::without_target(WAYS[0].0).await;
        let objects = Arc::clone(&copies.objects);
        copies.store.direct(move |call: &Call| {
            let (objects, meant) = (Arc::clone(&objects), call.operation == Operation::Create);
            Box::pin(async move {
                if meant {
                    let key = Path::from(TARGET);
                    objects.put(&key, "a\n1\n".into()).await.unwrap();
                }
                Fault::None
            })
        });
        let options = format!(", 'atio.if_exists' '{existing}'");
        match copies.copy(NEW, &options).await {
            Ok(()) => assert_eq!(existing, "skip"),
            Err(error) => {
                assert_eq!(existing, "fail", "{error}");
                assert_eq!(kind(&error), Some(ErrorKind::InvalidInput), "{error}");
                assert!(
                    error.to_string().contains("a.csv is there already"),
                    "{error}"
                );
            }
        }
        assert_eq!(copies.rows(TARGET).await, Some(1), "{existing}");
        assert_eq!(copies.marked(MARKER).await, None, "{existing}");
    }
}

#[tokio::test]
async fn copy_whose_publishing_panics_is_told_as_unknown() {
    let copies = Copies::new(WAYS[0].0).await;
    copies.store.script(|call: &Call| {
        let last = call.operation == Operation::Put && call.key == TARGET;
        assert!(!last, "as the test wants it");
        Fault::None
    });
    let error = copies.copy(NEW, "").await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::CommitUnknown), "{error}");
    let text = error.to_string();
    assert!(text.contains("memory://test/x/a.csv"), "{text}");
}

#[tokio::test]
async fn marker_that_cannot_be_read_is_not_deleted() {
    let copies = Copies::new(WAYS[0].0).await;
    copies.fail(Operation::Get, MARKER, Fault::Before);
    let error = copies.copy(NEW, "").await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::Storage), "{error}");
    assert_eq!(copies.rows(TARGET).await, Some(OLD));
    assert_eq!(copies.marked(MARKER).await, Some(OLD));
}

#[tokio::test]
async fn folder_whose_new_files_cannot_be_taken_back_keeps_the_kind_of_the_failure() {
    for (fault, expected) in [
        (Fault::Late(1000), ErrorKind::CommitUnknown),
        (Fault::Refused, ErrorKind::Storage),
    ] {
        let copies = Copies::without_target(WAYS[0].0).await;
        let puts = std::sync::atomic::AtomicUsize::new(0);
        copies
            .store
            .script(move |call: &Call| match call.operation {
                Operation::Put if call.key.starts_with("x/f/") => {
                    match puts.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                        1 => fault,
                        _ => Fault::None,
                    }
                }
                Operation::Delete if call.key.starts_with("x/f/") => Fault::Before,
                _ => Fault::None,
            });
        let sql = "COPY (SELECT value % 3 AS p, value AS i FROM generate_series(1, 9)) \
                   TO 'memory://test/x/f/' STORED AS CSV PARTITIONED BY (p)";
        let error = run(&copies.ctx, sql).await.unwrap_err();
        assert_eq!(kind(&error), Some(expected), "{error}");
        let text = error.to_string();
        assert!(text.contains("holds some of the new files"), "{text}");
    }
}

#[tokio::test]
async fn copy_that_may_still_be_done_is_told_as_unknown() {
    for (buffer, operation) in WAYS {
        let copies = Copies::new(buffer).await;
        copies.fail(operation, TARGET, Fault::Late(1000));
        let error = copies.copy(NEW, "").await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::CommitUnknown), "{error}");
        let text = error.to_string();
        let said = "it is not known whether memory://test/x/a.csv was written, and it may still be: its content is crc32c:";
        assert!(text.contains(said), "{text}");
        assert_eq!(copies.rows(TARGET).await, Some(OLD), "{operation:?}");
        // It would be beside the new rows.
        assert_eq!(copies.marked(MARKER).await, None, "{operation:?}");
        if operation == Operation::Put {
            copies.store.land().await;
            assert_eq!(copies.rows(TARGET).await, Some(NEW));
        }
    }
}

#[tokio::test]
async fn copy_that_the_store_refuses_leaves_the_old_object_and_its_marker() {
    for (buffer, operation) in WAYS {
        let copies = Copies::new(buffer).await;
        copies.fail(operation, TARGET, Fault::Refused);
        let error = copies.copy(NEW, "").await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Storage), "{error}");
        assert!(error.to_string().contains("permission denied"), "{error}");
        assert_eq!(copies.rows(TARGET).await, Some(OLD), "{operation:?}");
        assert_eq!(copies.marked(MARKER).await, Some(OLD), "{operation:?}");
    }
}

/// A conflict of two requests says nothing of what lies there in the end.
#[tokio::test]
async fn copy_that_meets_another_request_has_failed_and_changed_nothing() {
    for (buffer, operation) in WAYS {
        let copies = Copies::new(buffer).await;
        copies.fail(operation, TARGET, Fault::Busy);
        let error = copies.copy(NEW, "").await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Storage), "{error}");
        assert_eq!(copies.rows(TARGET).await, Some(OLD), "{operation:?}");
        assert_eq!(copies.marked(MARKER).await, Some(OLD), "{operation:?}");
    }
    for existing in ["fail", "skip"] {
        let copies = Copies::without_target(WAYS[0].0).await;
        copies.fail(Operation::Create, TARGET, Fault::Busy);
        let options = format!(", 'atio.if_exists' '{existing}'");
        let error = copies.copy(NEW, &options).await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Storage), "{error}");
        assert_eq!(copies.rows(TARGET).await, None, "{existing}");
        copies.copy(NEW, &options).await.unwrap();
        assert_eq!(copies.rows(TARGET).await, Some(NEW), "{existing}");
    }
}

#[tokio::test]
async fn copy_of_a_new_object_that_the_store_refuses_has_failed() {
    for (buffer, operation) in WAYS {
        let copies = Copies::without_target(buffer).await;
        copies.fail(operation, TARGET, Fault::Refused);
        let error = copies.copy(NEW, "").await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Storage), "{error}");
        assert!(error.to_string().contains("permission denied"), "{error}");
        assert_eq!(copies.rows(TARGET).await, None, "{operation:?}");
        // Without a refusal it may still come.
        copies.fail(operation, TARGET, Fault::Late(1000));
        let error = copies.copy(NEW, "").await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::CommitUnknown), "{error}");
    }
}

#[tokio::test]
async fn marker_of_a_backup_is_never_beside_another_backup() {
    let backup = ", 'atio.backup' 'true'";
    let keys = [BACKUP, BACKUP_MARKER];
    for (key, fault) in keys
        .iter()
        .flat_map(|key| [(key, Fault::Before), (key, Fault::After)])
    {
        let copies = Copies::new(WAYS[0].0).await;
        copies.copy(7, backup).await.unwrap();
        assert_eq!(copies.marked(BACKUP_MARKER).await, Some(OLD));
        copies.fail(Operation::Copy, key, fault);
        copies.copy(NEW, backup).await.unwrap_err();
        assert_eq!(copies.rows(TARGET).await, Some(7));
        assert_eq!(copies.marked(MARKER).await, Some(7));
        let marked = copies.marked(BACKUP_MARKER).await;
        if marked.is_some() {
            assert_eq!(marked, copies.rows(BACKUP).await, "{key} {fault:?}");
        }
        // The one after it passes.
        copies.copy(NEW, backup).await.unwrap();
        assert_eq!(copies.rows(BACKUP).await, Some(7));
        assert_eq!(copies.marked(BACKUP_MARKER).await, Some(7));
    }
}
