//! A data file that is written in parts.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path as LocalPath, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::disk::blocking;
use super::error::{cannot_write, generic};
use super::step::step;
use crate::lock::lock;

type Publish = dyn Fn(File, &LocalPath) -> io::Result<()> + Send + Sync;

/// Writes parts at their places in a staged file, and publishes it if all were written.
pub struct LocalUpload {
    state: Arc<State>,
    /// Where the next part begins.
    end: u64,
}

struct State {
    /// None once it is published or given up.
    file: Mutex<Option<File>>,
    staged: PathBuf,
    /// Whether it has that name already.
    is_named: bool,
    /// A part that failed, or was never finished, spoils the whole.
    parts: Mutex<Parts>,
    publish: Box<Publish>,
}

#[derive(Debug, Default)]
struct Parts {
    begun: usize,
    written: usize,
}

impl LocalUpload {
    /// `publish` gives the finished file its name, and sees to it that it becomes durable. If
    /// that fails, `staged` is removed.
    pub fn new(
        file: File,
        staged: PathBuf,
        publish: impl Fn(File, &LocalPath) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::begin(file, staged, true, publish)
    }

    /// The same of a file without a name; messages call it `shown`, and nothing is removed.
    pub fn unnamed(
        file: File,
        shown: PathBuf,
        publish: impl Fn(File, &LocalPath) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::begin(file, shown, false, publish)
    }

    fn begin(
        file: File,
        staged: PathBuf,
        is_named: bool,
        publish: impl Fn(File, &LocalPath) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            file: Mutex::new(Some(file)),
            staged,
            is_named,
            parts: Mutex::default(),
            publish: Box::new(publish),
        };
        Self {
            state: Arc::new(state),
            end: 0,
        }
    }
}

impl State {
    fn write(&self, at: u64, part: &PutPayload) -> io::Result<()> {
        let mut file = lock(&self.file);
        let file = file.as_mut().ok_or_else(given_up)?;
        step("write-file", &self.staged)
            .and_then(|()| file.seek(SeekFrom::Start(at)))
            .and_then(|_| part.iter().try_for_each(|bytes| file.write_all(bytes)))
            .map_err(|error| cannot_write(self.staged.display(), error))?;
        lock(&self.parts).written += 1;
        Ok(())
    }

    fn complete(&self) -> io::Result<()> {
        // Held to the end: whoever gives the upload up then waits, and finds the file published.
        let mut open = lock(&self.file);
        let file = open.take().ok_or_else(given_up)?;
        let parts = lock(&self.parts);
        if parts.written < parts.begun {
            self.remove();
            return Err(io::Error::other(format!(
                "{} of {} parts were not written",
                parts.begun - parts.written,
                parts.begun
            )));
        }
        (self.publish)(file, &self.staged).inspect_err(|_| self.remove())
    }

    fn abort(&self) {
        if lock(&self.file).take().is_some() {
            self.remove();
        }
    }

    fn remove(&self) {
        if self.is_named {
            std::fs::remove_file(&self.staged).ok();
        }
    }
}

fn given_up() -> io::Error {
    io::Error::other("this upload has ended")
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let at = self.end;
        self.end += data.content_length() as u64;
        lock(&self.state.parts).begun += 1;
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            blocking(move || state.write(at, &data))
                .await
                .map_err(generic)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let state = Arc::clone(&self.state);
        blocking(move || state.complete()).await.map_err(generic)?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        let state = Arc::clone(&self.state);
        blocking(move || {
            state.abort();
            Ok(())
        })
        .await
        .map_err(generic)
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        // On another thread: a part that is being written would hold up this one.
        let state = Arc::clone(&self.state);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || state.abort())),
            Err(_) => state.abort(),
        }
    }
}

impl fmt::Debug for LocalUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalUpload({})", self.state.staged.display())
    }
}
