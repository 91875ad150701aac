//! Publishing on an object store, with what it offers; see the [module](super).

use std::collections::HashMap;

use atio_core::storage::{explain, is_refused, is_taken};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutPayload};

use super::content::{Content, Hash};
use super::held::{Held, give_up};
use super::marker::Marker;
use super::names;
use super::options::{Existing, FileOptions, Marking};
use super::publish::{Published, already_there, no_marker};
use super::shape::Shape;
use super::staging_store::{FileStagingStore, StagingArea};
use super::target::{StoreTarget, foreign, is_table};
use crate::error::{Error, ErrorKind, Result};

/// What became of an object whose last step was taken.
enum Completed {
    Yes,
    /// Another one was put there first.
    Taken,
}

/// What lies where an object was to be put.
enum Found {
    Nothing,
    /// Exactly what was written.
    Ours,
    Other,
}

/// What is to be known when the query has ended.
#[derive(Clone)]
pub(super) struct Remote {
    target: StoreTarget,
    shape: Shape,
    key: Path,
    /// The objects that were there, relative to the parent.
    old: Vec<String>,
}

impl Remote {
    /// None if the target is there and is to be left as it is.
    pub(super) async fn begin(
        target: &StoreTarget,
        shape: Shape,
        options: &FileOptions,
    ) -> Result<Option<(Self, StagingArea)>> {
        let old = find(target, shape).await?;
        if !old.is_empty() {
            match options.existing(shape) {
                Existing::Skip => return Ok(None),
                Existing::Fail => return Err(already_there(&target.shown)),
                Existing::Replace => check_ours(target, shape, options, &old).await?,
                Existing::Append => check_append(target, options, &old)?,
            }
        }
        let key = target.objects.key(&target.name)?;
        let area = StagingArea::Store(target.objects.store().clone(), key.clone());
        let remote = Self {
            target: target.clone(),
            shape,
            key,
            old,
        };
        Ok(Some((remote, area)))
    }

    pub(super) async fn publish(
        &mut self,
        staging: &FileStagingStore,
        marker: Option<&Marker>,
        options: &FileOptions,
    ) -> Result<Published> {
        let TargetObject {
            objects,
            name,
            shown,
        } = TargetObject::of(&self.target);
        // Once more: nothing keeps others out of a store.
        self.old = find(&self.target, self.shape).await?;
        if !self.old.is_empty() {
            match options.existing(self.shape) {
                Existing::Replace => {
                    check_ours(&self.target, self.shape, options, &self.old).await?;
                }
                Existing::Skip => {
                    staging.abort().await;
                    return Ok(Published::Skipped);
                }
                Existing::Fail => return Err(already_there(shown)),
                Existing::Append => check_append(&self.target, options, &self.old)?,
            }
        }
        if options.backup && self.shape == Shape::File && !self.old.is_empty() {
            self.back_up().await?;
        }
        let marked = names::marker(name);
        let mut old_marker = None;
        // Where nothing is to be changed it can only be that of one who came first.
        let existing = options.existing(self.shape);
        if matches!(existing, Existing::Replace | Existing::Append) {
            if !self.old.is_empty() {
                old_marker = match objects.get(&marked).await {
                    // What is too large for a marker is none, and is not put back.
                    Err(error) if error.kind() == ErrorKind::Damaged => None,
                    found => found?,
                };
            }
            objects.delete(&marked).await?;
        }
        let contents = staging.contents();
        let expected: HashMap<_, _> = contents
            .iter()
            .map(|(below, content)| (below.as_str(), content))
            .collect();
        let mut held = staging.held().await.into_iter();
        let mut shown_already = Vec::new();
        while let Some((below, last)) = held.next() {
            if self.shape == Shape::Folder {
                shown_already.push(format!("{name}/{below}"));
            }
            let content = expected.get(below.as_str()).copied();
            let completed = self.complete(&below, last, content, options).await;
            let failed = match completed {
                Ok(Completed::Yes) => None,
                Ok(Completed::Taken) if options.existing(self.shape) == Existing::Skip => {
                    return Ok(Published::Skipped);
                }
                Ok(Completed::Taken) => Some(already_there(shown)),
                Err(error) => Some(error),
            };
            if let Some(mut error) = failed {
                for (_, left) in held {
                    give_up(left).await;
                }
                // Beside the old rows there must not be some of the new ones.
                shown_already.retain(|new| !self.old.contains(new));
                let deleted = objects.delete_all(&shown_already).await;
                let left = deleted.into_iter().find_map(Result::err);
                // Where the old rows are there still, alone, they are complete.
                if left.is_none()
                    && error.kind() != ErrorKind::CommitUnknown
                    && let Some(bytes) = old_marker
                    && let Err(unmarked) = self.mark(bytes).await
                {
                    ::log::warn!("{shown} lost its marker: {unmarked}");
                }
                if let Some(left) = left {
                    let what = format!("{shown} holds some of the new files ({left})");
                    error = error.context(what);
                }
                return Err(error);
            }
        }
        if existing == Existing::Append && old_marker.is_some() {
            ::log::warn!(
                "{marked} is removed: files were added to the directory that it tells the files of"
            );
        }
        if self.shape == Shape::Folder && existing != Existing::Append {
            let new: Vec<_> = contents
                .iter()
                .map(|(below, _)| format!("{name}/{below}"))
                .collect();
            self.old.retain(|old| !new.contains(old));
            for deleted in objects.delete_all(&self.old).await {
                deleted.map_err(|error| {
                    error.context(format!("{shown} is written, but holds old files, too"))
                })?;
            }
        }
        if let Some(marker) = marker {
            let marked = self.mark(marker.to_bytes()?.into()).await;
            marked.map_err(|error| {
                error.context(format!(
                    "{shown} is written and complete, but its marker is not"
                ))
            })?;
        }
        Ok(Published::Yes)
    }

