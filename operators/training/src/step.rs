//! One training step: the losses of `objective.rs`, and which parts they move.
//!
//! Encoder and generator take their gradients from one backward pass over the sum of their losses, at
//! the same weights, and only then step: the divergence does not depend on the generator, imagined
//! grids do not depend on the encoder, so the sum gives each part its own. Every random number comes
//! from the host, keyed by seed, epoch and place in the epoch.

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use voxflow_contract::Random;
use voxflow_models::binary_cross_entropy;

use crate::adam::Adam;
use crate::average::Average;
use crate::network::{Network, Part, Pass, PassNoise, Reconstructed, Seen};
use crate::objective::Objective;
use crate::spread::{Spread, share_of, shares};
use crate::train_params::{Adversarial, ZDistribution};

/// Network, optimisers and objective of a run.
pub(crate) struct Trainer<N> {
    pub(crate) network: N,
    /// One for each of the network's parts, in their order.
    pub(crate) optimizers: Vec<(Part, Adam)>,
    /// The moving average of the weights, where one is kept.
    pub(crate) average: Option<Average>,
    pub(crate) objective: Objective,
    /// What all learning rates are multiplied by; falls when training is rolled back.
    pub(crate) rate_factor: f64,
    pub(crate) z_size: usize,
    pub(crate) seed: u64,
    /// With autodiff.
    pub(crate) device: Device,
    /// Other devices that take shares of each batch, with autodiff.
    pub(crate) others: Vec<Device>,
}

/// Where in training a batch stands, all counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: u64,
    /// Place of the batch in the epoch.
    pub(crate) sequence: u64,
    /// Steps before it, of all epochs.
    pub(crate) step: u64,
}

/// The losses of one step, unweighted, and what the discriminator did.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct StepLosses {
    /// Of the discriminator: true plus imagined grids.
    pub(crate) loss_d: f64,
    /// Of the generator against the discriminator.
    pub(crate) loss_g: f64,
    /// Of reconstruction and divergence, for networks that see.
    pub(crate) of_seen: Option<[f64; 2]>,
    /// Share of grids that the discriminator tells rightly, before its step.
    pub(crate) d_acc: f64,
    /// 1 when the discriminator stepped.
    pub(crate) d_stepped: f64,
}

impl StepLosses {
    /// Names and values.
    pub(crate) fn named(&self) -> Vec<(&'static str, f64)> {
        let mut named = vec![("loss_d", self.loss_d), ("loss_g", self.loss_g)];
        if let Some([recon, kl]) = self.of_seen {
            named.extend([("loss_recon", recon), ("loss_kl", kl)]);
        }
        named.extend([("d_acc", self.d_acc), ("d_stepped", self.d_stepped)]);
        named
    }
}

/// The random numbers of one step.
struct Draws {
    noise: PassNoise,
    true_labels: Tensor<1>,
    imagined_labels: Tensor<1>,
}

/// What the discriminator said and did.
#[derive(Default)]
struct Judged {
    loss: f64,
    accuracy: f64,
    stepped: f64,
}

