//! A store elsewhere that behaves as badly as it is told to.

#![cfg(test)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, UploadPart,
};
use datafusion::prelude::SessionContext;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use url::Url;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// "Create" overwrites.
    IgnoresConditions,
    /// As S3 answers for a bucket that is not there; a HEAD has no body.
    NoBucket,
    /// As S3 answers to a key id that it does not know.
    Denies,
    /// What is to be created is created by another first.
    Rival,
}

/// Objects in memory, and how many uploads were begun and how they ended.
#[derive(Debug)]
pub(crate) struct FakeStore {
    pub(crate) objects: InMemory,
    fault: Fault,
    pub(crate) begun: Arc<AtomicUsize>,
    pub(crate) completed: Arc<AtomicUsize>,
    pub(crate) aborted: Arc<AtomicUsize>,
}

impl FakeStore {
    pub(crate) fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            objects: InMemory::new(),
            fault,
            begun: Arc::default(),
            completed: Arc::default(),
            aborted: Arc::default(),
        })
    }

    /// A session in which this store is the bucket `s3://bucket`.
    pub(crate) fn session(self: &Arc<Self>) -> SessionContext {
        let ctx = SessionContext::new();
        let url = Url::parse("s3://bucket/").unwrap();
        ctx.register_object_store(&url, Arc::clone(self) as _);
        atio::register(&ctx).unwrap();
        ctx
    }

    /// The names of all objects.
    pub(crate) async fn names(&self) -> Vec<String> {
        let listed = self.objects.list(None).map_ok(|meta| meta.location);
        let listed: Vec<Path> = listed.try_collect().await.unwrap();
        listed.iter().map(ToString::to_string).collect()
    }

    fn answer(&self, path: &Path, body: bool) -> Result<()> {
        let (status, code, secret) = match self.fault {
            Fault::NoBucket => ("404 Not Found", "NoSuchBucket", ""),
            Fault::Denies => ("403 Forbidden", "InvalidAccessKeyId", "KEYID-HUSH"),
            Fault::None | Fault::IgnoresConditions | Fault::Rival => return Ok(()),
        };
        let body = match body {
            true => format!(
                "<Error><Code>{code}</Code><AWSAccessKeyId>{secret}</AWSAccessKeyId></Error>"
            ),
            false => String::new(),
        };
        let source = format!(
            "Error performing GET http://127.0.0.1:1/bucket/{path}?X-Amz-Signature=HUSH in 1ms - Server returned non-2xx status code: {status}: {body}"
        );
        let (path, source) = (path.to_string(), source.into());
        Err(match self.fault {
            Fault::NoBucket => Error::NotFound { path, source },
            _ => Error::PermissionDenied { path, source },
        })
    }

    /// A listing that fails is of no kind.
    fn answer_to_list(&self) -> Result<()> {
        self.answer(&Path::default(), true)
            .map_err(|error| Error::Generic {
                store: "S3",
                source: error.to_string().into(),
            })
    }
}

impl fmt::Display for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeStore")
    }
}

#[async_trait]
impl ObjectStore for FakeStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> Result<PutResult> {
        self.answer(location, true)?;
        if self.fault == Fault::IgnoresConditions {
            opts.mode = PutMode::Overwrite;
        }
        if self.fault == Fault::Rival && opts.mode == PutMode::Create {
            self.objects.put(location, "rival".into()).await?;
        }
        self.objects.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.answer(location, true)?;
        let inner = self.objects.put_multipart_opts(location, opts).await?;
        self.begun.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FakeUpload {
            inner,
            completed: Arc::clone(&self.completed),
            aborted: Arc::clone(&self.aborted),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.answer(location, !options.head)?;
        self.objects.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.answer_to_list() {
            Ok(()) => self.objects.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.answer_to_list()?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FakeUpload {
    inner: Box<dyn MultipartUpload>,
    completed: Arc<AtomicUsize>,
    aborted: Arc<AtomicUsize>,
}

#[async_trait]
impl MultipartUpload for FakeUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.completed.fetch_add(1, Ordering::SeqCst);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.aborted.fetch_add(1, Ordering::SeqCst);
        self.inner.abort().await
    }
}
