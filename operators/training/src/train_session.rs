//! A training at work: steps in order, validation and a checkpoint after each epoch.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::Ordering;

use burn::tensor::{Device, Tensor, TensorData};
use voxflow_contract::{
    Batch, Flow, GoOn, Item, MachineFault, Outcome, Purpose, Random, Session, SetupFault,
    TaskContext, TaskError,
};

use crate::alarms::{Looked, collapse};
use crate::checkpoint::{self, Checkpoint, EpochRecord, Manifest, Validation};
use crate::device::{ChosenDevice, choose_device};
use crate::going_on;
use crate::imagined::{compare, pack};
use crate::learner::{
    Frozen, Learner, LearnerState, bits_of, grids_of, learner, numbers_of, seen_of,
};
use crate::literature::{self, ModelName};
use crate::metrics::{IouTally, Measurement, iou_at, metric_batch};
use crate::objective::Objective;
use crate::prepare::{PictureForm, Preparation};
use crate::report::training_report;
use crate::state_dict::begin_with;
use crate::step::{Place, StepLosses, prior_codes};
use crate::step_log::StepLog;
use crate::train::Course;
use crate::train_params::{AlarmPolicy, TrainParams};

/// Batches at the end of an epoch over which running statistics are measured anew.
const MEASURED_BATCHES: usize = 8;
/// Grids that a network without eyes imagines for a validation, and that are compared with true ones.
const IMAGINED_GRIDS: usize = 128;
/// How often training goes back to a checkpoint before it gives up.
const MOST_ROLL_BACKS: u64 = 3;

/// Implements [`Session`] for `train`.
pub(crate) struct TrainSession {
    params: TrainParams,
    form: Option<PictureForm>,
    seed: u64,
    context: TaskContext,
    chosen: ChosenDevice,
    /// That one and those that share batches with it.
    devices: Vec<Device>,
    learner: Box<dyn Learner>,
    total_steps: u64,
    step: u64,
    history: Vec<EpochRecord>,
    epoch: RunningEpoch,
    log: Option<StepLog>,
    roll_backs: u64,
    alarms: Vec<String>,
    /// Where it was told to go on from, oldest first.
    went_on: Vec<String>,
    stopped: bool,
    /// Set when validation has not become better for long enough.
    is_settled: bool,
}

/// Sums over the epoch at hand.
#[derive(Default)]
struct RunningEpoch {
    /// Rows that wait for others to be a batch with: some of theirs were refused.
    waiting: Option<Batch>,
    /// The last training batches and their places.
    recent: VecDeque<(Place, Batch)>,
    losses: BTreeMap<String, f64>,
    steps: u64,
    samples: u64,
    validation: Option<IouTally>,
    looked: Looked,
    /// The network as it is validated, made at the end of the training batches.
    frozen: Option<Box<dyn Frozen>>,
}

/// A trainer at its beginning: with drawn weights, or with those of a file.
fn beginning(
    params: &TrainParams,
    seed: u64,
    devices: &[Device],
) -> Result<Box<dyn Learner>, SetupFault> {
    let mut learner = learner(params, seed, devices);
    if !params.weights.is_empty() {
        begin_with(learner.as_mut(), Path::new(&params.weights), &params.weight_names)?;
    }
    Ok(learner)
}

impl TrainSession {
    /// Chooses the device, draws the weights, and goes on from a checkpoint where asked to.
    pub(crate) fn open(
        params: &TrainParams,
        preparation: &Preparation,
        course: &Course,
        context: TaskContext,
    ) -> Result<Self, TaskError> {
        let chosen = choose_device(params.device)?;
        tracing::info!("{}", chosen.reason);
        let seed = preparation.seed;
        let devices = chosen.several(params.devices)?;
        let learner = beginning(params, seed, &devices)?;
        let mut session = Self {
            params: params.clone(),
            form: preparation.picture,
            seed,
            log: None,
            chosen,
            devices,
            learner,
            total_steps: course.steps,
            step: 0,
            history: Vec::new(),
            epoch: RunningEpoch::default(),
            roll_backs: 0,
            alarms: Vec::new(),
            went_on: Vec::new(),
            stopped: false,
            is_settled: false,
            context,
        };
        match session.context.resume {
            Some(go_on) => session.resume(go_on, course)?,
            None => checkpoint::clear(&session.context.folder)?,
        }
        if session.params.log_steps {
            session.log = Some(StepLog::open(&session.context.folder, session.step)?);
        }
        Ok(session)
    }

