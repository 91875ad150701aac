//! One write, from its beginning to its end.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use atio_core::storage::blocking;
use chrono::Utc;
use object_store::ObjectStore;

use super::folders::MadeFolders;
use super::leftovers::clean_target;
use super::marker::Marker;
use super::mode::keep_mode;
use super::options::{Existing, FileOptions, Marking};
use super::publish::{self, OnDisk, Published, Staged};
use super::remote::Remote;
use super::shape::Shape;
use super::staged::{StagedFile, StagedFolder};
use super::staging_store::{FileStagingStore, Reserve, StagingArea};
use super::target::{FileTarget, LocalTarget};
use crate::error::{Error, ErrorKind, Result};

/// How often a directory that was made may be taken away before something is made in it.
const TRIES: usize = 16;

/// How a write begins.
pub(crate) enum Begun {
    /// The target is there and is to be left as it is.
    Skip,
    Write(Box<FileWrite>),
}

/// A write that nobody sees yet. Dropping it leaves the old target as it was.
#[must_use = "a write that is not finished is given up"]
pub(crate) struct FileWrite {
    target: FileTarget,
    shape: Shape,
    options: FileOptions,
    staging: FileStagingStore,
    stage: Stage,
    /// What is held belongs to the task that publishes it, which runs to its end.
    handed_over: bool,
}

enum Stage {
    Disk(Option<OnDisk>),
    Store(Remote),
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) rows: u64,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// How long the disk was waited for to make files durable.
    pub(crate) synced: Duration,
    /// How long it took to publish them, after that.
    pub(crate) published: Duration,
}

impl FileWrite {
    /// Looks at the target, and makes what is to be filled. What must be kept in memory until
    /// the end is asked for by `reserve`.
    pub(crate) async fn begin(
        target: &FileTarget,
        shape: Shape,
        options: &FileOptions,
        reserve: Box<Reserve>,
    ) -> Result<Begun> {
        let (stage, area) = match target {
            FileTarget::Disk(local) => {
                let (local, options) = (local.clone(), options.clone());
                match run_on_disk(move || begin(&local, shape, &options)).await? {
                    None => return Ok(Begun::Skip),
                    Some((on_disk, area)) => (Stage::Disk(Some(on_disk)), area),
                }
            }
            FileTarget::Store(store) => match Remote::begin(store, shape, options).await? {
                None => return Ok(Begun::Skip),
                Some((remote, area)) => (Stage::Store(remote), area),
            },
        };
        Ok(Begun::Write(Box::new(Self {
            target: target.clone(),
            shape,
            options: options.clone(),
            staging: FileStagingStore::new(area, target.shown(), options.hash, reserve),
            stage,
            handed_over: false,
        })))
    }

    /// The store that takes the file as [`OUT`](super::OUT), or the files of the directory below it.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.staging.clone())
    }

    /// How many bytes have been written so far.
    pub(crate) fn bytes(&self) -> Arc<AtomicU64> {
        self.staging.bytes()
    }

    /// Why the first write to the disk or store that failed did; None if none has.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.staging.failure()
    }

    /// Publishes what was written, which is all of it. Runs to its end even if the caller
    /// stops waiting.
    pub(crate) async fn finish(mut self, rows: u64) -> Result<Written> {
        self.staging.close();
        if let Some(failure) = self.staging.failure() {
            self.abort().await;
            return Err(failure);
        }
        let begun = Instant::now();
        let contents = self.staging.contents();
        if self.shape == Shape::File && contents.len() != 1 {
            let what = format!("the writer of {} wrote no file", self.target.shown());
            return Err(Error::new(ErrorKind::Storage, what));
        }
        let written = Written {
            rows,
            files: contents.len(),
            bytes: contents.iter().map(|(_, content)| content.size).sum(),
            synced: self.staging.synced(),
            published: Duration::ZERO,
        };
        let marked = self.options.marker != Marking::Off;
        let marker = marked.then(|| {
            let name = match &self.target {
                FileTarget::Disk(target) => &target.name,
                FileTarget::Store(target) => &target.name,
            };
            Marker::new(
                name,
                self.shape,
                &contents,
                self.options.hash,
                rows,
                Utc::now(),
            )
        });
        let published = match &mut self.stage {
            Stage::Store(remote) => {
                let mut remote = remote.clone();
                let (staging, options) = (self.staging.clone(), self.options.clone());
                self.handed_over = true;
                let done = tokio::spawn(async move {
                    let published = remote.publish(&staging, marker.as_ref(), &options).await;
                    if published.is_err() {
                        staging.abort().await;
                    }
                    published
                });
                done.await
                    .unwrap_or_else(|error| Err(unknown(&self.target, error)))?
            }
            Stage::Disk(on_disk) => {
                let (FileTarget::Disk(target), Some(on_disk)) = (&self.target, on_disk.take())
                else {
                    return Err(Error::invalid("a write cannot be finished twice"));
                };
                let target = target.clone();
                let (options, staging) = (self.options.clone(), self.staging.clone());
                let done = blocking(move || {
                    let synced = staging
                        .sync_folders()
                        .map_err(|error| target.cannot("write", error));
                    Ok(synced.and_then(|()| {
                        publish::publish(&target, on_disk, marker.as_ref(), &options)
                    }))
                });
                done.await
                    .unwrap_or_else(|error| Err(unknown(&self.target, error)))?
            }
        };
        Ok(match published {
            Published::Skipped => Written::default(),
            Published::Yes => Written {
                published: begun.elapsed(),
                ..written
            },
        })
    }

    /// Gives up, and waits until nothing is left of it.
    pub(crate) async fn abort(mut self) {
        self.staging.close();
        self.staging.abort().await;
        if let Stage::Disk(staged) = &mut self.stage {
            let staged = staged.take();
            run_on_disk(move || {
                drop(staged);
                Ok(())
            })
            .await
            .ok();
        }
    }
}

