//! A pipeline that is watched: its samples as they are known, its data sets, and one revision after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use voxflow_contract::{Change, Refusal, Source, SplitPolicy, Stage, commit_point};

use crate::cli::{Format, GlobalArgs, WatchArgs};
use crate::commands::run::{explain, sample_limits, workers};
use crate::engine::{
    Counters, EngineFault, Graph, Held, Options, Report, Resident, Scan, StageCount, Stop,
    can_reside, kept_stages, run as run_graph, scan_sources,
};
use crate::error::Error;
use crate::pipeline::Plan;
use crate::previous::previous;
use crate::run_lock::{Asked, RunLock};
use crate::watched::{Consequences, Edits, Moved, Watched};
use crate::{run_folder, terminal};

/// Revisions after which what was learned of samples is made durable.
const REVISIONS_A_SAVE: u32 = 64;

/// Changes of samples, by source.
pub(super) type Changes = BTreeMap<usize, Vec<Change>>;
/// All samples, by source.
pub(super) type Scans = BTreeMap<usize, Scan>;

/// A pipeline whose data sets are kept up to date.
pub(super) struct Watching<'a> {
    pub(super) args: &'a WatchArgs,
    pub(super) global: &'a GlobalArgs,
    pub(super) plan: Plan,
    pub(super) graph: Graph,
    /// For each stage of the graph its position in the plan.
    pub(super) places: Vec<usize>,
    pub(super) run: String,
    pub(super) stop: Stop,
    pub(super) revision: u32,
    pub(super) watched: BTreeMap<usize, Watched>,
    /// The store and the tables, where these can be kept up to date sample by sample.
    pub(super) resident: Option<(Arc<Held>, Resident)>,
    /// Why samples could not be opened.
    pub(super) unopened: Vec<Refusal>,
    /// Stamps of the lists that stages name.
    pub(super) lists: Vec<String>,
    /// What keeps changes from being made, where a person must mend it, and these changes.
    pub(super) waits: Option<(String, Edits)>,
}

impl<'a> Watching<'a> {
    /// Makes the first revision.
    pub(super) fn begin(
        args: &'a WatchArgs,
        global: &'a GlobalArgs,
        (plan, graph, places): (Plan, Graph, Vec<usize>),
        run: String,
        stop: Stop,
    ) -> Result<Self, Error> {
        let begun = Instant::now();
        let scans = Arc::new(scan_sources(&graph).map_err(|fault| explain(fault, &run))?);
        let mut watching = Self {
            args,
            global,
            plan,
            graph,
            places,
            run,
            stop,
            revision: 1,
            watched: BTreeMap::new(),
            resident: None,
            unopened: Vec::new(),
            // Read once more at the first look: they may have changed since the plan was made.
            lists: Vec::new(),
            waits: None,
        };
        let mut report = watching.run(Arc::clone(&scans), None)?;
        let (mut edits, mut found) = (Edits::default(), Consequences::default());
        let scans = Arc::try_unwrap(scans).unwrap_or_else(|shared| shared.as_ref().clone());
        let policy = watching.policy();
        for (root, scan) in scans {
            let fates = report.fates.remove(&root).unwrap_or_default();
            edits.new += fates.len() as u64;
            let stages = kept_stages(&watching.graph, root).len();
            let mut known = Watched::new(policy, stages, scan.entries);
            found = found.and(known.settle_all(&fates));
            watching.watched.insert(root, known);
        }
        let report = watching.of_plan(report);
        watching.record(&report)?;
        let found = watching.found_by(&report, found);
        watching.tell(edits, found, &report, begun.elapsed())?;
        watching.reside(&report)?;
        Ok(watching)
    }

    fn policy(&self) -> SplitPolicy {
        let policy = self.graph.nodes.iter().find_map(|node| match &node.stage {
            Stage::Keyed(keyed) => keyed.split_policy(),
            _ => None,
        });
        // Without a split of its own kind all lie in one part, and nothing can leak.
        policy.unwrap_or(SplitPolicy { ratios: [1.0, 0.0, 0.0], seed: 0, is_by_sample: true })
    }

