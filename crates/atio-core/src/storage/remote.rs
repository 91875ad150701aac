//! Stores elsewhere than on the local disk, as a table uses them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::store_error::StoreName;

/// Passes everything on to a store, with errors that can be shown.
///
/// Metadata is written so that no cache on the way keeps it. With a single writer, "create"
/// looks first and then writes: for stores that cannot do both at once.
pub struct RemoteStore {
    inner: Arc<dyn ObjectStore>,
    store_name: Arc<StoreName>,
    /// Taken by whoever looks and then writes.
    single_writer: Option<tokio::sync::Mutex<()>>,
    /// Some stores refuse any attribute of an object.
    refuses_attributes: AtomicBool,
}

impl RemoteStore {
    /// `location` is a URL without credentials.
    pub fn new(inner: Arc<dyn ObjectStore>, location: &str, single_writer: bool) -> Self {
        Self {
            inner,
            store_name: Arc::new(StoreName::of(location)),
            single_writer: single_writer.then(tokio::sync::Mutex::default),
            refuses_attributes: AtomicBool::new(false),
        }
    }

    /// Puts the object where no cache keeps it, unless it is a data file, which never changes.
    async fn put_uncached(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let refuses = self.refuses_attributes.load(Ordering::Relaxed);
        if refuses || location.extension() == Some("parquet") {
            return self.inner.put_opts(location, payload, opts).await;
        }
        let mut uncached = opts.clone();
        uncached
            .attributes
            .insert(Attribute::CacheControl, "no-store".into());
        let put = self.inner.put_opts(location, payload.clone(), uncached);
        match put.await {
            // Said before anything is done, so nothing is written twice.
            Err(Error::NotImplemented { .. }) => {
                let put = self.inner.put_opts(location, payload, opts).await;
                let refuses = !matches!(put, Err(Error::NotImplemented { .. }));
                self.refuses_attributes.store(refuses, Ordering::Relaxed);
                put
            }
            put => put,
        }
    }

    async fn look_and_put(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        match self.inner.head(location).await {
            Ok(_) => Err(Error::AlreadyExists {
                path: location.to_string(),
                source: "it was there before this write".into(),
            }),
            Err(Error::NotFound { .. }) => {
                let opts = PutOptions {
                    mode: PutMode::Overwrite,
                    ..opts
                };
                self.put_uncached(location, payload, opts).await
            }
            Err(error) => Err(error),
        }
    }

    fn plain(&self) -> impl Fn(Error) -> Error + Send + Sync + use<> {
        let store_name = Arc::clone(&self.store_name);
        move |error| store_name.plain(error, false)
    }

    fn plain_listing(&self) -> impl Fn(Error) -> Error + Send + Sync + use<> {
        let store_name = Arc::clone(&self.store_name);
        move |error| store_name.plain(error, true)
    }
}

#[async_trait]
impl ObjectStore for RemoteStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let put = match (&self.single_writer, &opts.mode) {
            (Some(looking), PutMode::Create) => {
                let _turn = looking.lock().await;
                self.look_and_put(location, payload, opts).await
            }
            _ => self.put_uncached(location, payload, opts).await,
        };
        put.map_err(self.plain())
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, opts).await;
        Ok(Box::new(RemoteUpload {
            inner: upload.map_err(self.plain())?,
            store_name: Arc::clone(&self.store_name),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.inner.get_opts(location, options).await;
        let mut found = found.map_err(self.plain())?;
        found.payload = match found.payload {
            GetResultPayload::Stream(bytes) => {
                GetResultPayload::Stream(bytes.map_err(self.plain()).boxed())
            }
            file => file,
        };
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let found = self.inner.get_ranges(location, ranges).await;
        found.map_err(self.plain())
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let deleted = self.inner.delete_stream(locations);
        deleted.map_err(self.plain()).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.inner.list(prefix);
        listed.map_err(self.plain_listing()).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.inner.list_with_delimiter(prefix).await;
        listed.map_err(self.plain_listing())
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copied = self.inner.copy_opts(from, to, options).await;
        copied.map_err(self.plain())
    }
}

impl fmt::Display for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

/// Not the store's own, which may hold what it signs with.
impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStore")
            .field("store_name", &self.store_name)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct RemoteUpload {
    inner: Box<dyn MultipartUpload>,
    store_name: Arc<StoreName>,
}

#[async_trait]
impl MultipartUpload for RemoteUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let store_name = Arc::clone(&self.store_name);
        let part = self.inner.put_part(data);
        part.map_err(move |error| store_name.plain(error, false))
            .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let completed = self.inner.complete().await;
        completed.map_err(|error| self.store_name.plain(error, false))
    }

    async fn abort(&mut self) -> Result<()> {
        let aborted = self.inner.abort().await;
        aborted.map_err(|error| self.store_name.plain(error, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    fn json() -> Path {
        Path::from("metadata/v1.metadata.json")
    }

    #[tokio::test]
    async fn no_cache_keeps_metadata() {
        let store = RemoteStore::new(Arc::new(InMemory::new()), "memory://b/t", false);
        store.put(&json(), "{}".into()).await.unwrap();
        let found = store.get(&json()).await.unwrap();
        let cache = found.attributes.get(&Attribute::CacheControl);
        assert_eq!(cache.map(|value| value.as_ref()), Some("no-store"));
    }

    #[tokio::test]
    async fn a_store_that_refuses_attributes_is_written_without() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap());
        let store = RemoteStore::new(disk, "disk://b/t", false);
        store.put(&json(), "{}".into()).await.unwrap();
        assert!(store.refuses_attributes.load(Ordering::Relaxed));
        let create = || PutOptions::from(PutMode::Create);
        let again = store.put_opts(&json(), "x".into(), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    }

    #[tokio::test]
    async fn a_single_writer_looks_before_it_creates() {
        let store = RemoteStore::new(Arc::new(Careless::default()), "memory://b/t", true);
        let create = || PutOptions::from(PutMode::Create);
        let first = store.put_opts(&json(), "1".into(), create()).await;
        first.unwrap();
        let second = store.put_opts(&json(), "2".into(), create()).await;
        assert!(matches!(second, Err(Error::AlreadyExists { .. })));
        let found = store.get(&json()).await.unwrap().bytes().await.unwrap();
        assert_eq!(found, "1");
    }

    use crate::storage::careless::Careless;
}
