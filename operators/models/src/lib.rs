//! Networks that learn to see shapes: the 3D-GAN and its kin, and the layers, losses and weights they
//! are made of.
//!
//! | network | what it learns from |
//! |---|---|
//! | [`Gan`] | grids alone |
//! | [`VaeGan`] | one picture of each object |
//! | [`MultiViewVaeGan`] | several pictures of each object, as many as there are |
//! | [`PoseVaeGan`] | pictures and where the camera stood |
//! | [`AttentionVaeGan`] | one grey picture of each object, with attention in the encoder |
//!
//! What public code of a network does by mistake is a [`Quirk`]: it can be had by name, or all at
//! once by [`Profile::Reference`], and is mended otherwise. [`NetworkConfig`] knows all networks by
//! name, their sizes in the literature and their layers.
//!
//! A network is a pair in the manner of burn: a `Config` that is checked, printed and stored, and a
//! `Module` that it makes on a [`burn::tensor::Device`]. Weights are drawn on the host
//! ([`draw_weights`]), so that one seed gives the same network on every device.
//!
//! **Invariant:** this crate knows no table, no file and no pipeline.

mod adam;
mod attention;
mod attention_discriminator;
mod attention_encoder;
mod attention_generator;
mod attention_vae_gan;
mod batch_norm;
mod batch_normalisation;
mod block_attention;
mod convolution;
mod cpu;
mod discriminator;
mod dropout;
mod flex;
mod gan;
mod generator;
mod gpu;
mod image_encoder;
mod init;
mod layers;
mod linear;
mod losses;
mod multi_view_vae_gan;
mod networks;
mod pose_discriminator;
mod pose_encoder;
mod pose_fusion;
mod pose_generator;
mod pose_vae_gan;
mod profile;
mod vae_gan;
mod views;
mod weights;

pub use adam::{AdamRule, adam_step};
pub use attention::{Attention, AttentionConfig};
pub use attention_discriminator::{AttentionDiscriminator, AttentionDiscriminatorConfig};
pub use attention_encoder::{AttentionEncoder, AttentionEncoderConfig};
pub use attention_generator::{AttentionGenerator, AttentionGeneratorConfig};
pub use attention_vae_gan::{AttentionVaeGan, AttentionVaeGanConfig};
pub use batch_norm::Normalised;
pub use discriminator::{Discriminator, DiscriminatorConfig};
pub use gan::{Gan, GanConfig};
pub use generator::{CUBE_LENS, Generator, GeneratorConfig};
pub use image_encoder::{EncoderKind, ImageEncoder, ImageEncoderConfig};
pub use init::draw_weights;
pub use layers::Layer;
pub use losses::{
    ReconstructionLoss, binary_cross_entropy, kl_divergence, kl_of_rows, kl_without_halves,
};
pub use multi_view_vae_gan::{MultiViewVaeGan, MultiViewVaeGanConfig};
pub use networks::NetworkConfig;
pub use pose_discriminator::PoseDiscriminatorConfig;
pub use pose_encoder::{PoseEncoder, PoseEncoderConfig};
pub use pose_fusion::{POSE_SIZE, PoseBranch, PoseBranchConfig, PoseFusion};
pub use pose_generator::{PoseGenerator, PoseGeneratorConfig};
pub use pose_vae_gan::{PoseVaeGan, PoseVaeGanConfig};
pub use profile::{Profile, Quirk};
pub use vae_gan::{Generated, Noise, VaeGan, VaeGanConfig};
pub use views::{CombineViews, NoViews, ViewStatistics, Views};
pub use weights::{
    WeightsError, load_state_dict, load_weights, named_weights, state_dict, trainable_parameters,
};
