//! An evaluation at work: first the training rows for the baselines, then the test rows.

use std::sync::atomic::Ordering;

use voxflow_contract::{
    Batch, CheckpointChoice, Flow, Item, MachineFault, Outcome, Purpose, Session, SetupFault,
    TaskContext, TaskError,
};

use crate::checkpoint::{self, Found, Manifest};
use crate::device::{ChosenDevice, choose_device};
use crate::evaluate::EvaluateParams;
use crate::evaluate_imagined::Imagined;
use crate::evaluate_seen::Reconstructions;
use crate::learner::{Frozen, bits_of, frozen};
use crate::literature::ModelName;
use crate::metrics::{Measurement, metric_batch};
use crate::prepare::{Preparation, View};
use crate::reference::Reference;
use crate::train::preparation;
use crate::train_params::TrainParams;

/// Implements [`Session`] for `evaluate`.
pub(crate) struct EvaluateSession {
    choice: CheckpointChoice,
    context: TaskContext,
    network: Trained,
    reference: Reference,
    measure: Measure,
    items: usize,
    stopped: bool,
}

/// A trained network, where it computes and how its rows are prepared.
pub(crate) struct Trained {
    pub(crate) network: Box<dyn Frozen>,
    pub(crate) manifest: Manifest,
    pub(crate) params: TrainParams,
    pub(crate) preparation: Preparation,
    pub(crate) chosen: ChosenDevice,
    pub(crate) seed: u64,
}

/// What is measured.
enum Measure {
    /// Reconstructions of what is seen.
    Seen(Reconstructions),
    /// Grids that are imagined.
    Imagined(Imagined),
}

impl EvaluateSession {
    /// Finds and loads the checkpoint.
    pub(crate) fn open(
        params: &EvaluateParams,
        seed: u64,
        context: TaskContext,
    ) -> Result<Self, TaskError> {
        let chosen = choose_device(params.device)?;
        tracing::info!("{}", chosen.reason);
        let found = find_checkpoint(&context, params.checkpoint)?;
        let mut network = Trained::load(&found, chosen, seed)?;
        network.look_from(params)?;
        let cells = network.params.cube_len.pow(3);
        let reference = Reference::new(cells, &context.index, params.reference_samples, seed);
        let measure = match network.params.model {
            ModelName::Gan => Measure::Imagined(Imagined::new(params)),
            _ => Measure::Seen(Reconstructions::new(params, &network)),
        };
        let choice = params.checkpoint;
        Ok(Self { choice, context, network, reference, measure, items: 1, stopped: false })
    }

    /// How rows are prepared.
    pub(crate) fn preparation(&self) -> &Preparation {
        &self.network.preparation
    }

    /// The class that is read; empty for all.
    pub(crate) fn category(&self) -> &str {
        &self.network.params.obj
    }

    /// Says how many batches will come.
    pub(crate) fn expect(&mut self, items: usize) {
        self.items = items.max(1);
    }

    fn remember(&mut self, batch: &Batch) -> Result<(), MachineFault> {
        let fault = |e: voxflow_contract::BatchError| MachineFault::new(e.to_string());
        let categories = batch.utf8("category").map_err(fault)?;
        let thumbnails = batch.lists::<u8>("thumbnails").map_err(fault)?;
        let samples = batch.utf8("sample").map_err(fault)?;
        for (i, bits) in bits_of(batch)?.into_iter().enumerate() {
            self.reference.add(samples.value(i), categories.value(i), bits, thumbnails.value(i));
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.network.manifest.dataset != self.context.index.digest {
            notes.push("Note: the model was trained on another data set than this one.".to_owned());
        }
        notes.push(format!("Evaluation, {}.", self.network.chosen.reason));
        notes
    }
}

impl Session for EvaluateSession {
    fn step(&mut self, item: &Item, batch: &Batch) -> Result<(), TaskError> {
        self.stopped |= self.context.stop.load(Ordering::Relaxed);
        if self.stopped || batch.is_empty() {
            return Ok(());
        }
        let text = match item.purpose {
            Purpose::Reference => "reading training shapes",
            Purpose::Train | Purpose::Validate => "measuring test objects",
        };
        let share = (item.sequence + 1) as f64 / self.items as f64;
        (self.context.progress)(text, share.min(1.0));
        match (item.purpose, &mut self.measure) {
            (Purpose::Reference, _) => Ok(self.remember(batch)?),
            (_, Measure::Seen(seen)) => seen.add(&self.network, &self.reference, batch),
            (_, Measure::Imagined(imagined)) => Ok(imagined.add(batch)?),
        }
    }

