//! What the trainer asks of a network, answered for all of them.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Gradients, Tensor};
use serde::{Deserialize, Serialize};
use voxflow_models::{
    AttentionVaeGan, Gan, Generated, MultiViewVaeGan, Noise, Normalised, POSE_SIZE, PoseVaeGan,
    ReconstructionLoss, Views,
};

use crate::adam::Adam;

/// A part of a network that has an optimiser of its own: a parameter set of the training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Picture to code.
    Encoder,
    /// Code to grid.
    Generator,
    /// Grid to whether it is a true one.
    Discriminator,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Encoder, Self::Generator, Self::Discriminator];

    /// Its name in checkpoints.
    pub fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Generator => "generator",
            Self::Discriminator => "discriminator",
        }
    }
}

/// What a network looks at: the views of each object of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `[total, channels, height, width]`, in [0, 1], those of the first object first.
    pub(crate) images: Tensor<4>,
    /// `[total, 12]`, where the network is told poses.
    pub(crate) poses: Option<Tensor<2>>,
    /// How many each object has.
    pub(crate) views: Views,
}

/// The random numbers of a forward pass, drawn on the host.
#[derive(Debug, Clone)]
pub(crate) struct PassNoise {
    /// Moves codes off their means, `[total, z_size]`; for networks that see.
    pub(crate) epsilon: Option<Tensor<2>>,
    /// Codes from the prior, `[objects, z_size]`; none where the discriminator is left out.
    pub(crate) prior: Option<Tensor<2>>,
    /// Where dropout's choices come from.
    pub(crate) dropout: u64,
}

/// What is made of what was seen.
pub(crate) struct Reconstructed {
    /// Logits of grids, `[objects, n, n, n]`.
    pub(crate) logits: Tensor<4>,
    /// Divergence of codes from the prior, `[1]`.
    pub(crate) divergence: Tensor<1>,
    /// Codes as they were drawn, `[objects, z_size]`.
    pub(crate) codes: Tensor<2>,
}

/// What one forward pass gives.
#[derive(Default)]
pub(crate) struct Pass {
    /// Of pictures, for networks that see.
    pub(crate) reconstructed: Option<Reconstructed>,
    /// Logits of grids made of the prior, where there was one.
    pub(crate) imagined: Option<Tensor<4>>,
}

/// A network that the trainer can train.
pub(crate) trait Network: Module + Normalised {
    /// The parts it has.
    const PARTS: &'static [Part];

    /// One forward pass for training.
    fn pass(&self, seen: Option<&Seen>, noise: PassNoise) -> Pass;

    /// The discriminator's logits of grids, `[objects, n, n, n]` in [0, 1], being true ones.
    fn judge(&self, grids: Tensor<4>) -> Tensor<1>;

    /// As [`Network::judge`], without gradients for the discriminator's own parameters.
    fn judge_only(&self, grids: Tensor<4>) -> Tensor<1>;

    /// Logits of grids made of codes `[objects, z_size]`.
    fn imagine(&self, codes: Tensor<2>) -> Tensor<4>;

    /// Occupancies of logits.
    fn occupancies(&self, logits: Tensor<4>) -> Tensor<4> {
        sigmoid(logits)
    }

    /// The loss of reconstructed logits.
    fn reconstruction(
        &self,
        loss: ReconstructionLoss,
        logits: Tensor<4>,
        grids: &Tensor<4>,
    ) -> Tensor<1> {
        loss.forward(logits, grids)
    }

    /// Means of the codes of objects, `[objects, z_size]`; nothing is random. Called on `valid()`.
    /// None for a network that does not see.
    fn encode(&self, seen: &Seen) -> Option<Tensor<2>>;

    /// Measures the running statistics anew.
    fn measure_passes(&mut self, passes: Vec<(Option<Seen>, PassNoise)>) {
        self.measure(passes, |network, (seen, noise)| drop(network.pass(seen.as_ref(), noise)));
    }

    /// Takes the gradients of a part out of all.
    fn take_gradients(&self, part: Part, gradients: &mut Gradients) -> GradientsParams;

    /// Moves a part.
    fn step(&mut self, part: Part, adam: &mut Adam, gradients: GradientsParams, share: f64);
}

/// The methods that only hand a part on.
macro_rules! parts {
    ($($part:ident: $field:ident),+ $(; without $lacking:ident)?) => {
        const PARTS: &'static [Part] = &[$(Part::$part),+];

        fn judge(&self, grids: Tensor<4>) -> Tensor<1> {
            self.discriminator.forward(grids)
        }

        fn judge_only(&self, grids: Tensor<4>) -> Tensor<1> {
            self.discriminator.clone().no_grad().forward(grids)
        }

        fn imagine(&self, codes: Tensor<2>) -> Tensor<4> {
            self.generator.forward(codes)
        }

        fn take_gradients(&self, part: Part, gradients: &mut Gradients) -> GradientsParams {
            match part {
                $(Part::$part => GradientsParams::from_module(gradients, &self.$field),)+
                $(Part::$lacking => GradientsParams::new(),)?
            }
        }

        fn step(&mut self, part: Part, adam: &mut Adam, gradients: GradientsParams, share: f64) {
            match part {
                $(Part::$part => {
                    self.$field = adam.step(self.$field.clone(), gradients, share);
                })+
                $(Part::$lacking => {})?
            }
        }
    };
}

