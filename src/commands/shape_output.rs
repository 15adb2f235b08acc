//! A shape that a network made, as a file: grid, probabilities, mesh or picture.

use std::path::Path;

use voxflow_contract::{Appearance, Fill, Intrinsics, SoftGrid, TriMesh, VoxelGrid};
use voxflow_formats::npy::{NpyArray, NpyData};
use voxflow_formats::picture::{Picture, encode_png};
use voxflow_formats::{MeshFormat, binvox, encode_mesh_with, npy};
use voxflow_geometry::{
    Background, Colors, Outputs, RenderOptions, Renderer, Rig, Scene, Shading, Shot,
    marching_cubes_soft, rig_views, unit_cube_distance,
};

use crate::error::Error;

/// Edge of a picture of a shape, in pixels.
const PICTURE_PX: u32 = 512;

/// What a shape is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShapeForm {
    /// Occupied or not.
    Binvox,
    /// The probabilities themselves, 32-bit floats, x slowest.
    Npy,
    /// The surface where the probability is the threshold.
    Mesh(MeshFormat),
    /// A picture of that surface.
    Png,
}

impl ShapeForm {
    /// The form that a file's extension says.
    ///
    /// # Errors
    /// When it says none.
    pub(crate) fn of_file(path: &Path) -> Result<Self, Error> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        Self::find(&extension).ok_or_else(|| unknown("-o", &extension))
    }

    /// The form of a name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn named(name: &str) -> Result<Self, Error> {
        Self::find(name).ok_or_else(|| unknown("--form", name))
    }

    fn find(name: &str) -> Option<Self> {
        match name {
            "binvox" => Some(Self::Binvox),
            "npy" => Some(Self::Npy),
            "png" => Some(Self::Png),
            other => MeshFormat::from_extension(other).filter(|f| is_written(*f)).map(Self::Mesh),
        }
    }

    /// The extension of its files.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Binvox => "binvox",
            Self::Npy => "npy",
            Self::Png => "png",
            Self::Mesh(format) => format.extension(),
        }
    }

    /// The bytes of a file: of `n`^3 probabilities, x slowest. The grid fills the unit cube around the
    /// origin.
    ///
    /// # Errors
    /// When the file cannot hold the shape, or there is none to draw.
    pub(crate) fn encode(
        self,
        n: usize,
        probabilities: Vec<f32>,
        threshold: f64,
        path: &Path,
    ) -> Result<Vec<u8>, Error> {
        let unfit = |message: String| Error::input("write", path, message);
        match self {
            Self::Npy => {
                let array = NpyArray { shape: vec![n; 3], data: NpyData::F32(probabilities) };
                Ok(npy::encode(&array))
            }
            Self::Binvox => {
                let mut grid = VoxelGrid::empty(n, [-0.5; 3], [1.0; 3], Fill::Unknown);
                let occupied = |(_, p): &(usize, &f32)| f64::from(**p) >= threshold;
                let cells = probabilities.iter().enumerate().filter(occupied);
                cells.for_each(|(cell, _)| grid.set_index(cell));
                binvox::encode(&grid).map_err(|e| unfit(e.to_string()))
            }
            Self::Mesh(format) => {
                let mesh = surface(n, probabilities, threshold).map_err(unfit)?;
                Ok(encode_mesh_with(format, &mesh, &Appearance::default()))
            }
            Self::Png => {
                let mesh = surface(n, probabilities, threshold).map_err(unfit)?;
                draw(&mesh).map_err(unfit)
            }
        }
    }
}

/// glTF is only read.
fn is_written(format: MeshFormat) -> bool {
    matches!(format.extension(), "obj" | "off" | "ply" | "stl")
}

fn unknown(argument: &str, name: &str) -> Error {
    let message = format!("shapes are not written as `{name}`");
    Error::argument(argument, message, "known: binvox, npy, png, obj, off, ply, stl")
}

fn surface(n: usize, probabilities: Vec<f32>, threshold: f64) -> Result<TriMesh, String> {
    if !probabilities.iter().any(|p| f64::from(*p) >= threshold) {
        return Err(format!("no voxel has a probability of {threshold}: lower --threshold"));
    }
    let grid = SoftGrid::new(n, [-0.5; 3], [1.0; 3], probabilities)
        .ok_or_else(|| "the network gave another number of voxels".to_owned())?;
    marching_cubes_soft(&grid, threshold as f32).map_err(|fault| fault.message)
}

/// A picture from the front, half from above.
fn draw(mesh: &TriMesh) -> Result<Vec<u8>, String> {
    let rig = Rig::Mvcnn12;
    let fov_y_deg = rig.defaults().fov_y_deg;
    let views = rig_views(&rig, unit_cube_distance(fov_y_deg), 0, "shape");
    let view = views.get(1).ok_or("the rig has no camera")?;
    let shot = Shot {
        camera_from_object: view.camera_from_object(),
        intrinsics: Intrinsics::from_fov_y_deg(fov_y_deg, PICTURE_PX, PICTURE_PX),
        background: Background::Color([255; 3]),
    };
    let options = RenderOptions {
        shading: Shading::Flat,
        colors: Colors::White,
        outputs: Outputs { color: true, coverage: false, depth: false, normals: false },
        antialias: 2,
        near: 0.01,
        ..RenderOptions::default()
    };
    let mut bytes = Err("nothing was drawn".to_owned());
    let scene = Scene { mesh, paint: None };
    Renderer::default().render(&scene, &[shot], &options, |_, rendering| {
        let (width, height) = (rendering.width_px, rendering.height_px);
        let data = std::mem::take(&mut rendering.rgba);
        let picture = Picture { width, height, channels: 4, data };
        bytes = encode_png(&picture).map_err(|e| e.to_string());
    });
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_formats::picture;

    fn ball() -> Vec<f32> {
        let center = |i: usize| (i as f32 - 7.5) / 8.0;
        let inside = |cell: usize| {
            let [x, y, z] = [cell / 256, cell / 16 % 16, cell % 16].map(center);
            if x.hypot(y).hypot(z) < 0.7 { 0.9 } else { 0.1 }
        };
        (0..4096).map(inside).collect()
    }

    #[test]
    fn every_form_is_read_again() {
        let path = Path::new("shape.x");
        let encode = |form: &str, threshold| {
            ShapeForm::named(form).expect("a form").encode(16, ball(), threshold, path)
        };
        let grid = binvox::decode(&encode("binvox", 0.5).expect("bytes")).expect("a grid");
        let expected = ball().iter().filter(|p| **p > 0.5).count();
        assert_eq!((grid.resolution, grid.occupied() as usize), (16, expected));
        let array = npy::decode(&encode("npy", 0.5).expect("bytes")).expect("an array");
        assert_eq!((array.shape, array.data), (vec![16; 3], NpyData::F32(ball())));
        let png = picture::decode(&encode("png", 0.5).expect("bytes")).expect("a picture");
        assert_eq!((png.width, png.height), (PICTURE_PX, PICTURE_PX));
        let obj = encode("obj", 0.5).expect("bytes");
        assert!(obj.windows(2).any(|pair| pair == b"f "));
        let nothing = encode("obj", 0.95).expect_err("nothing there").to_string();
        assert!(nothing.contains("lower --threshold"), "{nothing}");
        assert!(ShapeForm::named("gltf").is_err());
        assert_eq!(
            ShapeForm::of_file(Path::new("a.PLY")).ok().map(ShapeForm::extension),
            Some("ply")
        );
    }
}
