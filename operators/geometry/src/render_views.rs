//! `render_views`: pictures of a mesh from a rig of cameras.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Intrinsics, Kind, Operator, ParamError, Params, Refusals,
    Schema, Stage, Values, appearance_of_row, key_values, map_rows, mesh_of_row, tables,
};

use crate::kernels::{
    Faces, Projection, RenderOptions, Renderer, Rig, RigView, Shading, rig_views,
    unit_cube_distance,
};
use crate::ranges::range_error;
use crate::studio::{
    BackgroundChoice, ColorsChoice, SamplePictures, Studio, antialias_error, background_error,
    picture_values,
};

/// The near plane, as a share of the camera's distance.
const NEAR_SHARE: f64 = 0.01;
/// Height of an orthographic picture: the diagonal of the unit cube, which is in view from everywhere.
const VIEW_HEIGHT: f64 = 1.732_050_807_568_877_2;

/// Parameters of `render_views`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderViewsParams {
    /// Where the cameras stand.
    #[serde(default)]
    pub rig: RigChoice,
    /// Number of views, 1 to 100; for `rig = "random"`, which needs it, `"r2n2"` (24 when not given) and
    /// `"lsm20"` (20).
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub views: Option<u32>,
    /// Lowest and highest elevation of random views in degrees, -90 to 90; 0 and 60 when not given;
    /// for `rig = "random"` only.
    #[serde(default)]
    pub elevation_deg: Option<[f64; 2]>,
    /// Width and height of each picture in pixels, 8 to 2048; when not given, the rig's.
    #[serde(default)]
    #[schemars(range(min = 8, max = 2048))]
    pub size: Option<u32>,
    /// Samples along a side of a pixel: 1, 2 or 4. Size times antialias is at most 4096.
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
    /// `perspective` or `orthographic`.
    #[serde(default)]
    pub projection: ProjectionChoice,
    /// Full vertical angle of view in degrees, 1 to 150; when not given, the rig's. Not for orthographic
    /// views.
    #[serde(default)]
    #[schemars(range(min = 1.0, max = 150.0))]
    pub fov_y_deg: Option<f64>,
    /// Height of an orthographic picture in units of the mesh frame, up to 10000; when not given, the
    /// diagonal of the unit cube, 1.732. For orthographic views only.
    #[serde(default)]
    pub view_height: Option<f64>,
    /// Distance of the cameras from the origin, in units of the mesh frame, up to 10000; when not
    /// given, the rig's, or else such that the ball around the unit cube just fits the view.
    #[serde(default)]
    pub distance: Option<f64>,
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

/// Where the cameras stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RigChoice {
    /// Twelve views from 30 degrees above, 30 degrees apart, beginning on +Z; 224 pixels.
    #[default]
    Mvcnn12,
    /// As 3D-R2N2: azimuth from all around, elevation 25 to 30 degrees, distance 1.1375 to 1.6625, angle
    /// of view 49.13 degrees; 137 pixels.
    R2n2,
    /// As Kato et al.: 24 views from 30 degrees above, 15 degrees apart, from a distance of 2.732 with an
    /// angle of view of 30 degrees; 64 pixels.
    Kato24,
    /// In the range of LSM: azimuth from all around, elevation -20 to 40 degrees, angle of view 29.8628
    /// degrees; 224 pixels.
    Lsm20,
    /// As RotationNet: twenty views from the corners of a dodecahedron; 224 pixels.
    Dodecahedron20,
    /// Any azimuth, any elevation between two, drawn anew for each sample; 128 pixels.
    Random,
}

