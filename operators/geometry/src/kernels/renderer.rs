//! `Renderer`: many views of a mesh, with memory that is kept from one to the next.

use voxflow_contract::{Camera, Intrinsics, Object, Transform, TriMesh};

use crate::kernels::background::{Backdrop, Background};
use crate::kernels::block::{BLOCK, Block};
use crate::kernels::clip::Clipper;
use crate::kernels::lens::{Cells, LANES, Landed, Lens, LensLanes, may_cover};
use crate::kernels::paint::Paint;
use crate::kernels::raster::{Raster, Target};
use crate::kernels::rays::Rays;
use crate::kernels::render::{Colors, Faces, RenderOptions, Rendering, Shading};
use crate::kernels::resolve::resolve;
use crate::kernels::shade::{vertex_normals, wider};
use crate::kernels::shader::{Shader, Surface, SurfaceColors};

/// Most samples along a side of a picture.
pub(crate) const MAX_SAMPLES: u32 = 4096;

/// What is rendered.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The mesh.
    pub mesh: &'a TriMesh,
    /// How it looks, if that is known.
    pub paint: Option<&'a Paint<'a>>,
}

/// One view to render.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shot {
    /// The pose, which must be rigid.
    pub camera_from_object: Transform<Camera, Object>,
    /// Size and focal lengths.
    pub intrinsics: Intrinsics,
    /// What is seen where the mesh is not.
    pub background: Background,
}

/// Renders views of meshes and keeps its memory for the next: 8 bytes a sample, 16 a vertex, 16 a
/// triangle, of the largest so far.
///
/// Four views are prepared together: their points are projected side by side, and a triangle whose
/// corners lie in one column or in one row of samples is left out before anything else of it is looked
/// at.
#[derive(Default)]
pub struct Renderer {
    raster: Raster,
    cells: Vec<Cells>,
    sieved: [Vec<u32>; LANES],
    block: Block,
    picture: Rendering,
}

/// What one view needs to draw triangles.
struct View {
    lens: Lens,
    rays: Rays,
    clipper: Clipper,
    faces: Faces,
}

impl Renderer {
    /// Renders all `shots`, in order, and shows `each` its number and picture, which it may take. The
    /// `background` of `options` is not looked at: each shot has its own. [`crate::render`] says what is
    /// in a picture.
    ///
    /// # Panics
    /// When a triangle names a vertex that does not exist, as indexing would, or a side has more than
    /// 4096 samples.
    pub fn render(
        &mut self,
        scene: &Scene<'_>,
        shots: &[Shot],
        options: &RenderOptions,
        mut each: impl FnMut(usize, &mut Rendering),
    ) {
        let averaged = averaged_normals(scene, options);
        let given = scene.paint.map(Paint::vertex_normals).filter(|normals| !normals.is_empty());
        let normals = given.filter(|_| options.shading == Shading::Smooth).or(averaged.as_deref());
        let colors = match (options.colors, scene.paint) {
            (Colors::Noise(noise), _) => SurfaceColors::Noise(noise),
            (Colors::Material, Some(paint)) => SurfaceColors::Paint(paint),
            _ => SurfaceColors::White,
        };
        let surface = Surface { mesh: scene.mesh, normals, colors };
        for (chunk, shots) in shots.chunks(LANES).enumerate() {
            let views: Vec<View> = shots.iter().map(|shot| View::new(shot, options)).collect();
            self.sieve(scene.mesh, &views);
            for (lane, (view, shot)) in views.iter().zip(shots).enumerate() {
                self.draw(scene.mesh, view, lane, shot, options.antialias);
                self.finish(surface, view, shot, options);
                each(chunk * LANES + lane, &mut self.picture);
            }
        }
    }

