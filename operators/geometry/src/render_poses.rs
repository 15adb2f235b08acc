//! `render_poses`: pictures of a mesh from the cameras of a pose table.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Camera, Fault, Inputs, Intrinsics, Kind, Object, Operator, ParamError,
    Params, Refusals, Schema, Stage, Transform, Values, appearance_of_row, key_values, map_rows,
    mesh_of_row, tables,
};

use crate::kernels::{Faces, MAX_SAMPLES, Projection, RenderOptions, Renderer, Shading, spherical};
use crate::ranges::range_error;
use crate::studio::{
    BackgroundChoice, ColorsChoice, Pose, SamplePictures, Studio, antialias_error,
    background_error, picture_values,
};

/// How far the rows of a pose may be from a rotation's.
const RIGID: f64 = 1e-3;

/// Parameters of `render_poses`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderPosesParams {
    /// Samples along a side of a pixel: 1, 2 or 4.
    #[serde(default = "default_antialias")]
    pub antialias: u32,
    /// `flat`: one brightness a triangle. `smooth`: interpolated normals, the mesh's own or averages.
    #[serde(default)]
    pub shading: Shading,
    /// `both`: triangles are seen from both sides. `cull`: only from where their corners run
    /// counter-clockwise.
    #[serde(default)]
    pub faces: Faces,
    /// `white`; `material`: the mesh's own colours; `random`: random colours.
    #[serde(default)]
    pub colors: ColorsChoice,
    /// `transparent`, `color`, `random_color` or `random_texture`.
    #[serde(default)]
    pub background: BackgroundChoice,
    /// Red, green and blue of `background = "color"`, 0 to 255, sRGB; white when not given.
    #[serde(default)]
    pub background_color: Option<[u8; 3]>,
    /// Depth of the near plane in units of the mesh frame, up to 10000: what is nearer is cut off.
    #[serde(default = "default_near")]
    pub near: f64,
    /// Length of one step of a depth picture in units of the mesh frame; 65535 steps are the most.
    #[serde(default = "default_depth_scale")]
    pub depth_scale: f64,
    /// Most bytes that the pictures of a sample may need, in MiB: a sample with more or larger views is
    /// refused.
    #[serde(default = "default_most_mib")]
    #[schemars(range(min = 1, max = 4096))]
    pub most_mib: u32,
    /// Whether to give depth pictures too.
    #[serde(default)]
    pub depth: bool,
    /// Whether to give silhouettes too.
    #[serde(default)]
    pub mask: bool,
    /// Whether to give pictures of normals too.
    #[serde(default)]
    pub normals: bool,
}

fn default_antialias() -> u32 {
    2
}

fn default_near() -> f64 {
    0.01
}

fn default_depth_scale() -> f64 {
    1e-4
}

fn default_most_mib() -> u32 {
    32
}

/// `render_poses` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct RenderPosesKind;

impl Kind for RenderPosesKind {
    fn name(&self) -> &'static str {
        "render_poses"
    }

    fn summary(&self) -> &'static str {
        "Renders every mesh from the cameras that a pose table lists for it."
    }

    fn manual(&self) -> &'static str {
        "Takes tables `mesh` and `pose`, gives table `view`: one picture for each camera of the sample, \
         as `render_views` makes them, which says what is in them.\n\n\
         `camera_from_world` takes points of the mesh frame to the OpenCV camera frame (x right, y down, \
         z forward) and must be rigid to a thousandth; `intrinsics_px` and `picture_px` say where they \
         land and how large the pictures are, all of one size in a sample. With `camera_model = \
         \"orthographic\"` the focal lengths are pixels per unit.\n\n\
         The numbers of the view table are those of each camera's eye; its axis may miss the origin, so \
         `extract_poses` refuses the table: the poses are the ones that went in. `fov_y_deg` is that of \
         the focal length if all views have one, else 0. `rig` is `poses`.\n\n\
         Refused: poses that are no cameras, or no views, or views of several sizes (`bad_pose`), pictures \
         that need more than `most_mib` (`too_large`), and what `render_views` refuses. Cost: as \
         `render_views`."
    }

    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["mesh", "pose"])
    }

    fn output(&self) -> &'static str {
        "view"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"again\"\nuse = \"render_poses\"\nfrom = [\"normal\", \"poses\"]\n\
         colors = \"material\"\nnormals = true\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(RenderPosesParams)
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: RenderPosesParams = params.parse()?;
        let RenderPosesParams { antialias, background, background_color, near, .. } = params;
        let errors: Vec<_> = [
            antialias_error(antialias, 1),
            background_error(background, background_color),
            range_error("near", near, 1e-6..=1e4),
            range_error("depth_scale", params.depth_scale, 1e-9..=1e4),
            range_error("most_mib", params.most_mib, 1..=4096),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(RenderPoses::new(&params, context.seed))))
    }
}

