//! The 3D-VAE-GAN that looks at several views of an object (public code: Multiview-3D-VAE-GAN).
//!
//! All views of all objects of a batch are encoded at once, by the same weights; each gives a code,
//! an object's codes become one, and that passes the generator once.

use burn::config::Config;
use burn::module::Module;
use burn::nn::BatchNorm;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::batch_norm::Normalised;
use crate::discriminator::Discriminator;
use crate::generator::Generator;
use crate::image_encoder::ImageEncoder;
use crate::layers::Layer;
use crate::losses::kl_of_rows;
use crate::profile::{Profile, Quirk};
use crate::vae_gan::{Generated, Noise, VaeGan, VaeGanConfig, generate};
use crate::views::{CombineViews, ViewStatistics, Views};

/// Configuration of a [`MultiViewVaeGan`].
#[derive(Config, Debug, PartialEq)]
pub struct MultiViewVaeGanConfig {
    /// Its networks, which are those of the one that looks at a single view.
    pub single: VaeGanConfig,
    /// How the codes of an object's views become one.
    #[config(default = "CombineViews::Mean")]
    pub combine: CombineViews,
    /// What the encoder's normalisation sees at once in training. Public code encodes view by view;
    /// the joint batch is steadier, and needs one pass.
    #[config(default = "ViewStatistics::Joint")]
    pub statistics: ViewStatistics,
    /// Quirk: the divergence takes log-variances for means and the other way round.
    #[config(default = false)]
    pub swapped_divergence: bool,
}

/// Encoder, generator and discriminator. Each is one parameter set of the training step.
#[derive(Module, Debug)]
pub struct MultiViewVaeGan {
    /// Picture to code.
    pub encoder: ImageEncoder,
    /// Code to grid.
    pub generator: Generator,
    /// Grid to whether it is a true one.
    pub discriminator: Discriminator,
    /// How the codes of an object's views become one.
    #[module(skip)]
    pub combine: CombineViews,
    /// What the encoder's normalisation sees at once in training.
    #[module(skip)]
    pub statistics: ViewStatistics,
    /// Whether the divergence is the swapped one.
    #[module(skip)]
    pub swapped_divergence: bool,
}

impl MultiViewVaeGanConfig {
    /// The same sizes with all quirks on, or off. The reference encodes view by view.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.single = self.single.with_profile(profile);
        let (statistics, swapped) = match profile {
            Profile::Fixed => (ViewStatistics::Joint, false),
            Profile::Reference => (ViewStatistics::PerView, true),
        };
        self.with_statistics(statistics).with_swapped_divergence(swapped)
    }

    /// What public code does differently, and whether it is on.
    pub fn quirks(&self) -> Vec<Quirk> {
        let mut quirks = self.single.quirks();
        quirks.push(Quirk {
            name: "statistics",
            what: "views are encoded one after the other, each with statistics of its own; fixed: as \
                   one batch",
            on: self.statistics == ViewStatistics::PerView,
        });
        quirks.push(Quirk {
            name: "swapped_divergence",
            what: "the divergence is given log-variances as means and means as log-variances; fixed: \
                   each in its place",
            on: self.swapped_divergence,
        });
        quirks
    }

    /// Says what is wrong with the sizes.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        self.single.check()
    }

    /// Makes the network on `device`, its weights drawn on the host from `unit`, which gives
    /// uniform numbers in [0, 1).
    ///
    /// # Panics
    /// When [`MultiViewVaeGanConfig::check`] finds something wrong.
    pub fn init(&self, device: &Device, unit: &mut dyn FnMut() -> f64) -> MultiViewVaeGan {
        let VaeGan { encoder, generator, discriminator } = self.single.init(device, unit);
        MultiViewVaeGan {
            encoder,
            generator,
            discriminator,
            combine: self.combine,
            statistics: self.statistics,
            swapped_divergence: self.swapped_divergence,
        }
    }

    /// The network's layers, in the order in which one view passes them.
    ///
    /// # Panics
    /// When [`MultiViewVaeGanConfig::check`] finds something wrong.
    pub fn layers(&self) -> Vec<Layer> {
        self.single.layers()
    }
}

