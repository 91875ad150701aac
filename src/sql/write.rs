//! COPY for those who have a `DataFrame` in Rust.

use std::collections::HashMap;
use std::path::PathBuf;

use atio_core::storage::Durability;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::file_format::format_as_file_type;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::prelude::SessionContext;
use std::sync::Arc;

use super::copy::{split_compression, wrap};
use super::file_functions::{clean_folder, local};
use super::policy::{Access, AtioPolicy};
use super::target::CopyTarget;
use crate::error::{Error, Result as AtioResult};
use crate::features;
use crate::file::{self, Existing, FileOptions, Hash, Marking};
use crate::write::rows_written;

/// How [`write`](write()) writes.
///
/// ```
/// let options = atio::WriteOptions { backup: true, marker: false, ..Default::default() };
/// # assert!(options.durable);
/// ```
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// `csv`, `json`, `parquet`, `arrow` ..; by default the ending of the target says it.
    pub format: Option<String>,
    /// Options of the format, as in SQL: `format.delimiter` ..
    pub format_options: HashMap<String, String>,
    /// What to do if the target is there. By default it is replaced, but a directory only if
    /// atio wrote all that is in it.
    pub if_exists: Option<Existing>,
    /// Keeps what is replaced, for [`restore`].
    pub backup: bool,
    /// Writes the [`Marker`](crate::Marker); true by default. It lies beside the target, where
    /// a program that reads all files of that directory, hidden ones too, takes it for data, as
    /// `CREATE EXTERNAL TABLE` of DataFusion does: write it to another place then, or not at all.
    pub marker: bool,
    /// Where the marker is written to in place of that, on the local disk. Its directory must
    /// be there.
    pub marker_path: Option<PathBuf>,
    /// What the marker knows the content by.
    pub hash: Hash,
    /// Waits until a power failure takes nothing of it; true by default.
    pub durable: bool,
    /// Columns whose values become names of directories, as in `year=2026/`.
    pub partition_by: Vec<String>,
    /// One file or a directory of them; by default a target whose name has an ending is one.
    pub single_file: Option<bool>,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            format: None,
            format_options: HashMap::new(),
            if_exists: None,
            backup: false,
            marker: true,
            marker_path: None,
            hash: Hash::default(),
            durable: true,
            partition_by: Vec::new(),
            single_file: None,
        }
    }
}

