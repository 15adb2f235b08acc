//! The 3D-VAE-GAN (Wu et al. 2016): a picture is encoded, its code becomes a grid, and a
//! discriminator keeps what random codes give plausible.
//!
//! The layers are those of public code, with its known defects mended: pictures are channel-first in
//! [0, 1], losses are taken on logits and averaged over the batch, shapes are checked, and codes from
//! pictures and from the prior pass the generator as one batch, so that its normalisation sees in
//! training the statistics it uses afterwards.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::BatchNorm;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::batch_norm::Normalised;
use crate::discriminator::{Discriminator, DiscriminatorConfig};
use crate::gan::{check_cube_len, check_sizes};
use crate::generator::{Generator, GeneratorConfig};
use crate::image_encoder::{EncoderKind, ImageEncoder, ImageEncoderConfig};
use crate::init::{draw_weights, move_by};
use crate::layers::{Layer, Trace};
use crate::profile::{Profile, Quirk};

/// Configuration of a [`VaeGan`].
#[derive(Config, Debug, PartialEq)]
pub struct VaeGanConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64.
    pub cube_len: usize,
    /// Edge of the square pictures, in pixels.
    pub image_size: usize,
    /// Numbers in a code; the literature has 200.
    pub z_size: usize,
    /// Output channels of each convolution of the encoder; the literature has 64, 128, 256, 512, 400.
    pub encoder_channels: Vec<usize>,
    /// Channels before the generator's last layer; the literature has `cube_len`.
    pub generator_channels: usize,
    /// Channels after the discriminator's first layer; the literature has `cube_len`.
    pub discriminator_channels: usize,
    /// Whether 3D convolutions have a bias.
    #[config(default = false)]
    pub bias: bool,
    /// What is added to the log-variance's bias at the start: below 0, codes begin with little noise,
    /// so that the generator sees from the start what it will see when nothing is random. The
    /// literature has 0.
    #[config(default = 0.0)]
    pub initial_log_variance: f64,
    /// Which encoder.
    #[config(default = "EncoderKind::Coded")]
    pub encoder_kind: EncoderKind,
    /// Quirk: no mean or log-variance of the paper's encoder is below 0.
    #[config(default = false)]
    pub rectified_codes: bool,
    /// Quirk: channel-last bytes are taken for channel-first, and not divided by 255.
    #[config(default = false)]
    pub scrambled_pictures: bool,
}

/// Encoder, generator and discriminator. Each is one parameter set of the training step.
#[derive(Module, Debug)]
pub struct VaeGan {
    /// Picture to code.
    pub encoder: ImageEncoder,
    /// Code to grid.
    pub generator: Generator,
    /// Grid to whether it is a true one.
    pub discriminator: Discriminator,
}

/// The random numbers of one training step, drawn by the caller on the host.
#[derive(Debug, Clone)]
pub struct Noise {
    /// Standard normal numbers that move codes off their means, `[batch, z_size]`.
    pub epsilon: Tensor<2>,
    /// Codes from the prior, standard normal, `[batch, z_size]`; none for a plain auto-encoder.
    pub prior: Option<Tensor<2>>,
}

/// What one forward pass of encoder and generator gives.
#[derive(Debug, Clone)]
pub struct Generated {
    /// Means of the codes, `[batch, z_size]`.
    pub mean: Tensor<2>,
    /// Log-variances of the codes, `[batch, z_size]`.
    pub log_variance: Tensor<2>,
    /// Codes of objects as they were drawn, `[samples, z_size]`.
    pub codes: Tensor<2>,
    /// Logits of the grids made from pictures, `[batch, cube_len, cube_len, cube_len]`.
    pub reconstructed: Tensor<4>,
    /// Logits of the grids made from the prior, of the same shape, where there was one.
    pub imagined: Option<Tensor<4>>,
}

impl VaeGanConfig {
    /// The sizes of the literature for grids of 32 or 64: pictures of 224 pixels for the encoder of
    /// public code, of 256 for the paper's.
    pub fn literature(cube_len: usize, encoder: EncoderKind) -> Self {
        let image_size = match encoder {
            EncoderKind::Coded => 224,
            EncoderKind::Paper => 256,
        };
        let channels = vec![64, 128, 256, 512, 400];
        Self::new(cube_len, image_size, 200, channels, cube_len, cube_len)
            .with_encoder_kind(encoder)
    }

