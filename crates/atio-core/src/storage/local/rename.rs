//! Giving a file a name that must be free.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::step::step;

/// Renames unless `to` exists; where the file system cannot, links and unlinks.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    rename(from, None, to)
}

/// The same for `to` in the directory `folder`, which is open. Should its path lead elsewhere by now,
/// the name is in `folder` all the same, unless the file system can only link.
pub(super) fn rename_new_in(from: &Path, folder: &File, to: &Path) -> io::Result<()> {
    rename(from, Some(folder), to)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename(from: &Path, folder: Option<&File>, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    let renamed = step("rename-new", to).and_then(|()| {
        Ok(match folder.zip(to.file_name()) {
            Some((folder, name)) => renameat_with(CWD, from, folder, name, RenameFlags::NOREPLACE),
            None => renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE),
        }?)
    });
    match renamed.as_ref().map_err(Errno::from_io_error) {
        Err(Some(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP)) => link_new(from, to),
        _ => renamed,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename(from: &Path, _: Option<&File>, to: &Path) -> io::Result<()> {
    link_new(from, to)
}

fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    // Linux says EPERM where there are no hard links, EACCES where one must not write.
    const EPERM: i32 = 1;
    let linked = step("link-new", to).and_then(|()| fs::hard_link(from, to));
    linked.map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::TooManyLinks => no_create(),
        _ if error.raw_os_error() == Some(EPERM) => no_create(),
        _ => error,
    })?;
    // A second name of the same file is harmless, and goes with its directory.
    fs::remove_file(from).ok();
    Ok(())
}

fn no_create() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "the file system can neither rename without replacing nor make hard links, so two writers could overwrite each other's commits",
    )
}
