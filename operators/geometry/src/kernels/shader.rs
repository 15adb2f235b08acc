//! Shader: the colour and the normal of a sample, once it is known which triangle is seen in it.

use voxflow_contract::{Camera, Object, Transform, TriMesh};

use crate::kernels::noise::Noise;
use crate::kernels::paint::Paint;
use crate::kernels::raster::NOTHING;
use crate::kernels::rays::{Affine, Rays, value_at};
use crate::kernels::shade::{brightness, dot, face_normal, light_in_object, srgb, wider};
use crate::kernels::simd::{Kernel, run_widest};

/// What is the same in all views of a mesh.
#[derive(Clone, Copy)]
pub(crate) struct Surface<'a> {
    pub(crate) mesh: &'a TriMesh,
    /// Normals of the vertices, for smooth shading, of any length.
    pub(crate) normals: Option<&'a [[f32; 3]]>,
    pub(crate) colors: SurfaceColors<'a>,
}

/// Where the colours of a surface come from.
#[derive(Clone, Copy)]
pub(crate) enum SurfaceColors<'a> {
    White,
    Paint(&'a Paint<'a>),
    Noise(Noise),
}

/// Shades the samples of one view. What it knows of a triangle is kept until the next triangle comes.
pub(crate) struct Shader<'a> {
    surface: Surface<'a>,
    /// The mesh of the surface, or one with the same triangles whose vertices lie in another order.
    shape: &'a TriMesh,
    rays: Rays,
    camera: Transform<Camera, Object>,
    to_light: [f64; 3],
    facet: Facet,
    greys: &'a mut Greys,
}

/// Greys of triangles, under flat shading and white.
#[derive(Default)]
pub(crate) struct Greys {
    /// For each triangle its grey, [`WANTED`] where it is to be made, or 0, which no surface has.
    known: Vec<u8>,
    /// Triangles whose grey is to be made.
    wanted: Vec<u32>,
}

/// The least grey is that of the ambient light, which is more.
const WANTED: u8 = 1;
/// Triangles whose greys are made together.
const TOGETHER: usize = 32;

/// What a triangle has that its samples share.
#[derive(Clone, Copy)]
struct Facet {
    number: u32,
    /// 1 when seen from where its corners run counter-clockwise, -1 from behind.
    sign: f64,
    /// Turned to the camera.
    normal: [f64; 3],
    /// Under flat shading.
    brightness: f32,
    weights: [Affine; 3],
}

impl<'a> Shader<'a> {
    /// What `greys` holds does not matter; it is memory to use.
    pub(crate) fn new(
        surface: Surface<'a>,
        shape: &'a TriMesh,
        rays: Rays,
        camera: Transform<Camera, Object>,
        greys: &'a mut Greys,
    ) -> Self {
        let facet = Facet {
            number: u32::MAX,
            sign: 1.0,
            normal: [0.0; 3],
            brightness: 0.0,
            weights: [[0.0; 3]; 3],
        };
        greys.known.clear();
        greys.wanted.clear();
        let to_light = light_in_object(&camera);
        let shader = Self { surface, shape, rays, camera, to_light, facet, greys };
        if shader.is_grey() {
            shader.greys.known.resize(surface.mesh.triangles.len(), 0);
        }
        shader
    }

    /// Whether [`Self::grey`] says all there is.
    pub(crate) fn is_grey(&self) -> bool {
        self.surface.normals.is_none() && matches!(self.surface.colors, SurfaceColors::White)
    }

    /// The depth of a nearness.
    pub(crate) fn depth(&self, nearness: f32) -> f32 {
        self.rays.depth(nearness)
    }

