//! `Prices`: what the stages of one source are likely to cost, from what was measured.

use voxflow_contract::{MachineFault, Schema, Stage};

use super::graph::Graph;
use super::work_list::{Kept, Needs};
use crate::store::{Cost, MeshSums, Price, Size, StageFacts, Store};

/// Deviation of a whole run from prices of the same stage, as a share: machines have good and bad days.
const DOUBT: f64 = 0.15;
/// The same where the price is that of the stage with other inputs.
const DOUBT_OF_INPUTS: f64 = 0.3;
/// The same where the price is that of the stage with other parameters, or of another version.
const DOUBT_OF_KIN: f64 = 0.6;

/// What is done to the rows of a part at a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// The stage's own work.
    Work(usize),
    /// Its rows are written to the store.
    Keep(usize),
}

/// Prices of all jobs that the parts of one source go through.
#[derive(Default)]
pub(crate) struct Prices {
    jobs: Vec<Priced>,
    /// The stage that gives the first meshes: how many triangles there are is known from there on.
    mesh: Option<usize>,
    meshes: MeshSums,
    sinks: Vec<OfSink>,
    /// Seconds for each KiB of nominal size at a stage that was never timed: as at the others.
    rate: f64,
}

struct Priced {
    job: Job,
    /// The kept stages that have to do with it.
    serves: Needs,
    /// Jobs that come before it, by number.
    after: Vec<usize>,
    sees_triangles: bool,
    price: Option<Price>,
    doubt: f64,
}

/// What it costs to write the rows of a data set.
struct OfSink {
    sink: usize,
    rows_per_file: usize,
    price: Option<Price>,
    doubt: f64,
}

/// Seconds of work, and how far that may be from the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Guess {
    pub(crate) seconds: f64,
    /// Square seconds by which rows differ.
    variance: f64,
    /// Seconds by which all may be dearer or cheaper together.
    doubt: f64,
}

impl Guess {
    /// Adds work of another stage.
    pub(crate) fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.variance += other.variance;
        self.doubt += other.doubt;
    }

    /// By which factor the truth may be off, up or down, in nineteen cases of twenty.
    pub(crate) fn factor(&self) -> f64 {
        let deviation = (self.variance + self.doubt * self.doubt).sqrt();
        (2.0 * (deviation / self.seconds.max(1e-9)).min(1.0)).exp()
    }
}

