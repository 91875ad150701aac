//! A bucket elsewhere that behaves as badly as it is told to.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;
use datafusion::object_store::{Error, ObjectStore, ObjectStoreExt, Result};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use url::Url;

use super::hooked::{Hook, HookedStore, Operation};

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
pub(crate) struct FakeBucket {
    pub(crate) objects: Arc<InMemory>,
    fault: Fault,
    pub(crate) begun: AtomicUsize,
    pub(crate) completed: AtomicUsize,
    pub(crate) aborted: AtomicUsize,
}

impl FakeBucket {
    pub(crate) fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            objects: Arc::default(),
            fault,
            begun: AtomicUsize::new(0),
            completed: AtomicUsize::new(0),
            aborted: AtomicUsize::new(0),
        })
    }

    /// A session in which this is `s3://bucket`.
    pub(crate) fn session(self: &Arc<Self>) -> SessionContext {
        let ctx = SessionContext::new();
        let url = Url::parse("s3://bucket/").unwrap();
        let store = HookedStore::new(
            "fake",
            Arc::clone(&self.objects) as _,
            Arc::clone(self) as _,
        );
        ctx.register_object_store(&url, Arc::new(store));
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
}

#[async_trait]
impl Hook for FakeBucket {
    async fn before(&self, operation: Operation, key: &Path) -> Result<()> {
        match operation {
            // A listing that fails is of no kind.
            Operation::List | Operation::Folder => {
                let answer = self.answer(&Path::default(), true);
                answer.map_err(|error| Error::Generic {
                    store: "S3",
                    source: error.to_string().into(),
                })?;
            }
            Operation::Head => self.answer(key, false)?,
            Operation::Put | Operation::Create | Operation::Begin | Operation::Get => {
                self.answer(key, true)?;
            }
            _ => {}
        }
        match (operation, self.fault) {
            // What lies there is in nobody's way.
            (Operation::Create, Fault::IgnoresConditions) => self.objects.delete(key).await?,
            (Operation::Create, Fault::Rival) => {
                self.objects.put(key, "rival".into()).await?;
            }
            (Operation::Complete, _) => count(&self.completed),
            (Operation::Abort, _) => count(&self.aborted),
            _ => {}
        }
        Ok(())
    }

    async fn after(&self, operation: Operation, _key: &Path, error: Option<&Error>) {
        if operation == Operation::Begin && error.is_none() {
            count(&self.begun);
        }
    }
}

fn count(what: &AtomicUsize) {
    what.fetch_add(1, Ordering::SeqCst);
}
