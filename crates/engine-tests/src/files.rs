//! Where the files come from, and a place in which a side can run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::result::Result;

const PACKAGE: &str = "datafusion-sqllogictest";
/// What the files are called and what some of them read.
const FOLDERS: [&str; 2] = ["test_files", "data"];

/// The directory of the package that has the files.
pub(crate) fn source() -> Result<PathBuf> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--manifest-path",
            manifest,
        ])
        .output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo lists no packages")?;
    let package = packages.iter().find(|package| package["name"] == PACKAGE);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
    Ok(folder
        .ok_or("the package with the files is missing")?
        .to_owned())
}

/// A directory like that of the package, which may be written to.
pub(crate) fn place(source: &Path) -> Result<TempDir> {
    let place = tempfile::tempdir()?;
    for folder in FOLDERS {
        copy(&source.join(folder), &place.path().join(folder))?;
    }
    Ok(place)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, to) = (entry?, to);
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to)?,
            false => drop(fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}

/// The files below the directory of this process, as paths that begin behind `test_files`; fails if
/// there is none.
pub(crate) fn list() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(FOLDERS[0])];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "slt") {
                found.push(path.strip_prefix(FOLDERS[0])?.to_owned());
            }
        }
    }
    found.sort();
    match found.is_empty() {
        true => Err("there are no files".into()),
        false => Ok(found),
    }
}

/// Where a listed file is.
pub(crate) fn path(file: &Path) -> PathBuf {
    Path::new(FOLDERS[0]).join(file)
}
