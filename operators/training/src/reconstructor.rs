//! A trained network for use outside of a run: pictures to codes, codes to grids.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use voxflow_contract::{CheckpointChoice, MachineFault, Random, SetupFault, TaskError};
use voxflow_formats::picture::Picture;
use voxflow_models::Views;

use crate::checkpoint;
use crate::device::{DeviceChoice, choose_device};
use crate::evaluate_session::Trained;
use crate::learner::numbers_of;
use crate::network::Seen;
use crate::objective::Objective;
use crate::prepare::planes;
use crate::step::prior_codes;

/// Where a camera stood: the rotation of `camera_from_world` row by row, then its translation. OpenCV
/// axes: x right, y down, z forward.
pub type Pose = [f32; 12];

/// A network of a checkpoint.
pub struct Reconstructor {
    trained: Trained,
}

impl Reconstructor {
    /// Loads a network from the folder of a `train` stage.
    ///
    /// # Errors
    /// When there is no checkpoint, it is damaged, or the device is not there.
    pub fn open(
        folder: &Path,
        choice: CheckpointChoice,
        device: DeviceChoice,
    ) -> Result<Self, TaskError> {
        let found = checkpoint::list(folder);
        if found.is_empty() {
            return Err(checkpoint::none_in(folder).into());
        }
        let found = checkpoint::pick(&found, choice)?;
        let chosen = choose_device(device)?;
        tracing::info!("epoch {}, {}", found.manifest.epoch, chosen.reason);
        let seed = found.manifest.seed;
        Ok(Self { trained: Trained::load(found, chosen, seed)? })
    }

    /// Name of the network.
    pub fn model(&self) -> &str {
        &self.trained.manifest.model
    }

    /// Epochs it was trained for.
    pub fn epoch(&self) -> u64 {
        self.trained.manifest.epoch
    }

    /// Edge of its grids, in voxels.
    pub fn cube_len(&self) -> usize {
        self.trained.params.cube_len
    }

    /// The threshold that validation chose; 0.5 when nothing was validated.
    pub fn threshold(&self) -> f64 {
        self.trained.manifest.validation().map_or(0.5, |validation| validation.threshold)
    }

    /// Whether it looks at pictures.
    pub fn sees(&self) -> bool {
        self.trained.preparation.picture.is_some()
    }

    /// Whether it must be told where cameras stood.
    pub fn wants_poses(&self) -> bool {
        self.trained.preparation.poses
    }

    /// Pictures of an object that it looks at together: no less, and no more.
    pub fn views(&self) -> std::ops::RangeInclusive<usize> {
        let preparation = &self.trained.preparation;
        if preparation.num_views == 1 { 1..=1 } else { 1..=usize::MAX }
    }

    /// The code of one object, `z_size` numbers: the mean, nothing is random. Pictures are fitted and
    /// laid over the background the network was trained with.
    ///
    /// # Errors
    /// When the network does not see, or the number of pictures or poses is not right.
    pub fn code(&self, pictures: &[Picture], poses: &[Pose]) -> Result<Vec<f32>, TaskError> {
        let Some(form) = self.trained.preparation.picture else {
            let message = format!("{} looks at no pictures", self.model());
            return Err(SetupFault::new(message).into());
        };
        if !self.views().contains(&pictures.len()) {
            let message =
                format!("{} looks at one picture, there are {}", self.model(), pictures.len());
            return Err(SetupFault::new(message).into());
        }
        let wanted = if self.wants_poses() { pictures.len() } else { 0 };
        if poses.len() != wanted {
            let (model, count) = (self.model(), poses.len());
            let message =
                format!("{model} needs {wanted} poses of its pictures, there are {count}");
            return Err(SetupFault::new(message).into());
        }
        let device = &self.trained.chosen.device;
        let numbers: Vec<f32> = pictures.iter().flat_map(|picture| planes(picture, form)).collect();
        let sizes = [pictures.len(), form.channels, form.height, form.width];
        let images = Tensor::from_data(TensorData::new(numbers, sizes), device);
        let poses = self.wants_poses().then(|| {
            let data = TensorData::new(poses.concat(), [poses.len(), 12]);
            Tensor::from_data(data, device)
        });
        let views = Views::even(1, pictures.len())
            .map_err(|e| SetupFault::new(format!("no picture: {e}")))?;
        let code = self.trained.network.code(&Seen { images, poses, views });
        let numbers = code.and_then(|code| code.into_data().try_into_vec::<f32>().ok());
        Ok(numbers.ok_or_else(|| MachineFault::new("cannot read the code back"))?)
    }

    /// A code drawn as the network's training drew them; equal seeds and numbers give equal codes.
    pub fn random_code(&self, seed: u64, number: u64) -> Vec<f32> {
        let mut random = Random::new(seed, &["sample", &number.to_string()]);
        let params = &self.trained.params;
        prior_codes(&Objective::new(params), &mut random, params.z_size)
    }

    /// Occupancies of a code, `cube_len`^3 of them in [0, 1], x slowest, z fastest.
    ///
    /// # Errors
    /// When the device fails.
    pub fn grid(&self, code: &[f32]) -> Result<Vec<f32>, MachineFault> {
        let data = TensorData::new(code.to_vec(), [1, code.len()]);
        let codes = Tensor::from_data(data, &self.trained.chosen.device);
        numbers_of(self.trained.network.generate(codes))
    }
}
