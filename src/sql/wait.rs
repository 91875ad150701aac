//! Waiting for I/O where DataFusion's hooks are synchronous.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::error::{Error, ErrorKind, Result};
use crate::table::Statement;

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
/// work. A thread of a runtime with several passes its other tasks on while it waits here: one
/// of them may drive the connection that `future` waits for. A runtime of one thread cannot
/// do that, so `future` stands still there if it meets such a connection, until the request
/// times out; a store from [`connect`](crate::connect) has none.
pub(super) fn wait<T, F>(future: F) -> Result<T>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let runtime = io_runtime()?;
    let statement = Statement::current();
    // On the heap, as a thread has less room than some of them need.
    let future = Box::pin(future);
    let future = async move {
        match statement {
            Some(statement) => statement.scope(future).await,
            None => future.await,
        }
    };
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
    join(thread).unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Storage,
            "reaching the storage failed by a panic",
        ))
    })
}

/// Waits for the end of `thread`, while other threads do what else this one had to do.
fn join<T>(thread: JoinHandle<T>) -> std::thread::Result<T> {
    let several = Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    // Outside of a spawned task it is not a thread of the runtime that waits.
    if !several || tokio::task::try_id().is_none() {
        return thread.join();
    }
    let mut thread = Some(thread);
    let joined = catch_unwind(AssertUnwindSafe(|| {
        tokio::task::block_in_place(|| thread.take().map(JoinHandle::join))
    }));
    match (joined, thread) {
        // A task of a `LocalSet` may not wait like this, and nothing tells but the attempt.
        (_, Some(thread)) => thread.join(),
        (Ok(Some(joined)), None) => joined,
        (Err(panic), None) => Err(panic),
        (Ok(None), None) => unreachable!("the thread is taken once"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::task::LocalSet;

    use super::*;

    /// Waits, in a task, for what another task of the caller's runtime has to do first.
    fn wait_for_another_task() -> Result<()> {
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move { sender.send(()) });
        wait(async move {
            let done = tokio::time::timeout(Duration::from_secs(10), receiver).await;
            done.map_err(|_| Error::new(ErrorKind::Storage, "the other task did not run"))?
                .map_err(|_| Error::new(ErrorKind::Storage, "the other task ended"))
        })
    }

    #[test]
    fn other_tasks_of_the_only_worker_run_while_it_waits() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let task = runtime.spawn(async { wait_for_another_task() });
        runtime.block_on(task).unwrap().unwrap();
    }

    #[test]
    fn task_of_a_local_set_waits() {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        let tasks = LocalSet::new();
        let task = tasks.spawn_local(async { (wait_for_another_task(), wait_for_another_task()) });
        let (first, second) = tasks.block_on(&runtime, task).unwrap();
        first.unwrap();
        second.unwrap();
    }

    #[test]
    fn runtime_of_one_thread_and_no_runtime_wait() {
        let done = || wait(async { Ok(1) }).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(async { done() }), 1);
        assert_eq!(done(), 1);
    }
}
