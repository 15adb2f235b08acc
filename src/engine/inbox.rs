//! `Inbox`: where pool threads leave results for an operator.

use std::sync::{Mutex, PoisonError};

/// A place to leave results. Bounded by the permits of the parts that the results belong to.
pub(crate) struct Inbox<T>(Mutex<Vec<T>>);

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Leaves a result.
    pub(crate) fn put(&self, item: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(item);
    }

    /// Takes all results.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
