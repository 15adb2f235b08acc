//! The 3D-VAE-GAN with attention in its encoder (public code: 3DAttnVAE-GAN, June 2023): grey
//! pictures, codes of 1024 numbers, soft occupancies of 64^3.

use burn::config::Config;
use burn::module::Module;
use burn::nn::BatchNorm;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::attention_discriminator::{AttentionDiscriminator, AttentionDiscriminatorConfig};
use crate::attention_encoder::{AttentionEncoder, AttentionEncoderConfig};
use crate::attention_generator::{AttentionGenerator, AttentionGeneratorConfig};
use crate::batch_norm::Normalised;
use crate::gan::{check_cube_len, check_sizes};
use crate::init::{draw_weights, for_relu, move_by};
use crate::layers::{Layer, Trace};
use crate::losses::{kl_divergence, kl_without_halves};
use crate::profile::{Profile, Quirk};
use crate::vae_gan::{Generated, Noise, generate};

/// Share of attention's weights and outputs that public code drops.
const REFERENCE_DROPOUT: f64 = 0.1;

/// Configuration of an [`AttentionVaeGan`].
#[derive(Config, Debug, PartialEq)]
pub struct AttentionVaeGanConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64; public code has 64.
    pub cube_len: usize,
    /// Height of the pictures in pixels, a multiple of 32; public code has 192.
    pub image_height: usize,
    /// Width of the pictures in pixels, a multiple of 32; public code has 256.
    pub image_width: usize,
    /// Numbers in a code; public code has 1024.
    pub z_size: usize,
    /// Output channels of the encoder's convolutions; public code has 32, 64, 128.
    pub encoder_channels: [usize; 3],
    /// Channels before the generator's last layer; public code has 8.
    pub generator_channels: usize,
    /// Channels after the discriminator's first layer; public code has 64.
    pub discriminator_channels: usize,
    /// Heads of the attention after the first and the second convolution.
    #[config(default = "[4, 8]")]
    pub heads: [usize; 2],
    /// Outputs of the encoder's linear layers.
    #[config(default = "[1024, 512, 256]")]
    pub hidden: [usize; 3],
    /// Queries whose scores are held at a time; it changes no result.
    #[config(default = 256)]
    pub query_block: usize,
    /// Share of attention's weights and outputs that are dropped in training.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// What is added to the log-variance at the start: below 0, codes begin with little noise, so that
    /// the generator sees from the start what it will see when nothing is random. Public code has 0.
    #[config(default = 0.0)]
    pub initial_log_variance: f64,
    /// Quirk: in attention a place sees only itself and earlier ones, row by row.
    #[config(default = false)]
    pub causal: bool,
    /// Quirk: weights of the encoder's rectified layers are drawn as PyTorch does by itself, too small
    /// for what passes them to keep its size.
    #[config(default = false)]
    pub fading_weights: bool,
    /// Quirk: the divergence lacks its halves.
    #[config(default = false)]
    pub divergence_without_halves: bool,
}

/// Encoder, generator and discriminator. Each is one parameter set of the training step.
#[derive(Module, Debug)]
pub struct AttentionVaeGan {
    /// Picture to code.
    pub encoder: AttentionEncoder,
    /// Code to grid.
    pub generator: AttentionGenerator,
    /// Grid to whether it is a true one.
    pub discriminator: AttentionDiscriminator,
    /// Whether the divergence lacks its halves.
    #[module(skip)]
    pub divergence_without_halves: bool,
}

impl AttentionVaeGanConfig {
    /// The sizes of public code.
    pub fn literature() -> Self {
        Self::new(64, 192, 256, 1024, [32, 64, 128], 8, 64)
    }