    /// Puts the marker. An answer that is lost is no failure if the marker is there.
    async fn mark(&self, bytes: Bytes) -> Result<()> {
        let TargetObject {
            objects,
            name,
            shown,
        } = TargetObject::of(&self.target);
        let marker = names::marker(name);
        let key = objects.key(&marker)?;
        let Err(error) = objects.store().put(&key, bytes.clone().into()).await else {
            return Ok(());
        };
        if let Ok(Some(found)) = objects.get(&marker).await
            && found == bytes
        {
            return Ok(());
        }
        Err(explain(
            format!("cannot write the marker of {shown}"),
            error,
        ))
    }

    /// Makes one object visible. An upload that cannot be completed is given up.
    ///
    /// An error says nothing of what was done: only what lies there does. Where that is not
    /// what was written, the object may still come.
    async fn complete(
        &self,
        below: &str,
        held: Held,
        content: Option<&Content>,
        options: &FileOptions,
    ) -> Result<Completed> {
        let key = match below {
            "" => self.key.clone(),
            below => Path::parse(format!("{}/{below}", self.key)).map_err(|error| {
                Error::invalid(format!("'{below}' is not a usable name")).with_source(error)
            })?,
        };
        let put = match &held {
            Held::Put(payload, _) => Some(payload.clone()),
            Held::Upload(_) => None,
        };
        let completed = match held {
            Held::Upload(mut upload) => match upload.complete().await {
                Ok(done) => Ok(done),
                Err(error) => {
                    give_up(Held::Upload(upload)).await;
                    Err(error)
                }
            },
            Held::Put(payload, mut put) => {
                // Names in a directory are new ones.
                if matches!(
                    options.existing(self.shape),
                    Existing::Fail | Existing::Skip
                ) {
                    put.mode = PutMode::Create;
                }
                let store = self.target.objects.store();
                store.put_opts(&key, payload, put).await
            }
        };
        let Err(error) = completed else {
            return Ok(Completed::Yes);
        };
        let shown = match below {
            "" => self.target.shown.clone(),
            below => format!("{}/{below}", self.target.shown),
        };
        // Also where another object is said to be there: clients ask again by themselves when
        // an answer is lost, and then it may be ours.
        let mut found = match content {
            Some(content) => self.look(below, &key, content, options.hash).await,
            None => Ok(Found::Nothing),
        };
        // In one piece it is there to be compared.
        if let (Ok(Found::Ours), Some(put)) = (&found, put) {
            found = self.compare(&key, &put).await;
        }
        let refused = is_refused(&error);
        let alone = self.shape == Shape::File && options.existing(self.shape) != Existing::Replace;
        match found {
            Ok(Found::Ours) => Ok(Completed::Yes),
            Ok(Found::Other) if alone && is_taken(&error) => Ok(Completed::Taken),
            Ok(_) if refused || is_taken(&error) => {
                Err(explain(format!("cannot write {shown}"), error))
            }
            Err(_) if refused => Err(explain(format!("cannot write {shown}"), error)),
            _ => {
                let hash = content.map(Content::hash).unwrap_or_default();
                let what = format!(
                    "it is not known whether {shown} was written, and it may still be: its content is {hash} if it was; look before you write it again"
                );
                let cause = explain("no answer", error);
                Err(Error::new(ErrorKind::CommitUnknown, what).with_source(cause))
            }
        }
    }

