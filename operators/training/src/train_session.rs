//! A training run at work: steps, validation, checkpoints, figures.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::Ordering;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use voxflow_contract::{
    Batch, Flow, Item, MachineFault, Outcome, Purpose, Random, Session, SetupFault, TaskContext,
    TaskError,
};
use voxflow_models::{MultiViewVaeGan, Views, load_weights, named_weights};

use crate::adam::Adam;
use crate::checkpoint::{self, Checkpoint, EpochRecord, Manifest, Validation};
use crate::device::{ChosenDevice, choose_device};
use crate::metrics::{IouTally, Measurement, iou_at, metric_batch, unpack_bits};
use crate::report::training_report;
use crate::step::{StepLosses, Trainer};
use crate::step_log::StepLog;
use crate::train::Course;
use crate::train_params::TrainParams;

/// Name of the model in manifests.
pub(crate) const MODEL: &str = "vae_gan";

/// Implements [`Session`] for `train`.
pub(crate) struct TrainSession {
    params: TrainParams,
    context: TaskContext,
    chosen: ChosenDevice,
    trainer: Trainer,
    total_steps: u64,
    step: u64,
    history: Vec<EpochRecord>,
    epoch: RunningEpoch,
    log: Option<StepLog>,
    stopped: bool,
}

/// Batches at the end of an epoch over which running statistics are measured anew.
const MEASURED_BATCHES: usize = 8;

/// Sums over the epoch at hand.
#[derive(Default)]
struct RunningEpoch {
    /// The last training batches and their places.
    recent: VecDeque<(u64, Batch)>,
    losses: BTreeMap<String, f64>,
    steps: u64,
    samples: u64,
    validation: Option<IouTally>,
    /// The model without autodiff, made at the first validation batch.
    frozen: Option<MultiViewVaeGan>,
}

