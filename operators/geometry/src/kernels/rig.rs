//! `Rig`: where the cameras stand.

use voxflow_contract::Random;

use crate::kernels::camera_from_object;
use voxflow_contract::{Camera, Object, Transform};

/// A way to place the cameras of a sample. All look at the origin, +Y up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rig {
    /// Twelve views from 30 degrees above, 30 degrees apart, beginning on +Z: the rig of MVCNN (Su et
    /// al., "Multi-view convolutional neural networks for 3D shape recognition", 2015).
    Mvcnn12,
    /// As many views as wanted, from anywhere around, drawn anew for each sample.
    Random {
        /// Number of views.
        views: u32,
        /// Lowest and highest elevation, in degrees; equally likely between.
        elevation_deg: [f64; 2],
    },
}

impl Rig {
    /// Number of views of a sample.
    pub fn views(&self) -> usize {
        match self {
            Self::Mvcnn12 => 12,
            Self::Random { views, .. } => *views as usize,
        }
    }
}

/// The numbers of one camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RigView {
    /// Azimuth, from +Z towards +X.
    pub azimuth_deg: f64,
    /// Elevation above the XZ plane.
    pub elevation_deg: f64,
    /// Distance from the origin, in units of the mesh frame.
    pub distance: f64,
}

impl RigView {
    /// The pose.
    pub fn camera_from_object(&self) -> Transform<Camera, Object> {
        camera_from_object(self.azimuth_deg, self.elevation_deg, self.distance)
    }
}

/// The cameras of a sample, in order. Random ones depend on `seed` and the sample's id only.
///
/// # Examples
/// ```
/// use voxflow_geometry::{Rig, rig_views};
///
/// let views = rig_views(&Rig::Mvcnn12, 2.0, 0, "chair_0001");
/// assert_eq!(views.len(), 12);
/// assert_eq!((views[3].azimuth_deg, views[3].elevation_deg), (90.0, 30.0));
/// ```
pub fn rig_views(rig: &Rig, distance: f64, seed: u64, sample: &str) -> Vec<RigView> {
    let view = |azimuth_deg, elevation_deg| RigView { azimuth_deg, elevation_deg, distance };
    match *rig {
        Rig::Mvcnn12 => (0..12).map(|k| view(30.0 * f64::from(k), 30.0)).collect(),
        Rig::Random { views, elevation_deg: [low, high] } => {
            let mut random = Random::new(seed, &["render_views", sample]);
            (0..views).map(|_| view(random.range(0.0, 360.0), random.range(low, high))).collect()
        }
    }
}

/// The distance from which a ball of `radius` about the origin just fits a view of the given full
/// angle.
pub fn fitting_distance(radius: f64, fov_y_deg: f64) -> f64 {
    radius / (0.5 * fov_y_deg.to_radians()).sin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_rigs_repeat_per_sample_and_keep_their_limits() {
        let rig = Rig::Random { views: 200, elevation_deg: [-10.0, 60.0] };
        let views = rig_views(&rig, 2.0, 1, "a");
        assert_eq!(views, rig_views(&rig, 2.0, 1, "a"));
        assert_ne!(views, rig_views(&rig, 2.0, 1, "b"));
        assert_ne!(views, rig_views(&rig, 2.0, 2, "a"));
        assert_eq!(views.len(), rig.views());
        assert!(views.iter().all(|v| (0.0..360.0).contains(&v.azimuth_deg)));
        assert!(views.iter().all(|v| (-10.0..60.0).contains(&v.elevation_deg)));
        assert!(views.iter().any(|v| v.elevation_deg > 50.0));
        assert!(views.iter().any(|v| v.azimuth_deg > 300.0));
    }
}
