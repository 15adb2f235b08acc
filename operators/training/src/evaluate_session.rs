//! An evaluation at work: first the training rows for the baselines, then the test rows.

use std::path::Path;
use std::sync::atomic::Ordering;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use voxflow_contract::{
    Batch, Flow, Item, MachineFault, Outcome, Purpose, Session, SetupFault, TaskContext, TaskError,
};
use voxflow_models::{MultiViewVaeGan, load_weights};

use crate::checkpoint::{self, Found, Manifest};
use crate::device::{ChosenDevice, choose_device};
use crate::evaluate::{CheckpointChoice, EvaluateParams};
use crate::metrics::{IouTally, Measurement, metric_batch};
use crate::prepare::thumbnail;
use crate::reference::{EMPTY, MEAN_SHAPE, NEAREST_IMAGE, Reference};
use crate::report::{Compared, evaluation_report};
use crate::train_session::{bits_of, images_of, tally_grids, views_of};

/// Implements [`Session`] for `evaluate`.
pub(crate) struct EvaluateSession {
    params: EvaluateParams,
    context: TaskContext,
    chosen: ChosenDevice,
    model: MultiViewVaeGan,
    manifest: Manifest,
    reference: Reference,
    tallies: Vec<(&'static str, IouTally)>,
    items: usize,
    stopped: bool,
}

impl EvaluateSession {
    /// Finds and loads the checkpoint; refuses one that was trained on other sizes.
    pub(crate) fn open(
        params: &EvaluateParams,
        seed: u64,
        items: usize,
        context: TaskContext,
    ) -> Result<Self, TaskError> {
        let chosen = choose_device(params.device)?;
        tracing::info!("{}", chosen.reason);
        let found = find_checkpoint(&context, params.checkpoint)?;
        let (model, manifest) = load_model(&found.path, &chosen.device)?;
        same_sizes(params, &manifest)?;
        let cells = params.cube_len.pow(3);
        let reference = Reference::new(cells, &context.index, params.reference_samples, seed);
        let subjects = ["model", MEAN_SHAPE, NEAREST_IMAGE, EMPTY];
        let tallies = subjects.map(|subject| (subject, IouTally::new(&params.thresholds))).to_vec();
        let params = params.clone();
        let stopped = false;
        Ok(Self { params, context, chosen, model, manifest, reference, tallies, items, stopped })
    }

    fn remember(&mut self, item: &Item, batch: &Batch) -> Result<(), MachineFault> {
        let fault = |e: voxflow_contract::BatchError| MachineFault::new(e.to_string());
        let categories = batch.utf8("category").map_err(fault)?;
        let thumbnails = batch.lists::<u8>("thumbnails").map_err(fault)?;
        for (i, bits) in bits_of(batch)?.into_iter().enumerate() {
            let row = item.rows.get(i).copied().unwrap_or(usize::MAX);
            self.reference.add(row, categories.value(i), bits, thumbnails.value(i));
        }
        Ok(())
    }

    fn measure(&mut self, batch: &Batch) -> Result<(), TaskError> {
        let size = self.params.image_size;
        let images = images_of(batch)?;
        let views = views_of(batch, self.params.num_views)?;
        let pixels = 3 * size * size;
        let firsts = images.chunks_exact(pixels).step_by(self.params.num_views);
        let thumbnails: Vec<_> = firsts.map(|planes| thumbnail(planes, size)).collect();
        let data = TensorData::new(images, [views.total(), 3, size, size]);
        let images = Tensor::from_data(data, &self.chosen.device);
        let grids = self.model.reconstruct(images, &views);
        tally_grids(&mut self.tallies[0].1, batch, grids)?;
        let categories = batch.utf8("category").map_err(|e| MachineFault::new(e.to_string()))?;
        for (i, truth) in bits_of(batch)?.into_iter().enumerate() {
            let category = categories.value(i);
            for (name, tally) in &mut self.tallies[1..] {
                let iou = self.reference.baseline(name, category, &thumbnails[i], truth);
                tally.add(category, iou);
            }
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "mean_shape is the mean training shape of the true class; nearest_image looks among {} \
             training samples.",
            self.reference.kept()
        )];
        if self.manifest.dataset != self.context.index.digest {
            notes.push("Note: the model was trained on another data set than this one.".to_owned());
        }
        notes.push(format!("Evaluation, {}.", self.chosen.reason));
        notes
    }
}

