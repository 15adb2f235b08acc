//! Claims: which part a worker reads next. Parts are claimed, not dealt, the dearest first: one that takes
//! long and is begun last would keep all others waiting.

use std::sync::atomic::{AtomicU64, Ordering};

use super::work_list::{Part, WorkList};

/// The parts that this process has to do for one source, and who takes the next.
///
/// A ticket is the place of a part in the order of claims; it is the part's timestamp, so tickets
/// only grow.
pub(crate) struct Claims {
    order: Vec<u64>,
    next: AtomicU64,
}

impl Claims {
    /// Claims on the parts of a list, those first that `price` puts highest.
    pub(crate) fn new(list: &WorkList, price: impl Fn(&Part) -> f64) -> Self {
        let mut order: Vec<(f64, u64)> = list.parts.iter().map(price).zip(0..).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        Self { order: order.into_iter().map(|(_, part)| part).collect(), next: AtomicU64::new(0) }
    }

    /// All parts, in the order in which they are claimed.
    pub(crate) fn order(&self) -> &[u64] {
        &self.order
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::work_list::Needs;

    #[test]
    fn the_dearest_part_goes_first_and_equal_ones_in_their_order() {
        let part = |sample| Part { samples: vec![sample], charge: 0, needs: Needs::default() };
        let list = WorkList { parts: (0..5).map(part).collect() };
        let price = |part: &Part| [1.0, 3.0, 0.5, 3.0, 9.0][part.samples[0] as usize];
        let claims = Claims::new(&list, price);
        assert_eq!(claims.order(), [4, 1, 3, 0, 2]);
        assert_eq!(claims.peek(), Some(4));
        let claimed: Vec<_> = std::iter::from_fn(|| claims.claim()).collect();
        assert_eq!(claimed, [(0, 4), (1, 1), (2, 3), (3, 0), (4, 2)]);
    }
}
