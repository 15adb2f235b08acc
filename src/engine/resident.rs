//! `Resident`: the tables of a run, kept up to date sample by sample.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLockReadGuard};

use voxflow_contract::{
    Batch, Committed, ContentHash, FilePolicy, Keyed, MachineFault, OutputFile, PARTS, Refusal,
    Sink, Stage, Values,
};
use voxflow_sinks::TwinFolder;

use super::commit::{Tally, refusals_of};
use super::counters::{Counters, StageCount};
use super::dataset::{Rows, write_file};
use super::fault::EngineFault;
use super::filing::Filing;
use super::graph::Graph;
use super::guard::guarded;
use super::held::Held;
use super::inputs::{self, Inputs};
use super::report::Report;
use super::samples::{Edit, EditKind, Samples};
use super::work_list::Kept;
use crate::store::StageStore;

/// Files that are written at the same time: most of the time of a small one is that of the disk.
const AT_ONCE: usize = 8;

/// A part of the split, by its number; the first where nothing splits.
pub(crate) type PartNumber = u8;

/// The tables of the samples of one source.
struct OfSource {
    inputs: Filing,
    inputs_folder: TwinFolder,
    sinks: BTreeMap<usize, OfSink>,
    /// The stages that refused a sample, by its slot.
    refused: BTreeMap<u32, Vec<(usize, Refusal)>>,
    /// Files that were written and lie in no table yet, by their hash.
    new: BTreeMap<String, PathBuf>,
}

/// A data set.
struct OfSink {
    parts: Vec<Filing>,
    folder: TwinFolder,
    /// What says in which part a sample is.
    keyed: Option<Arc<dyn Keyed>>,
    /// Rows of files that were not written in this revision.
    reused: u64,
}

/// What one source has by now, and what is another than at the last revision.
pub(crate) struct Revised<'a> {
    pub(crate) samples: &'a Samples,
    /// Samples that came, went or changed.
    pub(crate) edits: &'a [Edit],
    /// Slots that have another sample, or a sample in another part: where it was, and where it is.
    pub(crate) moved: &'a [(u32, Option<PartNumber>, Option<PartNumber>)],
    /// By slot the part of its sample, if it is in one.
    pub(crate) parts: &'a [Option<PartNumber>],
}

/// The tables of a run that makes data sets of samples that come, go and change.
pub struct Resident {
    graph: Graph,
    held: Arc<Held>,
    folder: PathBuf,
    sources: BTreeMap<usize, OfSource>,
}

/// Whether data sets of this graph can be kept up to date sample by sample: what splits them does so
/// by keys alone, what cuts them does so by ids, and all of a source have the same samples.
pub fn can_reside(graph: &Graph) -> bool {
    graph.sources().into_iter().all(|root| {
        let of_root = |stage: &usize| graph.root(*stage) == root;
        let keyed = graph.positions(|stage| matches!(stage, Stage::Keyed(_)));
        let keyed: Vec<usize> = keyed.into_iter().filter(of_root).collect();
        let is_plain = |stage: &usize| match &graph.nodes[*stage].stage {
            Stage::Keyed(keyed) => keyed.split_policy().is_some() && keyed.columns().is_empty(),
            _ => false,
        };
        let kept: BTreeSet<usize> = Kept::new(graph, root).stages.into_iter().collect();
        let has_all = |sink: &usize| match &graph.nodes[*sink].stage {
            Stage::Sink(stage) => {
                let inputs: BTreeSet<usize> = graph.streaming_inputs(*sink).into_iter().collect();
                stage.file_policy().is_some() && inputs == kept
            }
            _ => false,
        };
        let sinks: Vec<usize> = graph.sinks().into_iter().filter(of_root).collect();
        keyed.len() <= 1 && keyed.iter().all(is_plain) && sinks.iter().all(has_all)
    })
}

impl Revised<'_> {
    /// Whether anything is another.
    pub(crate) fn is_other(&self) -> bool {
        !self.edits.is_empty() || !self.moved.is_empty()
    }
}