impl RigChoice {
    /// What the table calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Mvcnn12 => "mvcnn12",
            Self::R2n2 => "r2n2",
            Self::Kato24 => "kato24",
            Self::Lsm20 => "lsm20",
            Self::Dodecahedron20 => "dodecahedron20",
            Self::Random => "random",
        }
    }

    fn rig(self, views: Option<u32>, elevation_deg: Option<[f64; 2]>) -> Rig {
        match self {
            Self::Mvcnn12 => Rig::Mvcnn12,
            Self::R2n2 => Rig::R2n2 { views: views.unwrap_or(24) },
            Self::Kato24 => Rig::Kato24,
            Self::Lsm20 => Rig::Lsm20 { views: views.unwrap_or(20) },
            Self::Dodecahedron20 => Rig::Dodecahedron20,
            Self::Random => Rig::Random {
                views: views.unwrap_or(1),
                elevation_deg: elevation_deg.unwrap_or([0.0, 60.0]),
            },
        }
    }
}

/// How points become pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionChoice {
    /// A pinhole.
    #[default]
    Perspective,
    /// Parallel rays.
    Orthographic,
}

fn default_antialias() -> u32 {
    2
}

/// `render_views` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct RenderViewsKind;

impl Kind for RenderViewsKind {
    fn name(&self) -> &'static str {
        "render_views"
    }

    fn summary(&self) -> &'static str {
        "Renders every mesh from a rig of cameras: pictures, silhouettes, depths, normals."
    }

    fn manual(&self) -> &'static str {
        "Takes table `mesh`, gives table `view`: RGBA pictures and, if asked for, masks, depths and \
         normals, and the numbers of the rig. `extract_poses` makes matrices of them.\n\n\
         Cameras look at the origin, +Y up, so `normalize` first; a mesh that does not lie about the \
         origin is rendered where it is. Azimuth goes from +Z (0) towards +X (90). The camera stands \
         where the ball around the unit cube just fits the view, unless the rig or `distance` says \
         otherwise: 2.532 for 40 degrees.\n\n\
         Rigs, each with a size, angle and distance that parameters may override:\n\
         - `mvcnn12` (Su et al. 2015): elevation 30, azimuth 0, 30, 60 ...; 224 px, 40 degrees.\n\
         - `r2n2` (Choy et al. 2016): 24 views, azimuth uniform, elevation uniform from 25 to 30, 0.65 to \
         0.95 of the distance of 1.75; 137 px, 49.13 degrees (what its pictures have, not the 25 of its \
         metadata). An azimuth a of its metadata is 90 - a here.\n\
         - `kato24` (Kato et al. 2018): elevation 30, azimuth 0, -15, -30 ..., distance 2.732; 64 px, 30 \
         degrees. Their frame is left-handed: their z is minus ours.\n\
         - `lsm20` (Kar et al. 2017): 20 views, azimuth uniform, elevation uniform from -20 to 40; 224 px, \
         29.8628 degrees. Its data set varies the distance by a rule that is not known; here it is fixed.\n\
         - `dodecahedron20` (Kanezaki et al. 2018): from the corners of a regular dodecahedron that stands \
         on an edge, the highest first, then by azimuth; 224 px, 40 degrees.\n\
         - `random`: `views` of them, azimuth uniform, elevation uniform in `elevation_deg`; 128 px, 40 \
         degrees.\n\n\
         What is random comes from the pipeline's seed and the sample's id: the same whatever the number \
         of workers.\n\n\
         Everything is done in software, so it runs anywhere and repeats to the byte: z-buffer, \
         top-left rule, near plane at a hundredth of the distance, Lambert shading under a light above \
         the camera's left shoulder, averaged in linear light and encoded as sRGB. A sample shows the \
         triangle that the ray through its centre meets first, of equally near ones that with the smaller \
         number. `colors = \"material\"` multiplies the colours of vertices, materials and textures \
         (bilinear, repeated, v upwards); alpha of colours is not looked at, all surfaces are opaque. \
         Random colours and random backgrounds are noise in three layers between two random colours. \
         Alpha is the share of a pixel that is covered, or 255 before a background; masks are 255 where \
         any of it is covered; depth is that of the nearest sample along the camera's axis, in steps of \
         `depth_scale`, twice the distance in 65535 steps; what is farther is clamped. Normals are in the \
         camera frame (x right, y down, z forward), turned to the camera, 127.5 + 127.5 n.\n\n\
         Meshes without triangles are refused (`no_triangles`), as are coordinates that are not finite \
         (`invalid_mesh`), colours that do not fit the mesh (`bad_appearance`) and textures that cannot be \
         decoded (`bad_texture`), the last two only where they would be used. A mesh out of view gives \
         empty pictures.\n\n\
         Cost: 0.1 to 0.3 ms a view at 224 pixels without antialiasing for some thousand triangles, some \
         10 ms for a million, and as much for a PNG of 224 pixels as for its view; random textures some \
         0.1 us a pixel; 8 bytes of memory a sample, 48 a triangle."
    }

    fn version(&self) -> u32 {
        3
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
    let RenderViewsParams { antialias, fov_y_deg, distance, view_height, projection, .. } = *params;
    let size = params.size();
    let is_orthographic = projection == ProjectionChoice::Orthographic;
    let fov_meaning = "has no meaning if projection = \"orthographic\"";
    let height_meaning = "has no meaning unless projection = \"orthographic\"";
    let mut errors: Vec<_> = [
        range_error("size", size, 8..=2048),
        antialias_error(antialias, size),
        background_error(params.background, params.background_color),
        fov_y_deg.and_then(|fov| range_error("fov_y_deg", fov, 1.0..=150.0)),
        fov_y_deg.filter(|_| is_orthographic).map(|_| ParamError::new("fov_y_deg", fov_meaning)),
        view_height.and_then(|height| range_error("view_height", height, 1e-3..=1e4)),
        view_height
            .filter(|_| !is_orthographic)
            .map(|_| ParamError::new("view_height", height_meaning)),
        distance.and_then(|distance| range_error("distance", distance, 1e-3..=1e4)),
    ]
    .into_iter()
    .flatten()
    .collect();
    errors.extend(rig_errors(params));
    errors
}

