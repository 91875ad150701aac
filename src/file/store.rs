//! The store that the engine's writers are given: what they complete is not visible yet.

use std::fs::File;
use std::path::Path as LocalPath;
use std::sync::Arc;

use async_trait::async_trait;
use atio_core::storage::{LocalUpload, blocking, run_to_end};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::held::{Held, give_up};
use super::staging_store::{FileStagingStore, Name, Opened, StagingArea, generic, written};
use super::upload::{Inside, StagingUpload};

#[async_trait]
impl ObjectStore for FileStagingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let (name, tally) = self.begin(location)?;
        self.count(&payload);
        let on_disk = !matches!(self.area(), StagingArea::Store(..));
        if !on_disk {
            let reserved = self.reserve(payload.content_length());
            self.noted(reserved.map_err(generic))?;
        }
        let (staging, owned, bytes) = (self.clone(), name.clone(), payload.clone());
        let taken = blocking(move || {
            tally.lock().add(0, bytes.clone());
            match on_disk {
                true => staging.write(&owned, &bytes),
                false => Ok(()),
            }
        });
        self.noted(taken.await.map_err(generic))?;
        if !on_disk {
            self.hold_put(name, payload, options);
        }
        Ok(written())
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (name, tally) = self.begin(location)?;
        let StagingArea::Store(store, key) = self.area() else {
            let staging = self.clone();
            let opened = blocking(move || staging.open(&name)).await;
            let Opened { file, path, name } = self.noted(opened.map_err(generic))?;
            let staging = self.clone();
            let end = move |file: File, path: &LocalPath| staging.end(&file, path, name);
            let inner = Inside::Disk(match name {
                Name::Given => LocalUpload::new(file, path, end),
                Name::None | Name::Later => LocalUpload::unnamed(file, path, end),
            });
            return Ok(Box::new(StagingUpload::new(inner, tally, self)));
        };
        let full = match name.as_str() {
            "" => key.clone(),
            name => Path::parse(format!("{key}/{name}"))?,
        };
        let (store, staging) = (Arc::clone(store), self.clone());
        let begun = run_to_end(async move {
            let begun = store.put_multipart_opts(&full, options).await;
            let upload = staging.noted(begun)?;
            let upload = Arc::new(tokio::sync::Mutex::new(Some(upload)));
            if !staging.hold_upload(name, &upload) {
                if let Some(upload) = upload.lock().await.take() {
                    give_up(Held::Upload(upload)).await;
                }
                return Err(generic("the statement that writes this file has ended"));
            }
            Ok(upload)
        });
        let inner = Inside::Store(begun.await?);
        Ok(Box::new(StagingUpload::new(inner, tally, self)))
    }

    async fn get_opts(&self, _: &Path, _: GetOptions) -> Result<GetResult> {
        Err(unused("get"))
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        Box::pin(futures::stream::once(async { Err(unused("delete")) }))
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Box::pin(futures::stream::once(async { Err(unused("list")) }))
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(unused("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unused("copy"))
    }
}

fn unused(what: &str) -> Error {
    Error::NotImplemented {
        operation: what.to_owned(),
        implementer: "a file that is being written".to_owned(),
    }
}