impl TrainSession {
    /// Chooses the device, draws the weights, and goes on from a checkpoint where asked to.
    pub(crate) fn open(
        params: &TrainParams,
        seed: u64,
        course: &Course,
        context: TaskContext,
    ) -> Result<Self, TaskError> {
        let chosen = choose_device(params.device)?;
        tracing::info!("{}", chosen.reason);
        let trainer = new_trainer(params, seed, &chosen);
        let mut session = Self {
            params: params.clone(),
            log: None,
            chosen,
            trainer,
            total_steps: course.steps,
            step: 0,
            history: Vec::new(),
            epoch: RunningEpoch::default(),
            stopped: false,
            context,
        };
        if session.context.resume {
            session.resume()?;
        } else {
            checkpoint::clear(&session.context.folder)?;
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

    fn resume(&mut self) -> Result<(), TaskError> {
        let Some(found) = newest_whole(&self.context.folder)? else { return Ok(()) };
        self.fits(&found.manifest)?;
        let fault = |e| SetupFault::new(format!("the checkpoint does not fit the model: {e}"));
        let model = self.trainer.model.clone();
        self.trainer.model = load_weights(model, found.weights).map_err(fault)?;
        let device = self.chosen.device.clone();
        let states = found.manifest.optimizer_steps.into_iter().zip(found.optimizers);
        for (optimizer, (steps, state)) in self.trainer.optimizers.iter_mut().zip(states) {
            optimizer.load(steps, state, &device);
        }
        self.step = found.manifest.step;
        self.history = found.manifest.history;
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
        for (key, value) in ours.into_iter().flatten() {
            let other = theirs.and_then(|map| map.get(key));
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
        Manifest {
            format_version: checkpoint::FORMAT_VERSION,
            model: MODEL.to_owned(),
            epoch: self.epochs_done(),
            step: self.step,
            seed: self.trainer.seed,
            config: serde_json::to_value(self.params.model()).unwrap_or_default(),
            parameters: self.params.course(),
            device: self.chosen.name.to_owned(),
            dataset: self.context.index.digest.clone(),
            optimizer_steps: [0, 1, 2].map(|i| self.trainer.optimizers[i].steps()),
            history: self.history.clone(),
            files: BTreeMap::new(),
        }
    }

    fn learn(&mut self, item: &Item, batch: &Batch) -> Result<(), TaskError> {
        let (images, bits) = (images_of(batch)?, bits_of(batch)?);
        let (rows, size, cube) = (batch.rows(), self.params.image_size, self.params.cube_len);
        let cells = cube.pow(3);
        let grids = bits.iter().flat_map(|bits| unpack_bits(bits, cells)).collect();
        let views = views_of(batch, self.params.num_views)?;
        let images = self.trainer.tensor(images, [views.total(), 3, size, size]);
        let grids = self.trainer.tensor(grids, [rows, cube, cube, cube]);
        let losses = self.trainer.step(images, &views, &grids, item.epoch, item.sequence);
        self.step += 1;
        self.check_numbers(item, &losses)?;
        if let Some(log) = &mut self.log {
            log.write(self.step, item.epoch, &losses)?;
        }
        self.epoch.steps += 1;
        self.epoch.samples += rows as u64;
        self.epoch.recent.push_back((item.sequence, batch.clone()));
        if self.epoch.recent.len() > MEASURED_BATCHES {
            self.epoch.recent.pop_front();
        }
        for (name, value) in losses.named() {
            *self.epoch.losses.entry(name.to_owned()).or_default() += value;
        }
        let text = format!(
            "epoch {}/{} step {}/{} reconstruction {:.4} accuracy of D {:.2}",
            item.epoch + 1,
            self.params.epochs,
            self.step,
            self.total_steps,
            losses.loss_recon,
            losses.d_acc
        );
        (self.context.progress)(&text, self.step as f64 / self.total_steps.max(1) as f64);
        Ok(())
    }

    fn check_numbers(&self, item: &Item, losses: &StepLosses) -> Result<(), MachineFault> {
        match losses.named().iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((name, value)) => Err(MachineFault::new(format!(
                "{name} is {value} at step {} (epoch {}, batch {}): lower the learning rates, or \
                 resume from the last checkpoint with others",
                self.step, item.epoch, item.sequence
            ))),
        }
    }

    /// The last step of an epoch is done: measures the running statistics at the final weights.
    fn end_training(&mut self, epoch: u64) -> Result<(), TaskError> {
        let size = self.params.image_size;
        let recent = std::mem::take(&mut self.epoch.recent);
        let batches = recent.iter().map(|(sequence, batch)| {
            let (images, views) = (images_of(batch)?, views_of(batch, self.params.num_views)?);
            let images = self.trainer.tensor(images, [views.total(), 3, size, size]);
            Ok((*sequence, images, views))
        });
        let batches = batches.collect::<Result<Vec<_>, MachineFault>>()?;
        self.trainer.measure_statistics(epoch, batches);
        Ok(())
    }

    fn validate(&mut self, epoch: u64, batch: &Batch) -> Result<(), TaskError> {
        self.end_training(epoch)?;
        let size = self.params.image_size;
        let views = views_of(batch, self.params.num_views)?;
        let images = TensorData::new(images_of(batch)?, [views.total(), 3, size, size]);
        let model = self.epoch.frozen.get_or_insert_with(|| self.trainer.model.valid());
        let images = Tensor::from_data(images, &self.chosen.device);
        let grids = model.reconstruct(images, &views);
        let thresholds = &self.params.thresholds;
        let tally = self.epoch.validation.get_or_insert_with(|| IouTally::new(thresholds));
        tally_grids(tally, batch, grids)
    }

    fn close_epoch(&mut self, epoch: u64) {
        let running = std::mem::take(&mut self.epoch);
        let steps = running.steps.max(1) as f64;
        let mean = |(name, sum): (String, f64)| (name, (sum / steps) as f32);
        let losses = running.losses.into_iter().map(mean).collect();
        let validation = running.validation.and_then(|tally| {
            let best = tally.best()?;
            let threshold = tally.thresholds()[best];
            let iou = tally.mean(best)? as f32;
            Some(Validation { iou, threshold, samples: tally.samples() })
        });
        let (step, samples) = (self.step, running.samples);
        self.history.push(EpochRecord { epoch: epoch + 1, step, samples, losses, validation });
    }

    fn save(&self) -> Result<(), MachineFault> {
        let optimizers = [0, 1, 2].map(|i| self.trainer.optimizers[i].state());
        let weights = named_weights(&self.trainer.model);
        let checkpoint = Checkpoint { manifest: self.manifest(), weights, optimizers };
        checkpoint::save(&self.context.folder, checkpoint)?;
        checkpoint::prune(&self.context.folder, self.params.keep_checkpoints)
    }
}

impl Session for TrainSession {
    fn step(&mut self, item: &Item, batch: &Batch) -> Result<(), TaskError> {
        self.stopped |= self.context.stop.load(Ordering::Relaxed);
        match item.purpose {
            _ if self.stopped => Ok(()),
            Purpose::Train => self.learn(item, batch),
            Purpose::Validate => self.validate(item.epoch, batch),
            Purpose::Reference => Ok(()),
        }
    }

    fn end_epoch(&mut self, epoch: u64) -> Result<Flow, TaskError> {
        if self.stopped {
            return Ok(Flow::Stop);
        }
        self.end_training(epoch)?;
        self.close_epoch(epoch);
        self.save()?;
        self.chosen.device.memory_cleanup();
        let stop = self.context.stop.load(Ordering::Relaxed);
        Ok(if stop { Flow::Stop } else { Flow::Continue })
    }

    fn finish(&mut self) -> Result<Outcome, TaskError> {
        let rows: Vec<Measurement> = self.history.iter().flat_map(epoch_measurements).collect();
        let metrics = metric_batch(&self.context.stage, &rows)
            .map_err(|e| MachineFault::new(e.to_string()))?;
        let report = training_report(&self.history, &self.chosen.reason, self.stopped);
        Ok(Outcome { metrics: Some(metrics), report })
    }
}

fn new_trainer(params: &TrainParams, seed: u64, chosen: &ChosenDevice) -> Trainer {
    let mut random = Random::new(seed, &["train/weights"]);
    let device = chosen.device.clone().autodiff();
    let betas = [params.beta_1, params.beta_2];
    Trainer {
        model: params.model().init(&device, &mut || random.unit()),
        optimizers: [params.e_lr, params.g_lr, params.d_lr].map(|rate| Adam::new(rate, betas)),
        objective: params.objective(),
        z_size: params.z_size,
        seed,
        device,
    }
}

/// The newest checkpoint whose hashes hold; none when there is none at all.
fn newest_whole(folder: &Path) -> Result<Option<Checkpoint>, SetupFault> {
    let mut damaged = None;
    for found in checkpoint::list(folder).iter().rev() {
        match checkpoint::load(&found.path) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(fault) => {
                tracing::warn!("{fault}");
                damaged.get_or_insert(fault);
            }
        }
    }
    damaged.map_or(Ok(None), Err)
}

/// Counts the grids of a batch, `[rows, n, n, n]` in [0, 1], against its true ones.
pub(crate) fn tally_grids(
    tally: &mut IouTally,
    batch: &Batch,
    grids: Tensor<4>,
) -> Result<(), TaskError> {
    let fault = |e: String| MachineFault::new(format!("cannot read grids back: {e}"));
    let cells: usize = grids.dims()[1..].iter().product();
    let numbers = grids.into_data().try_into_vec::<f32>().map_err(|e| fault(format!("{e:?}")))?;
    let categories = batch.utf8("category").map_err(|e| fault(e.to_string()))?;
    for (row, truth) in bits_of(batch)?.into_iter().enumerate() {
        let grid = &numbers[row * cells..(row + 1) * cells];
        tally.add(categories.value(row), |threshold| iou_at(grid, truth, threshold));
    }
    Ok(())
}

/// The pictures of a prepared batch, one after the other.
pub(crate) fn images_of(batch: &Batch) -> Result<Vec<f32>, MachineFault> {
    let images = batch.tensors::<f32>("image").map_err(|e| MachineFault::new(e.to_string()))?;
    Ok((0..batch.rows()).flat_map(|row| images.value(row)).copied().collect())
}

/// How many views each object of a prepared batch has.
pub(crate) fn views_of(batch: &Batch, num_views: usize) -> Result<Views, MachineFault> {
    Views::even(batch.rows(), num_views).map_err(|e| MachineFault::new(e.to_string()))
}

/// The packed grids of a prepared batch.
pub(crate) fn bits_of(batch: &Batch) -> Result<Vec<&[u8]>, MachineFault> {
    let voxels = batch.tensors::<u8>("voxels").map_err(|e| MachineFault::new(e.to_string()))?;
    Ok((0..batch.rows()).map(|row| voxels.value(row)).collect())
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
