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
use tracing::Instrument;

use super::store_error::explain;
use crate::error::ErrorKind;
use crate::format::Checksum;
use crate::lock::lock;
use crate::redact::redact;

/// Passes everything on to a store and remembers size and checksum of each object written.
///
/// Once closed it refuses to write, so that a writer that outlives its statement leaves
/// nothing behind. Deleting and copying are refused: a writer of data files does neither.
///
/// Writers forget their uploads when they fail or are dropped, and a store keeps the parts
/// of an upload, invisible and paid for, until it is aborted: so they are remembered here.
#[derive(Clone)]
pub struct StagingStore {
    inner: Arc<dyn ObjectStore>,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    closed: bool,
    objects: HashMap<Path, Content>,
    bytes: u64,
    /// Neither completed nor aborted.
    uploads: HashMap<Path, Upload>,
}

/// None once it is completed or aborted.
type Upload = Arc<tokio::sync::Mutex<Option<Box<dyn MultipartUpload>>>>;

/// What was written under a name so far.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    pub size: u64,
    pub checksum: Checksum,
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
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self {
            inner,
            written: Arc::default(),
        }
    }

    /// What was written at `key`; None if nothing was.
    pub fn content(&self, key: &Path) -> Option<Content> {
        lock(&self.written).objects.get(key).copied()
    }

    /// Bytes that were written so far, of all objects.
    pub fn bytes(&self) -> u64 {
        lock(&self.written).bytes
    }

    /// Refuses every write from here on.
    pub(crate) fn close(&self) {
        lock(&self.written).closed = true;
    }

    /// Aborts the uploads that nobody will complete any more. Call it after
    /// [`close`](Self::close), which keeps them from being completed meanwhile.
    pub(crate) async fn abort_uploads(&self) {
        let uploads: Vec<_> = lock(&self.written).uploads.drain().collect();
        let aborts = uploads.iter().map(|(key, upload)| async move {
            if let Some(mut upload) = upload.lock().await.take()
                && let Err(error) = upload.abort().await
            {
                ::log::warn!("parts of {key} stay on the store, unseen: {error}");
            }
        });
        futures::future::join_all(aborts).await;
    }

    pub(crate) fn has_uploads(&self) -> bool {
        !lock(&self.written).uploads.is_empty()
    }

    fn begin(&self, key: &Path) -> Result<()> {
        let mut written = lock(&self.written);
        if written.closed {
            return Err(ended());
        }
        written.objects.insert(key.clone(), Content::empty());
        Ok(())
    }

    /// Begins an upload, and remembers it; what is begun after the end is aborted at once.
    async fn begin_upload(&self, key: &Path, options: PutMultipartOptions) -> Result<Upload> {
        let upload = self.inner.put_multipart_opts(key, options).await;
        let upload = upload.map_err(|error| as_ours(key, error))?;
        let upload = Arc::new(tokio::sync::Mutex::new(Some(upload)));
        let closed = {
            let mut written = lock(&self.written);
            written.uploads.insert(key.clone(), Arc::clone(&upload));
            written.closed
        };
        if closed {
            self.abort_uploads().await;
            return Err(ended());
        }
        Ok(upload)
    }

    fn append(&self, key: &Path, payload: &PutPayload) {
        let mut written = lock(&self.written);
        if let Some(content) = written.objects.get_mut(key) {
            content.append(payload);
            written.bytes += payload.content_length() as u64;
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
        let put = self.inner.put_opts(location, payload, opts).await;
        put.map_err(|error| as_ours(location, error))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.begin(location)?;
        let (store, key) = (self.clone(), location.clone());
        let begun = run_to_end(async move { store.begin_upload(&key, opts).await });
        Ok(Box::new(StagingUpload {
            inner: begun.await?,
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

/// The same as an error of ours, which [`find`](crate::error::Error::find) finds behind all that
/// writers wrap around it. One that is ours already stays as it is.
fn as_ours(key: &Path, error: Error) -> Error {
    if crate::error::Error::find(&error).is_some() {
        return error;
    }
    let named = match &error {
        // The disk names the file itself.
        Error::Generic { source, .. } => Some(source.to_string()),
        _ => None,
    };
    let ours = match named.filter(|text| text.contains(key.as_ref())) {
        Some(text) => crate::error::Error::new(ErrorKind::Storage, redact(&text)),
        None => explain(format!("cannot write {key}"), error),
    };
    Error::Generic {
        store: "atio",
        source: ours.into(),
    }
}

/// Runs `request` to its end even if the caller stops waiting: a store may have done what was
/// asked for, and somebody must know of it.
///
/// # Errors
///
/// Those of `request`, and one if the runtime ends first. Outside of a runtime it is polled by the
/// caller alone.
pub async fn run_to_end<T: Send + 'static>(
    request: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn(request.in_current_span())
            .await
            .unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(ended) => Err(ended.into()),
            }),
        Err(_) => request.await,
    }
}

fn ended() -> Error {
    Error::Generic {
        store: "atio",
        source: "the statement that writes this file has ended".into(),
    }
}

#[derive(Debug)]
struct StagingUpload {
    inner: Upload,
    key: Path,
    store: StagingStore,
}

#[async_trait]
impl MultipartUpload for StagingUpload {
    /// Parts are numbered in the order of these calls, so the checksum follows it.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let closed = lock(&self.store.written).closed;
        // Locked only while it is being aborted.
        let upload = self.inner.try_lock();
        match upload.ok().as_mut().and_then(|upload| upload.as_mut()) {
            Some(upload) if !closed => {
                self.store.append(&self.key, &data);
                let (part, key) = (upload.put_part(data), self.key.clone());
                Box::pin(async move { part.await.map_err(|error| as_ours(&key, error)) })
            }
            _ => Box::pin(futures::future::ready(Err(ended()))),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut upload = self.inner.lock().await;
        let closed = lock(&self.store.written).closed;
        let Some(open) = upload.as_mut().filter(|_| !closed) else {
            return Err(ended());
        };
        let completed = open.complete().await;
        let completed = completed.map_err(|error| as_ours(&self.key, error))?;
        *upload = None;
        lock(&self.store.written).uploads.remove(&self.key);
        Ok(completed)
    }

    async fn abort(&mut self) -> Result<()> {
        if let Some(mut upload) = self.inner.lock().await.take() {
            lock(&self.store.written).uploads.remove(&self.key);
            upload.abort().await?;
        }
        Ok(())
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
        assert!(upload.put_part("y".into()).await.is_err());
        assert!(upload.complete().await.is_err());
        assert!(store.put(&key, "x".into()).await.is_err());
        assert!(store.get(&key).await.is_err());
    }
}
