//! File systems that a test mounts for itself.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A mounted file system; dropping it unmounts it.
pub(crate) struct Mount {
    directory: tempfile::TempDir,
    /// What is mounted: the words between `mount` and the place.
    what: Vec<String>,
    mounted: bool,
}

/// True if these tests are to run at all; otherwise it has said why not.
pub(crate) fn may_mount() -> bool {
    let why = match std::env::var("ATIO_ROOT") {
        Ok(value) if value == "0" => "ATIO_ROOT is 0",
        _ if !rustix::process::geteuid().is_root() => "only root can mount file systems",
        _ => return true,
    };
    skip(why);
    false
}

fn skip(why: &str) {
    // The macro's output would be captured, and a skip go unseen.
    writeln!(std::io::stderr(), "skipped: {why}").unwrap();
}

/// Says that something cannot be mounted here; where `CI` is set that is a failure.
pub(crate) fn cannot(why: &str) {
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!ci, "CI must run the tests of file systems as root: {why}");
    skip(why);
}

fn run(words: &[&str]) -> Result<String, String> {
    let ran = Command::new(words[0]).args(&words[1..]).output();
    match ran {
        Ok(ran) if ran.status.success() => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
        Ok(ran) => Err(format!(
            "{words:?}: {}",
            String::from_utf8_lossy(&ran.stderr).trim()
        )),
        Err(error) => Err(format!("{words:?}: {error}")),
    }
}

impl Mount {
    /// A file system in memory, with options of `mount`.
    pub(crate) fn memory(options: &str) -> Result<Self, String> {
        let words = ["-t", "tmpfs", "-o", options, "tmpfs"];
        Self::new(tempfile::tempdir().unwrap(), &words)
    }

    /// A file system of this kind in a file.
    pub(crate) fn image(kind: &str, megabytes: u64) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        File::create(&image)
            .unwrap()
            .set_len(megabytes * 1024 * 1024)
            .unwrap();
        let image = image.to_str().unwrap();
        let make = format!("mkfs.{kind}");
        match kind {
            // Without blocks that only root may use.
            "ext4" => run(&[&make, "-q", "-m", "0", image])?,
            _ => run(&[&make, "-q", image])?,
        };
        Self::new(directory, &["-o", "loop", "-t", kind, image])
    }

    fn new(directory: tempfile::TempDir, what: &[&str]) -> Result<Self, String> {
        fs::create_dir(directory.path().join("on")).unwrap();
        let mut mount = Self {
            directory,
            what: what.iter().map(|word| (*word).to_owned()).collect(),
            mounted: false,
        };
        mount.mount()?;
        Ok(mount)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("on")
    }

    fn mount(&mut self) -> Result<(), String> {
        let path = self.path();
        let what = self.what.iter().map(String::as_str);
        let words: Vec<_> = ["mount"]
            .into_iter()
            .chain(what)
            .chain(path.to_str())
            .collect();
        run(&words)?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        let path = self.path();
        let mut tried = Err(String::new());
        for _ in 0..50 {
            tried = run(&["umount", path.to_str().unwrap()]);
            if tried.is_ok() {
                self.mounted = false;
                break;
            }
            // Somebody who was killed just now may still have a file open.
            std::thread::sleep(Duration::from_millis(100));
        }
        tried.map(drop)
    }

    /// Unmounts and mounts, which replays the journal.
    pub(crate) fn again(&mut self) {
        self.unmount().unwrap();
        self.mount().unwrap();
    }

    pub(crate) fn set_read_only(&self, yes: bool) {
        let how = if yes { "remount,ro" } else { "remount,rw" };
        run(&["mount", "-o", how, self.path().to_str().unwrap()]).unwrap();
    }

    /// Makes all that was written so far durable.
    pub(crate) fn sync(&self) {
        rustix::fs::syncfs(File::open(self.path()).unwrap()).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = self.unmount()
        {
            skip(&format!("cannot unmount: {error}"));
        }
    }
}

/// A command that takes the disk below `path` away without writing its journal; with `flush`
/// another file is synced first, which writes the journal up to there.
pub(crate) fn power_off(path: &Path, flush: bool) -> Vec<String> {
    // EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, without flushing the log.
    const CODE: &str = "import fcntl, os, struct, sys
place = sys.argv[1]
if sys.argv[2] == 'flush':
    other = os.open(place + '/other', os.O_CREAT | os.O_WRONLY)
    os.write(other, b'x')
    os.fsync(other)
    os.close(other)
fcntl.ioctl(os.open(place, os.O_RDONLY | os.O_DIRECTORY), 0x8004587d, struct.pack('I', 2))
";
    let find = ["python3", "-c", "import sys; print(sys.executable)"];
    let python = run(&find).unwrap().trim().to_owned();
    let flush = if flush { "flush" } else { "none" };
    let path = path.to_str().unwrap();
    [&python, "-I", "-S", "-c", CODE, path, flush]
        .map(str::to_owned)
        .to_vec()
}