/// `render_poses`, ready to render.
struct RenderPoses {
    studio: Studio,
    depth_scale: f64,
    most_bytes: usize,
}

/// The cameras of one sample.
struct SamplePoses {
    poses: Vec<Pose>,
    projection: Projection,
}

impl RenderPoses {
    fn new(params: &RenderPosesParams, seed: u64) -> Self {
        let options = RenderOptions {
            shading: params.shading,
            faces: params.faces,
            antialias: params.antialias,
            near: params.near,
            ..RenderOptions::default()
        };
        let studio = Studio {
            seed,
            options,
            colors: params.colors,
            background: params.background,
            background_color: params.background_color,
            mask: params.mask,
            depth: params.depth,
            normals: params.normals,
        };
        let most_bytes = (params.most_mib as usize) << 20;
        Self { studio, depth_scale: params.depth_scale, most_bytes }
    }

    fn render_row(
        &self,
        renderer: &mut Renderer,
        batch: &Batch,
        row: usize,
    ) -> Result<(SamplePoses, SamplePictures), Fault> {
        let all = poses_of_row(batch, row)?;
        self.check_size(&all)?;
        let (mesh, look) = (mesh_of_row(batch, row)?, appearance_of_row(batch, row)?);
        let sample = batch.utf8("sample")?.value(row);
        let pictures = self.studio.shoot(
            renderer,
            &mesh,
            &look,
            (all.projection, &all.poses),
            sample,
            self.depth_scale,
        )?;
        Ok((all, pictures))
    }

    /// Refuses pictures that would need too much memory, before any is made.
    fn check_size(&self, all: &SamplePoses) -> Result<(), Fault> {
        let Intrinsics { width_px, height_px, .. } = all.poses[0].1;
        let side = width_px.max(height_px).saturating_mul(self.studio.options.antialias);
        if width_px.min(height_px) == 0 {
            return Err(Fault::new("bad_pose", format!("pictures of {width_px} x {height_px}")));
        }
        if side > MAX_SAMPLES {
            let message = format!("{side} samples along a side, more than {MAX_SAMPLES}");
            return Err(Fault::new("too_large", message));
        }
        let views = all.poses.len();
        let bytes = views.saturating_mul(self.studio.bytes_per_view(width_px, height_px));
        if bytes > self.most_bytes {
            let (most, message) = (self.most_bytes, "pictures may need");
            let message = format!("{message} {bytes} bytes, more than most_mib allows: {most}");
            return Err(Fault::new("too_large", message));
        }
        Ok(())
    }
}

fn poses_of_row(batch: &Batch, row: usize) -> Result<SamplePoses, Fault> {
    let matrices = batch.tensor_lists::<f32>("camera_from_world")?.value(row);
    let intrinsics = batch.tensor_lists::<f32>("intrinsics_px")?.value(row);
    let sizes = batch.tensor_lists::<u32>("picture_px")?.value(row);
    let (matrices, intrinsics) = (matrices.as_chunks::<16>().0, intrinsics.as_chunks::<4>().0);
    let sizes = sizes.as_chunks::<2>().0;
    let projection = match batch.utf8("camera_model")?.value(row) {
        "pinhole" => Projection::Perspective,
        "orthographic" => Projection::Orthographic,
        other => return Err(bad_pose(format_args!("a camera model {other:?}"))),
    };
    let views = matrices.len();
    if intrinsics.len() != views || sizes.len() != views || views == 0 {
        let (i, s) = (intrinsics.len(), sizes.len());
        return Err(bad_pose(format_args!("{views} matrices, {i} intrinsics and {s} sizes")));
    }
    if let Some(view) = sizes.iter().position(|size| *size != sizes[0]) {
        return Err(bad_pose(format_args!("view {view} has another size than view 0")));
    }
    let poses = (0..views).map(|view| {
        let camera = rigid(&matrices[view]);
        let lens = lens(&intrinsics[view], sizes[view]);
        camera.zip(lens).ok_or_else(|| bad_pose(format_args!("view {view} is no camera")))
    });
    Ok(SamplePoses { poses: poses.collect::<Result<_, _>>()?, projection })
}

fn bad_pose(what: std::fmt::Arguments<'_>) -> Fault {
    Fault::new("bad_pose", what.to_string())
}

