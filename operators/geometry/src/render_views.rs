//! `render_views`: pictures of a mesh from a rig of cameras.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Image, Inputs, Intrinsics, Kind, Operator, ParamError, Params,
    Refusals, Schema, Stage, TriMesh, Values, key_values, map_rows, mesh_of_row, tables,
};
use voxflow_formats::picture::{Picture, encode_png, encode_png_u16};

use crate::kernels::{
    RenderOptions, Rendering, Rig, RigView, Shading, check_triangles, fitting_distance, render,
    rig_views,
};
use crate::ranges::range_error;

/// Radius of the smallest ball about the origin that holds the unit cube: half the root of 3.
const UNIT_CUBE_RADIUS: f64 = 0.866_025_403_784_438_6;
/// The near plane, as a share of the camera's distance.
const NEAR_SHARE: f64 = 0.01;
/// Most samples along a side of a picture: 128 MiB of them.
const MAX_SAMPLES: u32 = 4096;

/// Parameters of `render_views`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderViewsParams {
    /// Where the cameras stand: `mvcnn12` (12 views, 30 degrees up, 30 degrees apart) or `random`
    /// (`views` of them, drawn anew for each sample).
    #[serde(default)]
    pub rig: RigChoice,
    /// Number of random views, 1 to 100; for `rig = "random"` only.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub views: Option<u32>,
    /// Lowest and highest elevation of random views in degrees, -90 to 90; 0 and 60 when not given;
    /// for `rig = "random"` only.
    #[serde(default)]
    pub elevation_deg: Option<[f64; 2]>,
    /// Width and height of each picture in pixels, 8 to 2048.
    #[serde(default = "default_size")]
    #[schemars(range(min = 8, max = 2048))]
    pub size: u32,
    /// Samples along a side of a pixel: 1, 2 or 4. Size times antialias is at most 4096.
    #[serde(default = "default_antialias")]
    pub antialias: u32,
    /// `flat`: one brightness a triangle. `smooth`: interpolated normals of shared vertices.
    #[serde(default)]
    pub shading: Shading,
    /// Full vertical angle of view in degrees, 1 to 150.
    #[serde(default = "default_fov_y_deg")]
    #[schemars(range(min = 1.0, max = 150.0))]
    pub fov_y_deg: f64,
    /// Distance of the cameras from the origin, in units of the mesh frame, up to 10000; when not
    /// given, such that the ball around the unit cube just fits the view.
    #[serde(default)]
    pub distance: Option<f64>,
    /// Whether to give depth pictures too.
    #[serde(default)]
    pub depth: bool,
    /// Whether to give silhouettes too.
    #[serde(default)]
    pub mask: bool,
}

/// Where the cameras stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RigChoice {
    /// Twelve views from 30 degrees above, 30 degrees apart, beginning on +Z.
    #[default]
    Mvcnn12,
    /// Any azimuth, any elevation between two, drawn anew for each sample.
    Random,
}

fn default_size() -> u32 {
    128
}

fn default_antialias() -> u32 {
    2
}

fn default_fov_y_deg() -> f64 {
    40.0
}

/// `render_views` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct RenderViewsKind;

impl Kind for RenderViewsKind {
    fn name(&self) -> &'static str {
        "render_views"
    }

    fn summary(&self) -> &'static str {
        "Renders every mesh from a rig of cameras: pictures, silhouettes, depths."
    }

    fn manual(&self) -> &'static str {
        "Takes table `mesh`, gives table `view`: RGBA pictures with transparent background and, if \
         asked for, masks and depths, and the numbers of the rig. `extract_poses` makes matrices of \
         them.\n\n\
         Cameras look at the origin, +Y up, so `normalize` first; a mesh that does not lie about the \
         origin is rendered where it is. Azimuth goes from +Z towards +X. By default the camera stands \
         where the ball around the unit cube just fits a view of 40 degrees: 2.532. `rig = \"mvcnn12\"` \
         is that of Su et al. 2015; `rig = \"random\"` draws azimuth from 0 to 360 and elevation from \
         `elevation_deg`, both uniform in degrees, from the pipeline's seed and the sample's id: the \
         same whatever the number of workers.\n\n\
         Everything is done in software, so it runs anywhere and repeats to the byte: z-buffer, \
         top-left rule, near plane at a hundredth of the distance, triangles seen from both sides, \
         Lambert shading under a light above the camera's left shoulder, averaged in linear light and \
         encoded as sRGB. The meshes are white: materials and textures are not read. Alpha is the share of a \
         pixel that is covered, masks are 255 where alpha is above 0, depth is that of the nearest \
         sample along the camera's axis, in steps of `depth_scale`, twice the distance in 65535 \
         steps; what is farther is clamped.\n\n\
         Meshes without triangles are refused (`no_triangles`), as are coordinates that are not finite \
         (`invalid_mesh`). A mesh out of view gives empty pictures.\n\n\
         Cost: about a millisecond a view at 128 pixels for some thousand triangles, PNG included; 8 \
         bytes of memory a sample."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["mesh"])
    }

    fn output(&self) -> &'static str {
        "view"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"views\"\nuse = \"render_views\"\nfrom = \"normal\"\n\
         rig = \"random\"\nviews = 24\nelevation_deg = [0.0, 60.0]\nsize = 64\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(RenderViewsParams)
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: RenderViewsParams = params.parse()?;
        let errors = param_errors(&params);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(RenderViews::new(&params, context.seed))))
    }
}