    /// What the object is, by its size and its hash.
    async fn look(&self, below: &str, key: &Path, content: &Content, hash: Hash) -> Result<Found> {
        let (objects, name) = (&self.target.objects, &self.target.name);
        let found = match below {
            "" => objects.exists(name).await?,
            below => objects.exists(&format!("{name}/{below}")).await?,
        };
        if !found {
            return Ok(Found::Nothing);
        }
        let unread = |error| explain(format!("cannot read {key} back"), error);
        let found = objects.store().get(key).await.map_err(unread)?;
        if found.meta.size != content.size {
            return Ok(Found::Other);
        }
        let found = found
            .into_stream()
            .try_fold(Content::new(hash), |mut found, bytes| {
                found.append(&bytes);
                futures::future::ready(Ok(found))
            });
        Ok(
            match found.await.map_err(unread)?.hash() == content.hash() {
                true => Found::Ours,
                false => Found::Other,
            },
        )
    }

    /// What the object is, byte by byte.
    async fn compare(&self, key: &Path, put: &PutPayload) -> Result<Found> {
        let unread = |error| explain(format!("cannot read {key} back"), error);
        let found = self.target.objects.store().get(key).await.map_err(unread)?;
        let found = found.bytes().await.map_err(unread)?;
        let bytes = put.iter().flat_map(|bytes| bytes.iter());
        Ok(match found.iter().eq(bytes) {
            true => Found::Ours,
            false => Found::Other,
        })
    }

    /// A crash leaves no marker beside what it does not describe.
    async fn back_up(&self) -> Result<()> {
        let (objects, name) = (&self.target.objects, &self.target.name);
        objects.delete(&names::backup_marker(name)).await?;
        copy(objects, name, &names::backup(name)).await?;
        copy(objects, &names::marker(name), &names::backup_marker(name)).await
    }
}

/// The parts of a target, by name.
struct TargetObject<'a> {
    objects: &'a atio_core::storage::Objects,
    name: &'a str,
    shown: &'a str,
}

impl<'a> TargetObject<'a> {
    fn of(target: &'a StoreTarget) -> Self {
        Self {
            objects: &target.objects,
            name: &target.name,
            shown: &target.shown,
        }
    }
}

/// Copies an object; if there is none there is none at `to` afterwards.
pub(super) async fn copy(
    objects: &atio_core::storage::Objects,
    from: &str,
    to: &str,
) -> Result<()> {
    if !objects.exists(from).await? {
        return objects.delete(to).await;
    }
    let (from_key, to_key) = (objects.key(from)?, objects.key(to)?);
    let copied = objects.store().copy(&from_key, &to_key).await;
    copied.map_err(|error| explain(format!("cannot copy {from} to {to}"), error))
}

/// The objects of the target, relative to the parent.
async fn find(target: &StoreTarget, shape: Shape) -> Result<Vec<String>> {
    match shape {
        Shape::File => match target.objects.exists(&target.name).await? {
            true => Ok(vec![target.name.clone()]),
            false => Ok(Vec::new()),
        },
        Shape::Folder => {
            let listed = target.objects.list(&target.name).await?;
            Ok(listed.into_iter().map(|object| object.path).collect())
        }
    }
}

/// The name of an object below the target.
fn below<'a>(target: &StoreTarget, path: &'a str) -> &'a str {
    path.strip_prefix(&target.name)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or_default()
}

fn check_append(target: &StoreTarget, options: &FileOptions, old: &[String]) -> Result<()> {
    check_no_table(target, old)?;
    match options.marker {
        Marking::Off => Ok(()),
        _ => Err(no_marker(&target.shown)),
    }
}

fn check_no_table(target: &StoreTarget, old: &[String]) -> Result<()> {
    match is_table(old.iter().map(|path| below(target, path))) {
        false => Ok(()),
        true => Err(Error::invalid(format!(
            "{} is a table of atio: use INSERT INTO or INSERT OVERWRITE",
            target.shown
        ))),
    }
}

async fn check_ours(
    target: &StoreTarget,
    shape: Shape,
    options: &FileOptions,
    old: &[String],
) -> Result<()> {
    if shape == Shape::File {
        return Ok(());
    }
    check_no_table(target, old)?;
    let names: Vec<_> = old.iter().map(|path| below(target, path)).collect();
    if options.if_exists.is_some() {
        return Ok(());
    }
    let name = names::marker(&target.name);
    let marker = target.objects.get(&name).await?;
    let marker = marker.and_then(|bytes| Marker::parse(&bytes, &name).ok());
    match marker.is_some_and(|marker| marker.names_all(names.iter().copied())) {
        true => Ok(()),
        false => Err(foreign(&target.shown)),
    }
}