/// The pose of a row-major matrix, if it is a rotation and a translation.
fn rigid(matrix: &[f32; 16]) -> Option<Transform<Camera, Object>> {
    let cell = |i: usize, j: usize| f64::from(matrix[4 * i + j]);
    let row = |i: usize| [cell(i, 0), cell(i, 1), cell(i, 2)];
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let [r, d, f] = [row(0), row(1), row(2)];
    let cross = [r[1] * d[2] - r[2] * d[1], r[2] * d[0] - r[0] * d[2], r[0] * d[1] - r[1] * d[0]];
    // Right, down and forward of length 1 and square to each other, not mirrored.
    let is_near = |value: f64, wanted: f64| (value - wanted).abs() < RIGID;
    let is_rotation = is_near(dot(r, r), 1.0)
        && is_near(dot(d, d), 1.0)
        && is_near(dot(r, d), 0.0)
        && is_near(dot(cross, f), 1.0)
        && is_near(dot(f, f), 1.0);
    let last = [cell(3, 0), cell(3, 1), cell(3, 2), cell(3, 3)];
    let translation = [cell(0, 3), cell(1, 3), cell(2, 3)];
    let is_finite = translation.iter().all(|x| x.is_finite());
    (is_rotation && is_finite && last == [0.0, 0.0, 0.0, 1.0])
        .then(|| Transform::from_parts([r, d, f], translation))
}

fn lens(numbers: &[f32; 4], [width_px, height_px]: [u32; 2]) -> Option<Intrinsics> {
    let [focal_x_px, focal_y_px, center_x_px, center_y_px] = numbers.map(f64::from);
    let is_good = numbers.iter().all(|x| x.is_finite()) && focal_x_px > 0.0 && focal_y_px > 0.0;
    is_good.then_some(Intrinsics {
        focal_x_px,
        focal_y_px,
        center_x_px,
        center_y_px,
        width_px,
        height_px,
    })
}

impl SamplePoses {
    fn projection_name(&self) -> &'static str {
        match self.projection {
            Projection::Perspective => "perspective",
            Projection::Orthographic => "orthographic",
        }
    }

    /// The focal length along y that all views have.
    fn focal_y_px(&self) -> Option<f64> {
        let focal = self.poses[0].1.focal_y_px;
        self.poses.iter().all(|(_, lens)| lens.focal_y_px == focal).then_some(focal)
    }

    fn fov_y_deg(&self) -> f64 {
        let height = f64::from(self.poses[0].1.height_px);
        match self.focal_y_px() {
            Some(focal) if self.projection == Projection::Perspective => {
                2.0 * (height / 2.0 / focal).atan().to_degrees()
            }
            _ => 0.0,
        }
    }

    fn view_height(&self) -> f64 {
        let height = f64::from(self.poses[0].1.height_px);
        match self.focal_y_px() {
            Some(focal) if self.projection == Projection::Orthographic => height / focal,
            _ => 0.0,
        }
    }
}

impl Operator for RenderPoses {
    fn output(&self) -> Schema {
        tables::view()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let mut renderer = Renderer::default();
        let (kept, rendered) =
            map_rows(batch.rows(), refusals, |row| self.render_row(&mut renderer, batch, row));
        let (all, pictures): (Vec<_>, Vec<_>) = rendered.into_iter().unzip();
        let [images, masks, depths, normals] = picture_values(pictures);
        let numbers = |index: usize| {
            Values::lists(all.iter().map(|one: &SamplePoses| {
                one.poses.iter().map(|(pose, _)| spherical(pose)[index]).collect::<Vec<f64>>()
            }))
        };
        let each = |get: fn(&SamplePoses) -> f64| Values::numbers(all.iter().map(get).collect());
        let sizes = |get: fn(&Intrinsics) -> u32| {
            Values::numbers(all.iter().map(|one| get(&one.poses[0].1)).collect::<Vec<u32>>())
        };
        let mut values = key_values(batch, &kept)?;
        values.extend([
            images,
            masks,
            depths,
            Values::numbers(vec![self.depth_scale; all.len()]),
            numbers(0),
            numbers(1),
            numbers(3),
            each(SamplePoses::fov_y_deg),
            sizes(|lens| lens.width_px),
            sizes(|lens| lens.height_px),
            normals,
            numbers(2),
            Values::utf8(all.iter().map(SamplePoses::projection_name)),
            each(SamplePoses::view_height),
            Values::utf8(all.iter().map(|_| "poses")),
        ]);
        Ok(Batch::new(self.output(), values)?)
    }

