//! Studio: what `render_views` and `render_poses` share, from cameras to encoded pictures.

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Appearance, Camera, Fault, Image, Intrinsics, Object, ParamError, Random, Transform, TriMesh,
    Values,
};
use voxflow_formats::picture::{Picture, encode_png, encode_png_u16};

use crate::kernels::{
    Background, Colors, Noise, Outputs, Paint, Projection, RenderOptions, Renderer, Rendering,
    Scene, Shading, Shot, check_triangles,
};

/// Where the colours of the surface come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColorsChoice {
    /// All is white.
    #[default]
    White,
    /// The mesh's own colours of vertices, materials and textures, multiplied.
    Material,
    /// Random colours in the space of the mesh, drawn anew for each sample.
    Random,
}

/// What is seen where the mesh is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackgroundChoice {
    /// Nothing: pictures have alpha.
    #[default]
    Transparent,
    /// The colour `background_color`.
    Color,
    /// A random colour, drawn anew for each view.
    RandomColor,
    /// Random colours over the picture, drawn anew for each view.
    RandomTexture,
}

/// White, as a background.
const WHITE: [u8; 3] = [255; 3];

/// What is wrong with a colour for this background.
pub(crate) fn background_error(
    background: BackgroundChoice,
    color: Option<[u8; 3]>,
) -> Option<ParamError> {
    let message = "has no meaning unless background = \"color\"";
    (color.is_some() && background != BackgroundChoice::Color)
        .then(|| ParamError::new("background_color", message))
}

/// What is wrong with `antialias`, with sides of `size` pixels.
pub(crate) fn antialias_error(antialias: u32, size: u32) -> Option<ParamError> {
    let most = crate::kernels::MAX_SAMPLES;
    let message = if ![1, 2, 4].contains(&antialias) {
        format!("must be 1, 2 or 4, not {antialias}")
    } else if size.saturating_mul(antialias) > most {
        format!("size times antialias may be at most {most}")
    } else {
        return None;
    };
    Some(ParamError::new("antialias", message))
}

/// Takes the pictures of samples.
pub(crate) struct Studio {
    /// Of random colours.
    pub(crate) seed: u64,
    /// `projection`, `colors`, `background` and `outputs` in it are not looked at.
    pub(crate) options: RenderOptions,
    pub(crate) colors: ColorsChoice,
    pub(crate) background: BackgroundChoice,
    pub(crate) background_color: Option<[u8; 3]>,
    pub(crate) mask: bool,
    pub(crate) depth: bool,
    pub(crate) normals: bool,
}

/// One camera.
pub(crate) type Pose = (Transform<Camera, Object>, Intrinsics);

/// The encoded pictures of one sample.
#[derive(Default)]
pub(crate) struct SamplePictures {
    images: Vec<Image>,
    masks: Vec<Image>,
    depths: Vec<Image>,
    normals: Vec<Image>,
}

impl Studio {
    /// The pictures of a sample; depths are in steps of `depth_scale`.
    pub(crate) fn shoot(
        &self,
        renderer: &mut Renderer,
        mesh: &TriMesh,
        look: &Appearance,
        (projection, poses): (Projection, &[Pose]),
        sample: &str,
        depth_scale: f64,
    ) -> Result<SamplePictures, Fault> {
        check_triangles(mesh)?;
        let is_look_used =
            self.colors == ColorsChoice::Material || self.options.shading == Shading::Smooth;
        let paint = if is_look_used { Some(Paint::new(mesh, look)?) } else { None };
        let shots: Vec<Shot> = poses
            .iter()
            .enumerate()
            .map(|(view, (camera_from_object, intrinsics))| Shot {
                camera_from_object: *camera_from_object,
                intrinsics: *intrinsics,
                background: self.background(sample, view),
            })
            .collect();
        let scene = Scene { mesh, paint: paint.as_ref() };
        let (mut pictures, mut fault) = (SamplePictures::default(), None);
        renderer.render(&scene, &shots, &self.options(projection, sample), |view, picture| {
            if let Err(error) = pictures.push(self, view, picture, depth_scale) {
                fault.get_or_insert(error);
            }
        });
        fault.map_or(Ok(pictures), Err)
    }

    fn options(&self, projection: Projection, sample: &str) -> RenderOptions {
        let colors = match self.colors {
            ColorsChoice::White => Colors::White,
            ColorsChoice::Material => Colors::Material,
            ColorsChoice::Random => {
                Colors::Noise(Noise::new(&mut Random::new(self.seed, &["surface", sample])))
            }
        };
        let outputs =
            Outputs { color: true, coverage: self.mask, depth: self.depth, normals: self.normals };
        RenderOptions { projection, colors, outputs, ..self.options }
    }

