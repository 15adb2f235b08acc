//! Permits: the bound on bytes in flight. timely's own queues have none.

use std::sync::{Arc, Mutex, PoisonError};

use timely::scheduling::SyncActivator;

/// A budget of bytes and parts that a source must draw on before it reads a part.
pub(crate) struct Budget {
    limit_bytes: u64,
    limit_parts: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: u64,
    parts: usize,
    wakers: Vec<SyncActivator>,
}

impl Budget {
    /// A budget of that many bytes, and of that many parts whatever their size.
    pub(crate) fn new(limit_bytes: u64, limit_parts: usize) -> Arc<Self> {
        Arc::new(Self { limit_bytes, limit_parts, state: Mutex::default() })
    }

    /// A permit, if one can be had now. A part larger than the whole budget is let through alone.
    pub(crate) fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        let mut state = self.lock();
        let fits = state.bytes + bytes <= self.limit_bytes && state.parts < self.limit_parts;
        (fits || state.parts == 0).then(|| {
            state.bytes += bytes;
            state.parts += 1;
            Permit { bytes, budget: Arc::clone(self) }
        })
    }

    /// Wakes this operator whenever a permit comes back.
    pub(crate) fn wake_on_return(&self, waker: SyncActivator) {
        self.lock().wakers.push(waker);
    }

    /// Forgets the operators to wake; activators must not outlive their run.
    pub(crate) fn forget_wakers(&self) {
        self.lock().wakers.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to hold a part's bytes; given back when the last packet of the part is dropped.
pub(crate) struct Permit {
    bytes: u64,
    budget: Arc<Budget>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.bytes -= self.bytes;
        state.parts -= 1;
        for waker in &state.wakers {
            // A worker that has already left has nothing to wake.
            let _ = waker.activate();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_parts_are_bounded_and_come_back() {
        let budget = Budget::new(100, 2);
        let first = budget.try_take(60).expect("fits");
        assert!(budget.try_take(60).is_none(), "120 bytes of 100");
        let second = budget.try_take(10).expect("fits");
        assert!(budget.try_take(1).is_none(), "a third part of two");
        drop(first);
        assert!(budget.try_take(60).is_some());
        drop(second);
    }

    #[test]
    fn a_giant_passes_alone() {
        let budget = Budget::new(100, 2);
        let giant = budget.try_take(1000).expect("alone");
        assert!(budget.try_take(1).is_none());
        drop(giant);
        assert!(budget.try_take(1).is_some());
    }
}