fn param_errors(params: &RenderViewsParams) -> Vec<ParamError> {
    let RenderViewsParams { size, antialias, fov_y_deg, distance, .. } = *params;
    let is_samples_bad =
        [1, 2, 4].contains(&antialias) && size.saturating_mul(antialias) > MAX_SAMPLES;
    let samples = || {
        let message = format!("size times antialias may be at most {MAX_SAMPLES}");
        ParamError::new("antialias", message)
    };
    let antialias_error =
        || ParamError::new("antialias", format!("must be 1, 2 or 4, not {antialias}"));
    let mut errors: Vec<_> = [
        range_error("size", size, 8..=2048),
        (![1, 2, 4].contains(&antialias)).then(antialias_error),
        is_samples_bad.then(samples),
        range_error("fov_y_deg", fov_y_deg, 1.0..=150.0),
        distance.and_then(|distance| range_error("distance", distance, 1e-3..=1e4)),
    ]
    .into_iter()
    .flatten()
    .collect();
    errors.extend(rig_errors(params));
    errors
}

fn rig_errors(params: &RenderViewsParams) -> Vec<ParamError> {
    if params.rig == RigChoice::Mvcnn12 {
        let given =
            [("views", params.views.is_some()), ("elevation_deg", params.elevation_deg.is_some())];
        let message = "has no meaning unless rig = \"random\"";
        let given = given.into_iter().filter(|(_, is_given)| *is_given);
        return given.map(|(key, _)| ParamError::new(key, message)).collect();
    }
    let views = match params.views {
        Some(views) => range_error("views", views, 1..=100),
        None => Some(ParamError::new("views", "is needed when rig = \"random\"")),
    };
    let elevation = params.elevation_deg.and_then(|[low, high]| {
        let is_good =
            (-90.0..=90.0).contains(&low) && (-90.0..=90.0).contains(&high) && low <= high;
        let message = format!("must be two rising angles from -90 to 90, not [{low}, {high}]");
        (!is_good).then(|| ParamError::new("elevation_deg", message))
    });
    [views, elevation].into_iter().flatten().collect()
}

/// `render_views`, ready to render.
struct RenderViews {
    rig: Rig,
    seed: u64,
    distance: f64,
    fov_y_deg: f64,
    intrinsics: Intrinsics,
    options: RenderOptions,
    depth: bool,
    mask: bool,
}

/// The encoded pictures of one sample and where they were taken from.
struct SampleViews {
    views: Vec<RigView>,
    images: Vec<Image>,
    masks: Vec<Image>,
    depths: Vec<Image>,
}

impl RenderViews {
    fn new(params: &RenderViewsParams, seed: u64) -> Self {
        let RenderViewsParams { size, fov_y_deg, shading, antialias, depth, mask, .. } = *params;
        let rig = match params.rig {
            RigChoice::Mvcnn12 => Rig::Mvcnn12,
            RigChoice::Random => Rig::Random {
                views: params.views.unwrap_or(1),
                elevation_deg: params.elevation_deg.unwrap_or([0.0, 60.0]),
            },
        };
        let distance =
            params.distance.unwrap_or_else(|| fitting_distance(UNIT_CUBE_RADIUS, fov_y_deg));
        let intrinsics = Intrinsics::from_fov_y_deg(fov_y_deg, size, size);
        let options = RenderOptions {
            shading,
            antialias,
            near: NEAR_SHARE * distance,
            ..RenderOptions::default()
        };
        Self { rig, seed, distance, fov_y_deg, intrinsics, options, depth, mask }
    }