    /// The same sizes with all quirks on, or off. The reference drops a tenth in attention.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        let on = profile == Profile::Reference;
        self.with_causal(on)
            .with_divergence_without_halves(on)
            .with_fading_weights(on)
            .with_dropout(if on { REFERENCE_DROPOUT } else { 0.0 })
    }

    /// What public code does differently, and whether it is on.
    pub fn quirks(&self) -> Vec<Quirk> {
        vec![
            Quirk {
                name: "causal",
                what: "in attention a place of a picture sees only itself and earlier ones, row by \
                       row; fixed: all",
                on: self.causal,
            },
            Quirk {
                name: "divergence_without_halves",
                what: "the divergence is sum(s^2 + m^2 - ln s - 1/2), least at a deviation of 0.707; \
                       fixed: half of s^2 and m^2",
                on: self.divergence_without_halves,
            },
            Quirk {
                name: "dropout",
                what: "a tenth of attention's weights and outputs is dropped in training; fixed: \
                       nothing",
                on: self.dropout > 0.0,
            },
            Quirk {
                name: "fading_weights",
                what: "the weights of the encoder's six rectified layers are drawn as PyTorch does by \
                       itself: each leaves a sixth of the variance, so that at the start codes hardly \
                       depend on pictures; fixed: as He et al. 2015, without bias",
                on: self.fading_weights,
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
        ])?;
        check_sizes(&self.encoder_channels.map(|channels| ("encoder_channels", channels)))?;
        check_sizes(&self.hidden.map(|outputs| ("hidden", outputs)))?;
        if !(-20.0..=5.0).contains(&self.initial_log_variance) {
            return Err(("initial_log_variance", "must be -20 to 5".to_owned()));
        }
        self.encoder().check().map_err(|(field, message)| match field {
            "height" => ("image_height", message),
            "width" => ("image_width", message),
            _ => (field, message),
        })
    }

    /// Makes the network on `device`, its weights drawn on the host from `unit`, which gives
    /// uniform numbers in [0, 1).
    ///
    /// # Panics
    /// When [`AttentionVaeGanConfig::check`] finds something wrong.
    pub fn init(&self, device: &Device, unit: &mut dyn FnMut() -> f64) -> AttentionVaeGan {
        if let Err((field, message)) = self.check() {
            panic!("{field} {message}");
        }
        let mut model = draw_weights(self.build(device), unit);
        let encoder = &mut model.encoder;
        if !self.fading_weights {
            encoder.convolutions = encoder.convolutions.drain(..).map(for_relu).collect();
            encoder.hidden = encoder.hidden.drain(..).map(for_relu).collect();
        }
        // The logarithm of the deviation is half that of the variance.
        let offset = [self.initial_log_variance / 2.0];
        let bias = encoder.log_deviation.bias.take();
        encoder.log_deviation.bias = bias.map(|bias| move_by(bias, &offset, device));
        model
    }

    /// The network's layers, in the order in which a sample passes them.
    ///
    /// # Panics
    /// When [`AttentionVaeGanConfig::check`] finds something wrong.
    pub fn layers(&self) -> Vec<Layer> {
        let model = self.build(&Device::flex());
        let mut trace = Trace::new();
        let image = [1, self.image_height, self.image_width];
        model.encoder.trace(trace.begin("encoder", &image));
        model.generator.trace(trace.begin("generator", &[self.z_size]));
        model.discriminator.trace(trace.begin("discriminator", &[self.cube_len; 3]));
        trace.finish()
    }

    pub(crate) fn build(&self, device: &Device) -> AttentionVaeGan {
        let [generator, discriminator] = [self.generator_channels, self.discriminator_channels];
        AttentionVaeGan {
            encoder: self.encoder().init(device),
            generator: AttentionGeneratorConfig::new(self.cube_len, self.z_size, generator)
                .init(device),
            discriminator: AttentionDiscriminatorConfig::new(self.cube_len, discriminator)
                .init(device),
            divergence_without_halves: self.divergence_without_halves,
        }
    }

    fn encoder(&self) -> AttentionEncoderConfig {
        AttentionEncoderConfig::new(self.image_height, self.image_width, self.z_size)
            .with_channels(self.encoder_channels)
            .with_heads(self.heads)
            .with_hidden(self.hidden)
            .with_causal(self.causal)
            .with_dropout(self.dropout)
            .with_query_block(self.query_block)
    }
}

impl AttentionVaeGan {
    /// One forward pass for training: codes of pictures and codes of the prior, as one batch.
    ///
    /// `seed` is where dropout's choices come from; without one nothing is dropped.
    ///
    /// # Shapes
    /// - images: `[batch, 1, image_height, image_width]`, grey in [0, 1]
    pub fn forward(&self, images: Tensor<4>, noise: Noise, seed: Option<u64>) -> Generated {
        let (mean, log_variance) = self.encoder.forward(images, seed);
        let spread = (log_variance.clone() * 0.5).exp() * noise.epsilon;
        let codes = mean.clone() + spread;
        let (reconstructed, imagined) =
            generate(codes.clone(), noise.prior, |codes| self.generator.forward(codes));
        Generated { mean, log_variance, codes, reconstructed, imagined }
    }

    /// Divergence of codes from the standard normal distribution, averaged over the batch.
    ///
    /// # Shapes
    /// - result: `[1]`
    pub fn divergence(&self, generated: &Generated) -> Tensor<1> {
        let (mean, log_variance) = (generated.mean.clone(), generated.log_variance.clone());
        match self.divergence_without_halves {
            false => kl_divergence(mean, log_variance),
            true => kl_without_halves(mean, log_variance),
        }
    }

    /// Occupancies of the objects in `images`: the code is its mean, nothing is random.
    ///
    /// Call it on `valid()`: a network on a training device would normalise by the batch.
    ///
    /// # Shapes
    /// - images: `[batch, 1, image_height, image_width]`, grey in [0, 1]
    /// - result: `[batch, cube_len, cube_len, cube_len]`, in [0, 1]
    pub fn reconstruct(&self, images: Tensor<4>) -> Tensor<4> {
        let (mean, _) = self.encoder.forward(images, None);
        sigmoid(self.generator.forward(mean))
    }
}

