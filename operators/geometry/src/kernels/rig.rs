//! `Rig`: where the cameras stand.

use voxflow_contract::{Camera, Object, Random, Transform};

use crate::kernels::camera::{camera_from_object, rolled};

/// Radius of the smallest ball about the origin that holds the unit cube: half the root of 3.
const UNIT_CUBE_RADIUS: f64 = 0.866_025_403_784_438_6;
/// Focal length of the renderings of 3D-R2N2, in halves of the picture's side: 35 mm before 32 mm.
const R2N2_FOCAL: f64 = 2.1875;

/// A way to place the cameras of a sample. All look at the origin, +Y up; azimuth 0 is on +Z, azimuth
/// 90 on +X.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rig {
    /// Twelve views from 30 degrees above, 30 degrees apart, beginning on +Z: the rig of MVCNN (Su et
    /// al., "Multi-view convolutional neural networks for 3D shape recognition", 2015).
    Mvcnn12,
    /// Views as those of 3D-R2N2 (Choy et al. 2016): azimuth from all around, elevation from 25 to 30
    /// degrees, 0.65 to 0.95 of the distance, drawn in this order for each view, all uniform. An azimuth
    /// a of its `rendering_metadata.txt`, whose camera begins on +X and goes towards +Z, is 90 - a here.
    R2n2 {
        /// Number of views; the data set has 24.
        views: u32,
    },
    /// Twenty-four views from 30 degrees above; azimuth 0, -15, -30 ...: the rig of Kato et al. (Neural
    /// 3D mesh renderer, 2018). Their frame is left-handed: its z is minus ours, with which azimuth 0 is
    /// on our +Z and azimuths keep their sign.
    Kato24,
    /// Views in the range of those of LSM (Kar et al. 2017): azimuth from all around, elevation from -20
    /// to 40 degrees, drawn in this order for each view, both uniform. Its data set gives each view a
    /// distance of its own by a rule that is not known; here all have one.
    Lsm20 {
        /// Number of views; the data set has 20.
        views: u32,
    },
    /// Twenty views from the corners of a regular dodecahedron, as in RotationNet (Kanezaki et al. 2018):
    /// corners (+-1, +-1, +-1), (0, +-1/g, +-g), (+-1/g, +-g, 0), (+-g, 0, +-1/g) with g the golden ratio,
    /// the highest first, then by azimuth from 0 to 360.
    Dodecahedron20,
    /// As many views as wanted, from anywhere around, drawn anew for each sample.
    Random {
        /// Number of views.
        views: u32,
        /// Lowest and highest elevation, in degrees; equally likely between.
        elevation_deg: [f64; 2],
    },
}

/// What a rig takes if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RigDefaults {
    /// Width and height of each picture.
    pub size_px: u32,
    /// Full vertical angle of view.
    pub fov_y_deg: f64,
    /// Distance of the cameras from the origin; without one, that from which the ball around the unit
    /// cube just fits the view.
    pub distance: Option<f64>,
}

impl Rig {
    /// Number of views of a sample.
    pub fn views(&self) -> usize {
        match self {
            Self::Mvcnn12 => 12,
            Self::Kato24 => 24,
            Self::Dodecahedron20 => 20,
            Self::R2n2 { views } | Self::Lsm20 { views } | Self::Random { views, .. } => {
                *views as usize
            }
        }
    }

    /// Size, angle and distance of the data set the rig comes from: 137 pixels, a focal length of 2.1875
    /// half pictures (49.13 degrees) and 1.75 for `R2n2`; 64 pixels, 30 degrees and 2.732 for `Kato24`;
    /// 224 pixels for those of `Mvcnn12`, `Dodecahedron20` and `Lsm20`, 128 for `Random`; 29.8628 degrees for
    /// `Lsm20` and 40 for others, which are ours.
    pub fn defaults(&self) -> RigDefaults {
        let (size_px, fov_y_deg, distance) = match self {
            Self::R2n2 { .. } => (137, 2.0 * (1.0 / R2N2_FOCAL).atan().to_degrees(), Some(1.75)),
            Self::Kato24 => (64, 30.0, Some(2.732)),
            Self::Lsm20 { .. } => (224, 29.8628, None),
            Self::Mvcnn12 | Self::Dodecahedron20 => (224, 40.0, None),
            Self::Random { .. } => (128, 40.0, None),
        };
        RigDefaults { size_px, fov_y_deg, distance }
    }
}