    /// Length of one step of a depth picture: the steps reach to twice the camera's distance.
    fn depth_scale(&self) -> f64 {
        2.0 * self.distance / f64::from(u16::MAX)
    }

    fn render_sample(&self, mesh: &TriMesh, sample: &str) -> Result<SampleViews, Fault> {
        check_triangles(mesh)?;
        let views = rig_views(&self.rig, self.distance, self.seed, sample);
        let (mut images, mut masks, mut depths) = (vec![], vec![], vec![]);
        for (number, view) in views.iter().enumerate() {
            let image =
                |name: &str, bytes| Image { bytes, path: Some(format!("{name}_{number:03}.png")) };
            let picture =
                render(mesh, None, &view.camera_from_object(), &self.intrinsics, &self.options);
            if self.mask {
                masks.push(image("mask", encode_mask(&picture)?));
            }
            if self.depth {
                depths.push(image("depth", encode_depth(&picture, self.depth_scale())?));
            }
            images.push(image("view", encode_color(picture)?));
        }
        Ok(SampleViews { views, images, masks, depths })
    }
}

fn encode_color(picture: Rendering) -> Result<Vec<u8>, Fault> {
    let Rendering { width_px: width, height_px: height, rgba: data, .. } = picture;
    Ok(encode_png(&Picture { width, height, channels: 4, data })?)
}

fn encode_mask(picture: &Rendering) -> Result<Vec<u8>, Fault> {
    let (width, height) = (picture.width_px, picture.height_px);
    let pixels = picture.rgba.as_chunks::<4>().0;
    let data = pixels.iter().map(|pixel| if pixel[3] > 0 { 255 } else { 0 }).collect();
    Ok(encode_png(&Picture { width, height, channels: 1, data })?)
}

/// Rounds depths to steps; a covered pixel is at least 1, so that 0 means background only.
fn encode_depth(picture: &Rendering, depth_scale: f64) -> Result<Vec<u8>, Fault> {
    let step = |depth: &f32| match f64::from(*depth) / depth_scale {
        steps if steps > 0.0 => steps.round().clamp(1.0, f64::from(u16::MAX)) as u16,
        _ => 0,
    };
    let samples: Vec<u16> = picture.depth.iter().map(step).collect();
    Ok(encode_png_u16(picture.width_px, picture.height_px, &samples)?)
}

impl Operator for RenderViews {
    fn output(&self) -> Schema {
        tables::view()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let samples = batch.utf8("sample")?;
        let (kept, mut rendered) = map_rows(batch.rows(), refusals, |row| {
            self.render_sample(&mesh_of_row(batch, row)?, samples.value(row))
        });
        let rows = rendered.len();
        let take = |pick: fn(&mut SampleViews) -> &mut Vec<Image>, all: &mut [SampleViews]| {
            Values::images(&all.iter_mut().map(|s| std::mem::take(pick(s))).collect::<Vec<_>>())
        };
        let mut values = key_values(batch, &kept)?;
        values.push(take(|sample| &mut sample.images, &mut rendered));
        values.push(take(|sample| &mut sample.masks, &mut rendered));
        values.push(take(|sample| &mut sample.depths, &mut rendered));
        values.push(Values::numbers(vec![self.depth_scale(); rows]));
        let numbers = |get: fn(&RigView) -> f64| {
            Values::lists(rendered.iter().map(|s| s.views.iter().map(get).collect::<Vec<f64>>()))
        };
        values.push(numbers(|view| view.azimuth_deg));
        values.push(numbers(|view| view.elevation_deg));
        values.push(numbers(|view| view.distance));
        values.push(Values::numbers(vec![self.fov_y_deg; rows]));
        values.push(Values::numbers(vec![self.intrinsics.width_px; rows]));
        values.push(Values::numbers(vec![self.intrinsics.height_px; rows]));
        Ok(Batch::new(self.output(), values)?)
    }

