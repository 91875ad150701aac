//! Reads that met the limit of open files: they wait until others have closed theirs.
//!
//! Many reads run at once; where a process may open few files, fewer of them can.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

/// The first pause before another try; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(1);
/// Behind the last pause the error is told: about a second has passed by then.
const LAST_PAUSE: Duration = Duration::from_millis(512);

/// Does `work`, again and again while it cannot open a file because too many are open.
pub(crate) async fn with_open_files<T, E: StdError + 'static, F>(
    mut work: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut pause = PAUSE;
    loop {
        match work().await {
            Err(error) if pause <= LAST_PAUSE && too_many_are_open(&error) => {}
            ended => return ended,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// The same for work that blocks its thread.
pub(crate) fn blocking_with_open_files<T>(
    mut work: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut pause = PAUSE;
    loop {
        match work() {
            Err(error) if pause <= LAST_PAUSE && too_many_are_open(&error) => {}
            ended => return ended,
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
}

#[cfg(unix)]
fn too_many_are_open(error: &(dyn StdError + 'static)) -> bool {
    use rustix::io::Errno;

    let mut next = Some(error);
    while let Some(error) = next {
        let system = error.downcast_ref::<io::Error>();
        if let Some(Errno::MFILE | Errno::NFILE) = system.and_then(Errno::from_io_error) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Elsewhere a process may open as many files as it has memory for.
#[cfg(not(unix))]
fn too_many_are_open(_: &(dyn StdError + 'static)) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn what_cannot_open_a_file_is_tried_again_and_what_fails_otherwise_is_not() {
        let short = || io::Error::from(rustix::io::Errno::MFILE);
        let in_store = |error: io::Error| object_store::Error::Generic {
            store: "LocalFileSystem",
            source: error.into(),
        };
        for (short_for, tries) in [(0, 1), (3, 4), (100, 11)] {
            let mut tried = 0;
            let ended = with_open_files(|| {
                tried += 1;
                std::future::ready(match tried <= short_for {
                    true => Err(in_store(short())),
                    false => Ok(()),
                })
            });
            assert_eq!(ended.await.is_ok(), short_for < 100);
            assert_eq!(tried, tries);
        }
        let mut tried = 0;
        let ended: io::Result<()> = blocking_with_open_files(|| {
            tried += 1;
            Err(io::ErrorKind::NotFound.into())
        });
        assert_eq!((ended.is_err(), tried), (true, 1));
    }
}
