//! Files without a name: nobody finds one while it is written, and of one whose writer dies
//! nothing is left.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Once;

/// What only systems with unnamed files have.
#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::AsRawFd;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
    use rustix::io::Errno;

    use super::*;
    use atio_core::storage::step;

    /// The way to a file that is open, by which it is given a name.
    const OPEN_FILES: &str = "/proc/self/fd";

    pub(in crate::file) fn open(folder: &Path, mode: u32) -> io::Result<Option<File>> {
        let opened = step("copy-unnamed", folder).and_then(|()| {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            Ok(openat(CWD, folder, flags, Mode::from_raw_mode(mode))?)
        });
        match opened {
            Ok(file) if Path::new(OPEN_FILES).is_dir() => Ok(Some(File::from(file))),
            Ok(_) => Ok(None),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
                _ => Err(error),
            },
        }
    }

    pub(in crate::file) fn link(file: &File, to: &Path) -> io::Result<()> {
        let from = format!("{OPEN_FILES}/{}", file.as_raw_fd());
        Ok(linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::*;

    pub(in crate::file) fn open(_: &Path, _: u32) -> io::Result<Option<File>> {
        Ok(None)
    }

    pub(in crate::file) fn link(_: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Opens a file without a name, on the file system of the directory `folder`, with the
/// permission bits `mode` as far as the umask allows them; None where there is no such thing.
pub(super) fn open(folder: &Path, mode: u32) -> io::Result<Option<File>> {
    let file = system::open(folder, mode)?;
    if file.is_none() {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            ::log::warn!(
                "the file system of {} has no unnamed files: what is written to it lies in a hidden directory meanwhile",
                folder.display()
            );
        });
    }
    Ok(file)
}

/// Gives `file` the name `to`, with all its bytes in one step; fails if the name is taken.
pub(super) use system::link;
