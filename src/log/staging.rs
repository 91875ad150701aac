//! The store that writers of data files are given: it counts and checks what they write.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::table::lock;
use crate::format::Checksum;

/// Passes everything on to a store and remembers size and checksum of each object written.
///
/// Once closed it refuses to write, so that a writer that outlives its statement leaves
/// nothing behind. Deleting and copying are refused: a writer of data files does neither.
#[derive(Clone)]
pub(crate) struct StagingStore {
    inner: Arc<dyn ObjectStore>,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    closed: bool,
    objects: HashMap<Path, Content>,
}

/// What was written under a name so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) checksum: Checksum,
}

impl Content {
    fn empty() -> Self {
        Self {
            size: 0,
            checksum: Checksum::of(b""),
        }
    }

    fn append(&mut self, payload: &PutPayload) {
        for bytes in payload {
            self.size += bytes.len() as u64;
            self.checksum = self.checksum.append(bytes);
        }
    }
}

impl StagingStore {
    /// Names are relative to what `inner` begins at.
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self {
            inner,
            written: Arc::default(),
        }
    }

    /// What was written at `key`; None if nothing was.
    pub(crate) fn content(&self, key: &Path) -> Option<Content> {
        lock(&self.written).objects.get(key).copied()
    }

    /// Refuses every write from here on.
    pub(super) fn close(&self) {
        lock(&self.written).closed = true;
    }

    fn begin(&self, key: &Path) -> Result<()> {
        let mut written = lock(&self.written);
        if written.closed {
            return Err(Error::Generic {
                store: "atio",
                source: "the statement that writes this file has ended".into(),
            });
        }
        written.objects.insert(key.clone(), Content::empty());
        Ok(())
    }

    fn append(&self, key: &Path, payload: &PutPayload) {
        if let Some(content) = lock(&self.written).objects.get_mut(key) {
            content.append(payload);
        }
    }

    fn refused(what: &str) -> Error {
        Error::NotImplemented {
            operation: what.to_owned(),
            implementer: "the staging area of a table".to_owned(),
        }
    }
}

#[async_trait]
impl ObjectStore for StagingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.begin(location)?;
        self.append(location, &payload);
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.begin(location)?;
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(StagingUpload {
            inner: Some(upload),
            key: location.clone(),
            store: self.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        Box::pin(futures::stream::once(async {
            Err(Self::refused("delete"))
        }))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Self::refused("copy"))
    }
}

/// An upload that is aborted unless it was completed: writers that fail just drop theirs,
/// and a store keeps the parts of what was neither.
#[derive(Debug)]
struct StagingUpload {
    /// None once there is nothing left to abort.
    inner: Option<Box<dyn MultipartUpload>>,
    key: Path,
    store: StagingStore,
}

impl StagingUpload {
    fn ended() -> Error {
        StagingStore::refused("go on with an upload that has ended")
    }
}

#[async_trait]
impl MultipartUpload for StagingUpload {
    /// Parts are numbered in the order of these calls, so the checksum follows it.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let Some(inner) = &mut self.inner else {
            return Box::pin(std::future::ready(Err(Self::ended())));
        };
        self.store.append(&self.key, &data);
        inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if lock(&self.store.written).closed {
            self.abort().await?;
            return Err(StagingStore::refused(
                "complete an upload after the statement ended",
            ));
        }
        let inner = self.inner.as_mut().ok_or_else(Self::ended)?;
        let completed = inner.complete().await?;
        self.inner = None;
        Ok(completed)
    }

    async fn abort(&mut self) -> Result<()> {
        match self.inner.take() {
            Some(mut inner) => inner.abort().await,
            None => Ok(()),
        }
    }
}

impl Drop for StagingUpload {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take() else {
            return;
        };
        // Without a runtime nobody can wait for the store, which has to forget it by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let key = self.key.clone();
            runtime.spawn(async move {
                if let Err(error) = inner.abort().await {
                    ::log::warn!("the unfinished upload of {key} stays behind: {error}");
                }
            });
        }
    }
}

impl fmt::Display for StagingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "atio staging in {}", self.inner)
    }
}

impl fmt::Debug for StagingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn size_and_checksum_are_those_of_the_object_however_it_was_written() {
        let store = StagingStore::new(Arc::new(InMemory::new()));
        let (one, many) = (Path::from("one"), Path::from("many"));
        store.put(&one, "hello world".into()).await.unwrap();
        let mut upload = store.put_multipart(&many).await.unwrap();
        upload.put_part("hello ".into()).await.unwrap();
        upload.put_part("world".into()).await.unwrap();
        upload.complete().await.unwrap();
        for key in [one, many] {
            let content = store.content(&key).unwrap();
            let bytes = store.get(&key).await.unwrap().bytes().await.unwrap();
            assert_eq!(content.size, bytes.len() as u64);
            assert_eq!(content.checksum, Checksum::of(&bytes));
        }
    }

    #[tokio::test]
    async fn a_closed_store_writes_nothing_more() {
        let store = StagingStore::new(Arc::new(InMemory::new()));
        let key = Path::from("late");
        let mut upload = store.put_multipart(&key).await.unwrap();
        upload.put_part("x".into()).await.unwrap();
        store.close();
        assert!(upload.complete().await.is_err());
        assert!(store.put(&key, "x".into()).await.is_err());
        assert!(store.get(&key).await.is_err());
    }
}