    fn bytes_per_row(&self) -> usize {
        self.most_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract_poses::ExtractPosesKind;
    use crate::render_views::RenderViewsKind;
    use crate::testing;

    fn operator(kind: &dyn Kind, json: &serde_json::Value) -> Arc<dyn Operator> {
        let params = Params(json.as_object().expect("an object").clone());
        let context = BuildContext { seed: 5, stage: "stage".to_owned() };
        match kind.build(&params, &context) {
            Ok(Stage::Operator(operator)) => operator,
            _ => panic!("an operator"),
        }
    }

    #[test]
    fn the_poses_of_views_give_the_same_views() {
        let mut mesh = testing::ball(0.5, 3);
        mesh.vertices[7] = [0.45, 0.1, 0.2];
        let meshes = testing::mesh_batch(&[mesh]);
        for projection in ["perspective", "orthographic"] {
            let json = serde_json::json!({
                "rig": "lsm20", "views": 5, "size": 48, "depth": true, "projection": projection,
            });
            let mut refusals = Refusals::default();
            let views = operator(&RenderViewsKind, &json).apply(&meshes, &mut refusals);
            let views = views.expect("views");
            let extract = operator(&ExtractPosesKind, &serde_json::json!({}));
            let poses = extract.apply(&views, &mut refusals).expect("poses");
            let both = meshes.beside(&poses).expect("side by side");
            let scale = views.numbers::<f64>("depth_scale").expect("numbers")[0];
            let json = serde_json::json!({ "depth": true, "depth_scale": scale });
            let again = operator(&RenderPosesKind, &json).apply(&both, &mut refusals);
            let again = again.expect("views");
            assert!(refusals.into_rows().is_empty());
            let depths = |batch: &Batch, view| {
                let images = batch.images("images").expect("pictures");
                let picture = voxflow_formats::picture::decode(images.bytes(0, view));
                picture.expect("a PNG").data
            };
            for view in 0..5 {
                // Poses are rounded to f32: a few samples at edges differ.
                let (a, b) = (depths(&views, view), depths(&again, view));
                let differing = a.iter().zip(&b).filter(|(a, b)| a.abs_diff(**b) > 1).count();
                assert!(differing < 40, "{projection} {view}: {differing}");
            }
            for (name, index) in [("azimuth_deg", 0), ("elevation_deg", 0), ("distance", 0)] {
                let list =
                    |batch: &Batch| batch.lists::<f64>(name).expect("numbers").value(0)[index];
                let difference = (list(&views) - list(&again)).rem_euclid(360.0);
                assert!(difference.min(360.0 - difference) < 1e-3, "{name} {difference}");
            }
            let mut refusals = Refusals::default();
            extract.apply(&again, &mut refusals).expect("a batch");
            assert_eq!(refusals.into_rows()[0].1.code, "bad_rig");
        }
    }

    #[test]
    fn poses_that_are_no_cameras_are_refused() {
        let meshes = testing::mesh_batch(&[testing::cuboid([-0.5; 3], [0.5; 3])]);
        let good = crate::kernels::camera_from_object(20.0, 30.0, 2.5).to_array().map(|x| x as f32);
        let lens = [60.0, 60.0, 32.0, 32.0];
        let code = |matrix: [f32; 16], lens: [f32; 4], sizes: &[u32], model: &str| {
            let mut values = testing::keys(1);
            values.push(Values::tensor_lists(16, [matrix.repeat(sizes.len() / 2)]));
            values.push(Values::tensor_lists(4, [lens.repeat(sizes.len() / 2)]));
            values.push(Values::tensor_lists(2, [sizes]));
            values.push(Values::utf8([model]));
            let poses = Batch::new(tables::pose(), values).expect("poses");
            let both = meshes.beside(&poses).expect("side by side");
            let mut refusals = Refusals::default();
            let render = operator(&RenderPosesKind, &serde_json::json!({}));
            render.apply(&both, &mut refusals).expect("a batch");
            refusals.into_rows().first().map(|(_, fault)| fault.code)
        };
        assert_eq!(code(good, lens, &[64, 64], "pinhole"), None);
        assert_eq!(code(good, lens, &[], "pinhole"), Some("bad_pose"));
        assert_eq!(code(good, lens, &[64, 64, 64, 32], "pinhole"), Some("bad_pose"));
        assert_eq!(code(good, lens, &[64, 0], "pinhole"), Some("bad_pose"));
        assert_eq!(code(good, lens, &[64, 64], "fisheye"), Some("bad_pose"));
        assert_eq!(code(good, lens, &[u32::MAX, 1], "pinhole"), Some("too_large"));
        assert_eq!(code(good, lens, &[2000, 2000].repeat(9), "pinhole"), Some("too_large"));
        assert_eq!(code(good.map(|x| 2.0 * x), lens, &[64, 64], "pinhole"), Some("bad_pose"));
        assert_eq!(code(good, [0.0, 60.0, 1.0, 1.0], &[64, 64], "pinhole"), Some("bad_pose"));
        assert_eq!(code([f32::NAN; 16], lens, &[64, 64], "pinhole"), Some("bad_pose"));
    }
}
