//! Feeding: how long a task computed, and how long it waited for the workers to prepare its batches.

use std::time::{Duration, Instant};

/// The share of the time that a task may wait before somebody is told.
const MOST_WAITED: f64 = 0.1;

/// What became of the time of a task's thread between its first batch and its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feeding {
    /// It stepped, validated, wrote checkpoints.
    pub worked: Duration,
    /// It had no batch: the device stood still.
    pub waited: Duration,
}

impl Feeding {
    /// Does `work` and counts it.
    pub(crate) fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = work();
        self.worked += begun.elapsed();
        result
    }

    /// Share of the time in which the device stood still, 0 to 1.
    pub fn idle_share(&self) -> f64 {
        let whole = (self.worked + self.waited).as_secs_f64();
        if whole > 0.0 { self.waited.as_secs_f64() / whole } else { 0.0 }
    }

    /// Whether the workers are too slow for the device, by more than a moment.
    pub fn is_starved(&self) -> bool {
        self.idle_share() > MOST_WAITED && self.waited > Duration::from_secs(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_starved_when_it_waits_for_a_tenth_of_its_time() {
        let feeding = |worked, waited| Feeding {
            worked: Duration::from_millis(worked),
            waited: Duration::from_millis(waited),
        };
        assert_eq!(feeding(3000, 1000).idle_share(), 0.25);
        assert_eq!(Feeding::default().idle_share(), 0.0);
        assert!(feeding(8000, 2000).is_starved());
        assert!(!feeding(98_000, 2000).is_starved());
        assert!(!feeding(800, 200).is_starved(), "a moment");
    }
}