    /// Epochs that are already trained.
    pub(crate) fn epochs_done(&self) -> u64 {
        self.history.last().map_or(0, |record| record.epoch)
    }

    fn resume(&mut self, go_on: GoOn, course: &Course) -> Result<(), TaskError> {
        if let Some(start) = go_on.start_epoch.filter(|start| *start > course.epochs) {
            let last = course.epochs;
            let message =
                format!("epoch {start} to start with is beyond the last, {last}: raise n_epochs");
            return Err(SetupFault::new(message).into());
        }
        let folder = self.context.folder.clone();
        let Some(found) = going_on::find(&folder, go_on)? else { return Ok(()) };
        self.fits(&found.manifest)?;
        let found = going_on::make_newest(&folder, found, go_on)?;
        self.went_on.clone_from(&found.manifest.went_on);
        self.step = found.manifest.step;
        self.history.clone_from(&found.manifest.history);
        self.roll_backs = found.manifest.roll_backs;
        self.learner.set_rate_factor(0.5_f64.powi(self.roll_backs as i32));
        self.learner.load(found).map_err(|e| {
            SetupFault::new(format!("the checkpoint does not fit the network: {e}"))
        })?;
        tracing::info!("going on after epoch {} at step {}", self.epochs_done(), self.step);
        Ok(())
    }

    /// Whether the checkpoint is of this very run; says what differs.
    fn fits(&self, manifest: &Manifest) -> Result<(), SetupFault> {
        let mine = self.manifest();
        let mut differing = Vec::new();
        if manifest.dataset != mine.dataset {
            differing.push("the data set".to_owned());
        }
        if manifest.seed != mine.seed {
            differing.push(format!("the seed ({} there, {} here)", manifest.seed, mine.seed));
        }
        let theirs = manifest.parameters.as_object();
        let ours = mine.parameters.as_object();
        // What an earlier version did not know it did as the default has it.
        let defaults = literature::parameters(self.params.model, self.params.profile).course();
        for (key, value) in ours.into_iter().flatten() {
            let other = theirs.and_then(|map| map.get(key)).or_else(|| defaults.get(key));
            if other != Some(value) {
                let other = other.map_or("nothing".to_owned(), ToString::to_string);
                differing.push(format!("`{key}` ({other} there, {value} here)"));
            }
        }
        if differing.is_empty() && manifest.config == mine.config {
            return Ok(());
        }
        Err(SetupFault::new(format!(
            "cannot resume, the checkpoint is of another run; what differs: {}. Set it back, or run \
             without --resume to begin anew: {}",
            differing.join(", "),
            self.context.folder.display()
        )))
    }

    fn manifest(&self) -> Manifest {
        let network = self.params.network();
        Manifest {
            format_version: checkpoint::FORMAT_VERSION,
            model: network.name().to_owned(),
            epoch: self.epochs_done(),
            step: self.step,
            seed: self.seed,
            config: serde_json::to_value(network).unwrap_or_default(),
            parameters: self.params.course(),
            device: self.chosen.name.to_owned(),
            dataset: self.context.index.digest.clone(),
            optimizer_steps: BTreeMap::new(),
            roll_backs: self.roll_backs,
            went_on: self.went_on.clone(),
            history: self.history.clone(),
            files: BTreeMap::new(),
        }
    }

    /// Takes rows to learn from. A batch of which some were refused waits for rows of the next ones,
    /// so that every step but an epoch's last sees as many rows as it should.
    fn take(&mut self, item: &Item, batch: &Batch) -> Result<(), TaskError> {
        let fault = |e: voxflow_contract::BatchError| MachineFault::new(e.to_string());
        let size = self.params.batch_size;
        let waiting = self.epoch.waiting.take();
        if waiting.is_none() && batch.rows() == size {
            return self.learn(item.epoch, batch);
        }
        let all: Vec<Batch> = waiting.into_iter().chain([batch.clone()]).collect();
        let Some(mut rows) = Batch::concat(&all).map_err(fault)? else { return Ok(()) };
        while rows.rows() >= size {
            self.learn(item.epoch, &rows.slice(0, size))?;
            rows = rows.slice(size, rows.rows() - size);
        }
        self.epoch.waiting = (!rows.is_empty()).then_some(rows);
        Ok(())
    }

