//! The store that the engine's writers are given: what they complete is not visible yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;

use super::content::{Content, Hash};
use super::remote::give_up;
use super::target::Shape;
use super::write::OUT;
use crate::log::{Durability, LocalUpload, blocking, cannot_write, step, sync_folder};

/// Takes what is written at `OUT` or below it, and counts and hashes it.
///
/// On a local disk it goes into the staged file or directory. On an object store parts
/// travel at once, but an upload is completed by [`uploads`](Self::uploads) alone, and small
/// objects are kept until then: engines' writers complete what they have when a query fails.
#[derive(Clone)]
pub(super) struct Intake(Arc<Inner>);

struct Inner {
    place: Place,
    hash: Hash,
    state: Mutex<State>,
}

pub(super) enum Place {
    /// A staged file, open.
    File(PathBuf, File, Durability),
    /// A staged directory.
    Folder(PathBuf, Durability),
    /// A store, and the key of the target.
    Store(Arc<dyn ObjectStore>, Path),
}

#[derive(Default)]
struct State {
    closed: bool,
    /// By their paths below the target.
    contents: BTreeMap<String, Content>,
    uploads: HashMap<String, Upload>,
    puts: HashMap<String, (PutPayload, PutOptions)>,
    /// Directories that were made in the staged one.
    folders: BTreeSet<PathBuf>,
    synced: Duration,
}

/// None once it is completed or aborted.
type Upload = Arc<tokio::sync::Mutex<Option<Box<dyn MultipartUpload>>>>;

/// An object whose last step is to be taken.
pub(super) enum Held {
    Upload(Box<dyn MultipartUpload>),
    Put(PutPayload, PutOptions),
}

impl Intake {
    pub(super) fn new(place: Place, hash: Hash) -> Self {
        Self(Arc::new(Inner {
            place,
            hash,
            state: Mutex::default(),
        }))
    }

    /// What was written, by the paths below the target, in their order.
    pub(super) fn contents(&self) -> Vec<(String, Content)> {
        let state = self.0.state.lock();
        let contents = state.contents.iter();
        contents
            .map(|(name, content)| (name.clone(), content.clone()))
            .collect()
    }

    /// How long the disk was waited for.
    pub(super) fn synced(&self) -> Duration {
        self.0.state.lock().synced
    }

    /// Refuses every write from here on.
    pub(super) fn close(&self) {
        self.0.state.lock().closed = true;
    }

    /// Makes the names in a staged directory durable, the innermost first.
    pub(super) fn sync_folders(&self) -> io::Result<()> {
        let Place::Folder(root, Durability::Full) = &self.0.place else {
            return Ok(());
        };
        let folders = std::mem::take(&mut self.0.state.lock().folders);
        folders
            .iter()
            .rev()
            .try_for_each(|folder| sync_folder(folder))?;
        sync_folder(root)
    }

    /// Everything that waits for its last step, by its path below the target.
    pub(super) async fn held(&self) -> Vec<(String, Held)> {
        self.close();
        let (uploads, puts) = {
            let mut state = self.0.state.lock();
            (
                std::mem::take(&mut state.uploads),
                std::mem::take(&mut state.puts),
            )
        };
        let mut held: Vec<_> = puts
            .into_iter()
            .map(|(name, (payload, options))| (name, Held::Put(payload, options)))
            .collect();
        for (name, upload) in uploads {
            if let Some(upload) = upload.lock().await.take() {
                held.push((name, Held::Upload(upload)));
            }
        }
        held
    }

    /// Aborts all uploads to a store; nothing can be written any more.
    pub(super) async fn abort(&self) {
        let aborts = self.held().await.into_iter();
        let aborts = aborts.map(|(_, held)| give_up(held));
        futures::future::join_all(aborts).await;
    }

    /// True if something must be aborted on a store.
    pub(super) fn has_uploads(&self) -> bool {
        matches!(self.0.place, Place::Store(..)) && !self.0.state.lock().uploads.is_empty()
    }

    /// The path below the target; nothing was written there before.
    fn begin(&self, location: &Path) -> Result<String> {
        let rest = location.as_ref().strip_prefix(OUT);
        let name = match (rest, self.shape()) {
            (Some(""), Some(Shape::File)) => "",
            (Some(rest), Some(Shape::Folder)) => rest.strip_prefix('/').unwrap_or_default(),
            (Some(rest), None) => rest.strip_prefix('/').unwrap_or(rest),
            _ => return Err(generic(format!("{location} is not below the target"))),
        };
        let mut state = self.0.state.lock();
        if state.closed {
            return Err(generic("the statement that writes this file has ended"));
        }
        let content = Content::new(self.0.hash);
        match state.contents.insert(name.to_owned(), content) {
            None => Ok(name.to_owned()),
            Some(_) => Err(generic("a file was written twice")),
        }
    }

    /// None where it makes no difference.
    fn shape(&self) -> Option<Shape> {
        match self.0.place {
            Place::File(..) => Some(Shape::File),
            Place::Folder(..) => Some(Shape::Folder),
            Place::Store(..) => None,
        }
    }