impl Network for Gan {
    parts!(Generator: generator, Discriminator: discriminator; without Encoder);

    fn pass(&self, _seen: Option<&Seen>, noise: PassNoise) -> Pass {
        Pass { reconstructed: None, imagined: noise.prior.map(|codes| self.forward(codes)) }
    }

    fn encode(&self, _seen: &Seen) -> Option<Tensor<2>> {
        None
    }
}

impl Network for MultiViewVaeGan {
    parts!(Encoder: encoder, Generator: generator, Discriminator: discriminator);

    fn pass(&self, seen: Option<&Seen>, noise: PassNoise) -> Pass {
        Pass::of(seen, noise, |seen, noise, _| {
            let generated = self.forward(seen.images.clone(), &seen.views, noise);
            let divergence = self.divergence(&generated, &seen.views);
            (generated, divergence)
        })
    }

    fn encode(&self, seen: &Seen) -> Option<Tensor<2>> {
        let (mean, _) = self.encoder.forward(seen.images.clone());
        Some(seen.views.combine(self.combine, mean))
    }

    fn measure_passes(&mut self, passes: Vec<(Option<Seen>, PassNoise)>) {
        let passes = of_seen(passes).map(|(seen, noise)| (seen.images, seen.views, noise));
        self.measure_statistics(passes);
    }
}

impl Network for PoseVaeGan {
    parts!(Encoder: encoder, Generator: generator, Discriminator: discriminator);

    fn pass(&self, seen: Option<&Seen>, noise: PassNoise) -> Pass {
        Pass::of(seen, noise, |seen, noise, _| {
            let (images, poses) = (seen.images.clone(), poses_of(seen));
            let generated = self.forward(images, poses, &seen.views, noise);
            let divergence = self.divergence(&generated, &seen.views);
            (generated, divergence)
        })
    }

    fn occupancies(&self, logits: Tensor<4>) -> Tensor<4> {
        self.generator.occupancies(logits)
    }

    fn reconstruction(
        &self,
        loss: ReconstructionLoss,
        logits: Tensor<4>,
        grids: &Tensor<4>,
    ) -> Tensor<1> {
        match self.generator.stretched_occupancies {
            true => loss.of_occupancies(self.occupancies(logits), grids),
            false => loss.forward(logits, grids),
        }
    }

    fn encode(&self, seen: &Seen) -> Option<Tensor<2>> {
        let (mean, _) = self.encoder.forward(seen.images.clone(), poses_of(seen));
        Some(seen.views.combine(self.combine, mean))
    }

    fn measure_passes(&mut self, passes: Vec<(Option<Seen>, PassNoise)>) {
        let passes = of_seen(passes).map(|(seen, noise)| {
            let poses = poses_of(&seen);
            (seen.images, poses, seen.views, noise)
        });
        self.measure_statistics(passes);
    }
}

impl Network for AttentionVaeGan {
    parts!(Encoder: encoder, Generator: generator, Discriminator: discriminator);

    fn pass(&self, seen: Option<&Seen>, noise: PassNoise) -> Pass {
        Pass::of(seen, noise, |seen, noise, dropout| {
            let generated = self.forward(seen.images.clone(), noise, Some(dropout));
            let divergence = self.divergence(&generated);
            (generated, divergence)
        })
    }

    fn encode(&self, seen: &Seen) -> Option<Tensor<2>> {
        Some(self.encoder.forward(seen.images.clone(), None).0)
    }
}

impl Pass {
    /// The pass of a network that sees: nothing without pictures, else what `forward` makes of them
    /// and of their noise, and the divergence of its codes.
    fn of(
        seen: Option<&Seen>,
        noise: PassNoise,
        forward: impl FnOnce(&Seen, Noise, u64) -> (Generated, Tensor<1>),
    ) -> Self {
        let PassNoise { epsilon, prior, dropout } = noise;
        let (Some(seen), Some(epsilon)) = (seen, epsilon) else { return Self::default() };
        let (generated, divergence) = forward(seen, Noise { epsilon, prior }, dropout);
        let Generated { codes, reconstructed: logits, imagined, .. } = generated;
        Self { reconstructed: Some(Reconstructed { logits, divergence, codes }), imagined }
    }
}

/// The poses of what was seen; a network without a pose branch does not look at them.
fn poses_of(seen: &Seen) -> Tensor<2> {
    let none = || Tensor::zeros([seen.views.total(), POSE_SIZE], &seen.images.device());
    seen.poses.clone().unwrap_or_else(none)
}

/// What was seen in passes, and their noise as networks take it.
fn of_seen(passes: Vec<(Option<Seen>, PassNoise)>) -> impl Iterator<Item = (Seen, Noise)> {
    passes.into_iter().filter_map(|(seen, noise)| {
        let PassNoise { epsilon, prior, .. } = noise;
        Some((seen?, Noise { epsilon: epsilon?, prior }))
    })
}