    /// Keeps store and tables open, where that can be.
    fn reside(&mut self, report: &Report) -> Result<(), Error> {
        if !can_reside(&self.graph) {
            return Ok(());
        }
        let fault = |fault| explain(fault, &self.run);
        let held = Arc::new(Held::open(&self.global.home, &self.graph).map_err(fault)?);
        let all = self.watched.iter().map(|(root, known)| (*root, known.revised(&[]))).collect();
        let resident = Resident::new(&self.graph, Arc::clone(&held), report, &all);
        self.resident = Some((held, resident.map_err(fault)?));
        crate::allocator::give_back_free();
        Ok(())
    }

    /// What a look at some paths shows, or at everything where that alone says it; whether it was that.
    pub(super) fn look_at(
        &self,
        sources: &BTreeMap<usize, Arc<dyn Source>>,
        paths: &[PathBuf],
    ) -> Result<(Changes, bool), EngineFault> {
        match self.relist(sources, paths)? {
            Some(changes) => Ok((changes, false)),
            None => Ok((self.rescan()?, true)),
        }
    }

    /// What a look at some paths shows; `None` where only a look at everything does.
    fn relist(
        &self,
        sources: &BTreeMap<usize, Arc<dyn Source>>,
        paths: &[PathBuf],
    ) -> Result<Option<Changes>, EngineFault> {
        let mut all = Changes::new();
        for (root, known) in &self.watched {
            let Some(source) = sources.get(root) else { continue };
            let below = source.depends_on();
            let is_its = |path: &&PathBuf| below.iter().any(|folder| path.starts_with(folder));
            let paths: Vec<PathBuf> = paths.iter().filter(is_its).cloned().collect();
            if paths.is_empty() {
                continue;
            }
            let id = &self.graph.nodes[*root].id;
            let changes = source.relist(&paths, known.samples());
            let changes = changes.map_err(|fault| EngineFault::setup(id, fault))?;
            let Some(changes) = changes else { return Ok(None) };
            all.insert(*root, changes);
        }
        Ok(Some(all))
    }

    /// What a look at everything shows.
    pub(super) fn rescan(&self) -> Result<Changes, EngineFault> {
        let scans = scan_sources(&self.graph)?;
        let differences = |(root, scan): (usize, Scan)| {
            let known = self.watched.get(&root)?;
            Some((root, known.samples().differences(&scan.entries)))
        };
        Ok(scans.into_iter().filter_map(differences).collect())
    }

    /// Makes the next revision, if these changes change anything.
    pub(super) fn revise(
        &mut self,
        mut changes: Changes,
        is_replanned: bool,
        begun: Instant,
    ) -> Result<(), Error> {
        let waited = self.waits.as_ref().map(|(_, edits)| *edits);
        let mut edits = waited.unwrap_or_default();
        for (root, known) in &mut self.watched {
            edits = edits.and(known.look(changes.remove(root).unwrap_or_default()));
        }
        if edits.is_empty() && !is_replanned && waited.is_none() {
            return Ok(());
        }
        if self.watched.values().any(|known| known.samples().len() == 0) {
            // As a scan would say it.
            scan_sources(&self.graph).map_err(|fault| explain(fault, &self.run))?;
        }
        let (found, report) = match self.resident.take() {
            Some((held, mut resident)) => {
                let made = self.revise_resident(&held, &mut resident)?;
                self.resident = Some((held, resident));
                made
            }
            None => match self.scan_that_fits(edits)? {
                Some(scans) => self.revise_whole(&Arc::new(scans))?,
                None => return Ok(()),
            },
        };
        self.revision += 1;
        self.tell(edits, found, &report, begun.elapsed())?;
        run_folder::write_tables(&report.folder, &self.plan, &report)?;
        if self.revision.is_multiple_of(REVISIONS_A_SAVE) {
            self.save()?;
            if let Some((held, _)) = &self.resident {
                held.compact(&self.graph);
            }
        }
        Ok(())
    }

