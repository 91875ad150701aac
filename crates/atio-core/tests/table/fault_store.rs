//! A store in memory that fails at one request, or dies there, and tells when a record is created.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What becomes of the request that is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not done, and an error.
    Before,
    /// It is done, and an error.
    After,
    /// It is done and never answered, nor is any after it: the process is dead.
    Dies,
    /// It is never answered, and others are.
    Hangs,
}

type Hook = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Counts its requests; the one with the number `at`, from 1, meets the fault.
pub(super) struct FaultStore {
    inner: Arc<InMemory>,
    at: u64,
    fault: Fault,
    requests: AtomicU64,
    before_records: Mutex<Option<Hook>>,
    instead_of_answer: Mutex<Option<Hook>>,
}

impl FaultStore {
    pub(super) fn new(inner: &Arc<InMemory>, at: u64, fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            at,
            fault,
            requests: AtomicU64::new(0),
            before_records: Mutex::default(),
            instead_of_answer: Mutex::default(),
        })
    }

    /// Calls this before each commit record is created.
    pub(super) fn before_records(
        &self,
        hook: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) {
        *self.before_records.lock().unwrap() = Some(Box::new(hook));
    }

    /// Calls this once a commit record was created; who asked for it is told that it broke.
    pub(super) fn instead_of_answer(
        &self,
        hook: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) {
        *self.instead_of_answer.lock().unwrap() = Some(Box::new(hook));
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// True if there was such a request.
    pub(super) fn met(&self) -> bool {
        self.requests.load(Ordering::SeqCst) >= self.at
    }

    async fn request<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let broke = || Error::Generic {
            store: "FaultStore",
            source: format!("request {number} broke").into(),
        };
        match self.fault {
            Fault::Dies if number > self.at => std::future::pending().await,
            _ if number != self.at => request.await,
            Fault::Before => Err(broke()),
            Fault::After => {
                request.await.ok();
                Err(broke())
            }
            Fault::Dies => {
                request.await.ok();
                std::future::pending().await
            }
            Fault::Hangs => std::future::pending().await,
        }
    }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultStore")
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let is_record = location.as_ref().ends_with(".metadata.json");
        let creates = is_record && opts.mode == PutMode::Create;
        if creates {
            let hook = self
                .before_records
                .lock()
                .unwrap()
                .as_ref()
                .map(|hook| hook());
            if let Some(hook) = hook {
                hook.await;
            }
        }
        let put = self.inner.put_opts(location, payload, opts);
        let put = self.request(put).await;
        let hook = match creates && put.is_ok() {
            true => self.instead_of_answer.lock().unwrap().take(),
            false => None,
        };
        match hook {
            None => put,
            Some(hook) => {
                hook().await;
                Err(Error::Generic {
                    store: "FaultStore",
                    source: "the answer was lost".into(),
                })
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.request(self.inner.put_multipart_opts(location, opts))
            .await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.request(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        // `delete` gives one location, and the stream cannot borrow.
        let (inner, at, fault) = (Arc::clone(&self.inner), self.at, self.fault);
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let one = Arc::new(Self {
            inner,
            at,
            fault,
            requests: AtomicU64::new(number - 1),
            before_records: Mutex::default(),
            instead_of_answer: Mutex::default(),
        });
        let delete = move |location: Path| {
            let one = Arc::clone(&one);
            async move {
                let stream = futures::stream::iter([Ok(location.clone())]).boxed();
                let delete = one.inner.delete_stream(stream).try_collect::<Vec<_>>();
                one.request(delete.map_ok(drop)).await?;
                Ok(location)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.request(self.inner.copy_opts(from, to, options)).await
    }
}
