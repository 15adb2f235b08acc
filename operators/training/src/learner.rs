//! A trainer and a trained network whose kind is chosen at run time.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use voxflow_contract::{Batch, MachineFault, Random, SetupFault};
use voxflow_models::{
    MultiViewVaeGanConfig, NetworkConfig, Views, WeightsError, load_state_dict, load_weights,
    named_weights, state_dict,
};

use crate::adam::Adam;
use crate::average::Average;
use crate::checkpoint::Checkpoint;
use crate::metrics::unpack_bits;
use crate::network::{Network, Part, Seen};
use crate::objective::Objective;
use crate::prepare::PictureForm;
use crate::step::{Place, StepLosses, Trainer};
use crate::train_params::TrainParams;

/// Tensors by dotted path.
pub(crate) type Tensors = BTreeMap<String, TensorData>;

/// A trainer of some network.
pub(crate) trait Learner {
    /// Learns from one batch.
    fn learn(&mut self, seen: Option<&Seen>, grids: &Tensor<4>, place: Place) -> StepLosses;

    /// Measures the running statistics anew over batches that were learnt from, and gives the network
    /// as it is validated: with averaged weights where an average is kept.
    fn settle(&mut self, batches: Vec<(Place, usize, Option<Seen>)>) -> Box<dyn Frozen>;

    /// What a checkpoint keeps: weights, averages, and the state and steps of each optimiser.
    fn state(&self) -> LearnerState;

    /// Takes the weights of a PyTorch state dictionary, whose layers `names` tell.
    fn begin_with(&mut self, state: Tensors, names: &[(&str, &str)]) -> Result<(), WeightsError>;

    /// Takes over what a checkpoint kept.
    fn load(&mut self, checkpoint: Checkpoint) -> Result<(), WeightsError>;

    /// Multiplies all learning rates by `factor` from here on.
    fn set_rate_factor(&mut self, factor: f64);
}

/// What a checkpoint keeps of a [`Learner`].
pub(crate) struct LearnerState {
    pub(crate) weights: Tensors,
    pub(crate) average: Tensors,
    pub(crate) optimizers: BTreeMap<Part, Tensors>,
    pub(crate) optimizer_steps: BTreeMap<Part, u64>,
}

/// A network that learns no more.
pub(crate) trait Frozen {
    /// Means of the codes of objects, `[objects, z_size]`; none for a network that does not see.
    fn code(&self, seen: &Seen) -> Option<Tensor<2>>;

    /// Occupancies of codes, `[objects, n, n, n]`.
    fn generate(&self, codes: Tensor<2>) -> Tensor<4>;
}

impl<N: Network> Frozen for N {
    fn code(&self, seen: &Seen) -> Option<Tensor<2>> {
        self.encode(seen)
    }

    fn generate(&self, codes: Tensor<2>) -> Tensor<4> {
        self.occupancies(self.imagine(codes))
    }
}

/// A trainer, and its averaged network as it was last measured.
struct Learning<N> {
    trainer: Trainer<N>,
    averaged: Tensors,
}

impl<N: Network + 'static> Learner for Learning<N> {
    fn learn(&mut self, seen: Option<&Seen>, grids: &Tensor<4>, place: Place) -> StepLosses {
        self.trainer.step(seen, grids, place)
    }

    fn settle(&mut self, batches: Vec<(Place, usize, Option<Seen>)>) -> Box<dyn Frozen> {
        let trainer = &mut self.trainer;
        let Some(average) = &trainer.average else {
            trainer.measure_statistics(batches);
            return Box::new(trainer.network.valid());
        };
        // A network and its clone share their running statistics, so that the average's are read
        // before the network's own take their place.
        let usual = trainer.network.clone();
        trainer.network = average.put_into(usual.clone());
        trainer.measure_statistics(batches.clone());
        self.averaged = named_weights(&trainer.network);
        let frozen = Box::new(trainer.network.valid());
        trainer.network = usual;
        trainer.measure_statistics(batches);
        frozen
    }

    fn state(&self) -> LearnerState {
        let optimizers = &self.trainer.optimizers;
        LearnerState {
            weights: named_weights(&self.trainer.network),
            average: self.averaged.clone(),
            optimizers: optimizers.iter().map(|(part, adam)| (*part, adam.state())).collect(),
            optimizer_steps: optimizers.iter().map(|(part, adam)| (*part, adam.steps())).collect(),
        }
    }

    fn begin_with(&mut self, state: Tensors, names: &[(&str, &str)]) -> Result<(), WeightsError> {
        self.trainer.network = load_state_dict(self.trainer.network.clone(), state, names)?;
        Ok(())
    }

    fn load(&mut self, checkpoint: Checkpoint) -> Result<(), WeightsError> {
        let trainer = &mut self.trainer;
        trainer.network = load_weights(trainer.network.clone(), checkpoint.weights)?;
        let device = trainer.device.clone().inner();
        let mut states = checkpoint.optimizers;
        for (part, adam) in &mut trainer.optimizers {
            let steps = checkpoint.manifest.optimizer_steps.get(part).copied().unwrap_or(0);
            adam.load(steps, states.remove(part).unwrap_or_default(), &device);
        }
        if let Some(average) = &mut trainer.average {
            let is_weight = |name: &str| !name.contains(".running_");
            let weights = checkpoint.average.into_iter().filter(|(name, _)| is_weight(name));
            average.load(checkpoint.manifest.step, weights.collect(), &device);
        }
        Ok(())
    }

    fn set_rate_factor(&mut self, factor: f64) {
        self.trainer.rate_factor = factor;
    }
}