fn rig_errors(params: &RenderViewsParams) -> Vec<ParamError> {
    let RenderViewsParams { rig, views, elevation_deg, .. } = *params;
    let is_drawn = matches!(rig, RigChoice::Random | RigChoice::R2n2 | RigChoice::Lsm20);
    let views = match views {
        Some(_) if !is_drawn => {
            let message = "has no meaning unless rig is \"random\", \"r2n2\" or \"lsm20\"";
            Some(ParamError::new("views", message))
        }
        Some(views) => range_error("views", views, 1..=100),
        None if rig == RigChoice::Random => {
            Some(ParamError::new("views", "is needed when rig = \"random\""))
        }
        None => None,
    };
    let elevation = elevation_deg.and_then(|[low, high]| {
        if rig != RigChoice::Random {
            let message = "has no meaning unless rig = \"random\"";
            return Some(ParamError::new("elevation_deg", message));
        }
        let is_good =
            (-90.0..=90.0).contains(&low) && (-90.0..=90.0).contains(&high) && low <= high;
        let message = format!("must be two rising angles from -90 to 90, not [{low}, {high}]");
        (!is_good).then(|| ParamError::new("elevation_deg", message))
    });
    [views, elevation].into_iter().flatten().collect()
}

impl RenderViewsParams {
    fn rig(&self) -> Rig {
        self.rig.rig(self.views, self.elevation_deg)
    }

    fn size(&self) -> u32 {
        self.size.unwrap_or(self.rig().defaults().size_px)
    }
}

/// `render_views`, ready to render.
struct RenderViews {
    rig: Rig,
    rig_name: &'static str,
    seed: u64,
    distance: f64,
    /// 0 for an orthographic view.
    fov_y_deg: f64,
    /// 0 for a perspective view.
    view_height: f64,
    intrinsics: Intrinsics,
    projection: Projection,
    studio: Studio,
}

/// The pictures of one sample and where they were taken from.
type SampleViews = (Vec<RigView>, SamplePictures);

