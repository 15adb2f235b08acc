//! `Meter`: how long each job takes during a run, beside what was foretold.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use voxflow_contract::{Batch, MachineFault};

use super::counters::{Counters, nanos};
use super::entries::Entries;
use super::graph::Graph;
use super::prices::{Job, Prices};
use super::sizes::Sizes;
use super::work_list::{Kept, Keys, Part, WorkList};
use crate::store::{Cost, KnownTriangles, MeshSums, Store, Timings, TriangleCounts};

/// Times the jobs on the parts of one source.
pub(crate) struct Meter {
    root: usize,
    prices: Prices,
    sizes: Sizes,
    timings: Mutex<BTreeMap<Job, Timings>>,
    /// Where triangles are remembered, if they are.
    counts: Option<TriangleCounts>,
    counters: Arc<Counters>,
}

/// A job that is timed.
pub(crate) struct Timed {
    job: Job,
    begun: Instant,
}

impl Timed {
    /// Time since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Meter {
    /// A meter for the parts of source `root` that knows nothing of earlier runs, and times nothing. Its
    /// forecast is kept with the counters.
    pub(crate) fn new(root: usize, counters: Arc<Counters>) -> Self {
        let (prices, sizes) = (Prices::default(), Sizes::default());
        Self { root, prices, sizes, timings: Mutex::default(), counts: None, counters }
    }

    /// Takes in what earlier runs measured, and begins to time.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn read(
        &mut self,
        graph: &Graph,
        kept: &Kept,
        store: &Store,
        (list, keys): (&WorkList, &Keys),
    ) -> Result<(), MachineFault> {
        self.prices = Prices::read(graph, self.root, kept, store)?;
        if self.prices.mesh_stage().is_some() {
            let counts = store.triangles(&graph.nodes[self.root].fingerprint);
            let mut to_make = list.parts.iter().flat_map(|part| &part.samples);
            let is_known = to_make.any(|position| keys[*position as usize].is_some());
            let known = if is_known { counts.read()? } else { KnownTriangles::default() };
            self.sizes = Sizes::new(self.prices.meshes().clone(), &known, keys);
            self.counts = Some(counts);
        }
        Ok(())
    }

    /// What of two parts the dearer one has more of: predicted seconds of all jobs, or where nothing was
    /// ever timed the bytes they take.
    pub(crate) fn predicted(&self, entries: &Entries, part: &Part) -> f64 {
        if !self.prices.is_known() {
            return part.charge as f64;
        }
        self.prices.total(part.needs, self.sizes.of(entries, &part.samples))
    }

    /// Foretells, with the parts in the order of claims.
    pub(crate) fn plan<'p>(
        &self,
        workers: usize,
        entries: &Entries,
        parts: impl Iterator<Item = &'p Part>,
    ) {
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return;
        }
        let mut to_make = 0;
        let part = |part: &Part| {
            to_make += part.samples.len() as u64;
            let size = self.sizes.of(entries, &part.samples);
            (self.prices.total(part.needs, size), self.prices.chain(part.needs, size))
        };
        let forecast = self.counters.forecast();
        forecast.plan(workers, self.prices.is_known(), self.root, parts.map(part));
        let data_sets = self.prices.data_sets(to_make, entries.len() as u64);
        forecast.then(data_sets.map_or(0.0, |guess| guess.seconds));
    }

    /// A part is begun.
    pub(crate) fn claim(&self, entries: &Entries, number: u64, part: &Part) {
        let size = self.sizes.of(entries, &part.samples);
        let jobs = self.prices.jobs(part.needs);
        let jobs: Vec<_> = jobs.map(|job| (job, self.prices.seconds(job, size))).collect();
        let total: f64 = jobs.iter().map(|(_, seconds)| seconds).sum();
        if jobs.is_empty() {
            return;
        }
        let share = self.prices.chain(part.needs, size) / total.max(1e-12);
        self.counters.forecast().claim((self.root, number), jobs, share);
    }

    /// A job on a part begins.
    pub(crate) fn begin(&self, number: u64, job: Job) -> Timed {
        if let Some(place) = self.prices.number(job) {
            self.counters.forecast().begin((self.root, number), place);
        }
        Timed { job, begun: Instant::now() }
    }

    /// A job on a part ended, with what came in (of a source, all of the part) and what came out.
    pub(crate) fn end(
        &self,
        timed: &Timed,
        entries: &Entries,
        (number, part): (u64, &Part),
        rows_in: Option<&Batch>,
        rows_out: &Batch,
    ) {
        let took = timed.elapsed();
        let (job, id) = (timed.job, (self.root, number));
        let is_mesh = matches!(job, Job::Work(stage) if Some(stage) == self.prices.mesh_stage());
        if is_mesh {
            let positions = positions(entries, part, rows_out);
            self.sizes.learn(entries, &positions, rows_out);
        }
        let worked_on = match rows_in {
            None => Cow::Borrowed(part.samples.as_slice()),
            Some(rows) => positions(entries, part, rows),
        };
        let Some(place) = self.prices.number(job) else { return };
        if !worked_on.is_empty() {
            let size = self.prices.seen(place, self.sizes.of(entries, &worked_on));
            let mut timings = self.timings.lock().unwrap_or_else(PoisonError::into_inner);
            timings.entry(job).or_default().add(size, nanos(took));
        }
        let share = worked_on.len() as f64 / part.samples.len().max(1) as f64;
        let forecast = self.counters.forecast();
        forecast.end(id, place, share, took);
        if is_mesh {
            let size = self.sizes.of(entries, &part.samples);
            forecast.resize(id, |job| self.prices.seconds(job, size));
        }
    }

    /// What was timed at a stage.
    pub(crate) fn cost(&self, stage: usize) -> Cost {
        let timings = self.timings.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |job: Job| timings.get(&job).copied().unwrap_or_default();
        let is_mesh = Some(stage) == self.prices.mesh_stage();
        let meshes = if is_mesh { self.sizes.learned_meshes() } else { MeshSums::default() };
        let (timings, keeping) = (of(Job::Work(stage)), of(Job::Keep(stage)));
        Cost { timings, keeping, meshes, ..Cost::default() }
    }

    /// Makes durable how many triangles samples turned out to have.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn keep(&self, keys: &Keys) -> Result<(), MachineFault> {
        let Some(counts) = &self.counts else { return Ok(()) };
        let current = keys.iter().flatten().map(|(_, key)| *key);
        counts.save(&self.sizes.take_learned(keys), current)
    }
}

/// Positions of the samples of rows: those of the part, unless some got lost on the way.
fn positions<'p>(entries: &Entries, part: &'p Part, rows: &Batch) -> Cow<'p, [u32]> {
    if rows.rows() == part.samples.len() {
        return Cow::Borrowed(&part.samples);
    }
    let found = entries.contents_of(rows).unwrap_or_default();
    Cow::Owned(found.into_iter().map(|(position, _)| position as u32).collect())
}
