//! `Renderer`: many views of a mesh, with memory that is kept from one to the next.

use voxflow_contract::{Camera, Intrinsics, Object, Transform, TriMesh};

use crate::kernels::background::{Backdrop, Background};
use crate::kernels::block::Block;
use crate::kernels::clip::Clipper;
use crate::kernels::lens::{Landed, Lens, Outlook, Projection};
use crate::kernels::pack::{BLOCK, Corners, Pack, gather};
use crate::kernels::paint::Paint;
use crate::kernels::raster::{Raster, Target};
use crate::kernels::rays::Rays;
use crate::kernels::render::{Colors, Faces, RenderOptions, Rendering, Shading};
use crate::kernels::resolve::resolve;
use crate::kernels::shade::{vertex_normals, wider};
use crate::kernels::shader::{Greys, Shader, Surface, SurfaceColors};
use crate::kernels::sieve::{Sieve, VIEWS};
use crate::kernels::simd::{Pair, PairKernel, Plain, run_widest_pairs};

/// Most samples along a side of a picture.
pub(crate) const MAX_SAMPLES: u32 = 4096;

/// A mesh of more triangles has most of them between samples, and does not fit a fast cache: it pays to
/// read it once for four views and to look at each triangle as shortly as possible.
const LARGE: usize = 1 << 17;

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

/// Renders views of meshes and keeps its memory for the next: 8 bytes a sample, 46 a triangle, of the
/// largest so far.
///
/// The triangles of a mesh are copied once, into blocks of neighbours. Each view draws the blocks from
/// the nearest to the farthest, leaves out those that lie behind what is already there, and of the
/// others the triangles that do, or that hold the centre of no sample. Of a large mesh four views are
/// prepared together instead, and a triangle whose corners lie in one column or in one row of samples is
/// left out before anything else of it is looked at; what is left is drawn from near to far, too, in runs
/// of triangles as they follow each other in the mesh.
#[derive(Default)]
pub struct Renderer {
    raster: Raster,
    sieve: Sieve,
    pack: Pack,
    block: Block,
    queue: Vec<u64>,
    outlooks: Vec<Outlook>,
    greys: Greys,
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
        each: impl FnMut(usize, &mut Rendering),
    ) {
        self.render_by(scene, shots, options, scene.mesh.triangles.len() > LARGE, each);
    }

    /// [`Self::render`]; whether the mesh `is_large` makes no difference to the pictures.
    fn render_by(
        &mut self,
        scene: &Scene<'_>,
        shots: &[Shot],
        options: &RenderOptions,
        is_large: bool,
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
        if is_large {
            self.sieve.take(scene.mesh);
        } else {
            self.pack.fill(scene.mesh);
        }
        for (chunk, shots) in shots.chunks(VIEWS).enumerate() {
            let views: Vec<View> = shots.iter().map(|shot| View::new(shot, options)).collect();
            if is_large {
                let lenses: Vec<Lens> = views.iter().map(|view| view.lens).collect();
                self.sieve.look(&lenses);
            }
            for (lane, (view, shot)) in views.iter().zip(shots).enumerate() {
                let [width, height] = view.lens.size;
                assert!(
                    width.max(height) <= MAX_SAMPLES,
                    "{width} x {height} samples are too many"
                );
                self.raster.clear(width as usize, height as usize);
                if is_large {
                    self.draw_sieved(view, lane);
                } else {
                    self.draw_packed(view);
                }
                self.finish(surface, view, shot, options, is_large);
                each(chunk * VIEWS + lane, &mut self.picture);
            }
        }
    }

    fn draw_packed(&mut self, view: &View) {
        let Self { raster, pack, block, queue, outlooks, .. } = self;
        line_up(pack.blocks(), |number| view.lens.outlook(pack.bounds(number)), queue, outlooks);
        let blocks = Blocks::Packed { pack };
        run_widest_pairs(Drawing { view, raster, block, queue, outlooks, blocks });
    }

    fn draw_sieved(&mut self, view: &View, lane: usize) {
        let Self { raster, sieve, block, queue, outlooks, .. } = self;
        line_up(sieve.runs(), |run| view.lens.outlook(sieve.bounds(run)), queue, outlooks);
        let blocks = Blocks::Sieved { sieve, lane };
        run_widest_pairs(Drawing { view, raster, block, queue, outlooks, blocks });
    }

    fn finish(
        &mut self,
        surface: Surface<'_>,
        view: &View,
        shot: &Shot,
        options: &RenderOptions,
        is_large: bool,
    ) {
        self.picture.width_px = shot.intrinsics.width_px;
        self.picture.height_px = shot.intrinsics.height_px;
        let shape = if is_large { self.sieve.mesh() } else { surface.mesh };
        let camera = shot.camera_from_object;
        let mut shader = Shader::new(surface, shape, view.rays, camera, &mut self.greys);
        let (backdrop, side) = (Backdrop(shot.background), options.antialias as usize);
        resolve(&self.raster, &mut shader, &backdrop, options.outputs, side, &mut self.picture);
    }
}