/// Writes all rows of `df` to a file or directory, which is there completely or not at all.
///
/// It is what `COPY` does in a session where atio is [registered](crate::register); here it
/// need not be. The target is a local path, or a URL of a store that is registered in the
/// session or that [`connect`](crate::connect) knows. Returns the number of rows.
///
/// ```
/// use atio::{Existing, Marker, WriteOptions};
/// use datafusion::prelude::SessionContext;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("users.csv");
/// # let target = path.to_str().unwrap_or_default();
/// let df = SessionContext::new().sql("SELECT 1 AS id, 'Ada' AS name").await?;
/// let options = WriteOptions { if_exists: Some(Existing::Fail), ..WriteOptions::default() };
/// assert_eq!(atio::write(df, target, options).await?, 1);
/// assert_eq!(std::fs::read_to_string(&path)?, "id,name\n1,Ada\n");
/// assert_eq!(Marker::read(&path)?.map(|marker| marker.rows), Some(1));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Whatever the query fails with, and then the target is what it was;
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the target or an option cannot be
/// used; [`CommitNotDurable`](crate::ErrorKind::CommitNotDurable) if readers see the new
/// target and the disk could not promise to keep it;
/// [`CommitUnknown`](crate::ErrorKind::CommitUnknown) if an object store gave no answer to
/// the last request, and what it holds is not what was written: it may still come.
///
/// # Many writers
///
/// Writers of one local directory take turns to publish by a lock on it, so that a marker is
/// always that of the file beside it. Where directories cannot be locked, as on NFS, the log
/// warns and nobody takes turns: let one program write there at a time.
pub async fn write(df: DataFrame, target: &str, options: WriteOptions) -> Result<u64> {
    #[cfg_attr(not(feature = "xlsx"), expect(unused_mut, reason = "one format less"))]
    let (mut state, plan) = df.into_parts();
    #[cfg(feature = "xlsx")]
    file::register_xlsx(&mut state)?;
    CopyTarget::parse(target)?;
    let name = target
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let ending = split_compression(name).0.rsplit_once('.');
    let ending = ending.map(|(_, ending)| ending.to_owned());
    let format = options.format.or(ending).ok_or_else(|| {
        Error::invalid(format!(
            "the format of '{name}' is not given, and its name has no ending that tells"
        ))
    })?;
    let factory = state.get_file_format_factory(&format).ok_or_else(|| {
        let shown = format.to_uppercase();
        match features::of_format(&format).filter(|feature| !features::has(feature)) {
            Some(feature) => features::needs(&format!("the format {shown}"), feature),
            None => Error::unsupported(format!(
                "there is no format {} in this session",
                shown.escape_debug()
            )),
        }
    })?;
    let mut format_options = options.format_options;
    if let Some(single_file) = options.single_file {
        format_options.insert("single_file_output".to_owned(), single_file.to_string());
    }
    let copy = CopyTo::new(
        Arc::new(plan),
        target.to_owned(),
        options.partition_by,
        format_as_file_type(factory),
        format_options,
    );
    let file_options = FileOptions {
        if_exists: options.if_exists,
        backup: options.backup,
        appends: false,
        marker: match options.marker_path {
            _ if !options.marker => Marking::Off,
            None => Marking::Beside,
            Some(path) => Marking::At(path),
        },
        hash: options.hash,
        durability: match options.durable {
            true => Durability::Full,
            false => Durability::None,
        },
    };
    let (copy, published) = wrap(copy, file_options)?;
    #[cfg(any(feature = "postgres", feature = "sqlite", feature = "mysql"))]
    let published = published || crate::database::is_database(&copy.file_type);
    if !published {
        return Err(Error::unsupported(format!(
            "the format {} is written in a way of its own, which need not be complete or not at all: use COPY",
            format.to_uppercase().escape_debug()
        ))
        .into());
    }
    let batches = DataFrame::new(state, LogicalPlan::Copy(copy))
        .collect()
        .await?;
    Ok(rows_written(&batches))
}

/// Puts back what a write with [`backup`](WriteOptions::backup) replaced; true if what was
/// there is the backup now, so that doing it again undoes it: on a local disk.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("users.csv");
/// # let target = path.to_str().unwrap_or_default();
/// # let ctx = datafusion::prelude::SessionContext::new();
/// let options = atio::WriteOptions { backup: true, ..Default::default() };
/// for id in ["1 AS id", "2 AS id"] {
///     let users = ctx.sql(&format!("SELECT {id}")).await?;
///     atio::write(users, target, options.clone()).await?;
/// }
/// assert!(atio::restore(&ctx, target).await?);
/// assert_eq!(std::fs::read_to_string(&path)?, "id\n1\n");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is no backup;
/// [`Damaged`](crate::ErrorKind::Damaged) if it is not what its marker says.
pub async fn restore(ctx: &SessionContext, target: &str) -> AtioResult<bool> {
    let parsed = CopyTarget::parse(target)?;
    let policy = AtioPolicy::of(&ctx.state());
    parsed.check(&policy, Access::Write)?;
    file::restore(&parsed.open(&ctx.runtime_env(), &policy)?).await
}

/// Removes what writers that died have left in a local directory, and returns where it was.
///
/// What a living writer is at is never touched, and the next write of the same target does
/// this by itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().to_str().unwrap_or_default();
/// let removed = atio::clean(path).await?;
/// assert!(removed.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Storage`](crate::ErrorKind::Storage) if the directory cannot be read or written.
pub async fn clean(directory: &str) -> AtioResult<Vec<PathBuf>> {
    let left = clean_folder(local(directory)?, |_| true, false).await?;
    Ok(left.into_iter().map(|left| left.path).collect())
}