impl Prices {
    /// What was measured at the stages of source `root`; of a stage that never ran, at the one most like
    /// it that did. Nothing but small files is read.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn read(
        graph: &Graph,
        root: usize,
        kept: &Kept,
        store: &Store,
    ) -> Result<Self, MachineFault> {
        let mut past: Option<Vec<StageFacts>> = None;
        let (stages, mesh) = stages_of(graph, root);
        let mut prices = Self { mesh, ..Self::default() };
        for stage in stages {
            let (cost, doubt) = cost_of(&graph.nodes[stage].facts, store, &mut past)?;
            if Some(stage) == mesh {
                prices.meshes = cost.meshes.clone();
            }
            prices.push_stage(graph, stage, kept, &cost, doubt);
        }
        for (sink, rows_per_file) in sinks_of(graph, root) {
            let (cost, doubt) = cost_of(&graph.nodes[sink].facts, store, &mut past)?;
            prices.sinks.push(OfSink { sink, rows_per_file, price: cost.price(), doubt });
        }
        prices.rate = prices.mean_rate();
        Ok(prices)
    }

    /// Where there is no store.
    pub(crate) fn unknown(graph: &Graph, root: usize, kept: &Kept) -> Self {
        let (stages, mesh) = stages_of(graph, root);
        let mut prices = Self { mesh, ..Self::default() };
        for stage in stages {
            prices.push_stage(graph, stage, kept, &Cost::default(), DOUBT);
        }
        for (sink, rows_per_file) in sinks_of(graph, root) {
            prices.sinks.push(OfSink { sink, rows_per_file, price: None, doubt: DOUBT });
        }
        prices
    }

    fn push_stage(&mut self, graph: &Graph, stage: usize, kept: &Kept, cost: &Cost, doubt: f64) {
        let place = |from: &usize| self.jobs.iter().position(|p| p.job == Job::Work(*from));
        let sees_triangles = self.mesh.is_some_and(|mesh| graph.upstream(stage).contains(&mesh));
        let work = Priced {
            job: Job::Work(stage),
            serves: kept.served_by(stage),
            after: graph.nodes[stage].from.iter().filter_map(place).collect(),
            sees_triangles,
            price: cost.price(),
            doubt,
        };
        let number = self.jobs.len();
        self.jobs.push(work);
        if kept.stages.contains(&stage) {
            self.jobs.push(Priced {
                job: Job::Keep(stage),
                serves: kept.only(stage),
                after: vec![number],
                sees_triangles,
                price: cost.keeping.fit(),
                doubt,
            });
        }
    }

    fn mean_rate(&self) -> f64 {
        let unit = Size { rows: 1, bytes: 1 << 14, triangles: 500 };
        let known = self.jobs.iter().filter(|p| matches!(p.job, Job::Work(_)));
        let rates: Vec<f64> = known.filter_map(|p| Some(p.price?.seconds(&unit))).collect();
        if rates.is_empty() {
            return 1.0;
        }
        rates.iter().sum::<f64>() / rates.len() as f64 / unit.nominal()
    }

    /// Whether a stage was ever timed.
    pub(crate) fn is_known(&self) -> bool {
        self.jobs.iter().any(|priced| priced.price.is_some())
    }

    /// The stage that gives the first meshes.
    pub(crate) fn mesh_stage(&self) -> Option<usize> {
        self.mesh
    }

    /// How many triangles meshes have that were decoded before.
    pub(crate) fn meshes(&self) -> &MeshSums {
        &self.meshes
    }

    /// The number of a job.
    pub(crate) fn number(&self, job: Job) -> Option<usize> {
        self.jobs.iter().position(|priced| priced.job == job)
    }

    /// Numbers of the jobs of parts that need these stages.
    pub(crate) fn jobs(&self, needs: Needs) -> impl Iterator<Item = usize> {
        (0..self.jobs.len()).filter(move |number| self.jobs[*number].serves.meets(needs))
    }

    /// The job of a number.
    pub(crate) fn job(&self, number: usize) -> Job {
        self.jobs[number].job
    }

    /// The size as a job sees it: before meshes are decoded nothing depends on their triangles.
    pub(crate) fn seen(&self, number: usize, size: Size) -> Size {
        let triangles = if self.jobs[number].sees_triangles { size.triangles } else { 0 };
        Size { triangles, ..size }
    }

    /// Seconds that a job takes; for one that was never timed, as many as the others would.
    pub(crate) fn seconds(&self, number: usize, size: Size) -> f64 {
        let size = self.seen(number, size);
        let priced = &self.jobs[number];
        match (&priced.price, priced.job) {
            (Some(price), _) => price.seconds(&size),
            (None, Job::Work(_)) => self.rate * size.nominal(),
            (None, Job::Keep(_)) => 0.0,
        }
    }

    /// As [`Prices::seconds`], with what it may be off by; `None` for a stage that was never timed.
    pub(crate) fn guess(&self, number: usize, size: Size) -> Option<Guess> {
        let size = self.seen(number, size);
        let priced = &self.jobs[number];
        let Some(price) = &priced.price else {
            return matches!(priced.job, Job::Keep(_)).then(Guess::default);
        };
        let seconds = price.seconds(&size);
        let doubt = priced.doubt * seconds;
        Some(Guess { seconds, variance: price.variance(&size), doubt })
    }

    /// What it costs to write the data sets once rows are made, one after the other; `Err` with the sinks
    /// that were never timed.
    pub(crate) fn data_sets(&self, to_make: u64, samples: u64) -> Result<Guess, Vec<usize>> {
        let mut sum = Guess::default();
        let mut untimed = Vec::new();
        for of_sink in &self.sinks {
            let Some(price) = &of_sink.price else {
                untimed.push(of_sink.sink);
                continue;
            };
            let rows = rows_to_write(to_make, samples, of_sink.rows_per_file);
            let size = Size { rows, ..Size::default() };
            let seconds = price.seconds(&size);
            let (variance, doubt) = (price.variance(&size), of_sink.doubt * seconds);
            sum.add(Guess { seconds, variance, doubt });
        }
        if untimed.is_empty() { Ok(sum) } else { Err(untimed) }
    }

    /// Seconds of all jobs of a part.
    pub(crate) fn total(&self, needs: Needs, size: Size) -> f64 {
        self.jobs(needs).map(|number| self.seconds(number, size)).sum()
    }

    /// Seconds of the jobs of a part that follow one from the other: no number of workers is faster.
    pub(crate) fn chain(&self, needs: Needs, size: Size) -> f64 {
        let mut ends = vec![0.0f64; self.jobs.len()];
        for number in self.jobs(needs) {
            let before = self.jobs[number].after.iter().map(|before| ends[*before]);
            ends[number] = before.fold(0.0, f64::max) + self.seconds(number, size);
        }
        ends.into_iter().fold(0.0, f64::max)
    }
}