/// Lists the first `count` boxes that are in the picture, the nearest first, and what is known of each.
fn line_up(
    count: usize,
    outlook: impl Fn(usize) -> Outlook,
    queue: &mut Vec<u64>,
    outlooks: &mut Vec<Outlook>,
) {
    outlooks.clear();
    outlooks.extend((0..count).map(outlook));
    queue.clear();
    let seen = outlooks.iter().enumerate().filter(|(_, outlook)| !outlook.area.is_empty());
    queue.extend(
        seen.map(|(number, outlook)| u64::from(!rising(outlook.high)) << 32 | number as u64),
    );
    queue.sort_unstable();
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

    #[cold]
    #[inline(never)]
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
            if self.faces == Faces::Both || target.faces() {
                let nearness = || self.rays.nearness(corners.map(wider));
                raster.draw::<Plain>(number, &target, nearness);
            }
        }
    }
}

/// One view of a mesh, about to be drawn.
struct Drawing<'a> {
    view: &'a View,
    raster: &'a mut Raster,
    block: &'a mut Block,
    /// What to draw, the nearest first: numbers of boxes, in the lower halves.
    queue: &'a [u64],
    /// What is known of each box.
    outlooks: &'a [Outlook],
    blocks: Blocks<'a>,
}

/// What is in the boxes.
#[derive(Clone, Copy)]
enum Blocks<'a> {
    /// Blocks of a pack.
    Packed { pack: &'a Pack },
    /// Runs of a mesh, as a view sees them.
    Sieved { sieve: &'a Sieve, lane: usize },
}

impl PairKernel for Drawing<'_> {
    #[inline(always)]
    fn run<P: Pair>(mut self) {
        match self.view.lens.projection {
            Projection::Perspective => self.draw::<P, false>(),
            Projection::Orthographic => self.draw::<P, true>(),
        }
    }
}

impl Drawing<'_> {
    #[inline(always)]
    fn draw<P: Pair, const ORTHOGRAPHIC: bool>(&mut self) {
        match self.blocks {
            Blocks::Packed { pack } => {
                for at in 0..self.queue.len() {
                    if let Some(number) = self.open(at) {
                        let (corners, numbers) = pack.block(number);
                        self.draw_block::<P, ORTHOGRAPHIC>(corners, numbers);
                    }
                }
            }
            Blocks::Sieved { sieve, lane } => self.draw_runs::<P, ORTHOGRAPHIC>(sieve, lane),
        }
    }

    /// Draws what is left of the runs of a mesh, block by block; a block may have triangles of several.
    #[inline(always)]
    fn draw_runs<P: Pair, const ORTHOGRAPHIC: bool>(&mut self, sieve: &Sieve, lane: usize) {
        let mut corners = [[[0.0; BLOCK]; 3]; 3];
        let (mut numbers, mut count) = ([0; BLOCK], 0);
        for at in 0..self.queue.len() {
            let Some(run) = self.open(at) else { continue };
            let mut kept = sieve.kept(lane, run);
            while !kept.is_empty() {
                let (more, rest) = kept.split_at(kept.len().min(BLOCK - count));
                numbers[count..count + more.len()].copy_from_slice(more);
                (kept, count) = (rest, count + more.len());
                if count == BLOCK {
                    gather(sieve.mesh(), &numbers, &mut corners);
                    self.draw_block::<P, ORTHOGRAPHIC>(&corners, &numbers);
                    count = 0;
                }
            }
        }
        if count > 0 {
            gather(sieve.mesh(), &numbers[..count], &mut corners);
            self.draw_block::<P, ORTHOGRAPHIC>(&corners, &numbers[..count]);
        }
    }

    /// The number of a box in the queue, unless what is drawn already hides it.
    #[inline(always)]
    fn open(&self, at: usize) -> Option<usize> {
        let number = self.queue[at] as u32 as usize;
        let Outlook { high, area } = &self.outlooks[number];
        (!self.raster.hides(area, *high)).then_some(number)
    }

    /// Draws the triangles of a block, which have these numbers.
    #[inline(always)]
    fn draw_block<P: Pair, const ORTHOGRAPHIC: bool>(
        &mut self,
        corners: &Corners,
        numbers: &[u32],
    ) {
        let Self { view, raster, block, .. } = self;
        block.project::<ORTHOGRAPHIC>(corners, &view.lens);
        if block.has_cut() {
            for i in block.cut(numbers.len()) {
                view.draw_clipped(raster, numbers[i], of_triangle(corners, i), block.landed(i));
            }
        }
        let (area, samples) = block.keep(numbers.len(), raster);
        raster.touch(area);
        block.set_up::<ORTHOGRAPHIC>(corners, &view.rays);
        for i in block.kept() {
            if view.faces == Faces::Cull && !block.target(i).faces() {
                continue;
            }
            if let Some(narrow) = block.narrow(i) {
                raster.draw_narrow::<P>(numbers[i], &narrow);
            } else {
                let corners = of_triangle(corners, i).map(wider);
                raster.draw::<P>(numbers[i], &block.target(i), || view.rays.nearness(corners));
            }
        }
        raster.settle(area, samples);
    }
}

