//! A multipart upload whose steps can fail.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use datafusion::object_store::path::Path;
use datafusion::object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use futures::FutureExt;
use tokio::sync::Mutex;

use super::call::Operation;
use super::fault_store::FaultStore;

#[derive(Debug)]
pub(super) struct FaultUpload {
    inner: Arc<Mutex<Box<dyn MultipartUpload>>>,
    store: FaultStore,
    key: String,
    /// Counted as open until it is completed or aborted, whichever comes first.
    open: Arc<AtomicBool>,
}

impl FaultUpload {
    pub(super) fn new(inner: Box<dyn MultipartUpload>, store: FaultStore, key: &Path) -> Self {
        store.count_upload(1);
        Self {
            inner: Arc::new(Mutex::new(inner)),
            store,
            key: key.to_string(),
            open: Arc::new(AtomicBool::new(true)),
        }
    }

    /// What counts the upload as ended, once.
    fn ends(&self) -> impl FnOnce() + Send + use<> {
        let (open, store) = (Arc::clone(&self.open), self.store.clone());
        move || {
            if open.swap(false, Ordering::SeqCst) {
                store.count_upload(-1);
            }
        }
    }
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        // The place of a part is that of this call, whenever it is sent.
        let part = self.inner.try_lock().unwrap().put_part(data);
        let (store, key) = (self.store.clone(), self.key.clone());
        async move { store.perform(Operation::Part, &key, part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (inner, ends) = (Arc::clone(&self.inner), self.ends());
        let complete = async move {
            let completed = inner.lock().await.complete().await;
            ends();
            completed
        };
        let complete = complete.boxed();
        self.store
            .perform(Operation::Complete, &self.key, complete)
            .await
    }

    async fn abort(&mut self) -> Result<()> {
        let (inner, ends) = (Arc::clone(&self.inner), self.ends());
        let abort = async move {
            let aborted = inner.lock().await.abort().await;
            ends();
            aborted
        };
        self.store
            .perform(Operation::Abort, &self.key, abort.boxed())
            .await
    }
}