impl RenderViews {
    fn new(params: &RenderViewsParams, seed: u64) -> Self {
        let (rig, size) = (params.rig(), params.size());
        let defaults = rig.defaults();
        let fov_y_deg = params.fov_y_deg.unwrap_or(defaults.fov_y_deg);
        let distance = params.distance.or(defaults.distance);
        let distance = distance.unwrap_or_else(|| unit_cube_distance(fov_y_deg));
        let (projection, fov_y_deg, view_height, intrinsics) = match params.projection {
            ProjectionChoice::Perspective => {
                let intrinsics = Intrinsics::from_fov_y_deg(fov_y_deg, size, size);
                (Projection::Perspective, fov_y_deg, 0.0, intrinsics)
            }
            ProjectionChoice::Orthographic => {
                let height = params.view_height.unwrap_or(VIEW_HEIGHT);
                (Projection::Orthographic, 0.0, height, orthographic_intrinsics(height, size, size))
            }
        };
        let options = RenderOptions {
            shading: params.shading,
            faces: params.faces,
            antialias: params.antialias,
            near: NEAR_SHARE * distance,
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
        let rig_name = params.rig.name();
        Self {
            rig,
            rig_name,
            seed,
            distance,
            fov_y_deg,
            view_height,
            intrinsics,
            projection,
            studio,
        }
    }

    /// Length of one step of a depth picture: the steps reach to twice the camera's distance.
    fn depth_scale(&self) -> f64 {
        2.0 * self.distance / f64::from(u16::MAX)
    }

    fn render_row(
        &self,
        renderer: &mut Renderer,
        batch: &Batch,
        row: usize,
    ) -> Result<SampleViews, Fault> {
        let sample = batch.utf8("sample")?.value(row);
        let (mesh, look) = (mesh_of_row(batch, row)?, appearance_of_row(batch, row)?);
        let views = rig_views(&self.rig, self.distance, self.seed, sample);
        let poses: Vec<_> =
            views.iter().map(|view| (view.camera_from_object(), self.intrinsics)).collect();
        let (poses, scale) = ((self.projection, poses.as_slice()), self.depth_scale());
        let pictures = self.studio.shoot(renderer, &mesh, &look, poses, sample, scale)?;
        Ok((views, pictures))
    }
}

/// Intrinsics of an orthographic view: focal lengths in pixels per unit of the mesh.
pub(crate) fn orthographic_intrinsics(height: f64, width_px: u32, height_px: u32) -> Intrinsics {
    let scale_px = f64::from(height_px) / height;
    Intrinsics {
        focal_x_px: scale_px,
        focal_y_px: scale_px,
        center_x_px: f64::from(width_px) / 2.0,
        center_y_px: f64::from(height_px) / 2.0,
        width_px,
        height_px,
    }
}

impl Operator for RenderViews {
    fn output(&self) -> Schema {
        tables::view()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let mut renderer = Renderer::default();
        let (kept, rendered) =
            map_rows(batch.rows(), refusals, |row| self.render_row(&mut renderer, batch, row));
        let rows = rendered.len();
        let (views, pictures): (Vec<_>, Vec<_>) = rendered.into_iter().unzip();
        let [images, masks, depths, normals] = picture_values(pictures);
        let numbers = |get: fn(&RigView) -> f64| {
            Values::lists(views.iter().map(|all| all.iter().map(get).collect::<Vec<f64>>()))
        };
        let projection = match self.projection {
            Projection::Perspective => "perspective",
            Projection::Orthographic => "orthographic",
        };
        let mut values = key_values(batch, &kept)?;
        values.extend([
            images,
            masks,
            depths,
            Values::numbers(vec![self.depth_scale(); rows]),
            numbers(|view| view.azimuth_deg),
            numbers(|view| view.elevation_deg),
            numbers(|view| view.distance),
            Values::numbers(vec![self.fov_y_deg; rows]),
            Values::numbers(vec![self.intrinsics.width_px; rows]),
            Values::numbers(vec![self.intrinsics.height_px; rows]),
            normals,
            numbers(|view| view.roll_deg),
            Values::utf8((0..rows).map(|_| projection)),
            Values::numbers(vec![self.view_height; rows]),
            Values::utf8((0..rows).map(|_| self.rig_name)),
        ]);
        Ok(Batch::new(self.output(), values)?)
    }