/// Something to be done with a network of whatever kind.
trait WithNetwork {
    type Result;

    fn with<N: Network + 'static>(self, network: N) -> Self::Result;
}

/// Makes the network that `config` describes, which must have been checked.
fn make<W: WithNetwork>(
    config: &NetworkConfig,
    device: &Device,
    unit: &mut dyn FnMut() -> f64,
    then: W,
) -> W::Result {
    match config {
        NetworkConfig::Gan(config) => then.with(config.init(device, unit)),
        // One view of each object is several views of which there is one.
        NetworkConfig::VaeGan(config) => {
            then.with(MultiViewVaeGanConfig::new(config.clone()).init(device, unit))
        }
        NetworkConfig::MultiViewVaeGan(config) => then.with(config.init(device, unit)),
        NetworkConfig::PoseVaeGan(config) => then.with(config.init(device, unit)),
        NetworkConfig::AttentionVaeGan(config) => then.with(config.init(device, unit)),
    }
}

/// A trainer at its beginning, its weights drawn on the host from `seed`, on the first of `devices`.
pub(crate) fn learner(params: &TrainParams, seed: u64, devices: &[Device]) -> Box<dyn Learner> {
    struct Begin<'a>(&'a TrainParams, u64, Device, Vec<Device>);

    impl WithNetwork for Begin<'_> {
        type Result = Box<dyn Learner>;

        fn with<N: Network + 'static>(self, network: N) -> Self::Result {
            let Self(params, seed, device, others) = self;
            let optimizers = N::PARTS.iter().map(|&part| (part, adam(params, part)));
            Box::new(Learning {
                trainer: Trainer {
                    network,
                    optimizers: optimizers.collect(),
                    average: (params.ema_decay > 0.0).then(|| Average::new(params.ema_decay)),
                    objective: Objective::new(params),
                    rate_factor: 1.0,
                    z_size: params.z_size,
                    seed,
                    device,
                    others,
                },
                averaged: Tensors::new(),
            })
        }
    }

    let mut random = Random::new(seed, &["train/weights"]);
    let mut others: Vec<Device> = devices.iter().map(|device| device.clone().autodiff()).collect();
    let device = others.remove(0);
    let begin = Begin(params, seed, device.clone(), others);
    make(&params.network(), &device, &mut || random.unit(), begin)
}

fn adam(params: &TrainParams, part: Part) -> Adam {
    let rate = match part {
        Part::Encoder => params.e_lr,
        Part::Generator => params.g_lr,
        Part::Discriminator => params.d_lr,
    };
    Adam::new(rate, params.beta).with(params.weight_decay, params.clip_norm)
}

/// The network of a checkpoint, for use: its averaged weights where it has some.
pub(crate) fn frozen(
    checkpoint: Checkpoint,
    device: &Device,
) -> Result<Box<dyn Frozen>, SetupFault> {
    struct Freeze(Tensors);

    impl WithNetwork for Freeze {
        type Result = Result<Box<dyn Frozen>, WeightsError>;

        fn with<N: Network + 'static>(self, network: N) -> Self::Result {
            Ok(Box::new(load_weights(network, self.0)?.valid()))
        }
    }

    made_of(checkpoint, device, Freeze)
}

