//! Waiting for I/O where DataFusion's hooks are synchronous.

use std::future::Future;

use crate::error::{Error, ErrorKind, Result};

/// Runs `future` to its end on a thread and a runtime of its own, and waits for it.
///
/// Waiting on the caller's runtime would panic, or block the only thread that could do the
/// work.
pub(super) fn wait<T, F>(future: F) -> Result<T>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(
                ErrorKind::Storage,
                "cannot start a runtime to reach the storage",
            )
            .with_source(error)
        })?;
    let thread = std::thread::Builder::new()
        .name("atio".to_owned())
        .spawn(move || runtime.block_on(future))
        .map_err(|error| {
            Error::new(
                ErrorKind::Storage,
                "cannot start a thread to reach the storage",
            )
            .with_source(error)
        })?;
    thread.join().unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Storage,
            "reaching the storage failed by a panic",
        ))
    })
}