    fn learn(&mut self, epoch: u64, batch: &Batch) -> Result<(), TaskError> {
        let device = self.chosen.device.clone().autodiff();
        let seen = seen_of(batch, self.form, &device)?;
        let grids = grids_of(batch, self.params.cube_len, &device)?;
        let place = Place { epoch, sequence: self.epoch.steps, step: self.step };
        let losses = self.learner.learn(seen.as_ref(), &grids, place);
        self.step += 1;
        self.epoch.steps += 1;
        if let Some(log) = &mut self.log {
            log.write(self.step, epoch, &losses)?;
        }
        if let Some((name, value)) = losses.named().iter().find(|(_, v)| !v.is_finite()) {
            let (step, sequence) = (self.step, place.sequence);
            let what =
                format!("{name} is {value} at step {step} (epoch {epoch}, batch {sequence})");
            return self.alarm(what, self.params.on_nan);
        }
        self.epoch.samples += batch.rows() as u64;
        self.epoch.recent.push_back((place, batch.clone()));
        if self.epoch.recent.len() > MEASURED_BATCHES {
            self.epoch.recent.pop_front();
        }
        for (name, value) in losses.named() {
            *self.epoch.losses.entry(name.to_owned()).or_default() += value;
        }
        self.tell(epoch, &losses);
        Ok(())
    }

    fn tell(&self, epoch: u64, losses: &StepLosses) {
        let reconstruction = match losses.of_seen {
            Some([recon, _]) => format!(" reconstruction {recon:.4}"),
            None => String::new(),
        };
        let text = format!(
            "epoch {}/{} step {}/{}{reconstruction} accuracy of D {:.2}",
            epoch + 1,
            self.params.n_epochs,
            self.step,
            self.total_steps,
            losses.d_acc
        );
        let share = self.step as f64 / self.total_steps.max(1) as f64;
        (self.context.progress)(&text, share.min(1.0));
    }

    /// Something went wrong: does what the policy says.
    fn alarm(&mut self, what: String, policy: AlarmPolicy) -> Result<(), TaskError> {
        match policy {
            AlarmPolicy::Warn => {
                tracing::warn!("{what}");
                self.alarms.push(what);
                Ok(())
            }
            AlarmPolicy::RollBack if self.roll_backs < MOST_ROLL_BACKS => {
                self.roll_backs += 1;
                self.roll_back()?;
                let text = format!("{what}: went back to the newest checkpoint at half the rates");
                tracing::warn!("{text}");
                self.alarms.push(text);
                Ok(())
            }
            AlarmPolicy::RollBack => Err(MachineFault::new(format!(
                "{what}, after {MOST_ROLL_BACKS} times of going back: lower the learning rates"
            ))
            .into()),
            AlarmPolicy::Stop => Err(MachineFault::new(format!(
                "{what}: lower the learning rates, or set on_nan or on_collapse to \"roll_back\""
            ))
            .into()),
        }
    }

    /// Takes weights and optimisers of the newest checkpoint, or of the beginning, at lower rates.
    /// What is learnt from goes on where it was.
    fn roll_back(&mut self) -> Result<(), TaskError> {
        self.learner = beginning(&self.params, self.seed, &self.devices)?;
        if let Some(found) = going_on::newest_whole(&self.context.folder)? {
            let fault = |e| SetupFault::new(format!("the checkpoint does not fit: {e}"));
            self.learner.load(found).map_err(fault)?;
        }
        self.learner.set_rate_factor(0.5_f64.powi(self.roll_backs as i32));
        self.epoch.recent.clear();
        Ok(())
    }

    /// The last training batch of an epoch has come: learns from what waits, and measures the running
    /// statistics at the final weights.
    fn end_training(&mut self, epoch: u64) -> Result<(), TaskError> {
        if let Some(rows) = self.epoch.waiting.take()
            && (rows.rows() > 1 || self.params.batch_size == 1)
        {
            self.learn(epoch, &rows)?;
        }
        if self.epoch.frozen.is_some() {
            return Ok(());
        }
        let device = self.chosen.device.clone().autodiff();
        let recent = std::mem::take(&mut self.epoch.recent);
        let batches = recent
            .iter()
            .map(|(place, batch)| Ok((*place, batch.rows(), seen_of(batch, self.form, &device)?)));
        let batches = batches.collect::<Result<Vec<_>, MachineFault>>()?;
        self.epoch.frozen = Some(self.learner.settle(batches));
        Ok(())
    }

