//! The 3D-VAE-GAN (Wu et al. 2016): a picture is encoded, its code becomes a grid, and a
//! discriminator keeps what random codes give plausible.
//!
//! The layers are those of public code, with its known defects mended: pictures are channel-first in
//! [0, 1], losses are taken on logits and averaged over the batch, shapes are checked, and codes from
//! pictures and from the prior pass the generator as one batch, so that its normalisation sees in
//! training the statistics it uses afterwards.

use burn::config::Config;
use burn::module::Module;
use burn::nn::BatchNorm;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::discriminator::{Discriminator, DiscriminatorConfig};
use crate::generator::{CUBE_LENS, Generator, GeneratorConfig};
use crate::image_encoder::{ImageEncoder, ImageEncoderConfig};
use crate::init::draw_weights;

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
    /// Logits of the grids made from pictures, `[batch, cube_len, cube_len, cube_len]`.
    pub reconstructed: Tensor<4>,
    /// Logits of the grids made from the prior, of the same shape, where there was one.
    pub imagined: Option<Tensor<4>>,
}

impl VaeGanConfig {
    /// Says what is wrong with the sizes.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let positive = [
            ("z_size", self.z_size),
            ("generator_channels", self.generator_channels),
            ("discriminator_channels", self.discriminator_channels),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, size)| !(1..=4096).contains(size)) {
            return Err((field, "must be 1 to 4096".to_owned()));
        }
        if !CUBE_LENS.contains(&self.cube_len) {
            return Err(("cube_len", "must be 16, 32 or 64".to_owned()));
        }
        if !(-20.0..=5.0).contains(&self.initial_log_variance) {
            return Err(("initial_log_variance", "must be -20 to 5".to_owned()));
        }
        if !(8..=1024).contains(&self.image_size) {
            return Err(("image_size", "must be 8 to 1024 pixels".to_owned()));
        }
        let layers = &self.encoder_channels;
        if layers.is_empty() || layers.len() > 8 || layers.iter().any(|n| !(1..=4096).contains(n)) {
            return Err(("encoder_channels", "must be 1 to 8 numbers of 1 to 4096".to_owned()));
        }
        Ok(())
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
        let model = VaeGan {
            encoder: self.encoder().init(device),
            generator: GeneratorConfig::new(self.cube_len, self.z_size, self.generator_channels)
                .with_bias(self.bias)
                .init(device),
            discriminator: DiscriminatorConfig::new(self.cube_len, self.discriminator_channels)
                .with_bias(self.bias)
                .init(device),
        };
        let mut model = draw_weights(model, unit);
        let bias = model.encoder.log_variance.bias.take();
        let offset = self.initial_log_variance;
        let moved = |bias: Tensor<1>| {
            let moved = bias.detach() + offset;
            if device.is_autodiff() { moved.detach().require_grad() } else { moved }
        };
        model.encoder.log_variance.bias = bias.map(|bias| bias.map(moved));
        model
    }

    fn encoder(&self) -> ImageEncoderConfig {
        ImageEncoderConfig::new(self.image_size, self.z_size, self.encoder_channels.clone())
    }
}

impl VaeGan {
    /// One forward pass for training: codes of pictures and codes of the prior, as one batch.
    ///
    /// # Shapes
    /// - images: `[batch, 3, image_size, image_size]`, in [0, 1]
    pub fn forward(&self, images: Tensor<4>, noise: Noise) -> Generated {
        let (mean, log_variance) = self.encoder.forward(images);
        let [batch, _] = mean.dims();
        let spread = (log_variance.clone() * 0.5).exp() * noise.epsilon;
        let seen = mean.clone() + spread;
        let (reconstructed, imagined) = match noise.prior {
            None => (self.generator.forward(seen), None),
            Some(prior) => {
                let grids = self.generator.forward(Tensor::cat(vec![seen, prior], 0));
                let (first, second) = (0..batch, batch..2 * batch);
                (grids.clone().slice(first), Some(grids.slice(second)))
            }
        };
        Generated { mean, log_variance, reconstructed, imagined }
    }

    /// Measures the running statistics of encoder and generator anew: the mean of those of `passes`
    /// forward passes over training batches, at the weights there are now ("precise" normalisation,
    /// Wu and Johnson 2021). Running averages lag behind the weights, by which a network that
    /// reconstructs well in training may fail afterwards. Without a pass nothing changes.
    ///
    /// The network must be on a training device; images and noise are as in [`VaeGan::forward`].
    pub fn measure_statistics(&mut self, passes: impl IntoIterator<Item = (Tensor<4>, Noise)>) {
        let usual: Vec<f64> = self.normalisations().map(|norm| norm.momentum).collect();
        for (i, (images, noise)) in passes.into_iter().enumerate() {
            let momentum = 1.0 / (i + 1) as f64;
            self.normalisations().for_each(|norm| norm.momentum = momentum);
            self.forward(images, noise);
        }
        self.normalisations().zip(usual).for_each(|(norm, momentum)| norm.momentum = momentum);
    }

    fn normalisations(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        self.encoder.normalisations.iter_mut().chain(&mut self.generator.normalisations)
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

#[cfg(test)]
mod tests {
    use super::*;
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
            let bias = model.encoder.log_variance.bias.expect("a bias").val();
            assert!(bias.is_require_grad());
            bias.mean().into_scalar::<f32>()
        };
        assert!((of(0.0) - of(-4.0) - 4.0).abs() < 1e-5);
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
            let gradient = model.encoder.mean.weight.val().grad(&loss.backward());
            gradient.is_some_and(|g| g.abs().sum().into_scalar::<f32>() > 1e-6)
        };
        assert!(moves_encoder(generated.reconstructed.square().mean()));
    }
}
