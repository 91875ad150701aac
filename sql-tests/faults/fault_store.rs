//! A store that fails where a test wants it to.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use tokio::sync::watch;

use super::call::{Call, Director, Fault, Operation, ready};
use super::upload::FaultUpload;

/// The first content of every key that was ever put.
pub(super) type Archive = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// A store around another, whose director says which calls fail and how.
#[derive(Clone)]
pub(super) struct FaultStore(Arc<State>);

struct State {
    inner: Arc<dyn ObjectStore>,
    director: Mutex<Arc<Director>>,
    /// Calls from other threads have somebody waiting for them who blocks the runtime.
    home: ThreadId,
    calls: Mutex<Vec<Call>>,
    late: Mutex<Vec<(u64, BoxFuture<'static, ()>)>>,
    earlier: Mutex<Option<Vec<ObjectMeta>>>,
    archive: Option<Archive>,
    open_uploads: AtomicI64,
    cut_off: AtomicBool,
    stopped: watch::Sender<bool>,
}

impl FaultStore {
    /// Without faults until it is directed.
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self::with_archive(inner, None)
    }

    /// The same, keeping everything that is put.
    pub(super) fn with_archive(inner: Arc<dyn ObjectStore>, archive: Option<Archive>) -> Self {
        Self(Arc::new(State {
            inner,
            director: Mutex::new(Arc::new(|_: &Call| ready(Fault::None))),
            home: std::thread::current().id(),
            calls: Mutex::default(),
            late: Mutex::default(),
            earlier: Mutex::default(),
            archive,
            open_uploads: AtomicI64::new(0),
            cut_off: AtomicBool::new(false),
            stopped: watch::Sender::new(false),
        }))
    }

    /// From here on `director` decides, and calls are numbered from 1 again.
    pub(super) fn direct<F>(&self, director: F)
    where
        F: Fn(&Call) -> BoxFuture<'static, Fault> + Send + Sync + 'static,
    {
        self.0.calls.lock().unwrap().clear();
        *self.0.director.lock().unwrap() = Arc::new(director);
    }

    /// The same for a director that need not wait.
    pub(super) fn script(&self, script: impl Fn(&Call) -> Fault + Send + Sync + 'static) {
        self.direct(move |call| ready(script(call)));
    }

    /// The calls since the director was set, with what happened to them.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.0.calls.lock().unwrap().clone()
    }

    /// How many uploads were begun and neither completed nor aborted.
    pub(super) fn open_uploads(&self) -> i64 {
        self.0.open_uploads.load(Ordering::SeqCst)
    }

    /// Remembers what lies there, for stale listings.
    pub(super) async fn keep_listing(&self) {
        let listed = self.0.inner.list(None).try_collect().await.unwrap();
        *self.0.earlier.lock().unwrap() = Some(listed);
    }

    /// Lets every late call be done, in the order in which they came.
    pub(super) async fn land(&self) {
        let late = std::mem::take(&mut *self.0.late.lock().unwrap());
        for (_, apply) in late {
            apply.await;
        }
    }

    /// No call does anything any more: to the store the client is dead.
    pub(super) fn cut_off(&self) {
        self.0.cut_off.store(true, Ordering::SeqCst);
    }

    /// True once a call met [`Fault::Never`] or [`Fault::Hang`].
    pub(super) fn has_stopped(&self) -> bool {
        *self.0.stopped.borrow()
    }

    /// Waits for the first call that never ends.
    pub(super) async fn stopped(&self) {
        let mut stopped = self.0.stopped.subscribe();
        stopped.wait_for(|stopped| *stopped).await.unwrap();
    }

    async fn arrive(&self, operation: Operation, key: &str) -> Fault {
        if self.0.cut_off.load(Ordering::SeqCst) {
            return Fault::Never;
        }
        let call = {
            let mut calls = self.0.calls.lock().unwrap();
            let call = Call {
                number: calls.len() as u64 + 1,
                operation,
                key: key.to_owned(),
                fault: Fault::None,
            };
            calls.push(call.clone());
            call
        };
        let due: Vec<_> = {
            let mut late = self.0.late.lock().unwrap();
            late.extract_if(.., |(due, _)| *due <= call.number)
                .collect()
        };
        for (_, apply) in due {
            apply.await;
        }
        let director = Arc::clone(&*self.0.director.lock().unwrap());
        let fault = director(&call).await;
        if let Some(logged) = self
            .0
            .calls
            .lock()
            .unwrap()
            .get_mut(call.number as usize - 1)
        {
            logged.fault = fault;
        }
        fault
    }

    /// Does `apply` as far as its fault lets it.
    pub(super) async fn perform<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        apply: BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        match self.arrive(operation, key).await {
            Fault::Before => Err(broken(operation, key)),
            Fault::Refused => Err(refused(key)),
            Fault::Busy => Err(busy(key)),
            Fault::After => {
                drop(apply.await);
                Err(broken(operation, key))
            }
            Fault::Late(after) => {
                self.later(after, apply);
                Err(broken(operation, key))
            }
            Fault::Never => self.stop().await,
            Fault::Hang => {
                drop(apply.await);
                self.stop().await
            }
            _ => apply.await,
        }
    }

    fn later<T: Send + 'static>(&self, after: u64, apply: BoxFuture<'static, Result<T>>) {
        let due = self.0.calls.lock().unwrap().len() as u64 + after;
        let apply = apply.map(drop).boxed();
        self.0.late.lock().unwrap().push((due, apply));
    }

    /// Never answers. On a thread that blocks the runtime it ends that thread instead.
    async fn stop<T>(&self) -> Result<T> {
        self.0.stopped.send_replace(true);
        if std::thread::current().id() != self.0.home {
            std::panic::resume_unwind(Box::new("the store never answers"));
        }
        std::future::pending().await
    }

    pub(super) fn count_upload(&self, change: i64) {
        self.0.open_uploads.fetch_add(change, Ordering::SeqCst);
    }
}

