//! A table that is made anew while the old one of its name is still being dropped.

#![cfg(test)]

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use atio::AtioCatalog;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use datafusion::prelude::SessionContext;
use futures::stream::BoxStream;
use url::Url;

use crate::query::{row, rows};
use crate::session::Place;

/// Right after the next commit record that it creates, somebody else runs statements.
struct Interrupted {
    inner: Arc<dyn ObjectStore>,
    other: SessionContext,
    then: Mutex<Vec<&'static str>>,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted {}", self.inner)
    }
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[async_trait]
impl ObjectStore for Interrupted {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let record = location
            .filename()
            .is_some_and(|name| name.starts_with('v') && name.ends_with(".metadata.json"));
        let create = matches!(opts.mode, PutMode::Create);
        let done = self.inner.put_opts(location, payload, opts).await;
        if record && create && done.is_ok() {
            let then = std::mem::take(&mut *self.then.lock().unwrap());
            for sql in then {
                rows(&self.other, sql).await;
            }
        }
        done
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
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

    let store = Interrupted {
        inner: Arc::clone(inner) as _,
        other,
        then: Mutex::new(vec![
            "CREATE TABLE w.public.t (a BIGINT)",
            "INSERT INTO w.public.t VALUES (2)",
        ]),
    };
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
