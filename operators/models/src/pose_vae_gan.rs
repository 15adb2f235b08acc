//! The multi-view 3D-VAE-GAN that knows where its cameras stood (public code:
//! 3D-Model-Generation-from-2D-Sparse-Views, on CO3D).
//!
//! Each view is encoded with its pose, its code drawn, and an object's codes become one. Generator
//! and discriminator begin and end at 4^3 instead of one cell.

use burn::config::Config;
use burn::module::Module;
use burn::nn::BatchNorm;
use burn::tensor::{Device, Tensor};

use crate::batch_norm::Normalised;
use crate::discriminator::Discriminator;
use crate::gan::{check_cube_len, check_sizes};
use crate::init::draw_weights;
use crate::layers::{Layer, Trace};
use crate::losses::kl_of_rows;
use crate::pose_discriminator::PoseDiscriminatorConfig;
use crate::pose_encoder::{PoseEncoder, PoseEncoderConfig};
use crate::pose_fusion::PoseFusion;
use crate::pose_generator::{PoseGenerator, PoseGeneratorConfig};
use crate::profile::{Profile, Quirk};
use crate::vae_gan::{Generated, Noise, generate};
use crate::views::{CombineViews, ViewStatistics, Views};

/// View weights that public code makes and never reads: one for each of its views.
const UNUSED_VIEW_WEIGHTS: usize = 4;

/// Configuration of a [`PoseVaeGan`].
#[derive(Config, Debug, PartialEq)]
pub struct PoseVaeGanConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64; public code makes 32 whatever is asked for.
    pub cube_len: usize,
    /// Edge of the square pictures, in pixels; public code takes 224 only.
    pub image_size: usize,
    /// Numbers in a code; public code has 128.
    pub z_size: usize,
    /// Output channels of each convolution of the encoder; public code has 32, 64, 128, 256, 512.
    pub encoder_channels: Vec<usize>,
    /// Channels before the generator's last layer; public code has 64.
    pub generator_channels: usize,
    /// Channels after the discriminator's first layer; public code has 32.
    pub discriminator_channels: usize,
    /// How a pose joins the features of its picture.
    #[config(default = "PoseFusion::Concat")]
    pub fusion: PoseFusion,
    /// Outputs of the pose branch's two linear layers.
    #[config(default = "[128, 64]")]
    pub pose_sizes: [usize; 2],
    /// How the codes of an object's views become one.
    #[config(default = "CombineViews::Mean")]
    pub combine: CombineViews,
    /// What the encoder's normalisation sees at once in training.
    #[config(default = "ViewStatistics::Joint")]
    pub statistics: ViewStatistics,
    /// Quirk: occupancies are the sigmoid times 1.2, cut off at 1.
    #[config(default = false)]
    pub stretched_occupancies: bool,
    /// Quirk: the divergence is summed over the batch, and divided by the number of views only.
    #[config(default = false)]
    pub summed_divergence: bool,
    /// Quirk: four view weights that nothing reads.
    #[config(default = false)]
    pub unused_view_weights: bool,
}

/// Encoder, generator and discriminator. Each is one parameter set of the training step.
#[derive(Module, Debug)]
pub struct PoseVaeGan {
    /// Picture and pose to code.
    pub encoder: PoseEncoder,
    /// Code to grid.
    pub generator: PoseGenerator,
    /// Grid to whether it is a true one.
    pub discriminator: Discriminator,
    /// How the codes of an object's views become one.
    #[module(skip)]
    pub combine: CombineViews,
    /// What the encoder's normalisation sees at once in training.
    #[module(skip)]
    pub statistics: ViewStatistics,
    /// Whether the divergence is summed over the batch.
    #[module(skip)]
    pub summed_divergence: bool,
}

impl PoseVaeGanConfig {
    /// The sizes of public code.
    pub fn literature() -> Self {
        Self::new(32, 224, 128, vec![32, 64, 128, 256, 512], 64, 32)
    }

