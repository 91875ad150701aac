//! Waiting for I/O where DataFusion's hooks are synchronous.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, ErrorKind, Result};

/// Lives as long as the process: a connection to a store must not end with the wait that
/// made it, for another request may be using it by then.
static IO: OnceLock<Option<Runtime>> = OnceLock::new();

/// The runtime of connections to stores. Nobody ever blocks it.
pub(super) fn io_runtime() -> Result<&'static Handle> {
    let runtime = IO.get_or_init(|| {
        Builder::new_multi_thread()
            .thread_name("atio-io")
            .enable_all()
            .build()
            .ok()
    });
    runtime.as_ref().map(Runtime::handle).ok_or_else(|| {
        Error::new(
            ErrorKind::Storage,
            "cannot start a runtime to reach the storage",
        )
    })
}

/// Runs `future` to its end on a thread of its own, and waits for it.
///
/// Waiting on the caller's runtime would panic, or block the only thread that could do the
/// work.
pub(super) fn wait<T, F>(future: F) -> Result<T>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let runtime = io_runtime()?;
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
