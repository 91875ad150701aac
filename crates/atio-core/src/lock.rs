//! Locks whose data is whole after a panic, too.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; what a thread that panicked has left is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
