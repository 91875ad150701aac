//! What the engine's writers have written so far, which nobody sees yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use atio_core::storage::{Durability, cannot_write, explain, step, sync_folder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, PutOptions, PutPayload, PutResult, Result};
use parking_lot::Mutex;

use super::content::{Content, Hash, Tally};
use super::held::{Held, Upload, give_up};
use super::shape::Shape;
use super::unnamed;
use crate::error::ErrorKind;

/// What the target is called in the store that the engine's writers are given.
pub(crate) const OUT: &str = "out";

/// Asks for so many more bytes of memory; they are given back when the store is gone.
pub(crate) type Reserve = dyn Fn(usize) -> crate::error::Result<()> + Send + Sync;

/// Takes what is written at `OUT` or below it, and counts and hashes it.
///
/// On a local disk it goes into the staged file or directory. On an object store parts
/// travel at once, but an upload is completed only by who takes what is [`held`](Self::held),
/// and small objects are kept until then: engines' writers complete what they have when a
/// query fails.
#[derive(Clone)]
pub(super) struct FileStagingStore(Arc<Inner>);

struct Inner {
    area: StagingArea,
    /// The target, as messages call it.
    shown: String,
    hash: Hash,
    reserve: Box<Reserve>,
    bytes: Arc<AtomicU64>,
    state: Mutex<State>,
}

pub(super) enum StagingArea {
    /// A staged file, open.
    File(File, Durability),
    /// A staged directory.
    Folder(PathBuf, Durability),
    /// A store, and the key of the target.
    Store(Arc<dyn ObjectStore>, Path),
}

#[derive(Default)]
struct State {
    closed: bool,
    /// By their paths below the target.
    contents: BTreeMap<String, Arc<Mutex<Tally>>>,
    uploads: HashMap<String, Upload>,
    puts: HashMap<String, (PutPayload, PutOptions)>,
    /// Directories that were made in the staged one.
    folders: BTreeSet<PathBuf>,
    synced: Duration,
    /// Why the first of what failed did.
    failed: Option<crate::error::Error>,
}

impl FileStagingStore {
    pub(super) fn new(area: StagingArea, shown: String, hash: Hash, reserve: Box<Reserve>) -> Self {
        Self(Arc::new(Inner {
            area,
            shown,
            hash,
            reserve,
            bytes: Arc::default(),
            state: Mutex::default(),
        }))
    }

    /// Where it goes.
    pub(super) fn area(&self) -> &StagingArea {
        &self.0.area
    }

    /// Asks for so many more bytes of memory.
    pub(super) fn reserve(&self, bytes: usize) -> crate::error::Result<()> {
        (self.0.reserve)(bytes)
    }

    /// What was written, by the paths below the target, in their order.
    pub(super) fn contents(&self) -> Vec<(String, Content)> {
        let state = self.0.state.lock();
        let contents = state.contents.iter();
        contents
            .map(|(name, tally)| (name.clone(), tally.lock().content().clone()))
            .collect()
    }