    fn bytes_per_row(&self) -> usize {
        let channels = 4 + usize::from(self.mask) + 2 * usize::from(self.depth);
        let pixels = self.intrinsics.width_px as usize * self.intrinsics.height_px as usize;
        // Deflate of what cannot be compressed grows by less than a hundredth; a row has a filter
        // byte; a file, its name and its numbers are below a kibibyte.
        let raw = channels * pixels;
        self.rig.views() * (raw + raw / 64 + 3 * (self.intrinsics.height_px as usize + 1024))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_formats::picture::decode;

    fn stage(json: &serde_json::Value) -> Result<RenderViews, Vec<ParamError>> {
        let params: RenderViewsParams =
            Params(json.as_object().expect("an object").clone()).parse()?;
        let errors = param_errors(&params);
        if errors.is_empty() { Ok(RenderViews::new(&params, 7)) } else { Err(errors) }
    }

    #[test]
    fn views_come_with_masks_depths_and_the_numbers_of_the_rig() {
        let json = serde_json::json!({ "size": 32, "depth": true, "mask": true });
        let stage = stage(&json).expect("good parameters");
        let meshes = [testing::cuboid([-0.5; 3], [0.5; 3]), TriMesh::default()];
        let batch = testing::mesh_batch(&meshes);
        let mut refusals = Refusals::default();
        let output = stage.apply(&batch, &mut refusals).expect("a batch");
        assert_eq!(refusals.into_rows()[0].1.code, "no_triangles");
        assert_eq!(output.rows(), 1);
        assert!((stage.distance - 2.532).abs() < 1e-3);
        let azimuths = output.lists::<f64>("azimuth_deg").expect("numbers").value(0);
        assert_eq!((azimuths.len(), azimuths[11]), (12, 330.0));
        let images = output.images("images").expect("pictures");
        let picture = decode(images.bytes(0, 3)).expect("a PNG");
        assert_eq!((picture.width, picture.height, picture.channels), (32, 32, 4));
        assert_eq!(picture.data[3], 0);
        assert!(picture.data[(16 * 32 + 16) * 4 + 3] == 255);
        assert_eq!(images.path(0, 3), Some("view_003.png"));
        let mask = decode(output.images("masks").expect("masks").bytes(0, 3)).expect("a PNG");
        let alpha = picture.data.chunks(4).map(|pixel| pixel[3] > 0);
        assert!(mask.data.chunks(mask.channels.into()).map(|p| p[0] == 255).eq(alpha));
        assert_eq!(output.images("depths").expect("depths").count(0), 12);
        assert!(output.bytes() < stage.bytes_per_row() + 64);
        let again = stage.apply(&batch, &mut Refusals::default()).expect("a batch");
        assert_eq!(output, again);
    }

    #[test]
    fn depths_are_steps_of_the_scale() {
        let picture = Rendering {
            width_px: 2,
            height_px: 2,
            rgba: vec![0; 16],
            depth: vec![0.0, 1e-9, 1.5, 1e9],
            ..Rendering::default()
        };
        let png = encode_depth(&picture, 0.001).expect("a PNG");
        assert_eq!(png, encode_png_u16(2, 2, &[0, 1, 1500, 65535]).expect("a PNG"));
    }

    #[test]
    fn bad_parameters_are_all_named() {
        let keys = |json: serde_json::Value| -> Vec<String> {
            stage(&json).err().unwrap_or_default().into_iter().map(|error| error.key).collect()
        };
        let bad = serde_json::json!({ "size": 4, "antialias": 3, "fov_y_deg": 0.0, "views": 3 });
        assert_eq!(keys(bad), ["size", "antialias", "fov_y_deg", "views"]);
        assert_eq!(keys(serde_json::json!({ "rig": "random" })), ["views"]);
        let upside_down =
            serde_json::json!({ "rig": "random", "views": 2, "elevation_deg": [60.0, 0.0] });
        assert_eq!(keys(upside_down), ["elevation_deg"]);
        assert_eq!(keys(serde_json::json!({ "size": 2048, "antialias": 4 })), ["antialias"]);
        assert_eq!(keys(serde_json::json!({})), [""; 0]);
    }

    #[test]
    fn random_views_differ_between_samples_and_stay_for_each() {
        let json = serde_json::json!({ "rig": "random", "views": 2, "size": 16 });
        let stage = stage(&json).expect("good parameters");
        let cube = testing::cuboid([-0.5; 3], [0.5; 3]);
        let both = testing::mesh_batch(&[cube.clone(), cube]);
        let output = stage.apply(&both, &mut Refusals::default()).expect("a batch");
        let azimuths = output.lists::<f64>("azimuth_deg").expect("numbers");
        assert_ne!(azimuths.value(0), azimuths.value(1));
        let second = stage.apply(&both.slice(1, 1), &mut Refusals::default()).expect("a batch");
        assert_eq!(
            second.lists::<f64>("azimuth_deg").expect("numbers").value(0),
            azimuths.value(1)
        );
    }
}