    /// The same sizes with all quirks on, or off. The reference encodes view by view.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        let on = profile == Profile::Reference;
        let statistics = if on { ViewStatistics::PerView } else { ViewStatistics::Joint };
        self.with_statistics(statistics)
            .with_stretched_occupancies(on)
            .with_summed_divergence(on)
            .with_unused_view_weights(on)
    }

    /// What public code does differently, and whether it is on.
    pub fn quirks(&self) -> Vec<Quirk> {
        vec![
            Quirk {
                name: "statistics",
                what: "views are encoded one after the other, each with statistics of its own; \
                       fixed: as one batch",
                on: self.statistics == ViewStatistics::PerView,
            },
            Quirk {
                name: "stretched_occupancies",
                what: "occupancies are the sigmoid times 1.2, cut off at 1, so that the largest have \
                       no gradient; fixed: the sigmoid",
                on: self.stretched_occupancies,
            },
            Quirk {
                name: "summed_divergence",
                what: "the divergence is summed over objects and divided by the number of views, so \
                       that its weight grows with the batch; fixed: the mean over both",
                on: self.summed_divergence,
            },
            Quirk {
                name: "unused_view_weights",
                what: "the encoder has four weights that nothing reads; fixed: none",
                on: self.unused_view_weights,
            },
        ]
    }

    /// Says what is wrong with the sizes.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        check_cube_len(self.cube_len)?;
        check_sizes(&[
            ("z_size", self.z_size),
            ("generator_channels", self.generator_channels),
            ("discriminator_channels", self.discriminator_channels),
            ("pose_sizes", self.pose_sizes[0]),
            ("pose_sizes", self.pose_sizes[1]),
        ])?;
        self.encoder().check()
    }

    /// Makes the network on `device`, its weights drawn on the host from `unit`, which gives
    /// uniform numbers in [0, 1).
    ///
    /// # Panics
    /// When [`PoseVaeGanConfig::check`] finds something wrong.
    pub fn init(&self, device: &Device, unit: &mut dyn FnMut() -> f64) -> PoseVaeGan {
        if let Err((field, message)) = self.check() {
            panic!("{field} {message}");
        }
        draw_weights(self.build(device), unit)
    }

    /// The network's layers, in the order in which one view passes them.
    ///
    /// # Panics
    /// When [`PoseVaeGanConfig::check`] finds something wrong.
    pub fn layers(&self) -> Vec<Layer> {
        let model = self.build(&Device::flex());
        let mut trace = Trace::new();
        model.encoder.trace(trace.begin("encoder", &[3, self.image_size, self.image_size]));
        model.generator.trace(trace.begin("generator", &[self.z_size]));
        model.discriminator.trace(trace.begin("discriminator", &[self.cube_len; 3]));
        trace.finish()
    }

    pub(crate) fn build(&self, device: &Device) -> PoseVaeGan {
        let [generator, discriminator] = [self.generator_channels, self.discriminator_channels];
        PoseVaeGan {
            encoder: self.encoder().init(device),
            generator: PoseGeneratorConfig::new(self.cube_len, self.z_size, generator)
                .with_stretched_occupancies(self.stretched_occupancies)
                .init(device),
            discriminator: PoseDiscriminatorConfig::new(self.cube_len, discriminator).init(device),
            combine: self.combine,
            statistics: self.statistics,
            summed_divergence: self.summed_divergence,
        }
    }

    fn encoder(&self) -> PoseEncoderConfig {
        let unused = if self.unused_view_weights { UNUSED_VIEW_WEIGHTS } else { 0 };
        PoseEncoderConfig::new(self.image_size, self.z_size, self.encoder_channels.clone())
            .with_fusion(self.fusion)
            .with_pose_sizes(self.pose_sizes)
            .with_unused_view_weights(unused)
    }
}

impl PoseVaeGan {
    /// One forward pass for training: one code of each object and codes of the prior, as one batch.
    /// In what comes back, means and log-variances are those of views, `[total, z_size]`.
    ///
    /// Grids come as logits; [`PoseGenerator::occupancies`] makes occupancies of them, and
    /// [`crate::ReconstructionLoss::of_occupancies`] is the loss for stretched ones.
    ///
    /// # Shapes
    /// - images: `[total, 3, image_size, image_size]`, in the order of `views`
    /// - poses: `[total, 12]`, rotation row by row, then translation
    /// - noise: epsilon `[total, z_size]`, prior `[samples, z_size]`
    pub fn forward(
        &self,
        images: Tensor<4>,
        poses: Tensor<2>,
        views: &Views,
        noise: Noise,
    ) -> Generated {
        let (mean, log_variance) = self.encode(images, poses, views);
        let spread = (log_variance.clone() * 0.5).exp() * noise.epsilon;
        let codes = views.combine(self.combine, mean.clone() + spread);
        let (reconstructed, imagined) =
            generate(codes.clone(), noise.prior, |codes| self.generator.forward(codes));
        Generated { mean, log_variance, codes, reconstructed, imagined }
    }

    /// Mean and log-variance of the code of each view; shapes as in [`PoseVaeGan::forward`].
    pub fn encode(
        &self,
        images: Tensor<4>,
        poses: Tensor<2>,
        views: &Views,
    ) -> (Tensor<2>, Tensor<2>) {
        let device = images.device();
        views.encode(self.statistics, &device, move |rows| {
            let (images, poses) = (images.clone(), poses.clone());
            match rows {
                None => self.encoder.forward(images, poses),
                Some(rows) => {
                    self.encoder.forward(images.select(0, rows.clone()), poses.select(0, rows))
                }
            }
        })
    }

    /// Divergence of codes from the standard normal distribution, averaged over an object's views and
    /// over objects, or summed over objects where public code's quirk is on.
    ///
    /// # Shapes
    /// - result: `[1]`
    pub fn divergence(&self, generated: &Generated, views: &Views) -> Tensor<1> {
        let rows = kl_of_rows(generated.mean.clone(), generated.log_variance.clone());
        let factor = if self.summed_divergence { views.samples() as f64 } else { 1.0 };
        views.average(rows) * factor
    }