/// The sinks of a source, and how many rows a file of theirs has.
fn sinks_of(graph: &Graph, root: usize) -> Vec<(usize, usize)> {
    let sinks = graph.sinks().into_iter().filter(|sink| graph.root(*sink) == root);
    let rows = |sink: usize| match &graph.nodes[sink].stage {
        Stage::Sink(stage) => stage.file_policy().map(|policy| policy.rows_per_file),
        _ => None,
    };
    sinks.map(|sink| (sink, rows(sink).unwrap_or(usize::MAX))).collect()
}

/// Rows of the files that have a row which is made anew, if those lie anywhere among the samples: the
/// others are linked. Files are three quarters full.
fn rows_to_write(to_make: u64, samples: u64, rows_per_file: usize) -> u64 {
    let (share, rows) = (to_make as f64 / samples.max(1) as f64, rows_per_file as f64 * 0.75);
    if to_make > 0 && samples as f64 <= rows {
        return samples;
    }
    let is_linked = (1.0 - share.min(1.0)).powf(rows);
    (samples as f64 * (1.0 - is_linked)).ceil() as u64
}

/// What the rows of a stage have cost, or those of the stage most like it of which that is known, and how
/// far that is to be doubted.
fn cost_of(
    facts: &StageFacts,
    store: &Store,
    past: &mut Option<Vec<StageFacts>>,
) -> Result<(Cost, f64), MachineFault> {
    let own = store.cost(facts);
    if own.price().is_some() {
        return Ok((own, DOUBT));
    }
    let past = match past {
        Some(past) => past,
        None => past.insert(store.stages()?),
    };
    let of_kin = kin(facts, past).into_iter().find_map(|old| {
        let cost = store.cost(old);
        cost.price().is_some().then(|| (cost, doubt_of(facts, old)))
    });
    Ok(of_kin.unwrap_or_default())
}

/// The per-sample stages of a source, and which of them gives the first meshes.
fn stages_of(graph: &Graph, root: usize) -> (Vec<usize>, Option<usize>) {
    let stages = (0..graph.nodes.len()).filter(|&i| graph.is_streaming(i));
    let stages: Vec<usize> = stages.filter(|&i| graph.root(i) == root).collect();
    let mesh = stages.iter().copied().find(|&stage| gives_meshes(graph, stage));
    (stages, mesh)
}

fn gives_meshes(graph: &Graph, stage: usize) -> bool {
    let has_triangles = |schema: Schema| schema.column("triangles").is_some();
    match &graph.nodes[stage].stage {
        Stage::Source(source) => has_triangles(source.output()),
        Stage::Operator(operator) => has_triangles(operator.output()),
        _ => false,
    }
}

fn doubt_of(facts: &StageFacts, old: &StageFacts) -> f64 {
    let is_same = old.version == facts.version && old.parameters == facts.parameters;
    if is_same { DOUBT_OF_INPUTS } else { DOUBT_OF_KIN }
}

/// The stages of the past that are of one kind with this one, without being it; the most alike first.
pub(crate) fn kin<'p>(facts: &StageFacts, past: &'p [StageFacts]) -> Vec<&'p StageFacts> {
    let likeness = |old: &&StageFacts| {
        let same = |(name, value)| old.parameters.get(name) == Some(value);
        let parameters = facts.parameters.iter().filter(|parameter| same(*parameter)).count();
        let more = old.parameters.len().abs_diff(facts.parameters.len());
        (old.inputs == facts.inputs, old.version, old.seed == facts.seed, parameters, more == 0)
    };
    let is_kin = |old: &&StageFacts| old.kind == facts.kind && old.fingerprint != facts.fingerprint;
    let mut kin: Vec<&StageFacts> = past.iter().filter(is_kin).collect();
    kin.sort_by_key(likeness);
    kin.reverse();
    kin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_new_row_are_not_written() {
        assert_eq!(rows_to_write(0, 1000, 100), 0);
        assert_eq!(rows_to_write(1000, 1000, 100), 1000);
        assert_eq!(rows_to_write(1, 10_000, 100), 75, "one file, three quarters full");
        assert_eq!(rows_to_write(1, 50, 1024), 50, "there is only one file");
        assert!(rows_to_write(500, 1000, 100) > 999);
    }

    #[test]
    fn a_guess_is_the_less_sure_the_more_it_is_doubted() {
        let guess = |variance, doubt| Guess { seconds: 10.0, variance, doubt };
        assert_eq!(guess(0.0, 0.0).factor(), 1.0);
        assert!(guess(1.0, 0.0).factor() < guess(1.0, 2.0).factor());
        assert_eq!(guess(1e6, 0.0).factor(), 2.0f64.exp(), "no more than that is worth saying");
        let mut both = guess(1.0, 1.0);
        both.add(guess(1.0, 1.0));
        assert_eq!(both, Guess { seconds: 20.0, variance: 2.0, doubt: 2.0 });
    }
}
