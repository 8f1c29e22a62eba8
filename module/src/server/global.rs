//! What the module remembers beside the values of the keys.

use std::cell::{Ref, RefCell};

/// State that lives as long as the server does.
///
/// Rule: nothing inside [`Global::with`] calls the server, which could call back into the module. A breach is found at
/// once: the second borrow panics, and the guard around the callback answers with an internal error.
pub struct Global<T>(RefCell<T>);

// SAFETY: the server runs the module's callbacks one at a time, holding its lock; unit tests hold that of [`alone`]. The one
// callback that may run beside them, the freeing of a value, touches no `Global`.
unsafe impl<T> Sync for Global<T> {}

impl<T> Global<T> {
    /// With its first value.
    pub const fn new(value: T) -> Global<T> {
        Global(RefCell::new(value))
    }

    /// Reads or changes it.
    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.0.borrow_mut())
    }

    /// Reads it; nested readings are allowed.
    pub fn read(&self) -> Ref<'_, T> {
        self.0.borrow()
    }
}

/// For unit tests, which run in several threads of one process and share every [`Global`]: the caller has them to itself.
#[cfg(test)]
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static TESTS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TESTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
