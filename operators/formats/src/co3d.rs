//! Annotations of CO3D, version 2: the records of its `.jgz` files.
//!
//! Read with [`crate::jgz::records`]. Fields that are not named here are passed over.

use serde::Deserialize;

/// A record of `frame_annotations.jgz`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FrameAnnotation {
    /// The sequence it is part of.
    pub sequence_name: String,
    /// Number of the frame in its sequence; not the number in the name of its file.
    pub frame_number: i64,
    /// Seconds since the start of the video.
    #[serde(default)]
    pub frame_timestamp: Option<f64>,
    /// The picture.
    pub image: ImageAnnotation,
    /// The depth map.
    #[serde(default)]
    pub depth: Option<DepthAnnotation>,
    /// The mask of the object.
    #[serde(default)]
    pub mask: Option<MaskAnnotation>,
    /// The camera.
    #[serde(default)]
    pub viewpoint: Option<ViewpointAnnotation>,
    /// What a challenge uses it for.
    #[serde(default)]
    pub meta: Option<FrameMeta>,
}

/// The picture of a frame.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ImageAnnotation {
    /// Path below the folder of the data set.
    pub path: String,
    /// Height and width, in pixels.
    pub size: [u32; 2],
}

/// The depth map of a frame; [`crate::depth::decode_half`] reads it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DepthAnnotation {
    /// Path below the folder of the data set.
    pub path: String,
    /// What the numbers of the picture are multiplied by, to be in units of the camera's place.
    pub scale_adjustment: f32,
    /// Path of the mask of depths that can be relied on.
    #[serde(default)]
    pub mask_path: Option<String>,
}

/// The mask of a frame: a grey picture, 255 times the probability of the object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MaskAnnotation {
    /// Path below the folder of the data set.
    pub path: String,
    /// Sum of the probabilities, in pixels.
    #[serde(default)]
    pub mass: Option<f64>,
}

/// The camera of a frame, in the convention of PyTorch3D: row vectors, `x_camera = x_world * R + T`,
/// camera axes +X left, +Y up, +Z into the scene.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ViewpointAnnotation {
    /// `R`, row by row.
    #[serde(rename = "R")]
    pub rotation: [[f64; 3]; 3],
    /// `T`.
    #[serde(rename = "T")]
    pub translation: [f64; 3],
    /// Focal lengths along x and y, in the units of `intrinsics_format`.
    pub focal_length: [f64; 2],
    /// Principal point, in the units of `intrinsics_format`, +X left and +Y up from the middle.
    pub principal_point: [f64; 2],
    /// `ndc_norm_image_bounds` (each axis of the picture goes from -1 to 1; taken when missing) or
    /// `ndc_isotropic` (the shorter one does, the other has the same scale).
    #[serde(default = "oldest_format")]
    pub intrinsics_format: String,
}

fn oldest_format() -> String {
    "ndc_norm_image_bounds".to_owned()
}

/// What a challenge uses a frame for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FrameMeta {
    /// `train_known`, `test_unseen` and the like.
    #[serde(default)]
    pub frame_type: Option<String>,
}

/// A record of `sequence_annotations.jgz`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SequenceAnnotation {
    /// Name of the sequence.
    pub sequence_name: String,
    /// Category of its object.
    pub category: String,
    /// The video it was cut from.
    #[serde(default)]
    pub video: Option<VideoAnnotation>,
    /// The point cloud of its object; some sequences have none.
    #[serde(default)]
    pub point_cloud: Option<PointCloudAnnotation>,
    /// How good the cameras are thought to be; larger is better.
    #[serde(default)]
    pub viewpoint_quality_score: Option<f64>,
}

/// The video of a sequence.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VideoAnnotation {
    /// Path below the folder of the data set.
    pub path: String,
    /// Length, in seconds.
    #[serde(default)]
    pub length: Option<f64>,
}

/// The point cloud of a sequence.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PointCloudAnnotation {
    /// Path below the folder of the data set.
    pub path: String,
    /// How good it is thought to be; larger is better.
    #[serde(default)]
    pub quality_score: Option<f64>,
    /// Number of its points.
    #[serde(default)]
    pub n_points: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::jgz::records;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }

    #[test]
    fn frames() {
        let file = gzip(
            r#"[{"sequence_name": "110_13051_23361", "frame_number": 3, "frame_timestamp": 0.5,
            "image": {"path": "chair/a/images/frame000004.jpg", "size": [1975, 1088]},
            "depth": {"path": "d.png", "scale_adjustment": 0.25, "mask_path": null},
            "mask": {"path": "m.png", "mass": NaN, "bounding_box_xywh": [1, 2, 3, 4]},
            "viewpoint": {"R": [[-1, 0, 0], [0, -1, 0], [0, 0, 1]], "T": [0, 0, 3],
                "focal_length": [3.2, 1.7], "principal_point": [0, 0]},
            "camera_name": null, "meta": {"frame_type": "train_known", "frame_splits": []}},
            {"sequence_name": "b"}]"#,
        );
        let mut frames = records::<FrameAnnotation, _>(file.as_slice());
        let frame = frames.next().expect("a record").expect("a frame");
        assert_eq!((frame.frame_number, frame.image.size), (3, [1975, 1088]));
        assert_eq!(frame.depth.map(|depth| depth.scale_adjustment), Some(0.25));
        assert_eq!(frame.mask.map(|mask| mask.mass), Some(None));
        let view = frame.viewpoint.expect("a camera");
        assert_eq!(view.rotation[0], [-1.0, 0.0, 0.0]);
        assert_eq!(view.intrinsics_format, "ndc_norm_image_bounds");
        let error = frames.next().expect("a record").expect_err("no frame");
        assert!(error.message.contains("record 1: missing field `frame_number`"), "{error}");
    }

    #[test]
    fn sequences() {
        let file = gzip(
            r#"[{"sequence_name": "a", "category": "chair", "video": {"path": "v.mp4", "length": 9},
            "point_cloud": {"path": "p.ply", "quality_score": -0.5, "n_points": 12},
            "viewpoint_quality_score": null}, {"sequence_name": "b", "category": "car"}]"#,
        );
        let sequences: Vec<SequenceAnnotation> =
            records(file.as_slice()).map(|record| record.expect("a sequence")).collect();
        assert_eq!(sequences[0].point_cloud.as_ref().and_then(|cloud| cloud.n_points), Some(12));
        assert_eq!((sequences[1].category.as_str(), &sequences[1].video), ("car", &None));
    }
}
