//! The writes of one transaction to a local disk.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path as LocalPath, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use super::disk::{Disk, PublishMode, blocking, open_folder};
use super::error::{cannot_write, generic};
use super::step::step;
use super::unsynced::Unsynced;
use super::upload::LocalUpload;
use crate::error::{Error, ErrorKind};
use crate::format::{Txn, layout};
use crate::lock::lock;
use crate::storage::objects::Created;

/// Writes in a directory of its own, renames, and syncs before the record; see the
/// [module](super).
///
/// As an `ObjectStore` it takes the data files: each has a name that nobody else uses.
#[derive(Debug, Clone)]
pub(crate) struct LocalWriter(Arc<Writer>);

#[derive(Debug)]
struct Writer {
    disk: Disk,
    /// `_atio_tmp/<txn>`.
    staging: String,
    /// Before the names of files there, where others write for the same transaction: then what
    /// has another is theirs.
    prefix: Option<String>,
    stage: Mutex<Stage>,
    files: AtomicU32,
    unsynced: Unsynced,
    /// For what a writer of data files reads back.
    read: Arc<dyn ObjectStore>,
}

/// How far a transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    /// Its directory was made.
    Begun,
    /// Its directory was removed, for good.
    Ended,
}

impl LocalWriter {
    /// Nothing is made before the first write. `read` shows the table from its root.
    /// `shared` tells it apart from others that write for the same transaction.
    pub(crate) fn new(
        disk: Disk,
        (txn, shared): (Txn, Option<u64>),
        read: Arc<dyn ObjectStore>,
    ) -> Self {
        Self(Arc::new(Writer {
            disk,
            staging: format!("{}/{txn}", layout::STAGING),
            prefix: shared.map(|shared| format!("{shared}-")),
            stage: Mutex::new(Stage::New),
            files: AtomicU32::new(0),
            unsynced: Unsynced::default(),
            read,
        }))
    }

    /// Makes the directory of the transaction.
    pub(crate) async fn begin(&self) -> io::Result<()> {
        let writer = Arc::clone(&self.0);
        blocking(move || writer.begin()).await
    }

    /// Creates the object unless it is there.
    pub(crate) async fn create(&self, name: &str, bytes: Bytes) -> Created {
        let (writer, owned) = (Arc::clone(&self.0), name.to_owned());
        let created = blocking(move || Ok(writer.create(&owned, &bytes))).await;
        created.unwrap_or_else(|error| Created::Unclear(generic(error)))
    }

    /// Writes the object, whatever is there. Its bytes are durable before it has its name, if it
    /// is `durable`; else a power failure may leave an empty file.
    pub(crate) async fn replace(&self, name: &str, bytes: Bytes, durable: bool) -> io::Result<()> {
        let (writer, name) = (Arc::clone(&self.0), name.to_owned());
        blocking(move || {
            let (file, staged) = writer.stage(&bytes)?;
            if durable {
                writer.sync_staged(&file, &staged)?;
            }
            let to = writer.target(&name)?;
            writer.publish(&staged, &to, PublishMode::Over)
        })
        .await
    }

    /// Makes the names of commit records durable that are there.
    pub(crate) async fn sync_records(&self) -> io::Result<()> {
        let writer = Arc::clone(&self.0);
        blocking(move || writer.sync_records()).await
    }

    /// Makes all that was written durable, and the names of it.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        let writer = Arc::clone(&self.0);
        blocking(move || writer.unsynced.sync(&writer.disk, None)).await
    }

    /// True if the directory of the transaction was made and somebody removed it.
    pub(crate) fn is_gone(&self) -> bool {
        let staging = self.0.disk.path(&self.0.staging);
        // What others write for the same transaction ends when one of them has committed it.
        self.0.prefix.is_none()
            && *lock(&self.0.stage) == Stage::Begun
            && std::fs::symlink_metadata(staging)
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Closes what is still to be made durable: no version will name it.
    pub(crate) fn forget_files(&self) {
        self.0.unsynced.forget_files();
    }

    /// Removes the directory of the transaction; what cannot be removed expiry finds. Where others
    /// write for it too, it goes only once the transaction is `committed`.
    pub(crate) async fn finish(&self, committed: bool) {
        let writer = Arc::clone(&self.0);
        let finished = blocking(move || writer.finish(committed)).await;
        if let Err(error) = finished {
            ::log::warn!(
                "{} stays behind until expiry finds it: {error}",
                self.0.staging
            );
        }
    }
}