impl Resident {
    /// Takes over the tables that a run made of these samples, by source.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn new(
        graph: &Graph,
        held: Arc<Held>,
        report: &Report,
        samples: &BTreeMap<usize, Revised<'_>>,
    ) -> Result<Self, EngineFault> {
        let (graph, folder) = (graph.clone(), report.folder.clone());
        let mut made = Self { graph, held, folder, sources: BTreeMap::new() };
        for (&root, all) in samples {
            let of_source = made.take_over(root, report, all);
            let of_source =
                of_source.map_err(|f| EngineFault::machine(&made.graph.nodes[root].id, f))?;
            made.sources.insert(root, of_source);
        }
        Ok(made)
    }

    fn take_over(
        &self,
        root: usize,
        report: &Report,
        all: &Revised<'_>,
    ) -> Result<OfSource, MachineFault> {
        let id = &self.graph.nodes[root].id;
        let order = all.samples.order();
        let folder = inputs::folder_of(id);
        let mut inputs = Filing::new(inputs::POLICY, folder.clone(), order.to_vec(), all.samples);
        inputs.know(report.inputs.get(id).map_or(&[], Vec::as_slice));
        let below = |output: &OutputFile| OutputFile {
            path: output.path.strip_prefix(&format!("{folder}/")).unwrap_or_default().to_owned(),
            ..output.clone()
        };
        let listed: Vec<OutputFile> = inputs.outputs().map(below).collect();
        let inputs_folder = TwinFolder::new(&self.folder.join(&folder), listed.iter())?;
        let mut sinks = BTreeMap::new();
        for sink in self.graph.sinks().into_iter().filter(|sink| self.graph.root(*sink) == root) {
            let Stage::Sink(stage) = &self.graph.nodes[sink].stage else { continue };
            let Some(policy) = stage.file_policy() else { continue };
            let keyed = self.graph.nodes[sink].from.iter().find_map(|from| {
                match &self.graph.nodes[*from].stage {
                    Stage::Keyed(keyed) => Some(Arc::clone(keyed)),
                    _ => None,
                }
            });
            let part = |number: PartNumber, name: &str| {
                let is_here = |slot: &&u32| match all.parts[**slot as usize] {
                    Some(part) => keyed.is_none() || part == number,
                    None => false,
                };
                let slots = order.iter().filter(is_here).copied().collect();
                Filing::new(policy, name.to_owned(), slots, all.samples)
            };
            let mut parts: Vec<Filing> = match keyed {
                Some(_) => PARTS.iter().zip(0..).map(|(name, number)| part(number, name)).collect(),
                None => vec![part(0, FilePolicy::UNSPLIT)],
            };
            let committed = report.committed.get(&self.graph.nodes[sink].id);
            let files = committed.map_or(&[][..], |committed| &committed.files);
            parts.iter_mut().for_each(|part| part.know(files));
            let folder = TwinFolder::new(&self.folder.join(stage.folder()), files.iter())?;
            sinks.insert(sink, OfSink { parts, folder, keyed, reused: 0 });
        }
        let (refused, new) = (BTreeMap::new(), BTreeMap::new());
        let mut of_source = OfSource { inputs, inputs_folder, sinks, refused, new };
        self.note_refusals(&mut of_source, all.samples, order.iter().copied());
        Ok(of_source)
    }

    /// Sees which stages refused the samples in some slots.
    fn note_refusals(
        &self,
        of_source: &mut OfSource,
        samples: &Samples,
        slots: impl Iterator<Item = u32>,
    ) {
        let stores = self.stores();
        for slot in slots {
            of_source.refused.remove(&slot);
            let Some((_, key)) = samples.keys()[slot as usize] else { continue };
            let found = refusals_of(&key, stores.iter().map(|(stage, store)| (*stage, &**store)));
            if !found.is_empty() {
                let found = found.into_iter().map(|(stage, refusal)| (stage, refusal.clone()));
                of_source.refused.insert(slot, found.collect());
            }
        }
    }

    fn stores(&self) -> BTreeMap<usize, RwLockReadGuard<'_, StageStore>> {
        let stages = self.held.stages.iter();
        stages
            .map(|(stage, s)| (*stage, s.read().unwrap_or_else(PoisonError::into_inner)))
            .collect()
    }

    /// Writes the files of samples that are not what they were; says of which sources. Nothing in the
    /// run's folder changes before [`Resident::swap`].
    ///
    /// # Errors
    /// When a row is missing, or the machine fails; this must not be used any more then.
    pub(crate) fn write(
        &mut self,
        revised: &BTreeMap<usize, Revised<'_>>,
    ) -> Result<Vec<usize>, EngineFault> {
        for (&root, revised) in revised {
            let Some(mut of_source) = self.sources.remove(&root) else { continue };
            let written = self.write_source(&mut of_source, revised);
            written.map_err(|f| EngineFault::machine(&self.graph.nodes[root].id, f))?;
            self.sources.insert(root, of_source);
        }
        Ok(revised.keys().copied().collect())
    }

    /// Makes beside the tables what they shall be.
    ///
    /// # Errors
    /// As [`Resident::write`].
    pub(crate) fn prepare(&mut self, roots: &[usize]) -> Result<(), EngineFault> {
        for (root, of_source) in self.sources.iter_mut().filter(|(root, _)| roots.contains(root)) {
            let prepared = of_source.prepare();
            prepared.map_err(|f| EngineFault::machine(&self.graph.nodes[*root].id, f))?;
        }
        Ok(())
    }

    fn write_source(
        &self,
        of_source: &mut OfSource,
        revised: &Revised<'_>,
    ) -> Result<(), MachineFault> {
        let of_kind = |kind| {
            let is_it = move |edit: &&Edit| edit.kind == kind;
            revised.edits.iter().filter(is_it).map(|edit| edit.slot).collect::<Vec<u32>>()
        };
        let (removed, new) = (of_kind(EditKind::Removed), of_kind(EditKind::New));
        removed.iter().for_each(|slot| drop(of_source.refused.remove(slot)));
        let dirty: BTreeSet<u32> = revised.edits.iter().map(|edit| edit.slot).collect();
        let there = dirty.iter().copied().filter(|slot| !removed.contains(slot));
        self.note_refusals(of_source, revised.samples, there);
        of_source.inputs.edit(&removed, &new, revised.samples);
        of_source.inputs.file(&dirty, revised.samples);
        for of_sink in of_source.sinks.values_mut() {
            of_sink.refile(revised, &dirty);
        }
        of_source.new = self.write_files(of_source, revised)?;
        Ok(())
    }

    /// Writes what is missing, several files at the same time; gives where they are, by their hash.
    fn write_files(
        &self,
        of_source: &mut OfSource,
        revised: &Revised<'_>,
    ) -> Result<BTreeMap<String, PathBuf>, MachineFault> {
        let stores = self.stores();
        let mut jobs: Vec<Job<'_>> = Vec::new();
        for (number, path, slots) in of_source.inputs.missing() {
            jobs.push(Job { table: Table::Inputs, number, path, slots });
        }
        for (&sink, of_sink) in &of_source.sinks {
            for (part, filing) in of_sink.parts.iter().enumerate() {
                for (number, path, slots) in filing.missing() {
                    let table = Table::Part { sink, part, keyed: of_sink.keyed.as_ref() };
                    jobs.push(Job { table, number, path, slots });
                }
            }
        }
        let write = |job: &Job<'_>| self.write_job(job, revised, &stores);
        let mut done = Vec::with_capacity(jobs.len());
        for jobs in jobs.chunks(AT_ONCE) {
            let written: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = jobs.iter().map(|job| scope.spawn(|| write(job))).collect();
                threads.into_iter().map(|thread| thread.join()).collect()
            });
            for (job, written) in jobs.iter().zip(written) {
                let panicked = |_| Err(MachineFault::new("a thread that wrote a file panicked"));
                let (output, path) = written.unwrap_or_else(panicked)?;
                done.push((job.table.place(), job.number, output, path));
            }
        }
        let mut new = BTreeMap::new();
        for (place, number, output, path) in done {
            new.insert(output.blake3.clone(), path);
            let filing = match place {
                None => Some(&mut of_source.inputs),
                Some((sink, part)) => {
                    of_source.sinks.get_mut(&sink).and_then(|sink| sink.parts.get_mut(part))
                }
            };
            if let Some(filing) = filing {
                filing.written(number, output);
            }
        }
        Ok(new)
    }

    fn write_job(
        &self,
        job: &Job<'_>,
        revised: &Revised<'_>,
        stores: &BTreeMap<usize, RwLockReadGuard<'_, StageStore>>,
    ) -> Result<(OutputFile, PathBuf), MachineFault> {
        let (samples, target) = (revised.samples, self.held.files.beside());
        let output = match job.table {
            Table::Inputs => {
                let (entries, keys) = (samples.entries(), samples.keys());
                let inputs = Inputs { entries, keys, positions: job.slots };
                inputs.keep(&self.held.files, &target, job.path.clone())?
            }
            Table::Part { sink, part, keyed } => {
                let node = &self.graph.nodes[sink];
                let Stage::Sink(stage) = &node.stage else {
                    return Err(MachineFault::new(format!("{} is no sink", node.id)));
                };
                let rows = self.rows(sink, job.slots, samples, stores, keyed.map(|k| (k, part)))?;
                let (stage, files): (&dyn Sink, _) = (stage.as_ref(), &self.held.files);
                let fingerprint = &node.facts.fingerprint;
                let write = || write_file(stage, &rows, fingerprint, files, &target);
                let panicked =
                    |panic| Err(MachineFault::new(format!("the sink panicked: {panic}")));
                guarded(write).unwrap_or_else(panicked)?
            }
        };
        Ok((OutputFile { path: job.path.clone(), ..output }, target))
    }

    /// What a file of these samples is made of.
    fn rows<'s>(
        &self,
        sink: usize,
        slots: &[u32],
        samples: &Samples,
        stores: &'s BTreeMap<usize, RwLockReadGuard<'_, StageStore>>,
        keyed: Option<(&Arc<dyn Keyed>, usize)>,
    ) -> Result<Rows<'s>, MachineFault> {
        let missing = |slot: u32| {
            MachineFault::new(format!("a sample that arrived has no row: {}", samples.id(slot)))
        };
        let key = |slot: &u32| samples.keys()[*slot as usize].ok_or_else(|| missing(*slot));
        let keys = slots.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let (mut inputs, mut places) = (Vec::new(), Vec::new());
        for stage in self.graph.streaming_inputs(sink) {
            let store: &StageStore = &stores[&stage];
            let place = |((_, key), slot): (&(ContentHash, _), &u32)| {
                store.place(key).ok_or_else(|| missing(*slot))
            };
            places.push(keys.iter().zip(slots).map(place).collect::<Result<Vec<_>, _>>()?);
            inputs.push(store);
        }
        let additions = keyed.map(|(keyed, part)| {
            let all = || slots.iter().map(|slot| *slot as usize);
            let contents = keys.iter().map(|(content, _)| *content.as_bytes());
            let values = vec![
                Values::utf8(all().map(|slot| samples.entries().sample(slot))),
                Values::utf8(all().map(|slot| samples.entries().category(slot))),
                Values::fixed_binary(ContentHash::LEN, contents),
                Values::utf8(slots.iter().map(|_| PARTS[part])),
            ];
            Batch::new(keyed.output(), values)?.project(&["split"])
        });
        let additions = additions.transpose().map_err(|e| MachineFault::new(e.to_string()))?;
        let row_keys = keys.into_iter().map(|(_, key)| key).collect();
        Ok(Rows { inputs, places, row_keys, additions })
    }

    /// Puts what was written in place. The names in [`Resident::parents`] are for the caller to force
    /// to disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn swap(&mut self, roots: &[usize]) -> Result<(), EngineFault> {
        for (root, of_source) in self.sources.iter_mut().filter(|(root, _)| roots.contains(root)) {
            let folders = of_source.sinks.values_mut().map(|sink| &mut sink.folder);
            let mut folders = folders.chain([&mut of_source.inputs_folder]);
            let swapped = folders.try_for_each(TwinFolder::swap);
            swapped.map_err(|f| EngineFault::machine(&self.graph.nodes[*root].id, f))?;
        }
        Ok(())
    }

    /// Folders in which names change when the tables do.
    pub(crate) fn parents(&self) -> BTreeSet<PathBuf> {
        let sinks = self.graph.sinks().into_iter();
        let folders = sinks.filter_map(|sink| match &self.graph.nodes[sink].stage {
            Stage::Sink(stage) => Some(self.folder.join(stage.folder())),
            _ => None,
        });
        let parents = folders.filter_map(|folder| folder.parent().map(Path::to_owned));
        parents.chain([self.folder.join("inputs")]).collect()
    }

    /// What there is by now; `live` has what was made for this revision.
    pub(crate) fn report(
        &self,
        samples: &BTreeMap<usize, &Samples>,
        unopened: Vec<Refusal>,
        live: &Counters,
    ) -> Report {
        let graph = &self.graph;
        let mut report = Report {
            folder: self.folder.clone(),
            stages: vec![StageCount::default(); graph.nodes.len()],
            refusals: unopened,
            is_first: true,
            ..Report::default()
        };
        for (&root, of_source) in &self.sources {
            let Some(samples) = samples.get(&root) else { continue };
            let refs = |all: &'_ Vec<(usize, Refusal)>| {
                all.iter().map(|(stage, refusal)| (*stage, refusal.clone())).collect::<Vec<_>>()
            };
            let all: Vec<Vec<(usize, Refusal)>> = of_source.refused.values().map(refs).collect();
            let refused: Vec<Vec<(usize, &Refusal)>> =
                all.iter().map(|of| of.iter().map(|(stage, r)| (*stage, r)).collect()).collect();
            let unopened = samples.unknown().len() as u64;
            let tally = Tally { samples: samples.len() as u64, unopened, refused: &refused };
            for stage in (0..graph.nodes.len()).filter(|stage| graph.root(*stage) == root) {
                report.stages[stage] = match &graph.nodes[stage].stage {
                    Stage::Source(_) | Stage::Operator(_) => {
                        tally.count(graph, (root, stage), live.stage(stage))
                    }
                    Stage::Keyed(_) => of_source.rows(0),
                    Stage::Sink(_) => {
                        of_source.rows(of_source.sinks.get(&stage).map_or(0, |sink| sink.reused))
                    }
                    Stage::Task(_) => StageCount::default(),
                };
            }
            let named = |(stage, refusal): (usize, Refusal)| Refusal {
                stage: graph.nodes[stage].id.clone(),
                ..refusal
            };
            report.refusals.extend(all.into_iter().flatten().map(named));
            let id = |stage: usize| graph.nodes[stage].id.clone();
            report.inputs.insert(id(root), of_source.inputs.outputs().cloned().collect());
            let committed = of_source.sinks.iter().map(|(&sink, of)| (id(sink), of.committed()));
            report.committed.extend(committed);
        }
        report.refusals.sort_by(|a, b| (&a.sample, &a.stage).cmp(&(&b.sample, &b.stage)));
        report
    }
}