    fn end_epoch(&mut self, _epoch: u64) -> Result<Flow, TaskError> {
        Ok(Flow::Stop)
    }

    fn finish(&mut self) -> Result<Outcome, TaskError> {
        if self.stopped {
            let report = "Evaluation stopped on request before its end.\n".to_owned();
            return Ok(Outcome { report, ..Outcome::default() });
        }
        let which = match self.choice {
            CheckpointChoice::Best => "best by validation",
            CheckpointChoice::Latest => "latest",
            CheckpointChoice::Epoch(_) => "asked for",
        };
        let epoch = self.network.manifest.epoch;
        let checkpoint = format!("the checkpoint of epoch {epoch} ({which})");
        let notes = self.notes();
        let (rows, report) = match &mut self.measure {
            Measure::Seen(seen) => seen.finish(checkpoint, &self.reference, notes),
            Measure::Imagined(imagined) => {
                imagined.finish(&checkpoint, &self.network, &self.reference, &notes)?
            }
        };
        let manifest = &self.network.manifest;
        let (epoch, step) = (Some(manifest.epoch), Some(manifest.step));
        let rows: Vec<_> = rows.into_iter().map(|row| Measurement { epoch, step, ..row }).collect();
        let metrics = metric_batch(&self.context.stage, &rows)
            .map_err(|e| MachineFault::new(e.to_string()))?;
        Ok(Outcome { metrics: Some(metrics), report, ..Outcome::default() })
    }
}

impl Trained {
    /// Loads a checkpoint.
    pub(crate) fn load(found: &Found, chosen: ChosenDevice, seed: u64) -> Result<Self, SetupFault> {
        let checkpoint = checkpoint::load(&found.path)?;
        let manifest = checkpoint.manifest.clone();
        let params: TrainParams =
            serde_json::from_value(manifest.parameters.clone()).map_err(|e| {
                let path = found.path.display();
                SetupFault::new(format!(
                    "the checkpoint's parameters are unknown here: {e}: {path}"
                ))
            })?;
        let network = frozen(checkpoint, &chosen.device)?;
        let view = View::parse(&params.view).map_err(SetupFault::new)?;
        let preparation = preparation(&params, view, seed);
        Ok(Self { network, manifest, params, preparation, chosen, seed })
    }

    /// Takes the views that are asked for.
    fn look_from(&mut self, params: &EvaluateParams) -> Result<(), SetupFault> {
        if !params.view.is_empty() {
            self.preparation.other_view = View::parse(&params.view).map_err(SetupFault::new)?;
        }
        let is_several =
            matches!(self.params.model, ModelName::MultiViewVaeGan | ModelName::PoseVaeGan);
        match params.num_views {
            0 => {}
            views if views == 1 || is_several => {
                self.preparation.num_views = views;
                self.preparation.min_views = self.preparation.min_views.min(views);
            }
            views => {
                let name = self.params.model.name();
                let message = format!("num_views is {views}, {name} looks at one view at most");
                return Err(SetupFault::new(message));
            }
        }
        Ok(())
    }
}

/// The checkpoint that was asked for, in whichever input holds some.
fn find_checkpoint(context: &TaskContext, choice: CheckpointChoice) -> Result<Found, SetupFault> {
    let inputs = context.inputs.values();
    let found = inputs.map(|folder| checkpoint::list(folder)).find(|found| !found.is_empty());
    let found = found.unwrap_or_default();
    if found.is_empty() {
        let folders: Vec<_> =
            context.inputs.values().map(|folder| folder.display().to_string()).collect();
        let message =
            "no stage it reads from has a checkpoint: train first, for one epoch at least";
        return Err(SetupFault::new(format!("{message}: {}", folders.join(", "))));
    }
    checkpoint::pick(&found, choice).cloned()
}