    fn background(&self, sample: &str, view: usize) -> Background {
        let mut random = Random::new(self.seed, &["background", sample, &view.to_string()]);
        match self.background {
            BackgroundChoice::Transparent => Background::Transparent,
            BackgroundChoice::Color => Background::Color(self.background_color.unwrap_or(WHITE)),
            BackgroundChoice::RandomColor => {
                Background::Color([0; 3].map(|_: i32| random.below(256) as u8))
            }
            BackgroundChoice::RandomTexture => Background::Noise(Noise::new(&mut random)),
        }
    }

    /// Bytes that the pictures of one view of this size take at most, with what stands around them.
    pub(crate) fn bytes_per_view(&self, width_px: u32, height_px: u32) -> usize {
        let channels = 4
            + usize::from(self.mask)
            + 2 * usize::from(self.depth)
            + 4 * usize::from(self.normals);
        let raw = channels * width_px as usize * height_px as usize;
        // Deflate of what cannot be compressed grows by less than a hundredth; a row has a filter
        // byte; a file, its name and its numbers are below a kibibyte.
        raw + raw / 64 + 4 * (height_px as usize + 1024)
    }
}

impl SamplePictures {
    fn push(
        &mut self,
        studio: &Studio,
        view: usize,
        picture: &mut Rendering,
        depth_scale: f64,
    ) -> Result<(), Fault> {
        let image =
            |name: &str, bytes| Image { bytes, path: Some(format!("{name}_{view:03}.png")) };
        if studio.mask {
            self.masks.push(image("mask", encode_mask(picture)?));
        }
        if studio.depth {
            self.depths.push(image("depth", encode_depth(picture, depth_scale)?));
        }
        if studio.normals {
            self.normals.push(image("normal", encode_normals(picture)?));
        }
        self.images.push(image("view", encode_color(picture)?));
        Ok(())
    }
}

/// The columns of pictures of all samples: images, masks, depths, normals.
pub(crate) fn picture_values(samples: Vec<SamplePictures>) -> [Values; 4] {
    let mut lists: [Vec<Vec<Image>>; 4] = Default::default();
    for SamplePictures { images, masks, depths, normals } in samples {
        for (list, pictures) in lists.iter_mut().zip([images, masks, depths, normals]) {
            list.push(pictures);
        }
    }
    lists.map(|list| Values::images(&list))
}

/// Takes the pixels out of the picture, which are its alone.
fn encode_color(picture: &mut Rendering) -> Result<Vec<u8>, Fault> {
    encode(picture.width_px, picture.height_px, 4, &mut picture.rgba)
}

/// Encodes samples and gives them back, so that their memory serves the next picture.
fn encode(width: u32, height: u32, channels: u8, samples: &mut Vec<u8>) -> Result<Vec<u8>, Fault> {
    let picture = Picture { width, height, channels, data: std::mem::take(samples) };
    let png = encode_png(&picture);
    *samples = picture.data;
    Ok(png?)
}

fn encode_mask(picture: &Rendering) -> Result<Vec<u8>, Fault> {
    let mut mask: Vec<u8> =
        picture.coverage.iter().map(|covered| if *covered > 0 { 255 } else { 0 }).collect();
    encode(picture.width_px, picture.height_px, 1, &mut mask)
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

/// A unit normal n as 127.5 + 127.5 n; alpha 0 where there is none.
fn encode_normals(picture: &Rendering) -> Result<Vec<u8>, Fault> {
    let byte = |x: f32| (127.5 + 127.5 * x).round() as u8;
    let pixel = |normal: &[f32; 3]| match *normal {
        [0.0, 0.0, 0.0] => [0; 4],
        [x, y, z] => [byte(x), byte(y), byte(z), 255],
    };
    let mut samples: Vec<u8> = picture.normals.iter().flat_map(pixel).collect();
    encode(picture.width_px, picture.height_px, 4, &mut samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_are_steps_of_the_scale() {
        let picture = Rendering {
            width_px: 2,
            height_px: 2,
            depth: vec![0.0, 1e-9, 1.5, 1e9],
            ..Rendering::default()
        };
        let png = encode_depth(&picture, 0.001).expect("a PNG");
        assert_eq!(png, encode_png_u16(2, 2, &[0, 1, 1500, 65535]).expect("a PNG"));
    }

    #[test]
    fn normals_are_bytes_around_the_middle() {
        let normals = vec![[0.0; 3], [0.0, 0.0, -1.0]];
        let picture = Rendering { width_px: 2, height_px: 1, normals, ..Rendering::default() };
        let data = vec![0, 0, 0, 0, 128, 128, 0, 255];
        let expected = Picture { width: 2, height: 1, channels: 4, data };
        let png = encode_normals(&picture).expect("a PNG");
        assert_eq!(png, encode_png(&expected).expect("a PNG"));
    }
}
