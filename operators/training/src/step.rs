//! One training step of the 3D-VAE-GAN: which loss moves which network.
//!
//! Stated as "the gradient of loss L for the parameters P":
//!
//! | loss | parameters | when |
//! |---|---|---|
//! | cross-entropy of D on true and imagined grids, the latter detached | discriminator | its accuracy is at most `d_thresh` |
//! | reconstruction, divergence | encoder | every step |
//! | reconstruction, cross-entropy of D's verdict on imagined grids | generator | every step |
//!
//! Encoder and generator take their gradients from one backward pass over the sum of the last two
//! rows, at the same weights, and only then step: the divergence does not depend on the generator,
//! imagined grids do not depend on the encoder, so the sum gives each network its own row. Every
//! random number comes from the host, keyed by seed, epoch and place in the epoch.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use voxflow_contract::Random;
use voxflow_models::{
    Discriminator, MultiViewVaeGan, Noise, ReconstructionLoss, Views, binary_cross_entropy,
};

use crate::adam::Adam;

/// What the losses are and how they are weighed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Objective {
    pub(crate) reconstruction: ReconstructionLoss,
    pub(crate) reconstruction_weight: f64,
    pub(crate) kl_weight: f64,
    /// 0 leaves the discriminator out altogether.
    pub(crate) adversarial_weight: f64,
    pub(crate) d_thresh: f64,
    pub(crate) soft_labels: bool,
    /// Epochs in which learning rates halve; 0 keeps them.
    pub(crate) lr_half_life: f64,
    /// Steps over which learning rates rise to their full height.
    pub(crate) warmup_steps: u64,
}

impl Objective {
    /// Share of the learning rates in an epoch and a step, both counted from 0.
    fn rate_share(&self, epoch: u64, step: u64) -> f64 {
        let warmth = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        let halvings = if self.lr_half_life > 0.0 { epoch as f64 / self.lr_half_life } else { 0.0 };
        warmth * 0.5_f64.powf(halvings)
    }
}

/// Model, optimisers and objective of a run.
pub(crate) struct Trainer {
    pub(crate) model: MultiViewVaeGan,
    /// Of encoder, generator and discriminator.
    pub(crate) optimizers: [Adam; 3],
    pub(crate) objective: Objective,
    pub(crate) z_size: usize,
    pub(crate) seed: u64,
    /// With autodiff.
    pub(crate) device: Device,
}

/// The losses of one step, unweighted, and what the discriminator did.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct StepLosses {
    /// Of the discriminator: true plus imagined grids.
    pub(crate) loss_d: f64,
    /// Of the generator against the discriminator.
    pub(crate) loss_g: f64,
    pub(crate) loss_recon: f64,
    pub(crate) loss_kl: f64,
    /// Share of grids that the discriminator tells rightly, before its step.
    pub(crate) d_acc: f64,
    /// 1 when the discriminator stepped.
    pub(crate) d_stepped: f64,
}

impl StepLosses {
    /// Names and values.
    pub(crate) fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("loss_d", self.loss_d),
            ("loss_g", self.loss_g),
            ("loss_recon", self.loss_recon),
            ("loss_kl", self.loss_kl),
            ("d_acc", self.d_acc),
            ("d_stepped", self.d_stepped),
        ]
    }
}

/// The random numbers of one step.
struct Draws {
    noise: Noise,
    true_labels: Tensor<1>,
    imagined_labels: Tensor<1>,
}

impl Trainer {
    /// Learns from one batch: `images` `[total, 3, size, size]` in the order of `views`, `grids`
    /// `[batch, n, n, n]`.
    pub(crate) fn step(
        &mut self,
        images: Tensor<4>,
        views: &Views,
        grids: &Tensor<4>,
        epoch: u64,
        sequence: u64,
    ) -> StepLosses {
        let draws = self.draw(epoch, sequence, views);
        let generated = self.model.forward(images, views, draws.noise.clone());
        let kl = self.model.divergence(&generated, views);
        let imagined = generated.imagined.map(sigmoid);
        let objective = self.objective;
        let share = objective.rate_share(epoch, self.optimizers[0].steps());
        let judged = imagined.clone().map(|fakes| self.judge(grids.clone(), fakes, &draws, share));

        let recon = objective.reconstruction.forward(generated.reconstructed, grids);
        let mut total =
            recon.clone() * objective.reconstruction_weight + kl.clone() * objective.kl_weight;
        let fooling = imagined.map(|fakes| fooling(&self.model.discriminator, fakes));
        if let Some(loss) = &fooling {
            total = total + loss.clone() * objective.adversarial_weight;
        }
        self.step_encoder_and_generator(&total, share);

        let [loss_recon, loss_kl] = scalars([recon, kl]);
        let loss_g = fooling.map_or(0.0, |loss| scalars([loss])[0]);
        let [loss_d, d_acc, d_stepped] = judged.unwrap_or([0.0; 3]);
        StepLosses { loss_d, loss_g, loss_recon, loss_kl, d_acc, d_stepped }
    }

