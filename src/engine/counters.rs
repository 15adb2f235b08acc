//! Counters: rows and seconds of every stage, for progress, records and the final report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::forecast::Forecast;

/// What one stage did, in a part or in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCount {
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that went out.
    pub rows_out: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// Rows out that the store had.
    pub reused: u64,
    /// Busy time, summed over threads.
    pub nanos: u64,
}

impl std::ops::AddAssign for StageCount {
    fn add_assign(&mut self, other: Self) {
        self.rows_in += other.rows_in;
        self.rows_out += other.rows_out;
        self.refused += other.refused;
        self.reused += other.reused;
        self.nanos += other.nanos;
    }
}

#[derive(Default)]
struct Live {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    refused: AtomicU64,
    reused: AtomicU64,
    nanos: AtomicU64,
}

/// Live counts of all stages of this process.
#[derive(Default)]
pub struct Counters {
    stages: Vec<Live>,
    forecast: Forecast,
}

impl Counters {
    /// Counters for that many stages.
    pub fn new(stages: usize) -> Self {
        let stages = (0..stages).map(|_| Live::default()).collect();
        Self { stages, forecast: Forecast::default() }
    }

    /// What stage `stage` did so far in this process.
    pub fn stage(&self, stage: usize) -> StageCount {
        let live = &self.stages[stage];
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StageCount {
            rows_in: get(&live.rows_in),
            rows_out: get(&live.rows_out),
            refused: get(&live.refused),
            reused: get(&live.reused),
            nanos: get(&live.nanos),
        }
    }

    /// Time until this process has made all its rows; `None` while nothing can be said of it, and once
    /// they are made.
    pub fn left(&self) -> Option<Duration> {
        self.forecast.left()
    }

    /// What is foretold of the work that is left.
    pub(crate) fn forecast(&self) -> &Forecast {
        &self.forecast
    }

    /// Adds what a stage did.
    pub(crate) fn add(&self, stage: usize, count: StageCount) {
        let live = &self.stages[stage];
        let add = |counter: &AtomicU64, by| counter.fetch_add(by, Ordering::Relaxed);
        add(&live.rows_in, count.rows_in);
        add(&live.rows_out, count.rows_out);
        add(&live.refused, count.refused);
        add(&live.reused, count.reused);
        add(&live.nanos, count.nanos);
    }
}

/// Nanoseconds as a 64-bit count: 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
