//! `Forecast`: how long it will take until all rows are made.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Share of the work for which prices of earlier runs are believed more than the pace of this one.
const BELIEF: f64 = 0.05;
/// Share of a job that is taken for done at most before it is.
const MOST_UNDER_WAY: f64 = 0.95;

/// A part: its source, and its number there.
type PartId = (usize, u64);

/// Work that is left, and how fast work was done so far.
#[derive(Default)]
pub(crate) struct Forecast(Mutex<State>);

#[derive(Default)]
struct State {
    workers: f64,
    /// Whether predictions are seconds; if not, only their proportions count.
    is_priced: bool,
    begun: Option<Instant>,
    /// Predicted seconds of everything when the run began.
    total: f64,
    /// Predicted seconds of parts that are not begun.
    waiting: f64,
    /// By source, for each such part in the order of claims, its jobs that follow one from the other.
    chains: BTreeMap<usize, VecDeque<f32>>,
    parts: BTreeMap<PartId, Begun>,
    running: BTreeMap<(PartId, usize), Running>,
    /// Predicted seconds of writing the data sets, which comes after all that.
    after: f64,
    /// When the last row was made.
    made: Option<Duration>,
    /// Predicted seconds of jobs that are done.
    done: f64,
    /// Seconds that those took, on whatever thread.
    took: f64,
}

/// A part that is being worked on.
struct Begun {
    /// Jobs that are not done, and their predicted seconds.
    jobs: Vec<(usize, f64)>,
    /// Share of those seconds that lies on the longest way through them.
    chain_share: f64,
}

struct Running {
    since: Duration,
    predicted: f64,
}

impl Forecast {
    /// Begins to count, with the parts of a source in the order of claims: of each the predicted seconds
    /// of all its jobs and of the longest chain of them.
    pub(crate) fn plan(
        &self,
        workers: usize,
        is_priced: bool,
        root: usize,
        parts: impl Iterator<Item = (f64, f64)>,
    ) {
        let mut state = self.lock();
        state.begun.get_or_insert_with(Instant::now);
        state.workers = workers.max(1) as f64;
        // Where one source was never timed, its predictions are not in seconds.
        state.is_priced = is_priced && (state.is_priced || state.chains.is_empty());
        state.plan(root, parts);
    }

    /// So many seconds more are likely once all rows are made, to write the data sets.
    pub(crate) fn then(&self, seconds: f64) {
        self.lock().after += seconds;
    }

    /// A part is claimed; its jobs, and which share of them is a chain.
    pub(crate) fn claim(&self, part: PartId, jobs: Vec<(usize, f64)>, chain_share: f64) {
        self.lock().claim(part, jobs, chain_share);
    }

    /// A part that was claimed turns out to be of another size.
    pub(crate) fn resize(&self, part: PartId, seconds: impl Fn(usize) -> f64) {
        if let Some(begun) = self.lock().parts.get_mut(&part) {
            begun.jobs.iter_mut().for_each(|(job, predicted)| *predicted = seconds(*job));
        }
    }

    /// A job begins.
    pub(crate) fn begin(&self, part: PartId, job: usize) {
        let mut state = self.lock();
        let now = state.now();
        state.begin(part, job, now);
    }

    /// A job ended, with this share of the part's rows.
    pub(crate) fn end(&self, part: PartId, job: usize, share: f64, took: Duration) {
        let mut state = self.lock();
        state.end(part, job, share, took.as_secs_f64());
        if state.ahead() <= 0.0 {
            state.made = Some(state.now());
        }
    }