    /// Lists for each view the triangles whose boxes hold the centre of a sample.
    fn sieve(&mut self, mesh: &TriMesh, views: &[View]) {
        let lenses: Vec<Lens> = views.iter().map(|view| view.lens).collect();
        LensLanes::new(&lenses).cells(&mesh.vertices, &mut self.cells);
        self.sieved.iter_mut().for_each(Vec::clear);
        let cells = self.cells.as_slice();
        for (number, triangle) in mesh.triangles.iter().enumerate() {
            let [a, b, c] = *triangle;
            let (a, b, c) = (cells[a as usize], cells[b as usize], cells[c as usize]);
            let mut keeps = may_cover(a, b, c);
            while keeps != 0 {
                self.sieved[keeps.trailing_zeros() as usize].push(number as u32);
                keeps &= keeps - 1;
            }
        }
    }

    fn draw(&mut self, mesh: &TriMesh, view: &View, lane: usize, shot: &Shot, side: u32) {
        let (width, height) = (shot.intrinsics.width_px * side, shot.intrinsics.height_px * side);
        assert!(width.max(height) <= MAX_SAMPLES, "{width} x {height} samples are too many");
        self.raster.clear(width as usize, height as usize);
        for numbers in self.sieved[lane].chunks(BLOCK) {
            self.block.fill(mesh, numbers, &view.lens);
            self.raster.touch(self.block.area(numbers.len()));
            for (i, number) in numbers.iter().enumerate() {
                match self.block.target(i) {
                    Some(target) => {
                        view.draw(&mut self.raster, *number, &target, || self.block.corners(i));
                    }
                    None => {
                        let (corners, landed) =
                            (self.block.corners(i), self.block.landed(i, &view.lens));
                        view.draw_clipped(&mut self.raster, *number, corners, landed);
                    }
                }
            }
        }
    }

    fn finish(&mut self, surface: Surface<'_>, view: &View, shot: &Shot, options: &RenderOptions) {
        self.picture.width_px = shot.intrinsics.width_px;
        self.picture.height_px = shot.intrinsics.height_px;
        let mut shader = Shader::new(surface, view.rays, shot.camera_from_object);
        let (backdrop, side) = (Backdrop(shot.background), options.antialias as usize);
        resolve(&self.raster, &mut shader, &backdrop, options.outputs, side, &mut self.picture);
    }
}

fn averaged_normals(scene: &Scene<'_>, options: &RenderOptions) -> Option<Vec<[f32; 3]>> {
    let is_given = scene.paint.is_some_and(|paint| !paint.vertex_normals().is_empty());
    (options.shading == Shading::Smooth && !is_given).then(|| vertex_normals(scene.mesh))
}

impl View {
    fn new(shot: &Shot, options: &RenderOptions) -> Self {
        let (camera, intrinsics) = (&shot.camera_from_object, &shot.intrinsics);
        let RenderOptions { projection, near, antialias, faces, .. } = *options;
        Self {
            lens: Lens::new(camera, intrinsics, projection, near, antialias),
            rays: Rays::new(camera, intrinsics, projection, antialias),
            clipper: Clipper::new(camera, intrinsics, projection, near, antialias),
            faces,
        }
    }

    #[inline(always)]
    fn draw(
        &self,
        raster: &mut Raster,
        number: u32,
        target: &Target,
        corners: impl FnOnce() -> [[f32; 3]; 3],
    ) {
        if self.faces == Faces::Both || target.doubled_area() < 0 {
            raster.draw(number, target, || {
                let [a, b, c] = corners();
                self.rays.nearness([wider(a), wider(b), wider(c)])
            });
        }
    }

    #[cold]
    fn draw_clipped(
        &self,
        raster: &mut Raster,
        number: u32,
        corners: [[f32; 3]; 3],
        landed: [Landed; 3],
    ) {
        let (polygon, count) = self.clipper.clip(&self.lens, corners.map(wider), landed);
        for i in 2..count {
            let fan = [polygon[0], polygon[i - 1], polygon[i]];
            let target = Target::new(fan, self.lens.size);
            raster.touch(target.area);
            self.draw(raster, number, &target, || corners);
        }
    }
}
