//! What another process has committed is durable before it is acknowledged to whoever finds it.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::format::Operation;
use atio_core::log::{CommitOptions, RefUpdate};

use super::two_phase::{commit, prepare};
use super::{append_on, create, durable};

const DIRECTORY: &str = "ATIO_TEST_FOUND_IN";
const SAYS: &str = "not durable";
/// The names of commit records cannot be made durable.
const FAILS: &str = "sync-folder:metadata";

/// Does nothing unless the test below gave it a table.
#[tokio::test]
async fn child() {
    let Some(directory) = env::var_os(DIRECTORY) else {
        return;
    };
    let table = durable(Path::new(&directory));
    create(&table).await;
    let options = CommitOptions {
        idempotency_key: Some("k".to_owned()),
        ..CommitOptions::default()
    };
    let base = table.newest().await.unwrap();
    append_on(&table, Arc::clone(&base), options).await.unwrap();
    let ticket = table.begin_ticket(false).await.unwrap();
    let parts = [prepare(&table, &ticket, 1).await.unwrap()];
    commit(&table, &ticket, &parts).await.unwrap();
    let tag = RefUpdate::Tag {
        name: "x".to_owned(),
        version: Some(base.version),
        message: None,
        replace: false,
    };
    let plain = CommitOptions::default();
    let tagged = table.update_refs(tag.clone(), plain.clone());
    tagged.await.unwrap();

    // As another process, which finds all of it.
    let other = durable(Path::new(&directory));
    let newest = other.newest().await.unwrap();
    for fails in [false, true] {
        if fails {
            fail::cfg(FAILS, "return(5)").unwrap();
        }
        let version = other.committed_with(&newest, "k").await.unwrap();
        let operation = Operation::Append;
        let by_key = other.repeats(version.unwrap(), Some("k"), &operation);
        let ended = [
            by_key.await.err(),
            commit(&other, &ticket, &parts).await.err(),
            { other.update_refs(tag.clone(), plain.clone()).await }.err(),
        ];
        let kinds = ended.map(|error| error.map(|error| error.kind()));
        let expected = fails.then_some(ErrorKind::CommitNotDurable);
        assert_eq!(kinds, [expected; 3]);
    }
    println!("\n{SAYS}");
}

#[test]
fn version_that_is_found_is_durable_before_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "table::found::child", "--nocapture"])
        .env(DIRECTORY, directory.path().join("t"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.lines().any(|line| line == SAYS), "{child:?}");
}