    fn validate(&mut self, epoch: u64, batch: &Batch) -> Result<(), TaskError> {
        self.end_training(epoch)?;
        let seen = seen_of(batch, self.form, &self.chosen.device)?;
        let running = &mut self.epoch;
        let thresholds = &self.params.thresholds;
        let lowest = thresholds[0];
        let Some(frozen) = &running.frozen else { return Ok(()) };
        running.looked.edge = self.params.cube_len;
        let codes = seen.as_ref().and_then(|seen| frozen.code(seen));
        let Some(codes) = codes else {
            running.looked.truth.extend(bits_of(batch)?.into_iter().map(<[u8]>::to_vec));
            return Ok(());
        };
        let numbers = numbers_of(frozen.generate(codes))?;
        let tally = running.validation.get_or_insert_with(|| IouTally::new(thresholds));
        tally_grids(tally, batch, &numbers)?;
        let cells = self.params.cube_len.pow(3);
        for (grid, truth) in numbers.chunks_exact(cells).zip(bits_of(batch)?) {
            if !running.looked.is_full() {
                running.looked.made.push(pack(grid, lowest));
                running.looked.truth.push(truth.to_vec());
            }
        }
        Ok(())
    }

    /// For a network that does not see: how near what it imagines comes to the validation grids.
    fn validate_imagined(&mut self, epoch: u64) -> Result<Option<Validation>, TaskError> {
        if self.params.model != ModelName::Gan || self.epoch.looked.truth.is_empty() {
            return Ok(None);
        }
        let Some(frozen) = &self.epoch.frozen else { return Ok(None) };
        let z_size = self.params.z_size;
        // The same codes after every epoch, so that epochs can be compared.
        let codes = imagined_codes(&self.params, self.seed, "train/validation", IMAGINED_GRIDS);
        let cells = self.params.cube_len.pow(3);
        let mut numbers = Vec::with_capacity(IMAGINED_GRIDS * cells);
        for codes in codes.chunks(z_size * self.params.batch_size) {
            let sizes = [codes.len() / z_size, z_size];
            let data = TensorData::new(codes.to_vec(), sizes);
            numbers
                .extend(numbers_of(frozen.generate(Tensor::from_data(data, &self.chosen.device)))?);
        }
        let truth = &mut self.epoch.looked.truth;
        truth.truncate(IMAGINED_GRIDS);
        let mut best: Option<Validation> = None;
        for &threshold in &self.params.thresholds {
            let made: Vec<_> =
                numbers.chunks_exact(cells).map(|grid| pack(grid, threshold)).collect();
            let Some(found) = compare(&made, truth) else { continue };
            let iou = (1.0 - found.mmd) as f32;
            if best.is_none_or(|best| iou > best.iou) {
                best = Some(Validation { iou, threshold, samples: truth.len() as u64 });
                self.epoch.looked.made = made;
            }
        }
        tracing::debug!("epoch {epoch}: {best:?}");
        Ok(best)
    }

    fn close_epoch(&mut self, epoch: u64) -> Result<(), TaskError> {
        let imagined = self.validate_imagined(epoch)?;
        let running = std::mem::take(&mut self.epoch);
        let steps = running.steps.max(1) as f64;
        let mean = |(name, sum): (String, f64)| (name, (sum / steps) as f32);
        let losses = running.losses.into_iter().map(mean).collect();
        let of_tally = running.validation.and_then(|tally| {
            let best = tally.best()?;
            let threshold = tally.thresholds()[best];
            let iou = tally.mean(best)? as f32;
            Some(Validation { iou, threshold, samples: tally.samples() })
        });
        let validation = imagined.or(of_tally);
        let (step, samples) = (self.step, running.samples);
        let record = EpochRecord { epoch: epoch + 1, step, samples, losses, validation };
        let is_judging = self.params.adversarial_weight > 0.0;
        let alarm = collapse(&record, &running.looked, is_judging);
        self.history.push(record);
        match alarm {
            None => Ok(()),
            Some(what) => {
                self.alarm(format!("epoch {}: {what}", epoch + 1), self.params.on_collapse)
            }
        }
    }