    fn bytes_per_row(&self) -> usize {
        let Intrinsics { width_px, height_px, .. } = self.intrinsics;
        self.rig.views() * self.studio.bytes_per_view(width_px, height_px)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::TriMesh;
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
    fn bad_parameters_are_all_named() {
        let keys = |json: serde_json::Value| -> Vec<String> {
            stage(&json).err().unwrap_or_default().into_iter().map(|error| error.key).collect()
        };
        let bad = serde_json::json!({ "size": 4, "antialias": 3, "fov_y_deg": 0.0, "views": 3 });
        assert_eq!(keys(bad), ["size", "antialias", "fov_y_deg", "views"]);
        assert_eq!(keys(serde_json::json!({ "rig": "random" })), ["views"]);
        assert_eq!(keys(serde_json::json!({ "rig": "r2n2", "views": 101 })), ["views"]);
        assert_eq!(
            keys(serde_json::json!({ "background_color": [0, 0, 0] })),
            ["background_color"]
        );
        let flat = serde_json::json!({ "projection": "orthographic", "fov_y_deg": 30.0 });
        assert_eq!(keys(flat), ["fov_y_deg"]);
        assert_eq!(keys(serde_json::json!({ "view_height": 2.0 })), ["view_height"]);
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

    #[test]
    fn every_rig_brings_its_size_and_every_choice_renders() {
        let cube = testing::cuboid([-0.5; 3], [0.5; 3]);
        let batch = testing::mesh_batch(&[cube]);
        let sizes = [
            ("mvcnn12", 224, 12),
            ("r2n2", 137, 24),
            ("kato24", 64, 24),
            ("lsm20", 224, 20),
            ("dodecahedron20", 224, 20),
        ];
        for (rig, size, views) in sizes {
            let json = serde_json::json!({ "rig": rig, "normals": true, "antialias": 1 });
            let stage = stage(&json).expect("good parameters");
            let output = stage.apply(&batch, &mut Refusals::default()).expect("a batch");
            assert_eq!(output.numbers::<u32>("width_px").expect("numbers")[0], size);
            assert_eq!(output.images("normal_maps").expect("normals").count(0), views);
            assert_eq!(output.utf8("rig").expect("names").value(0), rig);
            assert!(output.bytes() < stage.bytes_per_row() + 64);
        }
        for colors in ["white", "material", "random"] {
            for background in ["transparent", "color", "random_color", "random_texture"] {
                let json = serde_json::json!({
                    "rig": "random", "views": 2, "size": 16, "mask": true, "colors": colors,
                    "background": background, "projection": "orthographic",
                });
                let stage = stage(&json).expect("good parameters");
                let output = stage.apply(&batch, &mut Refusals::default()).expect("a batch");
                let image = |column: &str| {
                    decode(output.images(column).expect("pictures").bytes(0, 1)).expect("a PNG")
                };
                let (picture, mask) = (image("images"), image("masks"));
                let is_opaque = picture.data.chunks(4).all(|pixel| pixel[3] == 255);
                assert_eq!(is_opaque, background != "transparent");
                assert!(mask.data.contains(&0) && mask.data.contains(&255));
                let [first, second] = [0, 1].map(|view| {
                    let images = output.images("images").expect("pictures");
                    decode(images.bytes(0, view)).expect("a PNG").data[..3].to_vec()
                });
                assert_eq!(first != second, background.starts_with("random"), "{background}");
                assert_eq!(output, stage.apply(&batch, &mut Refusals::default()).expect("a batch"));
            }
        }
    }
}
