//! Networks that learn to see shapes: the 3D-VAE-GAN and the layers, losses and weights it is made of.
//!
//! A network is a pair in the manner of burn: a `Config` that is checked, printed and stored, and a
//! `Module` that it makes on a [`burn::tensor::Device`]. Weights are drawn on the host
//! ([`draw_weights`]), so that one seed gives the same network on every device.
//!
//! **Invariant:** this crate knows no table, no file and no pipeline.

mod discriminator;
mod generator;
mod image_encoder;
mod init;
mod losses;
mod vae_gan;
mod weights;

pub use discriminator::{Discriminator, DiscriminatorConfig};
pub use generator::{CUBE_LENS, Generator, GeneratorConfig};
pub use image_encoder::{ImageEncoder, ImageEncoderConfig};
pub use init::draw_weights;
pub use losses::{ReconstructionLoss, binary_cross_entropy, kl_divergence};
pub use vae_gan::{Generated, Noise, VaeGan, VaeGanConfig};
pub use weights::{WeightsError, load_weights, named_weights, trainable_parameters};