/// The distance from which the ball around the unit cube just fits a view of the given full angle.
pub fn unit_cube_distance(fov_y_deg: f64) -> f64 {
    fitting_distance(UNIT_CUBE_RADIUS, fov_y_deg)
}

/// The numbers of one camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RigView {
    /// Azimuth, from +Z towards +X.
    pub azimuth_deg: f64,
    /// Elevation above the XZ plane.
    pub elevation_deg: f64,
    /// Turn of the camera about its axis, from its x axis (right) towards its y axis (down): the object
    /// turns the other way in the picture.
    pub roll_deg: f64,
    /// Distance from the origin, in units of the mesh frame.
    pub distance: f64,
}

impl RigView {
    /// The pose.
    pub fn camera_from_object(&self) -> Transform<Camera, Object> {
        let upright = camera_from_object(self.azimuth_deg, self.elevation_deg, self.distance);
        rolled(&upright, self.roll_deg)
    }
}

/// The cameras of a sample, in order; random ones depend on `seed` and the sample's id only. All stand at
/// `distance`, those of `R2n2` at a share of it.
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
    let view = |azimuth_deg, elevation_deg| RigView {
        azimuth_deg,
        elevation_deg,
        roll_deg: 0.0,
        distance,
    };
    let mut random = Random::new(seed, &["render_views", sample]);
    let mut around = |views: u32, low: f64, high: f64| -> Vec<RigView> {
        (0..views).map(|_| view(random.range(0.0, 360.0), random.range(low, high))).collect()
    };
    match *rig {
        Rig::Mvcnn12 => (0..12).map(|k| view(30.0 * f64::from(k), 30.0)).collect(),
        Rig::Kato24 => (0..24).map(|k| view(-15.0 * f64::from(k), 30.0)).collect(),
        Rig::Dodecahedron20 => dodecahedron()
            .into_iter()
            .map(|(azimuth, elevation)| view(azimuth, elevation))
            .collect(),
        Rig::R2n2 { views } => (0..views)
            .map(|_| {
                let mut one = view(90.0 - random.range(0.0, 360.0), random.range(25.0, 30.0));
                one.azimuth_deg = one.azimuth_deg.rem_euclid(360.0);
                one.distance *= random.range(0.65, 0.95);
                one
            })
            .collect(),
        Rig::Lsm20 { views } => around(views, -20.0, 40.0),
        Rig::Random { views, elevation_deg: [low, high] } => around(views, low, high),
    }
}

