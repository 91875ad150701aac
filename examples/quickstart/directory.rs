//! Where the table lives: a temporary directory, or the one named on the command line.

use std::path::{Path, PathBuf};
use std::{env, fs};

use datafusion::error::Result;
use tempfile::TempDir;

use crate::story::unexpected;

/// The directory of the table; a temporary one goes when this is dropped.
pub(crate) struct Directory {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Directory {
    /// Returns the empty directory named on the command line, or a temporary one.
    pub(crate) fn choose() -> Result<Self> {
        let Some(named) = env::args_os().nth(1) else {
            let temporary = tempfile::tempdir()?;
            let path = temporary.path().canonicalize()?.join("flights");
            return Ok(Self {
                path,
                temporary: Some(temporary),
            });
        };
        fs::create_dir_all(&named)?;
        let path = Path::new(&named).canonicalize()?;
        if fs::read_dir(&path)?.next().is_some() {
            let path = path.display();
            return Err(unexpected(format!(
                "'{path}' is not empty; name a new directory"
            )));
        }
        Ok(Self {
            path,
            temporary: None,
        })
    }

    /// Returns the path as the inside of a SQL string.
    pub(crate) fn location(&self) -> String {
        self.path.display().to_string().replace('\'', "''")
    }

    /// Returns the text with the path of the directory shortened to `.`.
    pub(crate) fn shorten(&self, text: &str) -> String {
        let path = self.path.display().to_string();
        text.replace(path.trim_start_matches('/'), ".")
    }

    /// Returns how many bytes all files below the directory have.
    pub(crate) fn bytes(&self) -> Result<u64> {
        bytes_below(&self.path)
    }

    /// Returns the path if the directory stays after the example.
    pub(crate) fn kept(&self) -> Option<&Path> {
        self.temporary.is_none().then_some(&self.path)
    }
}

fn bytes_below(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            bytes_below(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}