    /// How many bytes have come so far.
    pub(super) fn bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.bytes)
    }

    /// Why the first write that failed did, once: the engine's writers may say less of it.
    pub(super) fn failure(&self) -> Option<crate::error::Error> {
        self.0.state.lock().failed.take()
    }

    /// How long the disk was waited for.
    pub(super) fn synced(&self) -> Duration {
        self.0.state.lock().synced
    }

    /// True once nothing more is taken.
    pub(super) fn is_closed(&self) -> bool {
        self.0.state.lock().closed
    }

    /// Refuses every write from here on.
    pub(super) fn close(&self) {
        self.0.state.lock().closed = true;
    }

    /// Makes the names in a staged directory durable, the innermost first.
    pub(super) fn sync_folders(&self) -> io::Result<()> {
        let StagingArea::Folder(root, Durability::Full) = &self.0.area else {
            return Ok(());
        };
        let folders = std::mem::take(&mut self.0.state.lock().folders);
        folders
            .iter()
            .rev()
            .try_for_each(|folder| sync_folder(folder))?;
        sync_folder(root)
    }

    /// Keeps a small object until its last step.
    pub(super) fn hold_put(&self, name: String, payload: PutPayload, options: PutOptions) {
        self.0.state.lock().puts.insert(name, (payload, options));
    }

    /// Keeps an upload until its last step. False if nothing more is taken: it is to be aborted.
    #[must_use]
    pub(super) fn hold_upload(&self, name: String, upload: &Upload) -> bool {
        let mut state = self.0.state.lock();
        if !state.closed {
            state.uploads.insert(name, Arc::clone(upload));
        }
        !state.closed
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
        matches!(self.0.area, StagingArea::Store(..)) && !self.0.state.lock().uploads.is_empty()
    }

    /// The path below the target, where nothing was written before, and what is to count it.
    pub(super) fn begin(&self, location: &Path) -> Result<(String, Arc<Mutex<Tally>>)> {
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
        let tally = Arc::new(Mutex::new(Tally::new(self.0.hash)));
        let inserted = Arc::clone(&tally);
        match state.contents.insert(name.to_owned(), inserted) {
            None => Ok((name.to_owned(), tally)),
            Some(_) => Err(generic("a file was written twice")),
        }
    }

    /// Keeps the first failure, and says it to the engine, too.
    pub(super) fn noted<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let error = self.explained(error);
            let text = error.to_string();
            let mut state = self.0.state.lock();
            // What fails after the end fails because of it.
            if !state.closed {
                state.failed.get_or_insert(error);
            }
            generic(text)
        })
    }

    fn explained(&self, error: Error) -> crate::error::Error {
        let shown = &self.0.shown;
        let staged = match &self.0.area {
            StagingArea::File(..) => None,
            StagingArea::Folder(path, _) => Some(path.display().to_string()),
            StagingArea::Store(..) => return explain(format!("cannot write {shown}"), error),
        };
        let cause = match error {
            Error::Generic { source, .. } => source.to_string(),
            error => error.to_string(),
        };
        // Nobody knows the hidden name.
        let cause = match staged {
            Some(staged) => cause.replace(&staged, shown),
            None => cause,
        };
        let what = match cause.contains(shown.as_str()) {
            true => cause,
            false => format!("cannot write {shown}: {cause}"),
        };
        crate::error::Error::new(ErrorKind::Storage, what)
    }

    pub(super) fn count(&self, payload: &PutPayload) {
        let bytes = payload.content_length() as u64;
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// None where it makes no difference.
    fn shape(&self) -> Option<Shape> {
        match self.0.area {
            StagingArea::File(..) => Some(Shape::File),
            StagingArea::Folder(..) => Some(Shape::Folder),
            StagingArea::Store(..) => None,
        }
    }

    /// The open file for `name`, which is the staged file or is to be in the staged directory.
    pub(super) fn open(&self, name: &str) -> io::Result<Opened> {
        match &self.0.area {
            StagingArea::File(file, _) => Ok(Opened {
                file: file.try_clone()?,
                path: PathBuf::from(&self.0.shown),
                name: Name::None,
            }),
            StagingArea::Folder(root, _) => {
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
                let folder = path.parent().unwrap_or(root);
                let (file, name) = match unnamed::open(folder, 0o666)? {
                    Some(file) => (file, Name::Later),
                    None => {
                        let mut options = OpenOptions::new();
                        options.read(true).write(true).create_new(true);
                        (options.open(&path)?, Name::Given)
                    }
                };
                Ok(Opened { file, path, name })
            }
            StagingArea::Store(..) => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    /// Makes the bytes of `file` durable. Never tried again on a failure.
    fn sync(&self, file: &File, path: &LocalPath) -> io::Result<()> {
        if let StagingArea::File(_, Durability::None) | StagingArea::Folder(_, Durability::None) =
            self.0.area
        {
            return Ok(());
        }
        let begun = Instant::now();
        step("copy-sync", path)?;
        let synced = tracing::info_span!("fsync").in_scope(|| file.sync_all());
        self.0.state.lock().synced += begun.elapsed();
        synced
    }

    /// Ends a file that is whole: gives it its name, and makes it durable.
    pub(super) fn end(&self, file: &File, path: &LocalPath, name: Name) -> io::Result<()> {
        // A file system need not make anything durable of a file that has no name.
        if name == Name::Later {
            unnamed::link(file, path)?;
        }
        self.sync(file, path)
    }

    /// Writes a whole file that is staged.
    pub(super) fn write(&self, name: &str, payload: &PutPayload) -> io::Result<()> {
        let Opened {
            mut file,
            path,
            name,
        } = self.open(name)?;
        step("copy-write", &path)
            .and_then(|()| payload.iter().try_for_each(|bytes| file.write_all(bytes)))
            .and_then(|()| self.end(&file, &path, name))
            .map_err(|error| cannot_write(path.display(), error))
    }
}

/// A file to be filled.
pub(super) struct Opened {
    pub(super) file: File,
    /// How messages call it, and where it is to be in the staged directory.
    pub(super) path: PathBuf,
    pub(super) name: Name,
}

/// When a file gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// By whoever publishes it.
    None,
    /// It has it already.
    Given,
    /// When it is whole.
    Later,
}

pub(super) fn written() -> PutResult {
    PutResult {
        e_tag: None,
        version: None,
    }
}

pub(super) fn generic(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic {
        store: "atio",
        source: error.into(),
    }
}

impl fmt::Display for FileStagingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a file that is being written")
    }
}

impl fmt::Debug for FileStagingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