#[inline(always)]
fn of_triangle(corners: &Corners, i: usize) -> [[f32; 3]; 3] {
    corners.each_ref().map(|[x, y, z]| [x[i], y[i], z[i]])
}

/// Rises when `value` does.
fn rising(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

#[cfg(test)]
mod tests {
    use voxflow_contract::Random;

    use super::*;
    use crate::kernels::{Outputs, Projection, camera_from_object, unit_cube_distance};
    use crate::testing;

    const SIZE: u32 = 61;

    /// Depth and triangle that a ray meets first, by the definition (Möller and Trumbore 1997), and how
    /// near the ray comes to an edge of any triangle it may meet, as a share of the triangle.
    struct Met {
        depth: f64,
        triangle: Option<usize>,
        margin: f64,
    }

    fn cast(mesh: &TriMesh, shot: &Shot, projection: Projection, [u, v]: [f64; 2]) -> Met {
        let (camera, lens) = (&shot.camera_from_object, &shot.intrinsics);
        let [x, y] =
            [(u - lens.center_x_px) / lens.focal_x_px, (v - lens.center_y_px) / lens.focal_y_px];
        let (origin, direction) = match projection {
            Projection::Perspective => ([0.0; 3], [x, y, 1.0]),
            Projection::Orthographic => ([x, y, 0.0], [0.0, 0.0, 1.0]),
        };
        let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let minus = |a: [f64; 3], b: [f64; 3]| [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
        let cross = |a: [f64; 3], b: [f64; 3]| {
            [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
        };
        let mut met = Met { depth: f64::INFINITY, triangle: None, margin: f64::INFINITY };
        for number in 0..mesh.triangles.len() {
            let [a, b, c] = mesh.corners(number).map(|p| camera.apply(p.map(f64::from)));
            let (ab, ac) = (minus(b, a), minus(c, a));
            let p = cross(direction, ac);
            let determinant = dot(ab, p);
            let s = minus(origin, a);
            let beta = dot(s, p) / determinant;
            let q = cross(s, ab);
            let gamma = dot(direction, q) / determinant;
            let depth = dot(ac, q) / determinant;
            let inside = beta.min(gamma).min(1.0 - beta - gamma);
            if inside > -0.1 && inside.abs() < met.margin {
                met.margin = inside.abs();
            }
            // A ray along an edge that two triangles share meets one of them.
            if inside >= -1e-9 && depth > 0.0 && depth < met.depth {
                (met.depth, met.triangle) = (depth, Some(number));
            }
        }
        met
    }

    fn shots() -> Vec<Shot> {
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, SIZE, SIZE);
        let place = |(azimuth, elevation)| Shot {
            camera_from_object: camera_from_object(azimuth, elevation, unit_cube_distance(40.0)),
            intrinsics,
            background: Background::Transparent,
        };
        [(0.0, 0.0), (33.0, 30.0), (180.0, -20.0), (271.0, 77.0), (90.0, 10.0)].map(place).to_vec()
    }

    fn flat_shots() -> Vec<Shot> {
        let mut shots = shots();
        for shot in &mut shots {
            shot.intrinsics.focal_x_px = 35.0;
            shot.intrinsics.focal_y_px = 35.0;
        }
        shots
    }

    fn soup(triangles: usize, length: f64, seed: u64) -> TriMesh {
        let mut random = Random::new(seed, &["soup"]);
        let mut mesh = TriMesh::default();
        for number in 0..triangles as u32 {
            let center = [0; 3].map(|_: i32| random.range(-0.5 + length, 0.5 - length));
            for _ in 0..3 {
                mesh.vertices.push(center.map(|x| (x + random.range(-length, length)) as f32));
            }
            mesh.triangles.push([3 * number, 3 * number + 1, 3 * number + 2]);
        }
        mesh
    }

    fn pictures(mesh: &TriMesh, shots: &[Shot], options: &RenderOptions) -> Vec<Rendering> {
        let mut all = Vec::new();
        let mut renderer = Renderer::default();
        renderer.render(&Scene { mesh, paint: None }, shots, options, |number, picture| {
            assert_eq!(number, all.len());
            all.push(picture.clone());
        });
        all
    }

    /// Compares every pixel with the ray through its centre, where no edge is within `margin` of it.
    fn check(mesh: &TriMesh, projection: Projection, margin: f64) {
        let options = RenderOptions { projection, ..RenderOptions::default() };
        let shots = if projection == Projection::Perspective { shots() } else { flat_shots() };
        for (shot, picture) in shots.iter().zip(pictures(mesh, &shots, &options)) {
            let (mut doubtful, mut union, mut common) = (0, 0, 0);
            for (pixel, depth) in picture.depth.iter().enumerate() {
                let (x, y) = (pixel % SIZE as usize, pixel / SIZE as usize);
                let met = cast(mesh, shot, projection, [x as f64 + 0.5, y as f64 + 0.5]);
                union += usize::from(*depth > 0.0 || met.triangle.is_some());
                common += usize::from(*depth > 0.0 && met.triangle.is_some());
                if met.margin < margin {
                    doubtful += 1;
                    continue;
                }
                assert_eq!(*depth > 0.0, met.triangle.is_some(), "{x} {y}");
                if met.triangle.is_some() {
                    let error = (f64::from(*depth) - met.depth).abs();
                    assert!(error < 1e-4, "{x} {y}: {depth} is not {}", met.depth);
                }
            }
            assert!(doubtful * 4 < SIZE * SIZE, "{doubtful} pixels are at edges");
            // Of these few pixels one may be at an edge.
            assert!(union - common <= 1 + union / 500, "{common} of {union}");
        }
    }

    #[test]
    fn pixels_are_what_their_rays_meet() {
        for projection in [Projection::Perspective, Projection::Orthographic] {
            check(&testing::ball(0.5, 2), projection, 1e-3);
            check(&testing::ball(0.5, 3), projection, 5e-3);
            check(&testing::cuboid([-0.5, -0.31, -0.21], [0.41, 0.5, 0.5]), projection, 1e-4);
            for seed in 0..2 {
                check(&soup(40, 0.25, seed), projection, 1e-3);
                check(&soup(200, 0.04, seed), projection, 5e-3);
            }
        }
    }

    #[test]
    fn small_triangles_leave_no_crack_and_cover_no_sample_twice() {
        // A sheet of triangles of every size around a sample's, each with a depth of its own.
        for (columns, seed) in [(7, 0), (40, 1), (61, 2), (150, 3)] {
            let mut random = Random::new(seed, &["sheet"]);
            let mut mesh = TriMesh::default();
            for y in 0..=columns {
                for x in 0..=columns {
                    let mut shake = |at: u64| {
                        let is_inner = at > 0 && at < columns;
                        let by = if is_inner { random.range(-0.3, 0.3) } else { 0.0 };
                        ((at as f64 + by) / columns as f64 - 0.5) as f32 * 4.0
                    };
                    mesh.vertices.push([shake(x), shake(y), 0.0]);
                }
            }
            let at = |x: u64, y: u64| (y * (columns + 1) + x) as u32;
            for (x, y) in (0..columns).flat_map(|y| (0..columns).map(move |x| (x, y))) {
                let [a, b, c, d] = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)];
                mesh.triangles.extend([[a, b, c], [c, d, a]]);
            }
            let whole = pictures(&mesh, &shots()[..1], &RenderOptions::default());
            assert!(whole[0].depth.iter().all(|depth| *depth > 0.0), "{columns}");
            let mut covered = 0;
            for triangle in &mesh.triangles {
                let one = TriMesh { vertices: mesh.vertices.clone(), triangles: vec![*triangle] };
                let outputs = Outputs { color: false, depth: false, ..Outputs::default() };
                let options = RenderOptions { outputs, ..RenderOptions::default() };
                if columns < 50 {
                    let alone = pictures(&one, &shots()[..1], &options);
                    covered += alone[0].coverage.iter().filter(|share| **share > 0).count();
                }
            }
            assert!(columns >= 50 || covered == (SIZE * SIZE) as usize, "{columns}: {covered}");
        }
    }

    #[test]
    fn order_of_triangles_and_company_of_views_do_not_matter() {
        let mesh = soup(500, 0.1, 9);
        let mut shuffled = mesh.clone();
        Random::new(1, &["order"]).shuffle(&mut shuffled.triangles);
        for shading in [Shading::Flat, Shading::Smooth] {
            let options = RenderOptions { shading, antialias: 2, ..RenderOptions::default() };
            let together = pictures(&mesh, &shots(), &options);
            assert_eq!(together, pictures(&shuffled, &shots(), &options));
            for (shot, picture) in shots().iter().zip(&together) {
                assert_eq!(pictures(&mesh, &[*shot], &options)[0], *picture);
            }
        }
    }

    #[test]
    fn large_meshes_look_as_small_ones() {
        for (mesh, projection) in [
            (testing::ball(0.5, 4), Projection::Perspective),
            (soup(2000, 0.02, 4), Projection::Orthographic),
            (soup(300, 0.3, 5), Projection::Perspective),
        ] {
            for (faces, antialias) in [(Faces::Both, 1), (Faces::Cull, 2)] {
                let options =
                    RenderOptions { projection, faces, antialias, ..RenderOptions::default() };
                let mut renderer = Renderer::default();
                let mut all = |is_large| {
                    let (mut pictures, scene) = (Vec::new(), Scene { mesh: &mesh, paint: None });
                    renderer.render_by(&scene, &flat_shots(), &options, is_large, |_, picture| {
                        pictures.push(picture.clone());
                    });
                    pictures
                };
                assert_eq!(all(true), all(false));
            }
        }
    }

    /// What lies behind is drawn or left out block by block; far apart and close, it must not be seen.
    #[test]
    fn a_wall_hides_all_that_is_behind_it() {
        let mut mesh = testing::cuboid([-0.6, -0.6, 0.45], [0.6, 0.6, 0.46]);
        let wall = pictures(&mesh, &shots()[..1], &RenderOptions::default());
        let behind = soup(3000, 0.03, 6);
        let offset = mesh.vertices.len() as u32;
        mesh.vertices.extend(behind.vertices.iter().map(|[x, y, z]| [x * 0.5, y * 0.5, z * 0.5]));
        mesh.triangles.extend(behind.triangles.iter().map(|t| t.map(|vertex| vertex + offset)));
        mesh.triangles.reverse();
        assert_eq!(pictures(&mesh, &shots()[..1], &RenderOptions::default()), wall);
    }

    #[test]
    fn culling_leaves_the_far_side_of_a_turned_ball() {
        let mut ball = testing::ball(0.5, 3);
        let cull = RenderOptions { faces: Faces::Cull, ..RenderOptions::default() };
        let seen = pictures(&ball, &shots(), &cull);
        assert_eq!(seen, pictures(&ball, &shots(), &RenderOptions::default()));
        ball.triangles.iter_mut().for_each(|triangle| triangle.swap(0, 1));
        let middle = (SIZE / 2 * SIZE + SIZE / 2) as usize;
        let distance = unit_cube_distance(40.0) as f32;
        for (front, back) in seen.iter().zip(pictures(&ball, &shots(), &cull)) {
            assert!((front.depth[middle] - (distance - 0.5)).abs() < 0.01);
            assert!((back.depth[middle] - (distance + 0.5)).abs() < 0.01);
            assert_eq!(front.coverage, back.coverage);
        }
    }

    #[test]
    fn normals_of_a_ball_point_from_its_middle() {
        let ball = testing::ball(0.5, 4);
        let outputs = Outputs { normals: true, ..Outputs::default() };
        for (shading, most) in [(Shading::Flat, 0.1), (Shading::Smooth, 0.03)] {
            let options = RenderOptions { shading, outputs, ..RenderOptions::default() };
            for (shot, picture) in shots().iter().zip(pictures(&ball, &shots(), &options)) {
                let lens = shot.intrinsics;
                for (pixel, normal) in picture.normals.iter().enumerate() {
                    let depth = f64::from(picture.depth[pixel]);
                    assert_eq!(depth > 0.0, *normal != [0.0; 3]);
                    if depth > 0.0 {
                        let [x, y] = [pixel as u32 % SIZE, pixel as u32 / SIZE].map(f64::from);
                        let x = (x + 0.5 - lens.center_x_px) / lens.focal_x_px * depth;
                        let y = (y + 0.5 - lens.center_y_px) / lens.focal_y_px * depth;
                        let center = shot.camera_from_object.translation();
                        let radial = [x - center[0], y - center[1], depth - center[2]];
                        for axis in 0..3 {
                            let error = f64::from(normal[axis]) - 2.0 * radial[axis];
                            assert!(error.abs() < most, "{normal:?} {radial:?}");
                        }
                    }
                }
            }
        }
    }
}