/// The network of a checkpoint as a PyTorch state dictionary, its layers called as `names` tell.
pub(crate) fn exported(
    checkpoint: Checkpoint,
    names: &[(&str, &str)],
) -> Result<Tensors, SetupFault> {
    struct Export<'a>(Tensors, &'a [(&'a str, &'a str)]);

    impl WithNetwork for Export<'_> {
        type Result = Result<Tensors, WeightsError>;

        fn with<N: Network + 'static>(self, network: N) -> Self::Result {
            Ok(state_dict(&load_weights(network, self.0)?, self.1))
        }
    }

    made_of(checkpoint, &Device::flex(), |weights| Export(weights, names))
}

/// What is made of the network of a checkpoint and its weights, averaged ones where it has some.
fn made_of<T, W: WithNetwork<Result = Result<T, WeightsError>>>(
    checkpoint: Checkpoint,
    device: &Device,
    then: impl FnOnce(Tensors) -> W,
) -> Result<T, SetupFault> {
    let config = checkpoint.manifest.model_config()?;
    config.check().map_err(|(field, message)| SetupFault::new(format!("{field} {message}")))?;
    let weights = match checkpoint.average.is_empty() {
        true => checkpoint.weights,
        false => checkpoint.average,
    };
    let made = make(&config, device, &mut || 0.5, then(weights));
    made.map_err(|e| SetupFault::new(format!("the checkpoint does not fit its own network: {e}")))
}

/// What is seen of the objects of a prepared batch; none where `form` is none.
pub(crate) fn seen_of(
    batch: &Batch,
    form: Option<PictureForm>,
    device: &Device,
) -> Result<Option<Seen>, MachineFault> {
    let Some(form) = form else { return Ok(None) };
    let fault = |e: &dyn std::fmt::Display| MachineFault::new(e.to_string());
    let images = batch.tensor_lists::<f32>("image").map_err(|e| fault(&e))?;
    let rows = 0..batch.rows();
    let counts = rows.clone().map(|row| images.value(row).len() / form.numbers()).collect();
    let views = Views::new(counts).map_err(|e| fault(&e))?;
    let planes: Vec<f32> = rows.clone().flat_map(|row| images.value(row)).copied().collect();
    let sizes = [views.total(), form.channels, form.height, form.width];
    let images = Tensor::from_data(TensorData::new(planes, sizes), device);
    let poses = match batch.schema().column("pose") {
        None => None,
        Some(_) => {
            let poses = batch.tensor_lists::<f32>("pose").map_err(|e| fault(&e))?;
            let numbers: Vec<f32> = rows.flat_map(|row| poses.value(row)).copied().collect();
            let sizes = [views.total(), poses.inner_len()];
            Some(Tensor::from_data(TensorData::new(numbers, sizes), device))
        }
    };
    Ok(Some(Seen { images, poses, views }))
}

/// The grids of a prepared batch, `[rows, n, n, n]`: soft ones where it has them.
pub(crate) fn grids_of(
    batch: &Batch,
    cube_len: usize,
    device: &Device,
) -> Result<Tensor<4>, MachineFault> {
    let fault = |e: voxflow_contract::BatchError| MachineFault::new(e.to_string());
    let rows = batch.rows();
    let numbers: Vec<f32> = match batch.schema().column("occupancy") {
        Some(_) => {
            let soft = batch.tensors::<f32>("occupancy").map_err(fault)?;
            (0..rows).flat_map(|row| soft.value(row)).copied().collect()
        }
        None => {
            let cells = cube_len.pow(3);
            bits_of(batch)?.into_iter().flat_map(|bits| unpack_bits(bits, cells)).collect()
        }
    };
    let sizes = [rows, cube_len, cube_len, cube_len];
    Ok(Tensor::from_data(TensorData::new(numbers, sizes), device))
}

/// The packed grids of a prepared batch.
pub(crate) fn bits_of(batch: &Batch) -> Result<Vec<&[u8]>, MachineFault> {
    let voxels = batch.tensors::<u8>("voxels").map_err(|e| MachineFault::new(e.to_string()))?;
    Ok((0..batch.rows()).map(|row| voxels.value(row)).collect())
}

/// Grids `[rows, n, n, n]` as numbers on the host, one after the other.
pub(crate) fn numbers_of(grids: Tensor<4>) -> Result<Vec<f32>, MachineFault> {
    grids
        .into_data()
        .try_into_vec::<f32>()
        .map_err(|e| MachineFault::new(format!("cannot read grids back: {e:?}")))
}