impl Writer {
    fn begin(&self) -> io::Result<()> {
        let mut stage = lock(&self.stage);
        match *stage {
            Stage::Begun => return Ok(()),
            // What a statement that was given up still had under way.
            Stage::Ended => {
                return Err(io::Error::other("the statement that writes this has ended"));
            }
            Stage::New => {}
        }
        if let Some(link) = self.disk.link(&self.staging) {
            return Err(symlink(&link));
        }
        self.disk.make_folder(layout::STAGING)?;
        self.disk.make_folder(&self.staging)?;
        *stage = Stage::Begun;
        Ok(())
    }

    /// Begins a file that is in nobody's way.
    fn file(&self) -> io::Result<(File, PathBuf)> {
        self.begin()?;
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let path = self
            .disk
            .path(&format!("{}/{prefix}{number}", self.staging));
        Ok((self.disk.begin(&path)?, path))
    }

    /// Writes a whole file, but neither durably nor under its name.
    fn stage(&self, bytes: &[u8]) -> io::Result<(File, PathBuf)> {
        let (mut file, path) = self.file()?;
        let written = step("write-file", &path).and_then(|()| file.write_all(bytes));
        match written {
            Ok(()) => Ok((file, path)),
            Err(error) => {
                std::fs::remove_file(&path).ok();
                Err(error)
            }
        }
    }

    /// Makes a staged file durable; if that fails it is removed.
    fn sync_staged(&self, file: &File, staged: &LocalPath) -> io::Result<()> {
        self.disk.sync_file(file, staged).inspect_err(|_| {
            std::fs::remove_file(staged).ok();
        })
    }

    /// Where the object called `name` goes. A data file's directory is made.
    fn target(&self, name: &str) -> io::Result<PathBuf> {
        if let Some(link) = self.disk.link(name) {
            return Err(symlink(&link));
        }
        // First of all, for it is by this directory that an expiry finds the others.
        self.begin()?;
        if let Some(rest) = name.strip_prefix(layout::DATA)
            && let Some((folder, _)) = rest.trim_start_matches('/').rsplit_once('/')
        {
            for (folder, above) in [
                (layout::DATA.to_owned(), self.disk.path("")),
                (
                    format!("{}/{folder}", layout::DATA),
                    self.disk.path(layout::DATA),
                ),
            ] {
                if self.disk.make_folder(&folder)? {
                    self.unsynced.add_folder(above);
                }
            }
        }
        Ok(self.disk.path(name))
    }

