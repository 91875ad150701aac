//! A table that is made anew while the old one of its name is still being dropped.

#![cfg(test)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use atio::AtioCatalog;
use datafusion::object_store::Error;
use datafusion::object_store::path::Path;
use datafusion::prelude::SessionContext;
use url::Url;

use crate::query::{row, rows};
use crate::session::Place;
use crate::stores::hooked::{Hook, HookedStore, Operation};

/// Right after the next commit record that is created, somebody else runs statements.
struct Interruption {
    other: SessionContext,
    then: Mutex<Vec<&'static str>>,
}

#[async_trait]
impl Hook for Interruption {
    async fn after(&self, operation: Operation, key: &Path, error: Option<&Error>) {
        let record = key
            .filename()
            .is_some_and(|name| name.starts_with('v') && name.ends_with(".metadata.json"));
        if record && operation == Operation::Create && error.is_none() {
            let then = std::mem::take(&mut *self.then.lock().unwrap());
            for sql in then {
                rows(&self.other, sql).await;
            }
        }
    }
}

#[tokio::test]
async fn table_created_while_another_is_dropped_keeps_its_rows() {
    let place = Place::memory();
    let Place::Memory(inner) = &place else {
        unreachable!()
    };
    let other = place.session();
    rows(&other, "CREATE TABLE w.public.t (a BIGINT)").await;
    rows(&other, "INSERT INTO w.public.t VALUES (1)").await;

    let interruption = Interruption {
        other,
        then: Mutex::new(vec![
            "CREATE TABLE w.public.t (a BIGINT)",
            "INSERT INTO w.public.t VALUES (2)",
        ]),
    };
    let store = HookedStore::new(
        "interrupted",
        Arc::clone(inner) as _,
        Arc::new(interruption),
    );
    let ctx = SessionContext::new();
    ctx.register_object_store(&Url::parse("memory://test/").unwrap(), Arc::new(store));
    atio::register(&ctx).unwrap();
    let catalog = AtioCatalog::open(&ctx, &format!("{}/warehouse", place.root())).unwrap();
    ctx.register_catalog("w", Arc::new(catalog));
    rows(&ctx, "DROP TABLE w.public.t").await;

    let fresh = place.session();
    let found = row(&fresh, "SELECT a FROM w.public.t").await;
    assert_eq!(found, "2");
}