    /// Whether validation has not become better for as long as one was told to wait.
    fn is_waiting_in_vain(&self) -> bool {
        let iou = |record: &&EpochRecord| record.validation.map_or(-1.0, |v| v.iou);
        // Backwards, so that of equals the earliest is found.
        let best = self.history.iter().rev().max_by(|a, b| iou(a).total_cmp(&iou(b)));
        let best = best.filter(|record| record.validation.is_some());
        let patience = self.params.early_stop_epochs;
        patience > 0 && best.is_some_and(|best| self.epochs_done() - best.epoch >= patience)
    }

    fn save(&self) -> Result<(), MachineFault> {
        let LearnerState { weights, average, optimizers, optimizer_steps } = self.learner.state();
        let manifest = Manifest { optimizer_steps, ..self.manifest() };
        let checkpoint = Checkpoint { manifest, weights, average, optimizers };
        checkpoint::save(&self.context.folder, checkpoint)?;
        checkpoint::prune(&self.context.folder, self.params.keep_checkpoints)
    }
}

impl Session for TrainSession {
    fn step(&mut self, item: &Item, batch: &Batch) -> Result<(), TaskError> {
        self.stopped |= self.context.stop.load(Ordering::Relaxed);
        match item.purpose {
            _ if self.stopped || batch.is_empty() => Ok(()),
            Purpose::Train => self.take(item, batch),
            Purpose::Validate => self.validate(item.epoch, batch),
            Purpose::Reference => Ok(()),
        }
    }

    fn end_epoch(&mut self, epoch: u64) -> Result<Flow, TaskError> {
        if self.stopped {
            return Ok(Flow::Stop);
        }
        self.end_training(epoch)?;
        self.close_epoch(epoch)?;
        self.save()?;
        self.chosen.device.memory_cleanup();
        self.is_settled = self.is_waiting_in_vain();
        let stop = self.is_settled || self.context.stop.load(Ordering::Relaxed);
        Ok(if stop { Flow::Stop } else { Flow::Continue })
    }

    fn finish(&mut self) -> Result<Outcome, TaskError> {
        let rows: Vec<Measurement> = self.history.iter().flat_map(epoch_measurements).collect();
        let metrics = metric_batch(&self.context.stage, &rows)
            .map_err(|e| MachineFault::new(e.to_string()))?;
        let mut report = training_report(&self.history, &self.chosen.reason, self.stopped);
        if self.is_settled {
            let epochs = self.params.early_stop_epochs;
            report += &format!("Ended early: validation was not better for {epochs} epochs.\n");
        }
        for alarm in &self.alarms {
            report += &format!("Alarm: {alarm}.\n");
        }
        for told in &self.went_on {
            report += &format!("Went on {told}.\n");
        }
        Ok(Outcome { metrics: Some(metrics), report, went_on: self.went_on.clone() })
    }
}

/// Random codes of a purpose, `count` times the size of a code.
pub(crate) fn imagined_codes(
    params: &TrainParams,
    seed: u64,
    purpose: &str,
    count: usize,
) -> Vec<f32> {
    let mut random = Random::new(seed, &[purpose]);
    prior_codes(&Objective::new(params), &mut random, count * params.z_size)
}

/// Counts the grids of a batch, numbers in [0, 1] one grid after the other, against its true ones.
pub(crate) fn tally_grids(
    tally: &mut IouTally,
    batch: &Batch,
    numbers: &[f32],
) -> Result<(), TaskError> {
    let categories =
        batch.utf8("category").map_err(|e| MachineFault::new(format!("cannot compare: {e}")))?;
    let cells = numbers.len() / batch.rows().max(1);
    for (row, truth) in bits_of(batch)?.into_iter().enumerate() {
        let grid = &numbers[row * cells..(row + 1) * cells];
        tally.add(categories.value(row), |threshold| iou_at(grid, truth, threshold));
    }
    Ok(())
}

fn epoch_measurements(record: &EpochRecord) -> Vec<Measurement> {
    let of = |name: &str, value, samples| Measurement {
        epoch: Some(record.epoch),
        step: Some(record.step),
        samples,
        ..Measurement::new(name, "model", "*", value)
    };
    let mut rows: Vec<_> =
        record.losses.iter().map(|(name, &v)| of(name, f64::from(v), record.samples)).collect();
    rows.extend(record.validation.map(|validation| Measurement {
        threshold: Some(validation.threshold),
        ..of("iou_validation", f64::from(validation.iou), validation.samples)
    }));
    rows
}
