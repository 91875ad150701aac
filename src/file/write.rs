//! One write, from its beginning to its end.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use chrono::Utc;
use object_store::ObjectStore;

use super::intake::{Intake, Place, Reserve};
use super::leftovers::clean_target;
use super::marker::Marker;
use super::mode::keep_mode;
use super::options::{Existing, FileOptions};
use super::publish::{self, Published};
use super::remote::Remote;
use super::staged::Staged;
use super::target::{LocalTarget, Shape, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::log::blocking;

/// What the target is called in the store that the engine's writers are given.
pub(crate) const OUT: &str = "out";

/// How a write begins.
pub(crate) enum Begun {
    /// The target is there and is to be left as it is.
    Skip,
    Write(Box<FileWrite>),
}

/// A write that nobody sees yet. Dropping it leaves the old target as it was.
#[must_use = "a write that is not finished is given up"]
pub(crate) struct FileWrite {
    target: Target,
    shape: Shape,
    options: FileOptions,
    intake: Intake,
    stage: Stage,
    /// What is held belongs to the task that publishes it, which runs to its end.
    handed_over: bool,
}

enum Stage {
    Disk(Option<Staged>),
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
        target: &Target,
        shape: Shape,
        options: &FileOptions,
        reserve: Box<Reserve>,
    ) -> Result<Begun> {
        let (stage, place) = match target {
            Target::Disk(local) => {
                let (local, options) = (local.clone(), options.clone());
                match on_disk(move || begin(&local, shape, &options)).await? {
                    None => return Ok(Begun::Skip),
                    Some((staged, place)) => (Stage::Disk(Some(staged)), place),
                }
            }
            Target::Store(store) => match Remote::begin(store, shape, options).await? {
                None => return Ok(Begun::Skip),
                Some((remote, place)) => (Stage::Store(remote), place),
            },
        };
        Ok(Begun::Write(Box::new(Self {
            target: target.clone(),
            shape,
            options: options.clone(),
            intake: Intake::new(place, target.shown(), options.hash, reserve),
            stage,
            handed_over: false,
        })))
    }

    /// The store that takes the file as [`OUT`], or the files of the directory below it.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.intake.clone())
    }

    /// How many bytes have been written so far.
    pub(crate) fn bytes(&self) -> Arc<AtomicU64> {
        self.intake.bytes()
    }

    /// Why the first write to the disk or store that failed did; None if none has.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.intake.failure()
    }

    /// Publishes what was written, which is all of it. Runs to its end even if the caller
    /// stops waiting.
    pub(crate) async fn finish(mut self, rows: u64) -> Result<Written> {
        self.intake.close();
        if let Some(failure) = self.intake.failure() {
            self.abort().await;
            return Err(failure);
        }
        let begun = Instant::now();
        let contents = self.intake.contents();
        if self.shape == Shape::File && contents.len() != 1 {
            let what = format!("the writer of {} wrote no file", self.target.shown());
            return Err(Error::new(ErrorKind::Storage, what));
        }
        let written = Written {
            rows,
            files: contents.len(),
            bytes: contents.iter().map(|(_, content)| content.size).sum(),
            synced: self.intake.synced(),
            published: Duration::ZERO,
        };
        let marker = self.options.marker.then(|| {
            let name = match &self.target {
                Target::Disk(target) => &target.name,
                Target::Store(target) => &target.name,
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
                let (intake, options) = (self.intake.clone(), self.options.clone());
                self.handed_over = true;
                let done = tokio::spawn(async move {
                    let published = remote.publish(&intake, marker.as_ref(), &options).await;
                    if published.is_err() {
                        intake.abort().await;
                    }
                    published
                });
                done.await
                    .unwrap_or_else(|error| Err(unknown(&self.target, error)))?
            }
            Stage::Disk(staged) => {
                let (Target::Disk(target), Some(staged)) = (&self.target, staged.take()) else {
                    return Err(Error::invalid("a write cannot be finished twice"));
                };
                let (target, shape) = (target.clone(), self.shape);
                let (options, intake) = (self.options.clone(), self.intake.clone());
                let done = blocking(move || {
                    let synced = intake
                        .sync_folders()
                        .map_err(|error| target.cannot("write", error));
                    Ok(synced.and_then(|()| {
                        publish::publish(&target, shape, staged, marker.as_ref(), &options)
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
        self.intake.close();
        self.intake.abort().await;
        if let Stage::Disk(staged) = &mut self.stage {
            let staged = staged.take();
            on_disk(move || {
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
        self.intake.close();
        if self.handed_over || !self.intake.has_uploads() {
            return;
        }
        // Without a runtime nobody can wait for the store.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let intake = self.intake.clone();
            runtime.spawn(async move { intake.abort().await });
        }
    }
}

fn begin(
    target: &LocalTarget,
    shape: Shape,
    options: &FileOptions,
) -> Result<Option<(Staged, Place)>> {
    let old = publish::look(target, shape, options)?;
    if old.is_some() && options.existing() == Existing::Skip {
        return Ok(None);
    }
    clean_target(target);
    let begun = || -> std::io::Result<(Staged, Place)> {
        match shape {
            Shape::File => {
                let staged = match &old {
                    None => Staged::file(target)?,
                    Some(old) => {
                        let staged = Staged::private_file(target)?;
                        keep_mode(staged.as_file(), old)?;
                        staged
                    }
                };
                let path = staged.path().to_owned();
                let place = Place::File(path, staged.as_file().try_clone()?, options.durability);
                Ok((staged, place))
            }
            Shape::Folder => {
                let staged = Staged::folder(target)?;
                let place = Place::Folder(staged.path().to_owned(), options.durability);
                Ok((staged, place))
            }
        }
    };
    begun().map(Some).map_err(|error| {
        let what = format!(
            "cannot write {}: no file can be made in its directory",
            target.path().display()
        );
        Error::new(ErrorKind::Storage, what).with_source(error)
    })
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = blocking(move || Ok(work())).await;
    done.unwrap_or_else(|error| Err(cut_off(error)))
}

fn cut_off(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Storage, "a write was cut off").with_source(error)
}

/// The error of a task that ended while it published.
fn unknown(target: &Target, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let what = format!(
        "it is not known whether {} was written: publishing it was cut off; look before you write it again",
        target.shown()
    );
    Error::new(ErrorKind::CommitUnknown, what).with_source(error)
}
