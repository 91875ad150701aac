//! A store that forwards every request to another, and calls a hook before and after it.

#![cfg(test)]

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, TryStreamExt};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    Put,
    /// A put that must not find anything there.
    Create,
    /// Begins a multipart upload.
    Begin,
    Part,
    Complete,
    Abort,
    Get,
    Head,
    List,
    /// One object of a listing.
    Item,
    /// A listing of one folder.
    Folder,
    Delete,
    Copy,
}

impl Operation {
    pub(crate) fn of_put(options: &PutOptions) -> Self {
        match options.mode {
            PutMode::Create => Self::Create,
            _ => Self::Put,
        }
    }

    pub(crate) fn of_get(options: &GetOptions) -> Self {
        match options.head {
            true => Self::Head,
            false => Self::Get,
        }
    }
}

/// What a test does before and after requests, but for parts of uploads and items of listings.
#[async_trait]
pub(crate) trait Hook: Send + Sync + 'static {
    /// Runs before a request. If it fails, that is the answer, and nothing is forwarded.
    async fn before(&self, _operation: Operation, _key: &Path) -> Result<()> {
        Ok(())
    }

    /// Runs after a request that was forwarded, before its caller has the answer.
    async fn after(&self, _operation: Operation, _key: &Path, _error: Option<&Error>) {}
}

/// Does nothing.
impl Hook for () {}

/// A store around another. It shows itself by its name alone.
#[derive(Clone)]
pub(crate) struct HookedStore {
    name: Arc<str>,
    inner: Arc<dyn ObjectStore>,
    hook: Arc<dyn Hook>,
}

impl HookedStore {
    pub(crate) fn new(name: &str, inner: Arc<dyn ObjectStore>, hook: Arc<dyn Hook>) -> Self {
        let name = name.into();
        Self { name, inner, hook }
    }

    async fn forward<T>(
        &self,
        operation: Operation,
        key: &Path,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.hook.before(operation, key).await?;
        let answer = request.await;
        let error = answer.as_ref().err();
        self.hook.after(operation, key, error).await;
        answer
    }
}

impl fmt::Display for HookedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for HookedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookedStore({})", self.name)
    }
}

#[async_trait]
impl ObjectStore for HookedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let operation = Operation::of_put(&opts);
        let put = self.inner.put_opts(location, payload, opts);
        self.forward(operation, location, put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begin = self.inner.put_multipart_opts(location, opts);
        Ok(Box::new(HookedUpload {
            inner: self.forward(Operation::Begin, location, begin).await?,
            store: self.clone(),
            key: location.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = Operation::of_get(&options);
        let get = self.inner.get_opts(location, options);
        self.forward(operation, location, get).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Path| {
            let store = store.clone();
            async move {
                let one = futures::stream::iter([Ok(location.clone())]).boxed();
                let delete = store.inner.delete_stream(one).try_collect::<Vec<_>>();
                store.forward(Operation::Delete, &location, delete).await?;
                Ok(location)
            }
        };
        locations.and_then(delete).boxed()
    }

    /// The listing is complete before its first object is given.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let list = async move {
            let below = prefix.clone().unwrap_or_default();
            let list = store.inner.list(prefix.as_ref()).try_collect::<Vec<_>>();
            store.forward(Operation::List, &below, list).await
        };
        list.map_ok(|found| futures::stream::iter(found.into_iter().map(Ok)))
            .try_flatten_stream()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let below = prefix.cloned().unwrap_or_default();
        let list = self.inner.list_with_delimiter(prefix);
        self.forward(Operation::Folder, &below, list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = self.inner.copy_opts(from, to, options);
        self.forward(Operation::Copy, to, copy).await
    }
}

#[derive(Debug)]
struct HookedUpload {
    inner: Box<dyn MultipartUpload>,
    store: HookedStore,
    key: Path,
}

#[async_trait]
impl MultipartUpload for HookedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let complete = self.inner.complete();
        let (store, key) = (&self.store, &self.key);
        store.forward(Operation::Complete, key, complete).await
    }

    async fn abort(&mut self) -> Result<()> {
        let abort = self.inner.abort();
        let (store, key) = (&self.store, &self.key);
        store.forward(Operation::Abort, key, abort).await
    }
}
