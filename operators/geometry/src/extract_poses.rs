//! `extract_poses`: the numbers of a rig into camera matrices.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Intrinsics, Kind, Operator, ParamError, Params, Refusals,
    Schema, Stage, Values, key_values, map_rows, tables,
};

use crate::kernels::RigView;
use crate::render_views::orthographic_intrinsics;

/// Parameters of `extract_poses`: there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractPosesParams {}

/// `extract_poses` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct ExtractPosesKind;

impl Kind for ExtractPosesKind {
    fn name(&self) -> &'static str {
        "extract_poses"
    }

    fn summary(&self) -> &'static str {
        "Makes OpenCV camera matrices and intrinsics of the numbers of each view."
    }

    fn manual(&self) -> &'static str {
        "Takes table `view`, gives table `pose`: for each view `camera_from_world`, a row-major 4x4 \
         matrix that takes points of the mesh frame to the camera frame of OpenCV (x right, y down, z \
         forward), and `intrinsics_px`, the focal lengths and principal point in pixels, with pixel \
         (0, 0) covering the square from (0, 0) to (1, 1). A point p of the mesh lands at \
         (fx * x / z + cx, fy * y / z + cy) for (x, y, z) = camera_from_world p: on its pixel of the \
         picture. In an orthographic view it lands at (fx * x + cx, fy * y + cy), with fx and fy in \
         pixels per unit of the mesh; `camera_model` says which holds.\n\n\
         The matrices are computed in f64 from azimuth, elevation, distance and roll by the same \
         function that the renderer uses, and rounded to f32.\n\n\
         A sample whose numbers do not make a camera (lists of different lengths, values that are not \
         finite, an angle of view not between 0 and 180) is refused (`bad_rig`), as is what \
         `render_poses` made: its poses are the table it was given. Cost: none to speak of."
    }

    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["view"])
    }

    fn output(&self) -> &'static str {
        "pose"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"poses\"\nuse = \"extract_poses\"\nfrom = \"views\"\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(ExtractPosesParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let ExtractPosesParams {} = params.parse()?;
        Ok(Stage::Operator(Arc::new(ExtractPoses)))
    }
}

struct ExtractPoses;

/// The columns of a sample's poses.
struct SamplePoses {
    /// 16 numbers a view.
    matrices: Vec<f32>,
    /// 4 numbers a view.
    intrinsics: Vec<f32>,
    /// 2 numbers a view.
    sizes: Vec<u32>,
    model: &'static str,
}

impl Operator for ExtractPoses {
    fn output(&self) -> Schema {
        tables::pose()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, poses) = map_rows(batch.rows(), refusals, |row| poses_of_row(batch, row));
        let mut values = key_values(batch, &kept)?;
        values.push(Values::tensor_lists(16, poses.iter().map(|pose| &pose.matrices)));
        values.push(Values::tensor_lists(4, poses.iter().map(|pose| &pose.intrinsics)));
        values.push(Values::tensor_lists(2, poses.iter().map(|pose| &pose.sizes)));
        values.push(Values::utf8(poses.iter().map(|pose| pose.model)));
        Ok(Batch::new(self.output(), values)?)
    }

    fn is_heavy(&self) -> bool {
        false
    }
}

fn poses_of_row(batch: &Batch, row: usize) -> Result<SamplePoses, Fault> {
    let views = views_of_row(batch, row)?;
    let (intrinsics, model) = intrinsics_of_row(batch, row)?;
    let matrices = views
        .iter()
        .flat_map(|view| view.camera_from_object().to_array())
        .map(|cell| cell as f32)
        .collect();
    let Intrinsics { focal_x_px, focal_y_px, center_x_px, center_y_px, .. } = intrinsics;
    let four = [focal_x_px, focal_y_px, center_x_px, center_y_px].map(|number| number as f32);
    Ok(SamplePoses {
        matrices,
        intrinsics: four.repeat(views.len()),
        sizes: [intrinsics.width_px, intrinsics.height_px].repeat(views.len()),
        model,
    })
}

fn views_of_row(batch: &Batch, row: usize) -> Result<Vec<RigView>, Fault> {
    if batch.utf8("rig")?.value(row) == "poses" {
        let message = "the views were rendered from a pose table: that table has their poses";
        return Err(Fault::new("bad_rig", message));
    }
    let list = |name: &str| batch.lists::<f64>(name).map(|lists| lists.value(row));
    let (azimuths, elevations) = (list("azimuth_deg")?, list("elevation_deg")?);
    let (distances, rolls) = (list("distance")?, list("roll_deg")?);
    let views = azimuths.len();
    if [elevations, distances, rolls].iter().any(|numbers| numbers.len() != views) {
        let (e, d, r) = (elevations.len(), distances.len(), rolls.len());
        let message = format!("{views} azimuths, {e} elevations, {d} distances and {r} rolls");
        return Err(Fault::new("bad_rig", message));
    }
    let mut numbers = azimuths.iter().chain(elevations).chain(distances).chain(rolls);
    if !numbers.all(|number| number.is_finite()) {
        return Err(Fault::new("bad_rig", "a number of a camera is not finite"));
    }
    let view = |i: usize| RigView {
        azimuth_deg: azimuths[i],
        elevation_deg: elevations[i],
        roll_deg: rolls[i],
        distance: distances[i],
    };
    Ok((0..views).map(view).collect())
}

