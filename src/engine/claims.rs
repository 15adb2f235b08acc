//! Claims: which part a worker reads next. Parts are claimed, not dealt, the dearest first.

use std::sync::atomic::{AtomicU64, Ordering};

use super::work_list::WorkList;

/// The parts that this process has to do for one source, and who takes the next.
///
/// A ticket is the place of a part in the order of claims; it is the part's timestamp, so tickets
/// only grow.
pub(crate) struct Claims {
    order: Vec<u64>,
    next: AtomicU64,
}

impl Claims {
    /// Claims on the parts of a list.
    pub(crate) fn new(list: &WorkList) -> Self {
        let mut order: Vec<u64> = (0..list.parts.len() as u64).collect();
        order.sort_by_key(|&part| std::cmp::Reverse(list.parts[part as usize].charge));
        Self { order, next: AtomicU64::new(0) }
    }

    /// The next ticket and its part.
    pub(crate) fn claim(&self) -> Option<(u64, u64)> {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        self.order.get(ticket as usize).map(|&part| (ticket, part))
    }

    /// The part that would be claimed next, to know what it costs.
    pub(crate) fn peek(&self) -> Option<u64> {
        self.order.get(self.next_ticket() as usize).copied()
    }

    /// No ticket below this one will be claimed any more.
    pub(crate) fn next_ticket(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}