    /// Measures the running statistics anew over batches of `epoch` that were learnt from, given by
    /// place, pictures and views, with the random numbers they were learnt with.
    pub(crate) fn measure_statistics(&mut self, epoch: u64, batches: Vec<(u64, Tensor<4>, Views)>) {
        let passes: Vec<_> = batches
            .into_iter()
            .map(|(sequence, images, views)| {
                let noise = self.draw(epoch, sequence, &views).noise;
                (images, views, noise)
            })
            .collect();
        self.model.measure_statistics(passes);
    }

    /// Loss and accuracy of the discriminator, which steps unless it is too good already: loss,
    /// accuracy, 1 when it stepped.
    fn judge(&mut self, grids: Tensor<4>, fakes: Tensor<4>, draws: &Draws, share: f64) -> [f64; 3] {
        let discriminator = &self.model.discriminator;
        let of_true = discriminator.forward(grids);
        let of_fakes = discriminator.forward(fakes.detach());
        let right = of_true.clone().greater_equal_elem(0.0).float().mean()
            + of_fakes.clone().lower_equal_elem(0.0).float().mean();
        let loss = binary_cross_entropy(of_true, draws.true_labels.clone())
            + binary_cross_entropy(of_fakes, draws.imagined_labels.clone());
        let [value, right] = scalars([loss.clone(), right]);
        let accuracy = right / 2.0;
        if accuracy > self.objective.d_thresh {
            return [value, accuracy, 0.0];
        }
        let gradients = GradientsParams::from_grads(loss.backward(), discriminator);
        let stepped = self.optimizers[2].step(discriminator.clone(), gradients, share);
        self.model.discriminator = stepped;
        [value, accuracy, 1.0]
    }

    fn step_encoder_and_generator(&mut self, total: &Tensor<1>, share: f64) {
        let mut gradients = total.backward();
        let of_encoder = GradientsParams::from_module(&mut gradients, &self.model.encoder);
        let of_generator = GradientsParams::from_module(&mut gradients, &self.model.generator);
        let MultiViewVaeGan { encoder, generator, .. } = self.model.clone();
        self.model.encoder = self.optimizers[0].step(encoder, of_encoder, share);
        self.model.generator = self.optimizers[1].step(generator, of_generator, share);
    }

    fn draw(&self, epoch: u64, sequence: u64, views: &Views) -> Draws {
        let batch = views.samples();
        let place = [epoch.to_string(), sequence.to_string()];
        let stream = |what: &str| Random::new(self.seed, &[what, &place[0], &place[1]]);
        let codes = |what: &str, rows: usize| {
            let mut random = stream(what);
            let numbers = (0..rows * self.z_size).map(|_| random.normal() as f32).collect();
            self.tensor::<2>(numbers, [rows, self.z_size])
        };
        let labels = |what: &str, low: f64, high: f64, hard: f64| {
            let mut random = stream(what);
            let soft = self.objective.soft_labels;
            let draw = |_| if soft { random.range(low, high) } else { hard };
            self.tensor::<1>((0..batch).map(draw).map(|label| label as f32).collect(), [batch])
        };
        let prior = (self.objective.adversarial_weight > 0.0).then(|| codes("train/prior", batch));
        Draws {
            noise: Noise { epsilon: codes("train/epsilon", views.total()), prior },
            true_labels: labels("train/true_labels", 0.7, 1.0, 1.0),
            imagined_labels: labels("train/imagined_labels", 0.0, 0.3, 0.0),
        }
    }

    /// Numbers of the host on the training device.
    pub(crate) fn tensor<const D: usize>(&self, data: Vec<f32>, sizes: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(data, sizes), &self.device)
    }
}

/// The generator's loss: how far the discriminator is from taking imagined grids for true ones
/// (non-saturating, Goodfellow et al. 2014). The discriminator only judges: no gradient is computed
/// for its own parameters.
fn fooling(discriminator: &Discriminator, fakes: Tensor<4>) -> Tensor<1> {
    let verdict = discriminator.clone().no_grad().forward(fakes);
    let ones = verdict.ones_like();
    binary_cross_entropy(verdict, ones)
}

/// Reads several scalars of the device at once.
fn scalars<const N: usize>(tensors: [Tensor<1>; N]) -> [f64; N] {
    let values = Tensor::cat(tensors.map(Tensor::detach).to_vec(), 0).into_data();
    let values = values.try_into_vec::<f32>().unwrap_or_default();
    std::array::from_fn(|i| values.get(i).copied().map_or(f64::NAN, f64::from))
}