impl Session for EvaluateSession {
    fn step(&mut self, item: &Item, batch: &Batch) -> Result<(), TaskError> {
        self.stopped |= self.context.stop.load(Ordering::Relaxed);
        if self.stopped {
            return Ok(());
        }
        let text = match item.purpose {
            Purpose::Reference => "reading training shapes",
            Purpose::Train | Purpose::Validate => "measuring test objects",
        };
        let share = (item.sequence + 1) as f64 / self.items.max(1) as f64;
        (self.context.progress)(text, share);
        match item.purpose {
            Purpose::Reference => Ok(self.remember(item, batch)?),
            Purpose::Train | Purpose::Validate => self.measure(batch),
        }
    }

    fn end_epoch(&mut self, _epoch: u64) -> Result<Flow, TaskError> {
        Ok(Flow::Stop)
    }

    fn finish(&mut self) -> Result<Outcome, TaskError> {
        if self.stopped {
            let report = "Evaluation stopped on request before its end.\n".to_owned();
            return Ok(Outcome { metrics: None, report });
        }
        let (epoch, step) = (Some(self.manifest.epoch), Some(self.manifest.step));
        let rows: Vec<Measurement> = self
            .tallies
            .iter()
            .flat_map(|(subject, tally)| tally.measurements(subject))
            .map(|row| Measurement { epoch, step, ..row })
            .collect();
        let metrics = metric_batch(&self.context.stage, &rows)
            .map_err(|e| MachineFault::new(e.to_string()))?;
        let which = match self.params.checkpoint {
            CheckpointChoice::Best => "best by validation",
            CheckpointChoice::Latest => "latest",
        };
        let report = evaluation_report(&Compared {
            checkpoint: format!("the checkpoint of epoch {} ({which})", self.manifest.epoch),
            subjects: &self.tallies,
            chosen: self.manifest.validation().map(|validation| validation.threshold),
            notes: self.notes(),
        });
        Ok(Outcome { metrics: Some(metrics), report })
    }
}

/// The checkpoint that was asked for, in whichever input holds some.
fn find_checkpoint(context: &TaskContext, choice: CheckpointChoice) -> Result<Found, SetupFault> {
    let inputs = context.inputs.values();
    let found = inputs.map(|folder| checkpoint::list(folder)).find(|found| !found.is_empty());
    let found = found.unwrap_or_default();
    let picked = match choice {
        CheckpointChoice::Best => checkpoint::best_of(&found),
        CheckpointChoice::Latest => found.last(),
    };
    picked.cloned().ok_or_else(|| {
        let folders: Vec<_> =
            context.inputs.values().map(|folder| folder.display().to_string()).collect();
        let message =
            "no stage it reads from has a checkpoint: train first, for one epoch at least";
        SetupFault::new(format!("{message}: {}", folders.join(", ")))
    })
}

/// The model of a checkpoint, for inference, and what the checkpoint says of itself.
fn load_model(path: &Path, device: &Device) -> Result<(MultiViewVaeGan, Manifest), SetupFault> {
    let checkpoint = checkpoint::load(path)?;
    let config = checkpoint.manifest.model_config()?;
    config.check().map_err(|(field, message)| SetupFault::new(format!("{field} {message}")))?;
    let model = config.init(device, &mut || 0.5);
    let model = load_weights(model, checkpoint.weights)
        .map_err(|e| SetupFault::new(format!("{e}: {}", path.display())))?;
    Ok((model.valid(), checkpoint.manifest))
}

fn same_sizes(params: &EvaluateParams, manifest: &Manifest) -> Result<(), SetupFault> {
    let mine = serde_json::to_value(params).unwrap_or_default();
    for key in ["cube_len", "image_size", "background", "num_views"] {
        let (here, there) = (&mine[key], &manifest.parameters[key]);
        if here != there {
            let message = format!("{key} is {here}, the model was trained with {there}: set {key}");
            return Err(SetupFault::new(format!("{message} = {there}")));
        }
    }
    Ok(())
}