/// A file that has to be written.
struct Job<'a> {
    table: Table<'a>,
    number: usize,
    path: String,
    slots: &'a [u32],
}

/// What a file is one of.
#[derive(Clone, Copy)]
enum Table<'a> {
    Inputs,
    Part { sink: usize, part: usize, keyed: Option<&'a Arc<dyn Keyed>> },
}

impl Table<'_> {
    fn place(&self) -> Option<(usize, usize)> {
        match self {
            Self::Inputs => None,
            Self::Part { sink, part, .. } => Some((*sink, *part)),
        }
    }
}

impl OfSource {
    /// Makes the twins what the folders shall be.
    fn prepare(&mut self) -> Result<(), MachineFault> {
        let below = |output: &OutputFile| {
            let name = output.path.rsplit('/').next().unwrap_or_default();
            OutputFile { path: name.to_owned(), ..output.clone() }
        };
        let inputs: Vec<OutputFile> = self.inputs.outputs().map(below).collect();
        let (folder, sinks, new) = (&mut self.inputs_folder, &mut self.sinks, &self.new);
        let prepared = std::thread::scope(|scope| {
            let mut threads = vec![scope.spawn(|| folder.prepare(inputs.iter(), new))];
            for sink in sinks.values_mut() {
                threads.push(scope.spawn(|| {
                    let files = sink.parts.iter().flat_map(Filing::outputs);
                    sink.folder.prepare(files, new)
                }));
            }
            let panicked = || MachineFault::new("a thread that linked files panicked");
            threads.into_iter().try_for_each(|t| t.join().map_err(|_| panicked()).flatten())
        });
        for path in std::mem::take(&mut self.new).values() {
            // The twins have links to it by now; who ends removes what is left.
            let _ = fs::remove_file(path);
        }
        prepared
    }