    /// Makes the greys of the triangles seen in these samples, of a white mesh under flat shading.
    ///
    /// Triangles come and go from sample to sample in no order that a processor could foresee, so new
    /// ones are listed without a branch, and the greys of many are made side by side.
    pub(crate) fn learn(&mut self, nears: &[f32], triangles: &[u32]) {
        let Greys { known, wanted } = &mut *self.greys;
        let (before, mut count, mut last) = (wanted.len(), wanted.len(), u32::MAX);
        wanted.resize(before + nears.len() + 1, 0);
        for (near, number) in nears.iter().zip(triangles) {
            let is_seen = *near > NOTHING;
            let number = if is_seen { *number } else { 0 };
            wanted[count] = number;
            count += usize::from(is_seen & (number != last) & (known[number as usize] == 0));
            last = number;
        }
        // A triangle that was left and met again is there twice.
        let mut kept = before;
        for i in before..count {
            let number = wanted[i];
            wanted[kept] = number;
            kept += usize::from(known[number as usize] == 0);
            known[number as usize] = WANTED;
        }
        wanted.truncate(kept);
        while self.greys.wanted.len() >= TOGETHER {
            self.make_greys(self.greys.wanted.len() - TOGETHER);
        }
    }

    /// Makes the greys that [`Self::learn`] has put off.
    pub(crate) fn learn_rest(&mut self) {
        if !self.greys.wanted.is_empty() {
            self.make_greys(0);
        }
    }

    /// Of the wanted triangles from `from` on, of which there are no more than [`TOGETHER`].
    #[inline(never)]
    fn make_greys(&mut self, from: usize) {
        if let [number] = self.greys.wanted[from..] {
            let (_, normal) = turned_normal(&self.rays, self.corners(number));
            self.greys.known[number as usize] = srgb(brightness(normal, self.to_light));
            self.greys.wanted.pop();
            return;
        }
        let mut corners = [[[0.0; TOGETHER]; 3]; 3];
        let mut levels = [0.0; TOGETHER];
        // Waits for the triangles overlap, and then those for the corners.
        let mut triangles = [[0; 3]; TOGETHER];
        for (triangle, number) in triangles.iter_mut().zip(&self.greys.wanted[from..]) {
            *triangle = self.shape.triangles[*number as usize];
        }
        for (i, triangle) in triangles.iter().enumerate() {
            for (corner, vertex) in corners.iter_mut().zip(*triangle) {
                let point = wider(self.shape.vertices[vertex as usize]);
                (0..3).for_each(|axis| corner[axis][i] = point[axis]);
            }
        }
        run_widest(Levelling {
            rays: &self.rays,
            to_light: self.to_light,
            corners: &corners,
            levels: &mut levels,
        });
        let Greys { known, wanted } = &mut *self.greys;
        for (number, level) in wanted.drain(from..).zip(levels) {
            known[number as usize] = srgb(level);
        }
    }

    /// sRGB grey of a triangle that was learnt.
    #[inline(always)]
    pub(crate) fn grey(&self, number: u32) -> u8 {
        self.greys.known[number as usize]
    }

    /// sRGB grey of a triangle of a white mesh under flat shading.
    #[inline(always)]
    pub(crate) fn grey_of(&mut self, number: u32) -> u8 {
        if self.grey(number) == 0 {
            self.greys.wanted.push(number);
            self.make_greys(0);
        }
        self.grey(number)
    }

    /// Whether `samples` may show so many triangles that it pays to [`Self::learn`] their greys first.
    pub(crate) fn is_busy(&self, samples: usize) -> bool {
        self.surface.mesh.triangles.len() * 4 > samples
    }

    /// Linear colour of the sample at (`u`, `v`), in which triangle `number` is seen.
    pub(crate) fn color(&mut self, number: u32, u: f64, v: f64) -> [f32; 3] {
        self.look_at(number);
        if self.is_grey() {
            return [self.facet.brightness; 3];
        }
        let weights = self.weights(u, v);
        let light = match self.surface.normals {
            Some(_) => brightness(self.normal_at(weights), self.to_light),
            None => self.facet.brightness,
        };
        let color = match self.surface.colors {
            SurfaceColors::White => [1.0; 3],
            SurfaceColors::Paint(paint) => {
                paint.color(self.surface.mesh, number as usize, weights.map(|w| w as f32))
            }
            SurfaceColors::Noise(noise) => noise.color(self.point(weights)),
        };
        color.map(|channel| light * channel)
    }