    /// The same sizes with all quirks on, or off.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        let on = profile == Profile::Reference;
        self.with_rectified_codes(on).with_scrambled_pictures(on)
    }

    /// What public code does differently, and whether it is on.
    pub fn quirks(&self) -> Vec<Quirk> {
        vec![
            Quirk {
                name: "rectified_codes",
                what: "the paper's encoder ends in ReLU, as it stands commented out in public code, \
                       so that no mean or log-variance is below 0; fixed: it ends in its \
                       normalisation",
                on: self.rectified_codes,
            },
            Quirk {
                name: "scrambled_pictures",
                what: "bytes [height, width, 3] are read as [3, height, width] and not divided by \
                       255; fixed: channels first, in [0, 1]",
                on: self.scrambled_pictures,
            },
        ]
    }

    /// Says what is wrong with the sizes.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        check_sizes(&[
            ("z_size", self.z_size),
            ("generator_channels", self.generator_channels),
            ("discriminator_channels", self.discriminator_channels),
        ])?;
        check_cube_len(self.cube_len)?;
        if !(-20.0..=5.0).contains(&self.initial_log_variance) {
            return Err(("initial_log_variance", "must be -20 to 5".to_owned()));
        }
        self.encoder().check()
    }

    /// Makes the network on `device`, its weights drawn on the host from `unit`, which gives
    /// uniform numbers in [0, 1).
    ///
    /// # Panics
    /// When [`VaeGanConfig::check`] finds something wrong.
    pub fn init(&self, device: &Device, unit: &mut dyn FnMut() -> f64) -> VaeGan {
        if let Err((field, message)) = self.check() {
            panic!("{field} {message}");
        }
        let mut model = draw_weights(self.build(device), unit);
        let (encoder, z_size) = (&mut model.encoder, self.z_size);
        let offset = self.initial_log_variance;
        match (&mut encoder.log_variance, encoder.normalisations.last_mut()) {
            (Some(linear), _) => {
                let moved = |bias: Param<Tensor<1>>| move_by(bias, &[offset], device);
                linear.bias = linear.bias.take().map(moved);
            }
            (None, Some(norm)) => {
                let offsets = [vec![0.0; z_size], vec![offset; z_size]].concat();
                norm.beta = move_by(norm.beta.clone(), &offsets, device);
            }
            (None, None) => {}
        }
        model
    }

    /// The network's layers, in the order in which a sample passes them.
    ///
    /// # Panics
    /// When [`VaeGanConfig::check`] finds something wrong.
    pub fn layers(&self) -> Vec<Layer> {
        let model = self.build(&Device::flex());
        let mut trace = Trace::new();
        model.encoder.trace(trace.begin("encoder", &[3, self.image_size, self.image_size]));
        model.generator.trace(trace.begin("generator", &[self.z_size]));
        model.discriminator.trace(trace.begin("discriminator", &[self.cube_len; 3]));
        trace.finish()
    }

    pub(crate) fn build(&self, device: &Device) -> VaeGan {
        VaeGan {
            encoder: self.encoder().init(device),
            generator: GeneratorConfig::new(self.cube_len, self.z_size, self.generator_channels)
                .with_bias(self.bias)
                .init(device),
            discriminator: DiscriminatorConfig::new(self.cube_len, self.discriminator_channels)
                .with_bias(self.bias)
                .init(device),
        }
    }

    fn encoder(&self) -> ImageEncoderConfig {
        ImageEncoderConfig::new(self.image_size, self.z_size, self.encoder_channels.clone())
            .with_kind(self.encoder_kind)
            .with_rectified_codes(self.rectified_codes)
            .with_scrambled_pictures(self.scrambled_pictures)
    }
}

