//! A store that deals with conditional writes as a test wants it to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How a store deals with conditional writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Creates {
    /// As it should.
    Safe,
    /// As if there were no condition.
    #[default]
    Unconditional,
    /// Looks first and then writes.
    Racing,
    /// Not at all.
    Unknown,
    /// Applies the write, and the reply is lost.
    Deaf,
}

/// A store in memory that deals with conditional writes in some way.
#[derive(Debug, Default)]
pub(super) struct Careless {
    pub(super) inner: Arc<InMemory>,
    pub(super) creates: Creates,
    pub(super) writes: AtomicUsize,
}

impl fmt::Display for Careless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Careless")
    }
}

#[async_trait]
impl ObjectStore for Careless {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> Result<PutResult> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let overwrite = || PutMode::Overwrite;
        match self.creates {
            _ if opts.mode != PutMode::Create => {}
            Creates::Safe => {}
            Creates::Unconditional => opts.mode = overwrite(),
            Creates::Racing => {
                let found = self.inner.get_opts(location, GetOptions::default()).await;
                tokio::task::yield_now().await;
                if found.is_err() {
                    opts.mode = overwrite();
                }
            }
            Creates::Unknown => {
                return Err(Error::NotImplemented {
                    operation: "create".to_owned(),
                    implementer: "Careless".to_owned(),
                });
            }
            Creates::Deaf => {
                self.inner.put_opts(location, payload, opts).await?;
                return Err(Error::Generic {
                    store: "Careless",
                    source: "the reply was lost".into(),
                });
            }
        }
        self.inner.put_opts(location, payload, opts).await
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

    async fn copy_opts(&self, from: &Path, to: &Path, opts: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, opts).await
    }
}
