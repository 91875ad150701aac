//! A file that is taken in by parts.

use std::sync::Arc;

use async_trait::async_trait;
use atio_core::storage::{LocalUpload, blocking};
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;

use super::content::Tally;
use super::held::Upload;
use super::staging_store::{FileStagingStore, generic, written};

/// Counts the parts of one file on their way.
#[derive(Debug)]
pub(super) struct StagingUpload {
    inner: Inside,
    tally: Arc<Mutex<Tally>>,
    /// How many were put.
    parts: usize,
    /// None once it is given up: what fails from then on fails because of that.
    alive: Option<Arc<()>>,
    staging: FileStagingStore,
}

impl StagingUpload {
    pub(super) fn new(inner: Inside, tally: Arc<Mutex<Tally>>, staging: &FileStagingStore) -> Self {
        Self {
            inner,
            tally,
            parts: 0,
            alive: Some(Arc::default()),
            staging: staging.clone(),
        }
    }
}

/// Where the parts go.
#[derive(Debug)]
pub(super) enum Inside {
    Disk(LocalUpload),
    Store(Upload),
}

#[async_trait]
impl MultipartUpload for StagingUpload {
    /// Parts are numbered in the order of these calls, so the hash follows it.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let ended = || generic("the statement that writes this file has ended");
        if self.staging.is_closed() {
            return Box::pin(futures::future::ready(Err(ended())));
        }
        self.staging.count(&data);
        let (tally, part, number) = (Arc::clone(&self.tally), data.clone(), self.parts);
        self.parts += 1;
        let sent = match &mut self.inner {
            Inside::Disk(upload) => upload.put_part(data),
            // Locked only while it is being aborted.
            Inside::Store(upload) => {
                match upload.try_lock().ok().as_mut().and_then(|it| it.as_mut()) {
                    Some(upload) => upload.put_part(data),
                    None => return Box::pin(futures::future::ready(Err(ended()))),
                }
            }
        };
        let staging = self.staging.clone();
        let alive = self.alive.as_ref().map(Arc::downgrade);
        Box::pin(async move {
            // Not on a thread of the query, and while the bytes are on their way.
            let counted = blocking(move || {
                tally.lock().add(number, part);
                Ok(())
            });
            let (sent, counted) = futures::join!(sent, counted);
            let written = sent.and(counted.map_err(generic));
            match alive.and_then(|alive| alive.upgrade()) {
                Some(_) => staging.noted(written),
                None => written,
            }
        })
    }

    /// On a store nothing happens yet.
    async fn complete(&mut self) -> Result<PutResult> {
        let counted = self.tally.lock().parts();
        if counted < self.parts {
            let lost = self.parts - counted;
            let lost = generic(format!("{lost} of {} parts were not written", self.parts));
            return self.staging.noted(Err(lost));
        }
        match &mut self.inner {
            Inside::Disk(upload) => {
                let completed = upload.complete().await;
                self.staging.noted(completed)
            }
            Inside::Store(_) => Ok(written()),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.alive = None;
        match &mut self.inner {
            Inside::Disk(upload) => upload.abort().await,
            Inside::Store(upload) => {
                if let Some(mut upload) = upload.lock().await.take() {
                    upload.abort().await?;
                }
                Ok(())
            }
        }
    }
}