impl VaeGan {
    /// One forward pass for training: codes of pictures and codes of the prior, as one batch.
    ///
    /// # Shapes
    /// - images: `[batch, 3, image_size, image_size]`, in [0, 1]
    pub fn forward(&self, images: Tensor<4>, noise: Noise) -> Generated {
        let (mean, log_variance) = self.encoder.forward(images);
        let spread = (log_variance.clone() * 0.5).exp() * noise.epsilon;
        let codes = mean.clone() + spread;
        let (reconstructed, imagined) =
            generate(codes.clone(), noise.prior, |codes| self.generator.forward(codes));
        Generated { mean, log_variance, codes, reconstructed, imagined }
    }

    /// Measures the running statistics of encoder and generator anew: the mean of those of `passes`
    /// forward passes over training batches, at the weights there are now ("precise" normalisation,
    /// Wu and Johnson 2021). Running averages lag behind the weights, by which a network that
    /// reconstructs well in training may fail afterwards. Without a pass nothing changes.
    ///
    /// The network must be on a training device; images and noise are as in [`VaeGan::forward`].
    pub fn measure_statistics(&mut self, passes: impl IntoIterator<Item = (Tensor<4>, Noise)>) {
        self.measure(passes, |model, (images, noise)| drop(model.forward(images, noise)));
    }

    /// Occupancies of the objects in `images`: the code is its mean, nothing is random.
    ///
    /// Call it on `valid()`: a network on a training device would normalise by the batch.
    ///
    /// # Shapes
    /// - images: `[batch, 3, image_size, image_size]`, in [0, 1]
    /// - result: `[batch, cube_len, cube_len, cube_len]`, in [0, 1]
    pub fn reconstruct(&self, images: Tensor<4>) -> Tensor<4> {
        let (mean, _) = self.encoder.forward(images);
        sigmoid(self.generator.forward(mean))
    }
}

/// Grids of codes that were seen and of codes of the prior, through the generator as one batch.
pub(crate) fn generate(
    seen: Tensor<2>,
    prior: Option<Tensor<2>>,
    generator: impl Fn(Tensor<2>) -> Tensor<4>,
) -> (Tensor<4>, Option<Tensor<4>>) {
    let Some(prior) = prior else { return (generator(seen), None) };
    let ([first, _], [second, _]) = (seen.dims(), prior.dims());
    let grids = generator(Tensor::cat(vec![seen, prior], 0));
    (grids.clone().slice(0..first), Some(grids.slice(first..first + second)))
}

