//! The marker: a small file beside a target that says the target is complete.

use std::io;
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::content::{Content, Hash};
use super::names;
use super::shape::Shape;
use crate::error::{Error, ErrorKind, Result};

/// What `.<name>._SUCCESS` says of the file or directory beside it.
///
/// It appears after its target is complete and durable, and is removed before a replacement
/// becomes visible: whoever waits for it never reads half a result.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("users.csv");
/// # let target = path.to_str().unwrap_or_default();
/// # let ctx = datafusion::prelude::SessionContext::new();
/// let users = ctx.sql("SELECT 1 AS id").await?;
/// atio::write(users, target, atio::WriteOptions::default()).await?;
/// if let Some(marker) = atio::Marker::read(&path)? {
///     assert_eq!((marker.target.as_str(), marker.rows), ("users.csv", 1));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Marker {
    /// The name of the target, without its directory.
    pub target: String,
    /// `file` or `directory`.
    pub kind: String,
    /// Bytes, of all files of a directory.
    pub size: u64,
    /// Rows that were written.
    pub rows: u64,
    /// `sha256:` or `crc32c:` and digits. Of a directory it is the hash of a line for each
    /// file in order of their paths, as `sha256sum` prints them: digits, two blanks, the path.
    pub hash: String,
    /// When the last byte was written, as in RFC 3339.
    pub written_at: String,
    /// Program and version, for people.
    pub writer: String,
    /// The files of a directory, in order of their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<MarkedFile>,
}

/// A file of a directory.
///
/// ```
/// fn show(file: &atio::MarkedFile) -> String {
///     format!("{} {}", file.hash, file.path)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MarkedFile {
    /// Relative to the directory.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// As [`Marker::hash`].
    pub hash: String,
}

impl Marker {
    /// The marker of the file or directory `path` on the local disk; None if it has none,
    /// which means that nobody says it is complete.
    ///
    /// ```
    /// let nowhere = std::env::temp_dir().join("nobody-wrote-this.csv");
    /// assert_eq!(atio::Marker::read(nowhere)?, None);
    /// # Ok::<(), atio::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Damaged`](ErrorKind::Damaged) if there is something else in its place.
    pub fn read(path: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = path.as_ref();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::read_file(&path.with_file_name(names::marker(&name)))
    }

    pub(super) fn read_file(path: &Path) -> Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&bytes, &path.display().to_string()).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let what = format!("cannot read {}", path.display());
                Err(Error::new(ErrorKind::Storage, what).with_source(error))
            }
        }
    }

    pub(super) fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::damaged(format!("{name} is no marker")).with_source(error))
    }

    /// The marker of what was written. `contents` are in order of their paths.
    pub(super) fn new(
        target: &str,
        shape: Shape,
        contents: &[(String, Content)],
        hash: Hash,
        rows: u64,
        now: DateTime<Utc>,
    ) -> Self {
        let files: Vec<_> = contents
            .iter()
            .map(|(path, content)| MarkedFile {
                path: path.clone(),
                size: content.size,
                hash: content.hash(),
            })
            .collect();
        let (hash, files) = match (shape, files.as_slice()) {
            (Shape::File, [file]) => (file.hash.clone(), Vec::new()),
            _ => (listing(&files, hash), files),
        };
        Self {
            target: target.to_owned(),
            kind: shape.noun().to_owned(),
            size: contents.iter().map(|(_, content)| content.size).sum(),
            rows,
            hash,
            written_at: now.to_rfc3339_opts(SecondsFormat::Micros, true),
            writer: concat!("atio ", env!("CARGO_PKG_VERSION")).to_owned(),
            files,
        }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::invalid("a marker cannot be written").with_source(error))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// True if it names every one of these files, by their paths in the directory.
    pub(super) fn names_all<'a>(&self, mut files: impl Iterator<Item = &'a str>) -> bool {
        files.all(|path| {
            self.files
                .binary_search_by(|file| file.path.as_str().cmp(path))
                .is_ok()
        })
    }
}

fn listing(files: &[MarkedFile], hash: Hash) -> String {
    let mut content = Content::new(hash);
    for file in files {
        let digits = file.hash.split_once(':').map_or("", |(_, digits)| digits);
        content.append(format!("{digits}  {}\n", file.path).as_bytes());
    }
    content.hash()
}