/// Azimuth and elevation of the corners of a regular dodecahedron, the highest first.
fn dodecahedron() -> Vec<(f64, f64)> {
    let golden = 0.5 * (1.0 + 5f64.sqrt());
    let signs = [1.0, -1.0];
    let pairs = signs.iter().flat_map(|s| signs.iter().map(move |t| (*s, *t)));
    let mut corners: Vec<[f64; 3]> = Vec::with_capacity(20);
    for (s, t) in pairs {
        corners.extend([[s, t, 1.0], [s, t, -1.0]]);
        let (small, large) = (s / golden, t * golden);
        corners.extend([[0.0, small, large], [small, large, 0.0], [large, 0.0, small]]);
    }
    let direction = |[x, y, z]: [f64; 3]| {
        let azimuth = x.atan2(z).to_degrees().rem_euclid(360.0);
        (azimuth, (y / 3f64.sqrt()).asin().to_degrees())
    };
    let mut directions: Vec<_> = corners.into_iter().map(direction).collect();
    // Corners of one height may differ in the last digit.
    let key = |(azimuth, elevation): &(f64, f64)| {
        ((-elevation * 1e6).round() as i64, (azimuth * 1e6).round() as i64)
    };
    directions.sort_by_key(key);
    directions
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

    #[test]
    fn the_rigs_of_data_sets_stand_where_those_say() {
        let r2n2 = Rig::R2n2 { views: 100 };
        let views = rig_views(&r2n2, 1.75, 1, "a");
        assert!(views.iter().all(|v| (25.0..30.0).contains(&v.elevation_deg)));
        assert!(views.iter().all(|v| (1.1375..1.6625).contains(&v.distance)));
        assert!(views.iter().any(|v| v.distance < 1.2) && views.iter().any(|v| v.distance > 1.6));
        assert!((r2n2.defaults().fov_y_deg - 49.13).abs() < 0.01);
        let kato = rig_views(&Rig::Kato24, 2.732, 0, "a");
        assert_eq!((kato.len(), kato[1].azimuth_deg, kato[23].azimuth_deg), (24, -15.0, -345.0));
        let lsm = rig_views(&Rig::Lsm20 { views: 20 }, 2.0, 0, "a");
        assert!(lsm.iter().all(|v| (-20.0..40.0).contains(&v.elevation_deg)));
    }

    /// The extrinsics of 3D-R2N2's own code, for points of the file.
    #[test]
    fn azimuths_of_r2n2_map_to_ours() {
        let (azimuth, elevation, distance) = (40.0f64, 27.0f64, 1.4);
        let (a, e) = (-azimuth.to_radians(), -elevation.to_radians());
        let (sa, ca, se, ce) = (a.sin(), a.cos(), e.sin(), e.cos());
        let rows = [[ca * ce, sa * ce, -se], [-sa, ca, 0.0], [ca * se, sa * se, ce]];
        let theirs = |[x, y, z]: [f64; 3]| {
            let p = [x, -z, y];
            let [forth, right, up] = rows.map(|r| r[0] * p[0] + r[1] * p[1] + r[2] * p[2]);
            [right, -up, distance - forth]
        };
        let ours = camera_from_object((90.0 - azimuth).rem_euclid(360.0), elevation, distance);
        for point in [[0.3, 0.1, -0.2], [-0.4, 0.5, 0.1]] {
            let difference = std::iter::zip(ours.apply(point), theirs(point));
            assert!(difference.into_iter().all(|(a, b)| (a - b).abs() < 1e-12), "{point:?}");
        }
    }

    #[test]
    fn a_dodecahedron_has_twenty_corners_with_three_neighbours_each() {
        let views = rig_views(&Rig::Dodecahedron20, 1.0, 0, "a");
        let eyes: Vec<[f64; 3]> = views
            .iter()
            .map(|v| {
                let (a, e) = (v.azimuth_deg.to_radians(), v.elevation_deg.to_radians());
                [e.cos() * a.sin(), e.sin(), e.cos() * a.cos()]
            })
            .collect();
        assert_eq!(eyes.len(), 20);
        for eye in &eyes {
            let cosine = |other: &[f64; 3]| (0..3).map(|i| eye[i] * other[i]).sum::<f64>();
            let neighbours =
                eyes.iter().filter(|other| (cosine(other) - 5f64.sqrt() / 3.0).abs() < 1e-9);
            assert_eq!(neighbours.count(), 3);
        }
        assert!(views.windows(2).all(|v| v[0].elevation_deg >= v[1].elevation_deg - 1e-6));
    }

    #[test]
    fn a_roll_turns_the_object_the_other_way() {
        let view = RigView { azimuth_deg: 0.0, elevation_deg: 0.0, roll_deg: 90.0, distance: 2.0 };
        let [x, y, z] = view.camera_from_object().apply([0.0, 0.5, 0.0]);
        assert!(
            (x + 0.5).abs() < 1e-12 && y.abs() < 1e-12 && (z - 2.0).abs() < 1e-12,
            "{x} {y} {z}"
        );
    }
}