impl<N: Network> Trainer<N> {
    fn spread(&self) -> Spread<'_, N> {
        Spread { network: &self.network, first: &self.device, others: &self.others }
    }

    /// Learns from one batch: what is seen of its objects, and their grids `[objects, n, n, n]`.
    pub(crate) fn step(
        &mut self,
        seen: Option<&Seen>,
        grids: &Tensor<4>,
        place: Place,
    ) -> StepLosses {
        let draws = self.draw(seen, grids.dims()[0], place);
        let pass = self.spread().pass(seen, &draws.noise);
        let losses = match self.objective.adversarial {
            Adversarial::Fool => self.step_to_fool(pass, grids, &draws, place),
            Adversarial::Reference => self.step_as_reference(pass, grids, &draws, place),
        };
        if let Some(average) = &mut self.average {
            average.follow(&self.network);
        }
        losses
    }

    /// The discriminator learns to tell, encoder and generator to reconstruct, the generator to fool.
    fn step_to_fool(
        &mut self,
        pass: Pass,
        grids: &Tensor<4>,
        draws: &Draws,
        place: Place,
    ) -> StepLosses {
        let imagined = pass.imagined.map(|logits| self.network.occupancies(logits));
        let judged = imagined
            .clone()
            .map(|fakes| self.judge(grids, &fakes.detach(), draws, &[Part::Discriminator], place));
        let judged = judged.unwrap_or_default();
        let fooling = imagined.map(|fakes| self.fooling(&fakes));
        let seen = pass.reconstructed.map(|made| self.of_seen(made, grids));
        let weighed = seen.clone().map(|losses| self.weigh(losses, place));
        let weight = self.objective.adversarial_weight;
        let adversarial = fooling.clone().map(|loss| loss * weight);
        let total = weighed.into_iter().chain(adversarial).reduce(|a, b| a + b);
        if let Some(total) = total {
            self.move_parts(&total, &[Part::Encoder, Part::Generator], place);
        }
        StepLosses {
            loss_d: judged.loss,
            loss_g: fooling.map_or(0.0, |loss| scalars([loss])[0]),
            of_seen: seen.map(scalars),
            d_acc: judged.accuracy,
            d_stepped: judged.stepped,
        }
    }

    /// First encoder and generator learn to reconstruct, then generator and discriminator both take
    /// the discriminator's loss on grids made anew from the same codes.
    fn step_as_reference(
        &mut self,
        pass: Pass,
        grids: &Tensor<4>,
        draws: &Draws,
        place: Place,
    ) -> StepLosses {
        let Some(made) = pass.reconstructed else { return StepLosses::default() };
        let codes = made.codes.clone().detach();
        let losses = self.of_seen(made, grids);
        let total = self.weigh(losses.clone(), place);
        self.move_parts(&total, &[Part::Encoder, Part::Generator], place);
        let mut judged = Judged::default();
        if self.objective.adversarial_weight > 0.0 {
            let fakes = self.network.occupancies(self.spread().imagine(&codes));
            let parts = [Part::Generator, Part::Discriminator];
            judged = self.judge(grids, &fakes, draws, &parts, place);
        }
        StepLosses {
            loss_d: judged.loss,
            loss_g: 0.0,
            of_seen: Some(scalars(losses)),
            d_acc: judged.accuracy,
            d_stepped: judged.stepped,
        }
    }

    /// Reconstruction and divergence.
    fn of_seen(&self, made: Reconstructed, grids: &Tensor<4>) -> [Tensor<1>; 2] {
        let loss = self.objective.reconstruction;
        [self.network.reconstruction(loss, made.logits, grids), made.divergence]
    }

    fn weigh(&self, [recon, kl]: [Tensor<1>; 2], place: Place) -> Tensor<1> {
        let objective = &self.objective;
        recon * objective.reconstruction_weight + kl * objective.kl_weight(place.epoch)
    }

    /// Measures the running statistics anew over batches that were learnt from, given by place, number
    /// of objects and what was seen, with the random numbers they were learnt with, share by share.
    pub(crate) fn measure_statistics(&mut self, batches: Vec<(Place, usize, Option<Seen>)>) {
        let passes = batches.into_iter().flat_map(|(place, objects, seen)| {
            let noise = self.draw(seen.as_ref(), objects, place).noise;
            let shares = shares(objects, 1 + self.others.len()).into_iter().enumerate();
            let pass =
                |(number, share)| share_of(seen.as_ref(), &noise, number, share, &self.device);
            shares.map(pass).collect::<Vec<_>>()
        });
        let passes = passes.collect();
        self.network.measure_passes(passes);
    }

    /// Loss and accuracy of the discriminator; the parts that learn of it step unless it is too good
    /// already.
    fn judge(
        &mut self,
        grids: &Tensor<4>,
        fakes: &Tensor<4>,
        draws: &Draws,
        parts: &[Part],
        place: Place,
    ) -> Judged {
        let spread = self.spread();
        let (of_true, of_fakes) = (spread.judge(grids), spread.judge(fakes));
        let right = of_true.clone().greater_equal_elem(0.0).float().mean()
            + of_fakes.clone().lower_equal_elem(0.0).float().mean();
        let loss = binary_cross_entropy(of_true, draws.true_labels.clone())
            + binary_cross_entropy(of_fakes, draws.imagined_labels.clone());
        let [value, right] = scalars([loss.clone(), right]);
        let accuracy = right / 2.0;
        if accuracy > self.objective.d_thresh {
            return Judged { loss: value, accuracy, stepped: 0.0 };
        }
        self.move_parts(&loss, parts, place);
        Judged { loss: value, accuracy, stepped: 1.0 }
    }

    /// The generator's loss: how far the discriminator is from taking imagined grids for true ones
    /// (non-saturating, Goodfellow et al. 2014).
    fn fooling(&self, fakes: &Tensor<4>) -> Tensor<1> {
        let verdict = self.spread().judge_only(fakes);
        let ones = verdict.ones_like();
        binary_cross_entropy(verdict, ones)
    }

    /// Moves those of `parts` that the network has along the gradient of `loss`, all at the weights
    /// there were.
    fn move_parts(&mut self, loss: &Tensor<1>, parts: &[Part], place: Place) {
        let mut gradients = loss.backward();
        let of_parts: Vec<(Part, GradientsParams)> = N::PARTS
            .iter()
            .filter(|part| parts.contains(part))
            .map(|&part| (part, self.network.take_gradients(part, &mut gradients)))
            .collect();
        for (part, gradients) in of_parts {
            let share = self.objective.rate_share(part, place.epoch, place.step);
            let share = share * self.rate_factor;
            let found = self.optimizers.iter_mut().find(|(of, _)| *of == part);
            if let Some((_, adam)) = found {
                self.network.step(part, adam, gradients, share);
            }
        }
    }

    fn draw(&self, seen: Option<&Seen>, objects: usize, place: Place) -> Draws {
        let texts = [place.epoch.to_string(), place.sequence.to_string()];
        let stream = |what: &str| Random::new(self.seed, &[what, &texts[0], &texts[1]]);
        let objective = &self.objective;
        let labels = |what: &str, low: f64, high: f64, hard: f64| {
            let mut random = stream(what);
            let draw = |_| if objective.soft_labels { random.range(low, high) } else { hard };
            self.tensor((0..objects).map(draw).map(|label| label as f32).collect(), [objects])
        };
        let epsilon = seen.map(|seen| {
            let mut random = stream("train/epsilon");
            let rows = seen.views.total();
            let numbers = (0..rows * self.z_size).map(|_| random.normal() as f32).collect();
            self.tensor(numbers, [rows, self.z_size])
        });
        let is_imagining =
            objective.adversarial_weight > 0.0 && objective.adversarial == Adversarial::Fool;
        let prior = is_imagining.then(|| {
            let mut random = stream("train/prior");
            let numbers = prior_codes(objective, &mut random, objects * self.z_size);
            self.tensor(numbers, [objects, self.z_size])
        });
        let dropout = stream("train/dropout").below(u64::MAX);
        Draws {
            noise: PassNoise { epsilon, prior, dropout },
            true_labels: labels("train/true_labels", 0.7, objective.highest_label, 1.0),
            imagined_labels: labels("train/imagined_labels", 0.0, 0.3, 0.0),
        }
    }

    /// Numbers of the host on the training device.
    pub(crate) fn tensor<const D: usize>(&self, data: Vec<f32>, sizes: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(data, sizes), &self.device)
    }
}

/// So many numbers of random codes.
pub(crate) fn prior_codes(objective: &Objective, random: &mut Random, count: usize) -> Vec<f32> {
    let draw = |_| match objective.z_distribution {
        ZDistribution::Norm => random.normal() * objective.z_std,
        ZDistribution::Uni => random.unit(),
    };
    (0..count).map(draw).map(|number| number as f32).collect()
}

/// Reads several scalars of the device at once.
fn scalars<const N: usize>(tensors: [Tensor<1>; N]) -> [f64; N] {
    let values = Tensor::cat(tensors.map(Tensor::detach).to_vec(), 0).into_data();
    let values = values.try_into_vec::<f32>().unwrap_or_default();
    std::array::from_fn(|i| values.get(i).copied().map_or(f64::NAN, f64::from))
}