impl MultiViewVaeGan {
    /// One forward pass for training: one code of each object and codes of the prior, as one batch.
    /// In what comes back, means and log-variances are those of views, `[total, z_size]`.
    ///
    /// # Shapes
    /// - images: `[total, 3, image_size, image_size]`, in [0, 1], in the order of `views`
    /// - noise: epsilon `[total, z_size]`, prior `[samples, z_size]`
    pub fn forward(&self, images: Tensor<4>, views: &Views, noise: Noise) -> Generated {
        let (mean, log_variance) = self.encode(images, views);
        let spread = (log_variance.clone() * 0.5).exp() * noise.epsilon;
        let codes = views.combine(self.combine, mean.clone() + spread);
        let (reconstructed, imagined) =
            generate(codes.clone(), noise.prior, |codes| self.generator.forward(codes));
        Generated { mean, log_variance, codes, reconstructed, imagined }
    }

    /// Mean and log-variance of the code of each view.
    ///
    /// # Shapes
    /// - images: `[total, 3, image_size, image_size]`, in [0, 1], in the order of `views`
    /// - each result: `[total, z_size]`
    pub fn encode(&self, images: Tensor<4>, views: &Views) -> (Tensor<2>, Tensor<2>) {
        let device = images.device();
        views.encode(self.statistics, &device, move |rows| {
            let images = images.clone();
            self.encoder.forward(match rows {
                None => images,
                Some(rows) => images.select(0, rows),
            })
        })
    }

    /// Divergence of codes from the standard normal distribution, averaged over an object's views and
    /// over objects.
    ///
    /// # Shapes
    /// - result: `[1]`
    pub fn divergence(&self, generated: &Generated, views: &Views) -> Tensor<1> {
        let (mean, log_variance) = (generated.mean.clone(), generated.log_variance.clone());
        views.average(match self.swapped_divergence {
            false => kl_of_rows(mean, log_variance),
            true => kl_of_rows(log_variance, mean),
        })
    }

    /// Occupancies of the objects in `images`: codes are their means, nothing is random.
    ///
    /// Call it on `valid()`: a network on a training device would normalise by the batch.
    ///
    /// # Shapes
    /// - images: `[total, 3, image_size, image_size]`, in [0, 1], in the order of `views`
    /// - result: `[samples, cube_len, cube_len, cube_len]`, in [0, 1]
    pub fn reconstruct(&self, images: Tensor<4>, views: &Views) -> Tensor<4> {
        let (mean, _) = self.encoder.forward(images);
        sigmoid(self.generator.forward(views.combine(self.combine, mean)))
    }

    /// Measures the running statistics of encoder and generator anew; see [`Normalised::measure`].
    /// Views are encoded as one batch, whatever [`ViewStatistics`] are trained with: what is
    /// measured is used for any view.
    pub fn measure_statistics(
        &mut self,
        passes: impl IntoIterator<Item = (Tensor<4>, Views, Noise)>,
    ) {
        let usual = std::mem::replace(&mut self.statistics, ViewStatistics::Joint);
        self.measure(passes, |model, (images, views, noise)| {
            drop(model.forward(images, &views, noise));
        });
        self.statistics = usual;
    }
}