impl Normalised for AttentionVaeGan {
    fn normalisations(&mut self) -> Vec<&mut BatchNorm> {
        self.generator.normalisations.iter_mut().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::check_layers;

    fn counter() -> impl FnMut() -> f64 {
        let mut state = 0.5;
        move || {
            state = (state + 0.618_033_988_75) % 1.0;
            state
        }
    }

    fn tiny() -> AttentionVaeGanConfig {
        AttentionVaeGanConfig::new(16, 32, 64, 5, [4, 4, 6], 2, 2)
            .with_heads([2, 4])
            .with_hidden([7, 6, 5])
    }

    #[test]
    fn shapes_are_as_documented() {
        let device = Device::flex().autodiff();
        for profile in [Profile::Fixed, Profile::Reference] {
            let model = tiny().with_profile(profile).init(&device, &mut counter());
            let codes = Tensor::ones([2, 5], &device);
            let noise = Noise { epsilon: codes.clone(), prior: Some(codes) };
            let images = Tensor::ones([2, 1, 32, 64], &device);
            let generated = model.forward(images, noise, Some(3));
            assert!(model.divergence(&generated).into_scalar::<f32>().is_finite());
            assert_eq!(generated.log_variance.dims(), [2, 5]);
            assert_eq!(model.discriminator.forward(generated.reconstructed.clone()).dims(), [2]);
            let loss = generated.reconstructed.square().mean();
            let weight = model.encoder.attentions[0].project.weight.val();
            let gradient = weight.grad(&loss.backward()).expect("a gradient");
            assert!(gradient.abs().sum().into_scalar::<f32>().is_finite());
            let images = Tensor::ones([1, 1, 32, 64], &Device::flex());
            assert_eq!(model.valid().reconstruct(images).dims(), [1, 16, 16, 16]);
        }
    }

    /// Numbers in [0, 1) without the order that [`counter`] has (Knuth's multiplier of MMIX).
    fn noise() -> impl FnMut() -> f64 {
        let mut state = 1_u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// Codes of two pictures at the start, means and log-variances.
    fn first_codes(config: &AttentionVaeGanConfig) -> [Tensor<2>; 2] {
        let device = Device::flex();
        let model = config.init(&device, &mut noise());
        let mut number = noise();
        let pixels: Vec<f32> = (0..2 * 32 * 64).map(|_| number() as f32).collect();
        let data = burn::tensor::TensorData::new(pixels, [2, 1, 32, 64]);
        let (mean, log_variance) = model.encoder.forward(Tensor::from_data(data, &device), None);
        [mean, log_variance]
    }

    #[test]
    fn codes_depend_on_pictures_from_the_start_unless_weights_fade() {
        let config = AttentionVaeGanConfig { encoder_channels: [8; 3], ..tiny() };
        let config = config.with_hidden([32; 3]);
        let difference = |fading: bool| {
            let [mean, _] = first_codes(&config.clone().with_fading_weights(fading));
            let apart = mean.clone().slice(0..1) - mean.slice(1..2);
            apart.abs().mean().into_scalar::<f32>()
        };
        // Six layers, each of which keeps the root of 6 times as much.
        let [keeping, fading] = [false, true].map(difference);
        assert!(keeping > 50.0 * fading && keeping < 1000.0 * fading, "{keeping} {fading}");
    }

    #[test]
    fn codes_begin_with_the_noise_that_was_asked_for() {
        let mean = |offset: f64| {
            let [_, log_variance] = first_codes(&tiny().with_initial_log_variance(offset));
            log_variance.mean().into_scalar::<f32>()
        };
        assert!((mean(0.0) - mean(-4.0) - 4.0).abs() < 1e-5);
        let wrong = tiny().with_initial_log_variance(6.0).check().expect_err("out of range");
        assert_eq!(wrong.0, "initial_log_variance");
    }

    #[test]
    fn layers_are_those_of_the_module() {
        check_layers(&tiny().layers(), &tiny().build(&Device::flex()));
        let layers = AttentionVaeGanConfig::literature().layers();
        let sum: usize = layers.iter().map(|layer| layer.parameters).sum();
        assert_eq!(sum, 7_588_480 + 4_371_113 + 11_048_833);
        let attention = layers.iter().find(|layer| layer.name == "encoder.attentions.0");
        assert_eq!(attention.map(|layer| layer.output.clone()), Some(vec![12_288, 32]));
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
        let field = |config: AttentionVaeGanConfig| config.check().expect_err("a wrong size").0;
        let sized = |height, heads| {
            AttentionVaeGanConfig::new(16, height, 64, 5, [4, 4, 6], 2, 2).with_heads(heads)
        };
        assert_eq!(field(sized(31, [2, 2])), "image_height");
        assert_eq!(field(sized(32, [3, 2])), "heads");
        assert_eq!(field(tiny().with_hidden([1, 0, 1])), "hidden");
        assert_eq!(AttentionVaeGanConfig::literature().check(), Ok(()));
    }
}
