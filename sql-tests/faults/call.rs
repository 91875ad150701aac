//! One call to a store, and what can go wrong with it.

#![cfg(test)]

use futures::FutureExt;
use futures::future::BoxFuture;

pub(super) use crate::stores::hooked::Operation;

/// One call, numbered from 1 in the order of arrival.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) operation: Operation,
    pub(super) key: String,
    pub(super) fault: Fault,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// An error, and nothing was done.
    Before,
    /// An answer that says no, and nothing was done.
    Refused,
    /// An answer that says that it is there already, and nothing was done: another request for
    /// it is on its way.
    Busy,
    /// It was done, and then an error.
    After,
    /// It was done and its answer lost; the client did it again, and gets that answer.
    Again,
    /// An error at once; it is done when so many later calls have come, or at
    /// `FaultStore::land`.
    Late(u64),
    /// No answer for ever, and nothing is done: for the caller this is the end.
    Never,
    /// No answer for ever, but it was done.
    Hang,
    /// A read whose bytes end too soon, without an error.
    Truncated,
    /// A listing of the moment of `FaultStore::keep_listing`.
    Stale,
    /// A create that replaces what is there.
    Unconditional,
    /// "Done", but it was not.
    Lost,
}

/// Decides what happens to each call; what it waits for, the call waits for.
pub(super) type Director = dyn Fn(&Call) -> BoxFuture<'static, Fault> + Send + Sync;

/// What a director gives that does not wait.
pub(super) fn ready(fault: Fault) -> BoxFuture<'static, Fault> {
    futures::future::ready(fault).boxed()
}
