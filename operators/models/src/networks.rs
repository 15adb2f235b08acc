//! All networks by name, for who chooses one or prints what it is made of.

use burn::config::Config;

use crate::attention_vae_gan::AttentionVaeGanConfig;
use crate::gan::GanConfig;
use crate::image_encoder::EncoderKind;
use crate::layers::Layer;
use crate::multi_view_vae_gan::MultiViewVaeGanConfig;
use crate::pose_vae_gan::PoseVaeGanConfig;
use crate::profile::{Profile, Quirk};
use crate::vae_gan::VaeGanConfig;

/// Configuration of one of the networks.
#[derive(Config, Debug, PartialEq)]
pub enum NetworkConfig {
    /// Grids alone.
    Gan(GanConfig),
    /// One picture of each object.
    VaeGan(VaeGanConfig),
    /// Several pictures of each object.
    MultiViewVaeGan(MultiViewVaeGanConfig),
    /// Several pictures of each object, and where the camera stood.
    PoseVaeGan(PoseVaeGanConfig),
    /// One grey picture of each object, with attention.
    AttentionVaeGan(AttentionVaeGanConfig),
}

impl NetworkConfig {
    /// Names of all networks, sorted.
    pub const ALL: [&'static str; 5] =
        ["attention_vae_gan", "gan", "multi_view_vae_gan", "pose_vae_gan", "vae_gan"];

    /// A network at the sizes of the literature; none where no network is called so.
    pub fn literature(name: &str) -> Option<Self> {
        let single = || VaeGanConfig::literature(32, EncoderKind::Coded);
        Some(match name {
            "attention_vae_gan" => Self::AttentionVaeGan(AttentionVaeGanConfig::literature()),
            "gan" => Self::Gan(GanConfig::literature(32)),
            "multi_view_vae_gan" => Self::MultiViewVaeGan(MultiViewVaeGanConfig::new(single())),
            "pose_vae_gan" => Self::PoseVaeGan(PoseVaeGanConfig::literature()),
            "vae_gan" => Self::VaeGan(single()),
            _ => return None,
        })
    }

    /// The network's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gan(_) => "gan",
            Self::VaeGan(_) => "vae_gan",
            Self::MultiViewVaeGan(_) => "multi_view_vae_gan",
            Self::PoseVaeGan(_) => "pose_vae_gan",
            Self::AttentionVaeGan(_) => "attention_vae_gan",
        }
    }

    /// The same sizes with all quirks of public code on, or off.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        match self {
            // Public code of the 3D-GAN has no quirk inside the network.
            Self::Gan(config) => Self::Gan(config),
            Self::VaeGan(config) => Self::VaeGan(config.with_profile(profile)),
            Self::MultiViewVaeGan(config) => Self::MultiViewVaeGan(config.with_profile(profile)),
            Self::PoseVaeGan(config) => Self::PoseVaeGan(config.with_profile(profile)),
            Self::AttentionVaeGan(config) => Self::AttentionVaeGan(config.with_profile(profile)),
        }
    }

    /// What public code does differently, and whether it is on.
    pub fn quirks(&self) -> Vec<Quirk> {
        match self {
            Self::Gan(_) => Vec::new(),
            Self::VaeGan(config) => config.quirks(),
            Self::MultiViewVaeGan(config) => config.quirks(),
            Self::PoseVaeGan(config) => config.quirks(),
            Self::AttentionVaeGan(config) => config.quirks(),
        }
    }

    /// Says what is wrong with the sizes.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        match self {
            Self::Gan(config) => config.check(),
            Self::VaeGan(config) => config.check(),
            Self::MultiViewVaeGan(config) => config.check(),
            Self::PoseVaeGan(config) => config.check(),
            Self::AttentionVaeGan(config) => config.check(),
        }
    }

    /// The network's layers, in the order in which a sample passes them; no weight is drawn.
    ///
    /// # Errors
    /// As [`NetworkConfig::check`].
    pub fn layers(&self) -> Result<Vec<Layer>, (&'static str, String)> {
        self.check()?;
        Ok(match self {
            Self::Gan(config) => config.layers(),
            Self::VaeGan(config) => config.layers(),
            Self::MultiViewVaeGan(config) => config.layers(),
            Self::PoseVaeGan(config) => config.layers(),
            Self::AttentionVaeGan(config) => config.layers(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters of a network's parts at the sizes of the literature.
    const PARAMETERS: [[usize; 3]; 5] = [
        [7_588_480, 4_371_113, 11_048_833],
        [0, 6_032_320, 2_771_904],
        [17_270_080, 6_032_320, 2_771_904],
        [9_238_884, 15_241_217, 666_273],
        [17_270_080, 6_032_320, 2_771_904],
    ];

    #[test]
    fn every_name_is_a_network_of_golden_size() {
        assert!(NetworkConfig::ALL.is_sorted());
        for (name, expected) in NetworkConfig::ALL.into_iter().zip(PARAMETERS) {
            let config = NetworkConfig::literature(name).expect(name);
            let config = config.with_profile(Profile::Reference);
            assert_eq!(config.name(), name);
            assert!(config.quirks().iter().all(|quirk| quirk.on), "{name}");
            let layers = config.layers().expect("right sizes");
            let found = ["encoder.", "generator.", "discriminator."].map(|part| {
                let of_part = layers.iter().filter(|layer| layer.name.starts_with(part));
                of_part.map(|layer| layer.parameters).sum::<usize>()
            });
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(NetworkConfig::literature("mem_3d"), None);
    }

    #[test]
    fn a_configuration_survives_being_written() {
        for name in NetworkConfig::ALL {
            let config = NetworkConfig::literature(name).expect(name);
            let text = config.to_string();
            let read = NetworkConfig::load_binary(text.as_bytes()).expect(name);
            assert_eq!(read, config, "{text}");
        }
    }

    #[test]
    fn wrong_sizes_are_told_not_panicked_about() {
        let wrong = NetworkConfig::Gan(GanConfig::new(33, 1, 1, 1));
        assert_eq!(wrong.layers().expect_err("33").0, "cube_len");
    }
}