    /// Makes the rows of what changed, and writes the files that have other rows than before.
    fn revise_resident(
        &mut self,
        held: &Arc<Held>,
        resident: &mut Resident,
    ) -> Result<(Consequences, Report), Error> {
        let (counters, found) = self.make_rows(held)?;
        self.check_moves()?;
        let run = self.run.clone();
        let fault = |fault| explain(fault, &run);
        let moved: BTreeMap<usize, Vec<Moved>> =
            self.watched.iter().map(|(root, known)| (*root, known.moved())).collect();
        let revised = self.watched.iter().map(|(root, known)| (*root, known.revised(&moved[root])));
        let revised = revised.filter(|(_, revised)| revised.is_other()).collect();
        let roots = resident.write(&revised).map_err(fault)?;
        let samples = self.watched.iter().map(|(root, known)| (*root, known.samples())).collect();
        let report = resident.report(&samples, self.unopened.clone(), &counters);
        let report = self.of_plan(report);
        let (plan, asked) = (&self.plan, self.asked());
        let lock = std::thread::scope(|scope| {
            let lock = scope.spawn(|| RunLock::write_beside(plan, asked, &report));
            resident.prepare(&roots).map_err(fault)?;
            let panicked = |_| Error::Run { message: "a thread panicked".to_owned() };
            lock.join().map_err(panicked)?
        })?;
        // A kill before the new one is there leaves a run that did not end, and not a wrong record.
        RunLock::withdraw(&report.folder)?;
        resident.swap(&roots).map_err(fault)?;
        lock.publish()?;
        commit_point("record.renamed");
        run_folder::sync(resident.parents().into_iter().chain([report.folder.clone()]))?;
        Ok((found, report))
    }

    /// Makes the rows of samples whose content is not known; `None` where there are none.
    fn make_rows(&mut self, held: &Arc<Held>) -> Result<(Arc<Counters>, Consequences), Error> {
        let open = self.watched.iter().map(|(root, known)| (*root, known.to_open()));
        let (mut scans, mut slots) = (BTreeMap::new(), BTreeMap::new());
        for (root, (scan, of_scan)) in open {
            scans.insert(root, scan);
            slots.insert(root, of_scan);
        }
        let counters = Arc::new(Counters::new(self.graph.nodes.len()));
        let mut report = Report::default();
        if slots.values().any(|slots| !slots.is_empty()) {
            let held = Some((Arc::clone(held), Arc::clone(&counters)));
            report = self.run(Arc::new(scans), held)?;
        }
        let mut found = Consequences::default();
        for (root, known) in &mut self.watched {
            let fates = report.fates.remove(root).unwrap_or_default();
            found = found.and(known.settle(&slots[root], &fates));
        }
        let is_unknown = |refusal: &Refusal| {
            let slot = |known: &Watched| {
                let samples = known.samples();
                samples.find(&refusal.sample).is_ok_and(|slot| samples.unknown().contains(&slot))
            };
            self.watched.values().any(slot)
        };
        self.unopened = report.refusals.into_iter().filter(is_unknown).collect();
        Ok((counters, found))
    }

    /// Runs the pipeline as a whole: what the store has is not made again.
    fn revise_whole(&mut self, scans: &Arc<Scans>) -> Result<(Consequences, Report), Error> {
        let mut report = self.run(Arc::clone(scans), None)?;
        let mut found = Consequences::default();
        for (root, known) in &mut self.watched {
            let fates = report.fates.remove(root).unwrap_or_default();
            let (_, slots) = known.to_open();
            let fate = |slot: &u32| {
                let position = scans[root].entries.position(known.samples().id(*slot));
                position.and_then(|position| fates.get(position).copied().flatten())
            };
            let fates: Vec<_> = slots.iter().map(fate).collect();
            found = found.and(known.settle(&slots, &fates));
        }
        let report = self.of_plan(report);
        self.record(&report)?;
        Ok((self.found_by(&report, found), report))
    }