impl Normalised for VaeGan {
    fn normalisations(&mut self) -> Vec<&mut BatchNorm> {
        self.encoder.normalisations.iter_mut().chain(&mut self.generator.normalisations).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::check_layers;
    use crate::weights::named_weights;
    use burn::tensor::TensorData;

    fn tiny() -> VaeGanConfig {
        VaeGanConfig::new(16, 16, 4, vec![2, 3], 2, 2)
    }

    fn counter() -> impl FnMut() -> f64 {
        let mut state = 0.5;
        move || {
            state = (state + 0.618_033_988_75) % 1.0;
            state
        }
    }

    #[test]
    fn shapes_are_as_documented() {
        let device = Device::flex().autodiff();
        let model = tiny().init(&device, &mut counter());
        let codes = Tensor::zeros([3, 4], &device);
        let noise = Noise { epsilon: codes.clone(), prior: Some(codes) };
        let generated = model.forward(Tensor::zeros([3, 3, 16, 16], &device), noise);
        assert_eq!(generated.mean.dims(), [3, 4]);
        assert_eq!(generated.reconstructed.dims(), [3, 16, 16, 16]);
        assert_eq!(generated.imagined.map(|grids| grids.dims()), Some([3, 16, 16, 16]));
        let image = Tensor::zeros([1, 3, 16, 16], &Device::flex());
        assert_eq!(model.valid().reconstruct(image).dims(), [1, 16, 16, 16]);
    }

    #[test]
    fn one_stream_of_numbers_gives_one_network() {
        let make = || named_weights(&tiny().init(&Device::flex(), &mut counter()));
        assert_eq!(make(), make());
    }

    #[test]
    fn statistics_are_means_over_the_passes() {
        let device = Device::flex().autodiff();
        let mut model = tiny().init(&device, &mut counter());
        let pass = |level: f64| {
            let codes = Tensor::zeros([2, 4], &device);
            let images = Tensor::ones([2, 3, 16, 16], &device) * level;
            (images, Noise { epsilon: codes, prior: None })
        };
        let mut means = |levels: &[f64]| {
            model.measure_statistics(levels.iter().map(|&level| pass(level)));
            let weights = named_weights(&model.encoder);
            let mean = weights["normalisations.0.running_mean"].clone();
            mean.try_into_vec::<f32>().expect("floats")
        };
        let (dark, bright, both) = (means(&[0.2]), means(&[0.8]), means(&[0.2, 0.8]));
        for i in 0..dark.len() {
            assert!((both[i] - (dark[i] + bright[i]) / 2.0).abs() < 1e-6, "{dark:?} {both:?}");
        }
        assert_eq!(means(&[]), both);
        assert_eq!(model.encoder.normalisations[0].momentum, 0.1);
    }

    #[test]
    fn codes_begin_with_the_noise_that_was_asked_for() {
        let device = Device::flex().autodiff();
        let of = |offset| {
            let model = tiny().with_initial_log_variance(offset).init(&device, &mut counter());
            let bias =
                model.encoder.log_variance.and_then(|linear| linear.bias).expect("a bias").val();
            assert!(bias.is_require_grad());
            bias.mean().into_scalar::<f32>()
        };
        assert!((of(0.0) - of(-4.0) - 4.0).abs() < 1e-5);
    }

    #[test]
    fn codes_of_the_papers_encoder_begin_with_their_noise_too() {
        let device = Device::flex();
        let paper = VaeGanConfig::new(16, 16, 4, vec![2, 2, 2, 2, 8], 2, 2)
            .with_encoder_kind(EncoderKind::Paper)
            .with_initial_log_variance(-4.0);
        let model = paper.init(&device, &mut counter());
        let beta = named_weights(&model.encoder)["normalisations.4.beta"].clone();
        let expected = [[0.0_f32; 4], [-4.0; 4]].concat();
        assert_eq!(beta.try_into_vec::<f32>().expect("floats"), expected);
    }

    #[test]
    fn layers_are_those_of_the_module() {
        let paper = VaeGanConfig::new(16, 37, 4, vec![2, 2, 2, 2, 8], 2, 2);
        for config in [tiny(), paper.with_encoder_kind(EncoderKind::Paper)] {
            check_layers(&config.layers(), &config.build(&Device::flex()));
        }
        let literature = VaeGanConfig::literature(32, EncoderKind::Coded).layers();
        let sum: usize = literature.iter().map(|layer| layer.parameters).sum();
        assert_eq!(sum, 17_270_080 + 6_032_320 + 2_771_904);
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
        let field = |config: VaeGanConfig| config.check().expect_err("a wrong size").0;
        assert_eq!(field(VaeGanConfig::new(24, 16, 4, vec![2], 2, 2)), "cube_len");
        assert_eq!(field(VaeGanConfig::new(16, 4, 4, vec![2], 2, 2)), "image_size");
        assert_eq!(field(VaeGanConfig::new(16, 16, 0, vec![2], 2, 2)), "z_size");
        assert_eq!(field(VaeGanConfig::new(16, 16, 4, vec![], 2, 2)), "encoder_channels");
    }

    #[test]
    fn a_reconstruction_moves_the_encoder() {
        let device = Device::flex().autodiff();
        let model = tiny().init(&device, &mut counter());
        let mut number = counter();
        let mut random = |sizes: &[usize]| {
            let values = (0..sizes.iter().product()).map(|_| number() as f32).collect();
            TensorData::new::<f32, _>(values, sizes)
        };
        let images = Tensor::from_data(random(&[2, 3, 16, 16]), &device);
        let epsilon = Tensor::from_data(random(&[2, 4]), &device);
        let prior = Some(Tensor::from_data(random(&[2, 4]), &device));
        let generated = model.forward(images, Noise { epsilon, prior });
        let moves_encoder = |loss: Tensor<1>| {
            let mean = model.encoder.mean.as_ref().expect("a linear layer");
            let gradient = mean.weight.val().grad(&loss.backward());
            gradient.is_some_and(|g| g.abs().sum().into_scalar::<f32>() > 1e-6)
        };
        assert!(moves_encoder(generated.reconstructed.square().mean()));
    }
}
