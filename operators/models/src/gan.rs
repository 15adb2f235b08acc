//! The 3D-GAN (Wu et al. 2016): a generator makes grids of random codes, a discriminator tells them
//! from true ones.
//!
//! Layers are those of public code, which are the paper's: five of kernel 4, and normalisation in the
//! discriminator's first one too. Public code has no quirk inside these networks but for a reshape
//! that takes a grid of the wrong size for several of the right one; here sizes are checked.

use burn::config::Config;
use burn::module::Module;
use burn::nn::BatchNorm;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::batch_norm::Normalised;
use crate::discriminator::{Discriminator, DiscriminatorConfig};
use crate::generator::{CUBE_LENS, Generator, GeneratorConfig};
use crate::init::draw_weights;
use crate::layers::{Layer, Trace};

/// Configuration of a [`Gan`].
#[derive(Config, Debug, PartialEq)]
pub struct GanConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64.
    pub cube_len: usize,
    /// Numbers in a code; the literature has 200.
    pub z_size: usize,
    /// Channels before the generator's last layer; the literature has `cube_len`.
    pub generator_channels: usize,
    /// Channels after the discriminator's first layer; the literature has `cube_len`.
    pub discriminator_channels: usize,
    /// Whether convolutions have a bias.
    #[config(default = false)]
    pub bias: bool,
    /// Slope of the discriminator's activation below zero.
    #[config(default = 0.2)]
    pub leak: f64,
}

/// Generator and discriminator. Each is one parameter set of the training step.
#[derive(Module, Debug)]
pub struct Gan {
    /// Code to grid.
    pub generator: Generator,
    /// Grid to whether it is a true one.
    pub discriminator: Discriminator,
}

impl GanConfig {
    /// The sizes of the literature for grids of `cube_len`.
    pub fn literature(cube_len: usize) -> Self {
        Self::new(cube_len, 200, cube_len, cube_len)
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
        if (0.0..=1.0).contains(&self.leak) {
            return Ok(());
        }
        Err(("leak", "must be 0 to 1".to_owned()))
    }

    /// Makes the network on `device`, its weights drawn on the host from `unit`, which gives
    /// uniform numbers in [0, 1).
    ///
    /// # Panics
    /// When [`GanConfig::check`] finds something wrong.
    pub fn init(&self, device: &Device, unit: &mut dyn FnMut() -> f64) -> Gan {
        if let Err((field, message)) = self.check() {
            panic!("{field} {message}");
        }
        draw_weights(self.build(device), unit)
    }

    /// The network's layers, in the order in which a sample passes them.
    ///
    /// # Panics
    /// When [`GanConfig::check`] finds something wrong.
    pub fn layers(&self) -> Vec<Layer> {
        let model = self.build(&Device::flex());
        let mut trace = Trace::new();
        model.generator.trace(trace.begin("generator", &[self.z_size]));
        model.discriminator.trace(trace.begin("discriminator", &[self.cube_len; 3]));
        trace.finish()
    }

    fn build(&self, device: &Device) -> Gan {
        Gan {
            generator: GeneratorConfig::new(self.cube_len, self.z_size, self.generator_channels)
                .with_bias(self.bias)
                .init(device),
            discriminator: DiscriminatorConfig::new(self.cube_len, self.discriminator_channels)
                .with_bias(self.bias)
                .with_leak(self.leak)
                .init(device),
        }
    }
}

/// Refuses an edge that no generator is built for.
pub(crate) fn check_cube_len(cube_len: usize) -> Result<(), (&'static str, String)> {
    if CUBE_LENS.contains(&cube_len) {
        return Ok(());
    }
    Err(("cube_len", "must be 16, 32 or 64".to_owned()))
}

/// Refuses sizes that are 0 or absurd.
pub(crate) fn check_sizes(sizes: &[(&'static str, usize)]) -> Result<(), (&'static str, String)> {
    match sizes.iter().find(|(_, size)| !(1..=4096).contains(size)) {
        Some((field, _)) => Err((field, "must be 1 to 4096".to_owned())),
        None => Ok(()),
    }
}

impl Gan {
    /// Logits of the grids of `codes`, for training.
    ///
    /// # Shapes
    /// - codes: `[batch, z_size]`; public code draws them from N(0, 0.33), the paper from [0, 1)
    /// - result: `[batch, cube_len, cube_len, cube_len]`
    pub fn forward(&self, codes: Tensor<2>) -> Tensor<4> {
        self.generator.forward(codes)
    }

    /// Occupancies of the objects of `codes`. Call it on `valid()`.
    ///
    /// # Shapes
    /// - codes: `[batch, z_size]`
    /// - result: `[batch, cube_len, cube_len, cube_len]`, in [0, 1]
    pub fn sample(&self, codes: Tensor<2>) -> Tensor<4> {
        sigmoid(self.generator.forward(codes))
    }
}

impl Normalised for Gan {
    fn normalisations(&mut self) -> Vec<&mut BatchNorm> {
        self.generator.normalisations.iter_mut().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::check_layers;
    use crate::weights::trainable_parameters;

    #[test]
    fn literature_sizes_have_the_golden_parameter_counts() {
        for (cube_len, g, d) in [(32, 6_032_320, 2_771_904), (64, 17_569_664, 11_048_832)] {
            let model = GanConfig::literature(cube_len).build(&Device::flex());
            assert_eq!(trainable_parameters(&model.generator), g);
            assert_eq!(trainable_parameters(&model.discriminator), d);
        }
    }

    #[test]
    fn layers_are_those_of_the_module() {
        for cube_len in CUBE_LENS {
            let config = GanConfig::new(cube_len, 5, 2, 3).with_bias(true);
            let layers = config.layers();
            check_layers(&layers, &config.build(&Device::flex()));
            let grid = layers.iter().rfind(|layer| layer.name.starts_with("generator"));
            assert_eq!(
                grid.map(|layer| layer.output.clone()),
                Some(vec![1, cube_len, cube_len, cube_len])
            );
            assert_eq!(layers.last().map(|layer| layer.output.clone()), Some(vec![1, 1, 1, 1]));
        }
    }

    #[test]
    fn wrong_sizes_are_named() {
        let field = |config: GanConfig| config.check().expect_err("a wrong size").0;
        assert_eq!(field(GanConfig::new(24, 4, 2, 2)), "cube_len");
        assert_eq!(field(GanConfig::new(16, 0, 2, 2)), "z_size");
        assert_eq!(field(GanConfig::new(16, 4, 2, 2).with_leak(f64::NAN)), "leak");
        assert_eq!(GanConfig::literature(64).check(), Ok(()));
    }

    #[test]
    fn samples_are_occupancies() {
        let mut state = 0.5;
        let mut unit = || {
            state = (state + 0.618_033_988_75) % 1.0;
            state
        };
        let mut model = GanConfig::new(16, 4, 2, 2).init(&Device::flex().autodiff(), &mut unit);
        let codes = Tensor::ones([2, 4], &Device::flex().autodiff());
        model.measure([codes], |model, codes| drop(model.forward(codes)));
        let grids = model.valid().sample(Tensor::ones([2, 4], &Device::flex()));
        assert_eq!(grids.dims(), [2, 16, 16, 16]);
        let (least, most) = (grids.clone().min(), grids.max());
        assert!(least.into_scalar::<f32>() >= 0.0 && most.into_scalar::<f32>() <= 1.0);
    }
}
