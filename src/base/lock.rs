//! Locks on state that is whole even if a thread panics while it holds one.
//!
//! **Invariants**: poison is ignored, so that one panic does not end every later use of the state.
//! **Not here**: locks for many readers, and the reason why a state stays whole (each caller).

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. A panic elsewhere leaves the state whole, so that poison is ignored.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