    /// A count of all rows of the data sets.
    fn rows(&self, reused: u64) -> StageCount {
        let first = self.sinks.values().next();
        let rows = first.map_or(0, |sink| sink.parts.iter().map(Filing::rows).sum());
        StageCount { rows_in: rows, rows_out: rows, reused, ..StageCount::default() }
    }
}

impl OfSink {
    /// Puts samples in the parts they are in now, and cuts these into files.
    fn refile(&mut self, revised: &Revised<'_>, dirty: &BTreeSet<u32>) {
        let is_split = self.keyed.is_some();
        let mut reused = 0;
        for (number, part) in self.parts.iter_mut().enumerate() {
            let is_here = |at: Option<PartNumber>| {
                at.is_some_and(|at| !is_split || usize::from(at) == number)
            };
            let of = |wanted: fn(bool, bool) -> bool| {
                let is_wanted = move |(_, was, is): &&(u32, Option<u8>, Option<u8>)| {
                    wanted(is_here(*was), is_here(*is))
                };
                revised.moved.iter().filter(is_wanted).map(|(slot, ..)| *slot).collect::<Vec<_>>()
            };
            let (gone, came) = (of(|was, is| was && !is), of(|was, is| !was && is));
            part.edit(&gone, &came, revised.samples);
            part.file(dirty, revised.samples);
            reused += part.outputs().map(|output| output.rows).sum::<u64>();
        }
        self.reused = reused;
    }

    fn committed(&self) -> Committed {
        let mut committed = Committed::default();
        for part in &self.parts {
            for output in part.outputs() {
                let split = committed.splits.entry(part.folder().to_owned()).or_default();
                *split += output.rows;
                committed.files.push(output.clone());
            }
        }
        committed.files.sort_by(|a, b| a.path.cmp(&b.path));
        committed
    }
}