    /// Puts a staged file under its name; if that fails it is removed.
    fn publish(&self, staged: &LocalPath, to: &LocalPath, mode: PublishMode<'_>) -> io::Result<()> {
        let published = self.disk.publish(staged, to, mode);
        match (&published, to.parent()) {
            (Ok(()), Some(folder)) => {
                self.unsynced.add_folder(folder.to_owned());
            }
            _ => {
                std::fs::remove_file(staged).ok();
            }
        }
        published
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Created {
        let record = layout::parse(name)
            .is_some_and(|object| matches!(object.kind, layout::Kind::Record(_)));
        match record {
            true => self.create_record(name, bytes),
            false => self.create_unsynced(name, bytes),
        }
    }

    /// Creates an object that a record is to name: it is durable when that is.
    fn create_unsynced(&self, name: &str, bytes: &[u8]) -> Created {
        let to = self.target(name);
        let staged = to.and_then(|to| Ok((self.stage(bytes)?, to)));
        let ((file, staged), to) = match staged {
            Ok(staged) => staged,
            Err(error) => return Created::Refused(refused(name, error)),
        };
        match self.publish(&staged, &to, PublishMode::New) {
            Ok(()) => match self.unsynced.add_file(&self.disk, file, to) {
                Ok(()) => Created::Yes(None),
                Err(error) => Created::Unclear(generic(error)),
            },
            Err(error) => unpublished(name, &to, error),
        }
    }

    /// Makes all that the record names durable, and the record, and then gives that its name.
    fn create_record(&self, name: &str, bytes: &[u8]) -> Created {
        let staged = self.target(name).and_then(|to| {
            let (file, staged) = self.stage(bytes)?;
            // An attempt that was given up may still be at it: the record waits for that.
            let synced = self.unsynced.sync(&self.disk, Some((&file, &staged)));
            let records = synced.and_then(|()| self.open_records());
            let records = records.inspect_err(|_| {
                std::fs::remove_file(&staged).ok();
            })?;
            Ok((staged, to, records))
        });
        let (staged, to, records) = match staged {
            Ok(staged) => staged,
            Err(error) => return Created::Refused(refused(name, error)),
        };
        // A DROP may set the table aside at any moment. The record is then in that table, and its
        // name durable there, or nowhere.
        let mode = records
            .as_ref()
            .map_or(PublishMode::New, PublishMode::NewIn);
        match self.publish(&staged, &to, mode) {
            Ok(()) => match self.sync_open_records(records.as_ref()) {
                Ok(()) => Created::Yes(None),
                Err(error) => Created::Unclear(generic(error)),
            },
            Err(error) => unpublished(name, &to, error),
        }
    }

    /// The directory of the records; None where a directory cannot be opened.
    fn open_records(&self) -> io::Result<Option<File>> {
        open_folder(&self.disk.path(layout::METADATA))
    }

    fn sync_open_records(&self, records: Option<&File>) -> io::Result<()> {
        let folder = self.disk.path(layout::METADATA);
        self.unsynced.sync_open(&self.disk, records, &folder)
    }

    fn sync_records(&self) -> io::Result<()> {
        let folder = self.disk.path(layout::METADATA);
        self.unsynced.sync_folder(&self.disk, &folder)
    }

    fn finish(&self, committed: bool) -> io::Result<()> {
        let mut stage = lock(&self.stage);
        if std::mem::replace(&mut *stage, Stage::Ended) != Stage::Begun {
            return Ok(());
        }
        if self.prefix.is_none() || committed {
            // Before the directory by which an expiry would find it.
            self.disk.remove_if_empty(&self.staging);
        }
        let folder = self.disk.path(&self.staging);
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        for file in std::fs::read_dir(&folder).into_iter().flatten() {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with(prefix) {
                gone(std::fs::remove_file(file.path()))?;
            }
        }
        match (&self.prefix, committed) {
            (None, _) => gone(std::fs::remove_dir(&folder)),
            // Others may have begun to write.
            (Some(_), true) => {
                std::fs::remove_dir(&folder).ok();
                Ok(())
            }
            (Some(_), false) => Ok(()),
        }
    }
}

/// What it means that a staged file did not get its name.
fn unpublished(name: &str, to: &LocalPath, error: io::Error) -> Created {
    match is_definite(&error, to) {
        true => Created::Refused(refused(name, error)),
        false => Created::Unclear(generic(error)),
    }
}

/// True if the file system refused and nothing can have happened.
fn is_definite(error: &io::Error, to: &LocalPath) -> bool {
    use io::ErrorKind::*;
    let refused = matches!(
        error.kind(),
        PermissionDenied
            | ReadOnlyFilesystem
            | StorageFull
            | QuotaExceeded
            | Unsupported
            | InvalidFilename
            | NotADirectory
            | NotFound
    );
    // Over a network a rename may be sent twice, and the answer be that of the second time.
    refused && std::fs::symlink_metadata(to).is_err_and(|error| error.kind() == NotFound)
}

fn refused(name: &str, error: io::Error) -> Error {
    match error.kind() {
        // Directories are never removed from a table that is there.
        io::ErrorKind::NotFound => Error::new(
            ErrorKind::Conflict,
            "the table was dropped while this statement ran; nothing was written",
        ),
        io::ErrorKind::Unsupported => {
            Error::new(ErrorKind::UnsafeStore, format!("cannot write {name}")).with_source(error)
        }
        _ => Error::new(ErrorKind::Storage, format!("cannot write {name}")).with_source(error),
    }
}

fn symlink(link: &LocalPath) -> io::Error {
    let what = format!(
        "{} is a symbolic link, which is not followed",
        link.display()
    );
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[async_trait]
impl ObjectStore for LocalWriter {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        _: PutOptions,
    ) -> object_store::Result<PutResult> {
        let bytes = Bytes::from(payload);
        match self.create(location.as_ref(), bytes).await {
            Created::Yes(_) => Ok(PutResult {
                e_tag: None,
                version: None,
            }),
            Created::Refused(error) => Err(StoreError::Generic {
                store: "the local disk",
                source: error.into(),
            }),
            Created::Unclear(error) => Err(generic(cannot_write(location.as_ref(), error))),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let writer = Arc::clone(&self.0);
        let (file, staged) = blocking(move || writer.file()).await.map_err(generic)?;
        let (writer, name) = (Arc::clone(&self.0), location.as_ref().to_owned());
        let publish = move |file: File, staged: &LocalPath| {
            let publish = || {
                let to = writer.target(&name)?;
                writer.publish(staged, &to, PublishMode::New)?;
                writer.unsynced.add_file(&writer.disk, file, to)
            };
            publish().map_err(|error| cannot_write(&name, error))
        };
        Ok(Box::new(LocalUpload::new(file, staged, publish)))
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.0.read.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        Box::pin(futures::stream::once(async { Err(unused("delete")) }))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.read.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.read.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> object_store::Result<()> {
        Err(unused("copy"))
    }
}

fn unused(what: &str) -> StoreError {
    StoreError::NotImplemented {
        operation: what.to_owned(),
        implementer: "the writer of a local table".to_owned(),
    }
}

impl fmt::Display for LocalWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LocalWriter({})",
            self.0.disk.path(&self.0.staging).display()
        )
    }
}