impl Drop for FileWrite {
    fn drop(&mut self) {
        self.staging.close();
        if self.handed_over || !self.staging.has_uploads() {
            return;
        }
        // Without a runtime nobody can wait for the store.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let staging = self.staging.clone();
            runtime.spawn(async move { staging.abort().await });
        }
    }
}

/// None if the target is to be left as it is.
fn begin(
    target: &LocalTarget,
    shape: Shape,
    options: &FileOptions,
) -> Result<Option<(OnDisk, StagingArea)>> {
    let old = publish::look(target, shape, options)?;
    if old.is_some() && options.existing(shape) == Existing::Skip {
        return Ok(None);
    }
    let mut made = MadeFolders::default();
    let make = |made: &mut MadeFolders| {
        made.make(&target.folder, options.durability)
            .map_err(|error| target.cannot("make the directory of", error))
    };
    make(&mut made)?;
    let appends = shape == Shape::Folder && options.existing(shape) == Existing::Append;
    clean_target(target, appends)?;
    let begun = || -> std::io::Result<(Staged, StagingArea)> {
        Ok(match shape {
            Shape::File => {
                let staged = StagedFile::new(target, old.is_some())?;
                if let Some(old) = &old {
                    keep_mode(staged.as_file(), old)?;
                }
                let area = StagingArea::File(staged.as_file().try_clone()?, options.durability);
                (Staged::File(staged), area)
            }
            Shape::Folder => {
                let staged = match &old {
                    Some(_) if options.existing(shape) == Existing::Append => {
                        StagedFolder::adding_to(target)?
                    }
                    _ => StagedFolder::new(target)?,
                };
                let area = StagingArea::Folder(staged.path().to_owned(), options.durability);
                (Staged::Folder(staged), area)
            }
        })
    };
    let mut staged = begun();
    for _ in 0..TRIES {
        match &staged {
            // Another statement that made the directory failed, and took it away just now.
            Err(error) if is_removed(error) => {
                make(&mut made)?;
                staged = begun();
            }
            _ => break,
        }
    }
    let (staged, area) = staged.map_err(|error| {
        let what = format!(
            "cannot write {}: no file can be made in its directory",
            target.path().display()
        );
        Error::new(ErrorKind::Storage, what).with_source(error)
    })?;
    Ok(Some((OnDisk { staged, made }, area)))
}

/// True if a directory may have been removed while something was made in it, which Linux also
/// calls EPERM.
fn is_removed(error: &std::io::Error) -> bool {
    const EPERM: i32 = 1;
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(EPERM)
}

async fn run_on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = blocking(move || Ok(work())).await;
    done.unwrap_or_else(|error| Err(cut_off(error)))
}

fn cut_off(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Storage, "a write was cut off").with_source(error)
}

/// The error of a task that ended while it published.
fn unknown(
    target: &FileTarget,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let what = format!(
        "it is not known whether {} was written: publishing it was cut off; look before you write it again",
        target.shown()
    );
    Error::new(ErrorKind::CommitUnknown, what).with_source(error)
}