impl Normalised for MultiViewVaeGan {
    fn normalisations(&mut self) -> Vec<&mut BatchNorm> {
        self.encoder.normalisations.iter_mut().chain(&mut self.generator.normalisations).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::check_layers;
    use burn::tensor::TensorData;

    fn counter() -> impl FnMut() -> f64 {
        let mut state = 0.5;
        move || {
            state = (state + 0.618_033_988_75) % 1.0;
            state
        }
    }

    fn random<const D: usize>(sizes: [usize; D], device: &Device) -> Tensor<D> {
        let mut number = counter();
        let values: Vec<f32> = (0..sizes.iter().product()).map(|_| number() as f32).collect();
        Tensor::from_data(TensorData::new(values, sizes), device)
    }

    fn tiny() -> MultiViewVaeGanConfig {
        MultiViewVaeGanConfig::new(VaeGanConfig::new(16, 16, 4, vec![2, 3], 2, 2))
    }

    fn pass(config: &MultiViewVaeGanConfig, views: &Views) -> (MultiViewVaeGan, Generated) {
        let device = Device::flex().autodiff();
        let model = config.init(&device, &mut counter());
        let epsilon = random([views.total(), 4], &device);
        let prior = Some(random([views.samples(), 4], &device));
        let images = random([views.total(), 3, 16, 16], &device);
        let generated = model.forward(images, views, Noise { epsilon, prior });
        (model, generated)
    }

    #[test]
    fn samples_may_have_different_numbers_of_views() {
        let views = Views::new(vec![3, 1]).expect("views");
        for combine in [CombineViews::Mean, CombineViews::Max] {
            for profile in [Profile::Fixed, Profile::Reference] {
                let config = tiny().with_profile(profile).with_combine(combine);
                let (model, generated) = pass(&config, &views);
                assert_eq!(generated.mean.dims(), [4, 4]);
                assert_eq!(generated.reconstructed.dims(), [2, 16, 16, 16]);
                assert_eq!(generated.imagined.as_ref().map(Tensor::dims), Some([2, 16, 16, 16]));
                let divergence = model.divergence(&generated, &views).into_scalar::<f32>();
                assert!(divergence.is_finite());
                let images = random([4, 3, 16, 16], &Device::flex());
                assert_eq!(model.valid().reconstruct(images, &views).dims(), [2, 16, 16, 16]);
            }
        }
    }

    #[test]
    fn view_by_view_equals_separate_passes() {
        let views = Views::even(2, 2).expect("views");
        let config = tiny().with_statistics(ViewStatistics::PerView);
        let (_, generated) = pass(&config, &views);
        let device = Device::flex().autodiff();
        let model = config.init(&device, &mut counter());
        let images = random([4, 3, 16, 16], &device);
        let second = Tensor::cat(vec![images.clone().slice(1..2), images.slice(3..4)], 0);
        let (mean, _) = model.encoder.forward(second);
        let expected =
            Tensor::cat(vec![generated.mean.clone().slice(1..2), generated.mean.slice(3..4)], 0);
        let difference = (mean - expected).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-6, "{difference}");
    }

    #[test]
    fn one_view_is_the_single_view_network() {
        let views = Views::even(2, 1).expect("views");
        let (_, several) = pass(&tiny(), &views);
        let device = Device::flex().autodiff();
        let single = tiny().single.init(&device, &mut counter());
        let epsilon = random([2, 4], &device);
        let noise = Noise { epsilon: epsilon.clone(), prior: Some(epsilon) };
        let one = single.forward(random([2, 3, 16, 16], &device), noise);
        assert_eq!(one.reconstructed.into_data(), several.reconstructed.into_data());
    }

    #[test]
    fn layers_and_quirks_are_known() {
        check_layers(&tiny().layers(), &tiny().init(&Device::flex(), &mut counter()));
        for (profile, on) in [(Profile::Reference, true), (Profile::Fixed, false)] {
            let quirks = tiny().with_profile(profile).quirks();
            assert!(quirks.len() == 4 && quirks.iter().all(|quirk| quirk.on == on), "{quirks:?}");
        }
    }

    #[test]
    fn statistics_can_be_measured_whatever_trained_them() {
        let views = Views::new(vec![2, 1]).expect("views");
        let (mut model, _) = pass(&tiny().with_profile(Profile::Reference), &views);
        let device = Device::flex().autodiff();
        let noise = Noise { epsilon: random([3, 4], &device), prior: None };
        model.measure_statistics([(random([3, 3, 16, 16], &device), views, noise)]);
        assert_eq!(model.statistics, ViewStatistics::PerView);
        assert_eq!(model.encoder.normalisations[0].momentum, 0.1);
    }
}