    /// Makes what was learned of samples durable; without it they are opened once more.
    pub(super) fn save(&self) -> Result<(), Error> {
        let Some((held, _)) = &self.resident else { return Ok(()) };
        for (root, known) in &self.watched {
            let samples = known.samples();
            let saved = held.save(*root, samples.entries(), samples.order());
            saved.map_err(|fault| Error::Disk { fault })?;
        }
        Ok(())
    }

    fn asked(&self) -> Asked {
        Asked::new(&self.args.set, None, &self.args.pipeline, self.global)
    }

    fn record(&self, report: &Report) -> Result<(), Error> {
        run_folder::write_tables(&report.folder, &self.plan, report)?;
        RunLock::write(&self.plan, self.asked(), report)
    }

    /// The report with a count for every stage of the plan, tasks too.
    fn of_plan(&self, report: Report) -> Report {
        let mut stages = vec![StageCount::default(); self.plan.stages.len()];
        for (place, count) in self.places.iter().zip(&report.stages) {
            stages[*place] = *count;
        }
        Report { stages, ..report }
    }

    /// Runs the graph; with a store that is held it only makes rows.
    fn run(
        &self,
        scans: Arc<BTreeMap<usize, Scan>>,
        held: Option<(Arc<Held>, Arc<Counters>)>,
    ) -> Result<Report, Error> {
        // What only makes rows replaces no data set.
        let previous = match held {
            Some(_) => BTreeMap::new(),
            None => previous(&self.global.home.join("runs"), &self.run, &self.plan.name),
        };
        let (held, counters) = held.unzip();
        let options = Options {
            workers: workers(self.args.workers),
            memory_bytes: self.args.memory,
            commit_every: Duration::from_secs(5),
            sample_limits: sample_limits(&self.args.limits),
            home: self.global.home.clone(),
            run: self.run.clone(),
            resume: None,
            cluster: None,
            stop: self.stop.clone(),
            counters: counters.unwrap_or_else(|| Arc::new(Counters::new(self.graph.nodes.len()))),
            task_progress: Arc::new(|_, _, _| {}),
            tells_fates: true,
            previous,
            held,
        };
        run_graph(&self.graph, scans, &options).map_err(|fault| explain(fault, &self.run))
    }

    /// Rows that were made at the stage that made most.
    fn made(&self, report: &Report) -> u64 {
        let streams = |place: &&usize| {
            matches!(self.plan.stages[**place].stage, Stage::Source(_) | Stage::Operator(_))
        };
        let counts = self.places.iter().filter(streams).map(|place| report.stages[*place]);
        counts.map(|count| count.rows_out.saturating_sub(count.reused)).max().unwrap_or_default()
    }

    fn tell(
        &self,
        edits: Edits,
        found: Consequences,
        report: &Report,
        elapsed: Duration,
    ) -> Result<(), Error> {
        let rows: u64 = report.committed.values().flat_map(|all| all.splits.values()).sum();
        let made = self.made(report).min(rows);
        let (revision, refused, seconds) =
            (self.revision, report.refusals.len(), elapsed.as_secs_f64());
        let Edits { new, changed, removed, .. } = edits;
        let Consequences { moved, moved_of, duplicates, leaks } = found;
        if self.args.format == Format::Json {
            let line = json!({
                "revision": revision,
                "new": new,
                "changed": changed,
                "removed": removed,
                "rows": rows,
                "made": made,
                "reused": rows - made,
                "refused": refused,
                "moved": moved,
                "moved_of": moved_of,
                "duplicates": duplicates,
                "leaks": leaks,
                "stages": report.stages.iter().map(|c| json!({
                    "rows_out": c.rows_out, "reused": c.reused, "refused": c.refused,
                })).collect::<Vec<_>>(),
                "run": report.folder,
                "elapsed_s": seconds,
            });
            return terminal::print(&format!("{line}\n"));
        }
        let reused = rows - made;
        terminal::print(&format!(
            "revision {revision}: {new} new, {changed} changed, {removed} removed; {rows} rows, {made} made, \
             {reused} reused, {refused} refused; {moved} of {moved_of} moved in the split, {duplicates} duplicates, \
             {leaks} leaks; {seconds:.3} s\n"
        ))
    }
}