fn intrinsics_of_row(batch: &Batch, row: usize) -> Result<(Intrinsics, &'static str), Fault> {
    let fov_y_deg = batch.numbers::<f64>("fov_y_deg")?[row];
    let height = batch.numbers::<f64>("view_height")?[row];
    let width_px = batch.numbers::<u32>("width_px")?[row];
    let height_px = batch.numbers::<u32>("height_px")?[row];
    let is_orthographic = batch.utf8("projection")?.value(row) == "orthographic";
    if is_orthographic && height > 0.0 && height.is_finite() {
        return Ok((orthographic_intrinsics(height, width_px, height_px), "orthographic"));
    }
    if !is_orthographic && fov_y_deg > 0.0 && fov_y_deg < 180.0 {
        return Ok((Intrinsics::from_fov_y_deg(fov_y_deg, width_px, height_px), "pinhole"));
    }
    let message = format!("an angle of view of {fov_y_deg}, or a height of {height}");
    Err(Fault::new("bad_rig", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render_views::RenderViewsKind;
    use crate::testing;
    use voxflow_formats::picture::decode;

    fn views(mesh: &voxflow_contract::TriMesh, projection: &str) -> Batch {
        let params = serde_json::json!({
            "rig": "random", "views": 6, "size": 96, "elevation_deg": [-40.0, 80.0],
            "projection": projection,
        });
        let params = Params(params.as_object().expect("an object").clone());
        let context = BuildContext { seed: 3, stage: "views".to_owned() };
        let Ok(Stage::Operator(render)) = RenderViewsKind.build(&params, &context) else {
            panic!("an operator");
        };
        let batch = testing::mesh_batch(std::slice::from_ref(mesh));
        render.apply(&batch, &mut Refusals::default()).expect("views")
    }

    /// Where a point lands, by the numbers of the table and nothing else.
    fn project(matrix: &[f32], intrinsics: &[f32], p: [f32; 3], is_flat: bool) -> [f32; 2] {
        let camera = [0, 1, 2].map(|i| {
            let row = &matrix[i * 4..];
            row[0] * p[0] + row[1] * p[1] + row[2] * p[2] + row[3]
        });
        let [x, y, z] = camera;
        let z = if is_flat { 1.0 } else { z };
        [intrinsics[0] * x / z + intrinsics[2], intrinsics[1] * y / z + intrinsics[3]]
    }

    #[test]
    fn vertices_project_onto_the_silhouette_and_span_it() {
        // Not symmetric, so that a mirrored or rolled camera shows.
        let mut mesh = testing::cuboid([-0.5, -0.3, -0.1], [0.2, 0.5, 0.4]);
        mesh.vertices[7] = [0.45, 0.1, 0.2];
        for projection in ["perspective", "orthographic"] {
            let views = views(&mesh, projection);
            let poses = ExtractPoses.apply(&views, &mut Refusals::default()).expect("poses");
            let matrices =
                poses.tensor_lists::<f32>("camera_from_world").expect("matrices").value(0);
            let intrinsics = poses.tensor_lists::<f32>("intrinsics_px").expect("numbers").value(0);
            assert_eq!((matrices.len(), intrinsics.len()), (6 * 16, 6 * 4));
            for view in 0..6 {
                let png = views.images("images").expect("pictures").bytes(0, view);
                let picture = decode(png).expect("a PNG");
                let is_covered = |x: i32, y: i32| {
                    let at = (y.clamp(0, 95) * 96 + x.clamp(0, 95)) as usize;
                    picture.data[at * 4 + 3] > 0
                };
                let points: Vec<_> = mesh
                    .vertices
                    .iter()
                    .map(|v| {
                        let is_flat = projection == "orthographic";
                        project(&matrices[view * 16..], &intrinsics[view * 4..], *v, is_flat)
                    })
                    .collect();
                for [x, y] in &points {
                    let (x, y) = (x.floor() as i32, y.floor() as i32);
                    let mut around = (-1..=1).flat_map(|i| (-1..=1).map(move |j| (x + i, y + j)));
                    assert!(around.any(|(x, y)| is_covered(x, y)), "view {view}: {x} {y}");
                }
                // The box of the silhouette is the box of the points.
                let columns: Vec<_> =
                    (0..96).filter(|x| (0..96).any(|y| is_covered(*x, y))).collect();
                let left = points.iter().map(|p| p[0]).fold(f32::INFINITY, f32::min);
                let right = points.iter().map(|p| p[0]).fold(0.0, f32::max);
                assert!((columns[0] as f32 - left).abs() < 2.0);
                assert!((columns[columns.len() - 1] as f32 + 1.0 - right).abs() < 2.0);
            }
        }
    }

    #[test]
    fn numbers_that_make_no_camera_are_refused() {
        let refused = |azimuths: &[f64], elevation: f64, fov_y_deg: f64| {
            let no_images = || Values::images(&[vec![]]);
            let mut values = testing::keys(1);
            values.extend([no_images(), no_images(), no_images()]);
            values.push(Values::numbers(vec![1.0]));
            values.push(Values::lists([azimuths]));
            values.push(Values::lists([[elevation]]));
            values.push(Values::lists([[2.0]]));
            values.push(Values::numbers(vec![fov_y_deg]));
            values.push(Values::numbers(vec![8u32]));
            values.push(Values::numbers(vec![8u32]));
            values.push(no_images());
            values.push(Values::lists([vec![0.0; azimuths.len()]]));
            values.push(Values::utf8(["perspective"]));
            values.push(Values::numbers(vec![0.0]));
            values.push(Values::utf8(["random"]));
            let batch = Batch::new(tables::view(), values).expect("a batch");
            poses_of_row(&batch, 0).err().map(|fault| fault.code)
        };
        assert_eq!(refused(&[10.0], 20.0, 40.0), None);
        assert_eq!(refused(&[10.0, 20.0], 20.0, 40.0), Some("bad_rig"));
        assert_eq!(refused(&[10.0], f64::NAN, 40.0), Some("bad_rig"));
        assert_eq!(refused(&[10.0], 20.0, 180.0), Some("bad_rig"));
    }
}