fn broken(operation: Operation, key: &str) -> Error {
    Error::Generic {
        store: "faults",
        source: format!("{operation:?} of {key} broke").into(),
    }
}

fn busy(key: &str) -> Error {
    Error::AlreadyExists {
        path: key.to_owned(),
        source: "409 Conflict: another request for it is on its way".into(),
    }
}

fn refused(key: &str) -> Error {
    Error::PermissionDenied {
        path: key.to_owned(),
        source: "not yours".into(),
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults in {}", self.0.inner)
    }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
        let operation = Operation::of_put(&opts);
        let (inner, key) = (Arc::clone(&self.0.inner), location.clone());
        let archive = self.0.archive.clone();
        let put = |opts| {
            let (inner, key, archive) = (Arc::clone(&inner), key.clone(), archive.clone());
            let payload = payload.clone();
            async move {
                let bytes = payload.clone();
                let done = inner.put_opts(&key, payload, opts).await?;
                if let Some(archive) = archive {
                    let mut archive = archive.lock().unwrap();
                    archive.entry(key.to_string()).or_insert(bytes.into());
                }
                Ok(done)
            }
            .boxed()
        };
        match self.arrive(operation, location.as_ref()).await {
            Fault::Before => Err(broken(operation, location.as_ref())),
            Fault::Refused => Err(refused(location.as_ref())),
            Fault::Busy => Err(busy(location.as_ref())),
            Fault::After => {
                drop(put(opts).await);
                Err(broken(operation, location.as_ref()))
            }
            Fault::Again => {
                put(opts.clone()).await?;
                put(opts).await
            }
            Fault::Late(after) => {
                self.later(after, put(opts));
                Err(broken(operation, location.as_ref()))
            }
            Fault::Never => self.stop().await,
            Fault::Hang => {
                drop(put(opts).await);
                self.stop().await
            }
            Fault::Unconditional => {
                let mode = PutMode::Overwrite;
                put(PutOptions { mode, ..opts }).await
            }
            Fault::Lost => Ok(PutResult {
                e_tag: None,
                version: None,
            }),
            Fault::None | Fault::Truncated | Fault::Stale => put(opts).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (inner, key) = (Arc::clone(&self.0.inner), location.clone());
        let begin = async move { inner.put_multipart_opts(&key, opts).await }.boxed();
        let begun = self
            .perform(Operation::Begin, location.as_ref(), begin)
            .await?;
        Ok(Box::new(FaultUpload::new(begun, self.clone(), location)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = Operation::of_get(&options);
        match self.arrive(operation, location.as_ref()).await {
            Fault::Before | Fault::After | Fault::Late(_) => {
                Err(broken(operation, location.as_ref()))
            }
            Fault::Never | Fault::Hang => self.stop().await,
            Fault::Truncated => cut(self.0.inner.get_opts(location, options).await?).await,
            _ => self.0.inner.get_opts(location, options).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                let (inner, key) = (Arc::clone(&store.0.inner), location.clone());
                let one = futures::stream::once(async { Ok(key) }).boxed();
                let delete = async move { inner.delete_stream(one).try_collect().await }.boxed();
                let _: Vec<Path> = store
                    .perform(Operation::Delete, location.as_ref(), delete)
                    .await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let items = self.clone();
        let listed = async move {
            let below = prefix.as_ref().map(Path::as_ref).unwrap_or_default();
            let found: Vec<ObjectMeta> = match store.arrive(Operation::List, below).await {
                Fault::Before | Fault::After | Fault::Late(_) => {
                    return Err(broken(Operation::List, below));
                }
                Fault::Never | Fault::Hang => store.stop().await?,
                Fault::Stale => {
                    let earlier = store.0.earlier.lock().unwrap().clone();
                    let earlier = earlier.expect("no listing was kept: the test is at fault");
                    let below = |meta: &ObjectMeta| match &prefix {
                        Some(prefix) => meta.location.prefix_matches(prefix),
                        None => true,
                    };
                    earlier.into_iter().filter(below).collect()
                }
                _ => store.0.inner.list(prefix.as_ref()).try_collect().await?,
            };
            Ok(futures::stream::iter(found.into_iter().map(Ok)))
        };
        let item = move |meta: ObjectMeta| {
            let items = items.clone();
            let key = meta.location.to_string();
            async move {
                let item = async move { Ok(meta) }.boxed();
                items.perform(Operation::Item, &key, item).await
            }
        };
        futures::stream::once(listed)
            .try_flatten()
            .and_then(item)
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (inner, prefix) = (Arc::clone(&self.0.inner), prefix.cloned());
        let key = prefix.as_ref().map(Path::to_string).unwrap_or_default();
        let list = async move { inner.list_with_delimiter(prefix.as_ref()).await }.boxed();
        self.perform(Operation::Folder, &key, list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (inner, source, target) = (Arc::clone(&self.0.inner), from.clone(), to.clone());
        let copy = async move { inner.copy_opts(&source, &target, options).await }.boxed();
        self.perform(Operation::Copy, to.as_ref(), copy).await
    }
}

/// The same answer with only the first half of its bytes.
async fn cut(answer: GetResult) -> Result<GetResult> {
    let (meta, range) = (answer.meta.clone(), answer.range.clone());
    let attributes = answer.attributes.clone();
    let bytes = answer.bytes().await?;
    let half = bytes.slice(..bytes.len() / 2);
    let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(half) }).boxed());
    Ok(GetResult {
        payload,
        meta,
        range,
        attributes,
    })
}