    /// Unit normal in the camera frame, turned to the camera; zero where there is none.
    pub(crate) fn normal(&mut self, number: u32, u: f64, v: f64) -> [f32; 3] {
        self.look_at(number);
        let normal = match self.surface.normals {
            Some(_) => self.normal_at(self.weights(u, v)),
            None => self.facet.normal,
        };
        let length = dot(normal, normal).sqrt();
        let m = &self.camera.matrix;
        [0, 1, 2].map(|i| {
            let value = dot([m[i][0], m[i][1], m[i][2]], normal) / length;
            if value.is_finite() { value as f32 } else { 0.0 }
        })
    }

    #[inline]
    fn look_at(&mut self, number: u32) {
        if self.facet.number == number {
            return;
        }
        let corners = self.corners(number);
        let (sign, normal) = turned_normal(&self.rays, corners);
        let brightness = brightness(normal, self.to_light);
        let weights = self.rays.weights(corners);
        self.facet = Facet { number, sign, normal, brightness, weights };
    }

    #[inline(always)]
    fn corners(&self, number: u32) -> [[f64; 3]; 3] {
        let [a, b, c] = self.shape.triangles[number as usize];
        let corner = |vertex: u32| wider(self.shape.vertices[vertex as usize]);
        [corner(a), corner(b), corner(c)]
    }

    /// Barycentric weights: none below 0, also at the rim, where a sample may lie a little outside.
    fn weights(&self, u: f64, v: f64) -> [f64; 3] {
        let all = self.facet.weights.map(|weight| value_at(weight, u, v) * self.facet.sign);
        // Seen from the front the triple products of the spokes are negative or all positive.
        let turn = if all[0] + all[1] + all[2] < 0.0 { -1.0 } else { 1.0 };
        let all = all.map(|weight| (turn * weight).max(0.0));
        let sum = all[0] + all[1] + all[2];
        if sum > 0.0 && sum.is_finite() { all.map(|weight| weight / sum) } else { [1.0 / 3.0; 3] }
    }

    /// The interpolated normal, turned as the triangle is.
    fn normal_at(&self, weights: [f64; 3]) -> [f64; 3] {
        let Some(normals) = self.surface.normals else { return self.facet.normal };
        let corners = self.surface.mesh.triangles[self.facet.number as usize];
        let corners = corners.map(|vertex| normals[vertex as usize]);
        let normal = [0, 1, 2].map(|axis| {
            self.facet.sign * (0..3).map(|i| weights[i] * f64::from(corners[i][axis])).sum::<f64>()
        });
        if normal == [0.0; 3] { self.facet.normal } else { normal }
    }

    fn point(&self, weights: [f64; 3]) -> [f32; 3] {
        let corners = self.surface.mesh.corners(self.facet.number as usize);
        [0, 1, 2].map(|axis| (0..3).map(|i| weights[i] as f32 * corners[i][axis]).sum())
    }
}

/// The brightness of some triangles under flat shading.
struct Levelling<'a> {
    rays: &'a Rays,
    to_light: [f64; 3],
    /// For each corner and axis.
    corners: &'a [[[f64; TOGETHER]; 3]; 3],
    levels: &'a mut [f32; TOGETHER],
}

impl Kernel for Levelling<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { rays, to_light, corners, levels } = self;
        for (i, level) in levels.iter_mut().enumerate() {
            let corners = corners.each_ref().map(|[x, y, z]| [x[i], y[i], z[i]]);
            *level = brightness(turned_normal(rays, corners).1, to_light);
        }
    }
}

/// The normal of a triangle, turned to the camera, and -1 if it had to be turned, else 1.
#[inline(always)]
fn turned_normal(rays: &Rays, corners: [[f64; 3]; 3]) -> (f64, [f64; 3]) {
    let normal = face_normal(corners);
    let sign = if rays.facing(normal, corners[0]) < 0.0 { -1.0 } else { 1.0 };
    (sign, [sign * normal[0], sign * normal[1], sign * normal[2]])
}