    /// Occupancies of the objects in `images`: codes are their means, nothing is random.
    ///
    /// Call it on `valid()`: a network on a training device would normalise by the batch.
    ///
    /// # Shapes
    /// - images, poses: as in [`PoseVaeGan::forward`]
    /// - result: `[samples, cube_len, cube_len, cube_len]`, in [0, 1]
    pub fn reconstruct(&self, images: Tensor<4>, poses: Tensor<2>, views: &Views) -> Tensor<4> {
        let (mean, _) = self.encoder.forward(images, poses);
        let logits = self.generator.forward(views.combine(self.combine, mean));
        self.generator.occupancies(logits)
    }

    /// Measures the running statistics of encoder and generator anew; see [`Normalised::measure`].
    /// Views are encoded as one batch, whatever [`ViewStatistics`] are trained with: what is
    /// measured is used for any view. A pass is pictures, poses, views and noise.
    pub fn measure_statistics(
        &mut self,
        passes: impl IntoIterator<Item = (Tensor<4>, Tensor<2>, Views, Noise)>,
    ) {
        let usual = std::mem::replace(&mut self.statistics, ViewStatistics::Joint);
        self.measure(passes, |model, (images, poses, views, noise)| {
            drop(model.forward(images, poses, &views, noise));
        });
        self.statistics = usual;
    }
}

impl Normalised for PoseVaeGan {
    fn normalisations(&mut self) -> Vec<&mut BatchNorm> {
        self.encoder.normalisations.iter_mut().chain(&mut self.generator.normalisations).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::check_layers;

    const FUSIONS: [PoseFusion; 4] =
        [PoseFusion::None, PoseFusion::Concat, PoseFusion::Film, PoseFusion::Attention];

    fn counter() -> impl FnMut() -> f64 {
        let mut state = 0.5;
        move || {
            state = (state + 0.618_033_988_75) % 1.0;
            state
        }
    }

    fn tiny() -> PoseVaeGanConfig {
        PoseVaeGanConfig::new(16, 16, 4, vec![2, 3], 2, 2).with_pose_sizes([5, 6])
    }

    #[test]
    fn shapes_are_as_documented() {
        let device = Device::flex().autodiff();
        let views = Views::new(vec![2, 1]).expect("views");
        for profile in [Profile::Fixed, Profile::Reference] {
            let mut model = tiny().with_profile(profile).init(&device, &mut counter());
            let images = Tensor::ones([3, 3, 16, 16], &device);
            let poses = Tensor::ones([3, 12], &device);
            let codes = Tensor::ones([3, 4], &device);
            let noise = Noise { epsilon: codes.clone(), prior: Some(codes.slice(0..2)) };
            let pass = (images.clone(), poses.clone(), views.clone(), noise.clone());
            model.measure_statistics([pass]);
            let generated = model.forward(images, poses, &views, noise);
            assert_eq!(generated.mean.dims(), [3, 4]);
            assert_eq!(generated.imagined.map(|grids| grids.dims()), Some([2, 16, 16, 16]));
            let grids = model.generator.occupancies(generated.reconstructed);
            assert_eq!(model.discriminator.forward(grids).dims(), [2]);
            let (images, poses) = (
                Tensor::ones([3, 3, 16, 16], &Device::flex()),
                Tensor::ones([3, 12], &Device::flex()),
            );
            assert_eq!(model.valid().reconstruct(images, poses, &views).dims(), [2, 16, 16, 16]);
        }
    }

    #[test]
    fn layers_are_those_of_the_module() {
        for fusion in FUSIONS {
            for profile in [Profile::Fixed, Profile::Reference] {
                let config = tiny().with_fusion(fusion).with_profile(profile);
                check_layers(&config.layers(), &config.build(&Device::flex()));
            }
        }
        let layers = PoseVaeGanConfig::literature().with_profile(Profile::Reference).layers();
        let sum: usize = layers.iter().map(|layer| layer.parameters).sum();
        assert_eq!(sum, 9_238_884 + 15_241_217 + 666_273);
    }

    #[test]
    fn a_profile_switches_all_quirks() {
        for (profile, on) in [(Profile::Reference, true), (Profile::Fixed, false)] {
            let quirks = tiny().with_profile(profile).quirks();
            assert!(quirks.iter().all(|quirk| quirk.on == on), "{quirks:?}");
        }
    }

    #[test]
    fn wrong_sizes_are_named() {
        let field = |config: PoseVaeGanConfig| config.check().expect_err("a wrong size").0;
        assert_eq!(field(PoseVaeGanConfig::new(24, 16, 4, vec![2], 2, 2)), "cube_len");
        assert_eq!(field(PoseVaeGanConfig::new(16, 3, 4, vec![2, 2], 2, 2)), "image_size");
        assert_eq!(field(tiny().with_pose_sizes([0, 4])), "pose_sizes");
        assert_eq!(PoseVaeGanConfig::literature().check(), Ok(()));
    }
}