    fn append(&self, name: &str, payload: &PutPayload) {
        // Taken out, so that other files need not wait.
        let content = {
            let mut state = self.0.state.lock();
            let content = state.contents.get_mut(name);
            content.map(|content| std::mem::replace(content, Content::new(self.0.hash)))
        };
        if let Some(mut content) = content {
            content.append_all(payload);
            self.0
                .state
                .lock()
                .contents
                .insert(name.to_owned(), content);
        }
    }

    /// The open file for `name` in the staged file or directory, and where it is.
    fn open(&self, name: &str) -> io::Result<(File, PathBuf)> {
        match &self.0.place {
            Place::File(path, file, _) => Ok((file.try_clone()?, path.clone())),
            Place::Folder(root, _) => {
                let path = root.join(name);
                let above: Vec<_> = path
                    .ancestors()
                    .skip(1)
                    .take_while(|at| *at != root)
                    .collect();
                // Not the staged directory itself: it may be gone, and then for a reason.
                for folder in above.into_iter().rev() {
                    match fs::create_dir(folder) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(error);
                        }
                        _ => {}
                    }
                    self.0.state.lock().folders.insert(folder.to_owned());
                }
                step("copy-file", &path)?;
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true);
                Ok((options.open(&path)?, path))
            }
            Place::Store(..) => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    /// Makes the bytes of `file` durable. Never tried again on a failure.
    fn sync(&self, file: &File, path: &LocalPath) -> io::Result<()> {
        if let Place::File(_, _, Durability::None) | Place::Folder(_, Durability::None) =
            self.0.place
        {
            return Ok(());
        }
        let begun = Instant::now();
        step("copy-sync", path)?;
        let synced = file.sync_all();
        self.0.state.lock().synced += begun.elapsed();
        synced
    }

    /// Writes a whole file that is staged.
    fn write(&self, name: &str, payload: &PutPayload) -> io::Result<()> {
        let (mut file, path) = self.open(name)?;
        step("copy-write", &path)
            .and_then(|()| payload.iter().try_for_each(|bytes| file.write_all(bytes)))
            .and_then(|()| self.sync(&file, &path))
            .map_err(|error| cannot_write(path.display(), error))
    }
}

fn generic(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic {
        store: "atio",
        source: error.into(),
    }
}

fn written() -> PutResult {
    PutResult {
        e_tag: None,
        version: None,
    }
}

#[async_trait]
impl ObjectStore for Intake {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let name = self.begin(location)?;
        self.append(&name, &payload);
        match self.0.place {
            Place::Store(..) => {
                let held = (payload, options);
                self.0.state.lock().puts.insert(name, held);
            }
            _ => {
                let intake = self.clone();
                blocking(move || intake.write(&name, &payload))
                    .await
                    .map_err(generic)?;
            }
        }
        Ok(written())
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let name = self.begin(location)?;
        let Place::Store(store, key) = &self.0.place else {
            let (intake, owned) = (self.clone(), name.clone());
            let (file, path) = blocking(move || intake.open(&owned))
                .await
                .map_err(generic)?;
            let intake = self.clone();
            let sync = move |file: &File, path: &LocalPath| intake.sync(file, path);
            return Ok(Box::new(IntakeUpload {
                inner: Inside::Disk(LocalUpload::new(file, path, sync)),
                name,
                intake: self.clone(),
            }));
        };
        let full = match name.as_str() {
            "" => key.clone(),
            name => Path::parse(format!("{key}/{name}"))?,
        };
        let upload = store.put_multipart_opts(&full, options).await?;
        let upload = Arc::new(tokio::sync::Mutex::new(Some(upload)));
        let closed = {
            let mut state = self.0.state.lock();
            state.uploads.insert(name.clone(), Arc::clone(&upload));
            state.closed
        };
        if closed {
            self.abort().await;
            return Err(generic("the statement that writes this file has ended"));
        }
        Ok(Box::new(IntakeUpload {
            inner: Inside::Store(upload),
            name,
            intake: self.clone(),
        }))
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

#[derive(Debug)]
struct IntakeUpload {
    inner: Inside,
    name: String,
    intake: Intake,
}

#[derive(Debug)]
enum Inside {
    Disk(LocalUpload),
    Store(Upload),
}

#[async_trait]
impl MultipartUpload for IntakeUpload {
    /// Parts are numbered in the order of these calls, so the hash follows it.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let ended = || generic("the statement that writes this file has ended");
        if self.intake.0.state.lock().closed {
            return Box::pin(futures::future::ready(Err(ended())));
        }
        self.intake.append(&self.name, &data);
        match &mut self.inner {
            Inside::Disk(upload) => upload.put_part(data),
            // Locked only while it is being aborted.
            Inside::Store(upload) => {
                match upload.try_lock().ok().as_mut().and_then(|it| it.as_mut()) {
                    Some(upload) => upload.put_part(data),
                    None => Box::pin(futures::future::ready(Err(ended()))),
                }
            }
        }
    }

    /// On a store nothing happens yet.
    async fn complete(&mut self) -> Result<PutResult> {
        match &mut self.inner {
            Inside::Disk(upload) => upload.complete().await,
            Inside::Store(_) => Ok(written()),
        }
    }

    async fn abort(&mut self) -> Result<()> {
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

impl fmt::Display for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a file that is being written")
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