    /// Time until all rows are made and the data sets written; `None` while nothing can be said of it,
    /// and once they should be.
    pub(crate) fn left(&self) -> Option<Duration> {
        let state = self.lock();
        let left = state.left(state.now())?;
        Duration::try_from_secs_f64(left).ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    fn plan(&mut self, root: usize, parts: impl Iterator<Item = (f64, f64)>) {
        let chains = self.chains.entry(root).or_default();
        for (total, chain) in parts {
            self.waiting += total;
            self.total += total;
            chains.push_back(chain as f32);
        }
    }

    fn claim(&mut self, part: PartId, jobs: Vec<(usize, f64)>, chain_share: f64) {
        let total: f64 = jobs.iter().map(|(_, predicted)| predicted).sum();
        let chain = self.chains.get_mut(&part.0).and_then(VecDeque::pop_front);
        self.waiting = if chain.is_some() { (self.waiting - total).max(0.0) } else { 0.0 };
        if self.chains.values().all(VecDeque::is_empty) {
            self.waiting = 0.0;
        }
        self.parts.insert(part, Begun { jobs, chain_share });
    }

    fn begin(&mut self, part: PartId, job: usize, now: Duration) {
        let jobs = self.parts.get(&part).map(|begun| begun.jobs.as_slice()).unwrap_or_default();
        if let Some((_, predicted)) = jobs.iter().find(|(ahead, _)| *ahead == job) {
            self.running.insert((part, job), Running { since: now, predicted: *predicted });
        }
    }

    fn end(&mut self, part: PartId, job: usize, share: f64, took: f64) {
        self.running.remove(&(part, job));
        let Some(begun) = self.parts.get_mut(&part) else { return };
        let Some(place) = begun.jobs.iter().position(|(ahead, _)| *ahead == job) else { return };
        let (_, predicted) = begun.jobs.remove(place);
        if begun.jobs.is_empty() {
            self.parts.remove(&part);
        }
        if share > 0.0 {
            self.done += share * predicted;
            self.took += took;
        }
    }

    /// Predicted seconds of all jobs that are not done.
    fn ahead(&self) -> f64 {
        self.waiting + self.parts.values().map(Begun::seconds).sum::<f64>()
    }

    /// Seconds of a thread for each predicted second.
    fn dearer(&self) -> f64 {
        let belief = self.belief();
        (self.took + belief) / (self.done + belief).max(1e-12)
    }

    /// Predicted seconds whose prices are believed whatever the pace.
    fn belief(&self) -> f64 {
        if self.is_priced { BELIEF * self.total } else { 0.0 }
    }

    /// Seconds until all is done.
    fn left(&self, now: Duration) -> Option<f64> {
        let after = self.after * self.dearer();
        let rows = self.rows_left(now).map(|rows| rows + after);
        let since = |made: Duration| now.saturating_sub(made).as_secs_f64();
        rows.or_else(|| Some(after - since(self.made?)).filter(|left| *left > 0.0))
    }

    /// Seconds until all rows are made: what is left at the pace so far, but not less than the longest chain
    /// of jobs that no two workers can share.
    fn rows_left(&self, now: Duration) -> Option<f64> {
        let (ahead, belief) = (self.ahead(), self.belief());
        if ahead <= 0.0 || self.done + belief <= 0.0 {
            return None;
        }
        let dearer = self.dearer();
        let mut under_way: BTreeMap<PartId, f64> = BTreeMap::new();
        for ((part, _), running) in &self.running {
            let since = now.saturating_sub(running.since).as_secs_f64();
            let done = (since / dearer.max(1e-9)).min(MOST_UNDER_WAY * running.predicted);
            *under_way.entry(*part).or_default() += done;
        }
        let half_done: f64 = under_way.values().sum();
        let pace = (now.as_secs_f64() + belief / self.workers) / (self.done + half_done + belief);
        let of_part = |(part, begun): (&PartId, &Begun)| {
            let left = begun.seconds() - under_way.get(part).copied().unwrap_or_default();
            left * begun.chain_share
        };
        let waiting = self.chains.values().filter_map(VecDeque::front).map(|&c| f64::from(c));
        let chain = self.parts.iter().map(of_part).chain(waiting).fold(0.0, f64::max);
        Some(((ahead - half_done).max(0.0) * pace).max(chain * dearer))
    }
}

impl Begun {
    fn seconds(&self) -> f64 {
        self.jobs.iter().map(|(_, predicted)| predicted).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs parts of one job on workers, the first in line to whoever is free; gives for some moments
    /// what was foretold and what came.
    fn simulate(
        parts: &[f64],
        predict: impl Fn(f64) -> f64,
        is_priced: bool,
        workers: usize,
    ) -> Vec<(f64, f64)> {
        let mut state = State { workers: workers as f64, is_priced, ..State::default() };
        state.plan(0, parts.iter().map(|seconds| (predict(*seconds), predict(*seconds))));
        let mut free = vec![0.0f64; workers];
        let mut events = Vec::new();
        for (part, seconds) in parts.iter().enumerate() {
            let worker = (0..workers).min_by(|a, b| free[*a].total_cmp(&free[*b])).expect("one");
            events.push((free[worker], 1, part, *seconds));
            free[worker] += seconds;
            events.push((free[worker], 0, part, *seconds));
        }
        let end = free.iter().copied().fold(0.0, f64::max);
        events.extend([1, 2, 3].map(|quarter| (end * f64::from(quarter) / 4.0, 2, 0, 0.0)));
        events.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
        let mut told = Vec::new();
        for (at, what, part, seconds) in events {
            let id = (0, part as u64);
            match what {
                0 => state.end(id, 0, 1.0, seconds),
                1 => {
                    state.claim(id, vec![(0, predict(seconds))], 1.0);
                    state.begin(id, 0, Duration::from_secs_f64(at));
                }
                _ => {
                    let left = state.left(Duration::from_secs_f64(at)).expect("work is left");
                    told.push((left, end - at));
                }
            }
        }
        assert_eq!(state.left(Duration::from_secs_f64(end)), None, "all is done");
        told
    }

    /// A mesh of a million triangles, then a thousand small ones: seconds of each.
    fn skewed() -> Vec<f64> {
        let small = (0..1000).map(|i| 0.008 + 0.004 * f64::from(i % 7) / 7.0);
        std::iter::once(9.0).chain(small).collect()
    }

    fn worst(told: &[(f64, f64)]) -> f64 {
        told.iter().map(|(left, came)| (left / came - 1.0).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_skewed_set_is_foretold_where_the_average_is_far_off() {
        for workers in [1, 2] {
            let told = simulate(&skewed(), |seconds| seconds, true, workers);
            assert!(worst(&told) < 0.15, "{workers} workers: {told:?}");
            // What a machine is slower by, nobody can know before the first part is done.
            let slow = simulate(&skewed(), |seconds| seconds / 2.5, true, workers);
            assert!(worst(&slow[1..]) < 0.3, "{workers} workers, prices off: {slow:?}");
        }
        let all: f64 = skewed().iter().sum();
        let mean = |_: f64| all / 1001.0;
        let average = simulate(&skewed(), mean, true, 1);
        assert!(worst(&average) > 0.5, "one price for all: {average:?}");
    }

    #[test]
    fn without_prices_the_pace_of_this_run_counts() {
        let small = vec![0.01; 400];
        let told = simulate(&small, |_| 16.0, false, 2);
        assert!(worst(&told) < 0.05, "{told:?}");
        let state = State { workers: 1.0, ..State::default() };
        assert_eq!(state.left(Duration::ZERO), None, "nothing was planned");
    }

    #[test]
    fn data_sets_are_written_once_all_rows_are_made() {
        let mut state = State { workers: 1.0, is_priced: true, after: 4.0, ..State::default() };
        let at = Duration::from_secs;
        state.plan(0, [(10.0, 10.0)].into_iter());
        state.claim((0, 0), vec![(0, 10.0)], 1.0);
        state.begin((0, 0), 0, at(0));
        assert_eq!(state.left(at(0)), Some(14.0));
        state.end((0, 0), 0, 1.0, 10.0);
        state.made = Some(at(10));
        assert_eq!(state.left(at(11)), Some(3.0));
        assert_eq!(state.left(at(15)), None, "nobody knows what takes so long");
    }

    #[test]
    fn rows_that_vanish_are_not_taken_for_fast_ones() {
        let forecast = Forecast::default();
        forecast.plan(1, true, 0, [(10.0, 10.0), (10.0, 10.0)].into_iter());
        for part in [0, 1] {
            forecast.claim((0, part), vec![(0, 2.0), (1, 8.0)], 1.0);
        }
        forecast.end((0, 0), 0, 1.0, Duration::from_secs(2));
        forecast.end((0, 0), 1, 0.0, Duration::ZERO);
        let left = forecast.left().expect("a part is left").as_secs_f64();
        assert!((left - 10.0).abs() < 0.1, "{left}");
        forecast.resize((0, 1), |job| if job == 0 { 2.0 } else { 18.0 });
        let left = forecast.left().expect("a part is left").as_secs_f64();
        assert!((left - 20.0).abs() < 0.2, "{left}");
    }
}
