//! Resolve: from samples to pixels.

use crate::kernels::background::Backdrop;
use crate::kernels::raster::{Area, NOTHING, Raster};
use crate::kernels::render::{Outputs, Rendering};
use crate::kernels::shade::srgb;
use crate::kernels::shader::Shader;

/// Fills `picture`, whose sizes are set, from the samples of `raster`, `side` along each side of a pixel.
pub(crate) fn resolve(
    raster: &Raster,
    shader: &mut Shader<'_>,
    backdrop: &Backdrop,
    outputs: Outputs,
    side: usize,
    picture: &mut Rendering,
) {
    prepare(picture, outputs, backdrop);
    let touched = raster.touched();
    let area = Area {
        left: touched.left / side,
        right: touched.right.div_ceil(side),
        top: touched.top / side,
        bottom: touched.bottom.div_ceil(side),
    };
    let is_grey = side == 1 && outputs.color && shader.is_grey();
    let is_busy = is_grey && !area.is_empty() && shader.is_busy(area.samples());
    if is_busy {
        for y in area.top..area.bottom {
            let (nears, triangles) = raster.row(y);
            shader.learn(&nears[area.left..area.right], &triangles[area.left..area.right]);
        }
        shader.learn_rest();
    }
    for y in area.top..area.bottom {
        if side == 1 {
            let row = (y, area.left, area.right);
            match (is_busy, is_grey) {
                (true, _) => resolve_busy_greys(raster, shader, row, picture),
                (false, true) => resolve_greys(raster, shader, row, picture),
                (false, false) => resolve_colors(raster, shader, row, outputs, backdrop, picture),
            }
            resolve_row(raster, shader, row, outputs, picture);
        } else {
            resolve_samples(raster, shader, (y, area), outputs, (backdrop, side), picture);
        }
    }
}

/// Sets every pixel to background.
fn prepare(picture: &mut Rendering, outputs: Outputs, backdrop: &Backdrop) {
    let pixels = picture.width_px as usize * picture.height_px as usize;
    let count = |is_wanted: bool| if is_wanted { pixels } else { 0 };
    picture.rgba.clear();
    picture.coverage.clear();
    picture.coverage.resize(count(outputs.coverage), 0);
    picture.depth.clear();
    picture.depth.resize(count(outputs.depth), 0.0);
    picture.normals.clear();
    picture.normals.resize(count(outputs.normals), [0.0; 3]);
    if outputs.color {
        backdrop.fill(picture);
    }
}

/// First and end of the pixels of a row.
type Row = (usize, usize, usize);

/// Greys that are known already, one sample a pixel.
fn resolve_busy_greys(
    raster: &Raster,
    shader: &Shader<'_>,
    (y, left, right): Row,
    picture: &mut Rendering,
) {
    let (nears, triangles) = raster.row(y);
    let from = y * picture.width_px as usize;
    let pixels = &mut picture.rgba.as_chunks_mut::<4>().0[from + left..from + right];
    for ((pixel, near), number) in
        pixels.iter_mut().zip(&nears[left..right]).zip(&triangles[left..right])
    {
        let is_seen = *near > NOTHING;
        // What is not seen names nothing.
        let grey = shader.grey(if is_seen { *number } else { 0 });
        let seen = u32::from_le_bytes([grey, grey, grey, 255]);
        let there = u32::from_le_bytes(*pixel);
        *pixel = (if is_seen { seen } else { there }).to_le_bytes();
    }
}

/// Greys of which few differ, one sample a pixel.
fn resolve_greys(
    raster: &Raster,
    shader: &mut Shader<'_>,
    (y, left, right): Row,
    picture: &mut Rendering,
) {
    let (nears, triangles) = raster.row(y);
    let from = y * picture.width_px as usize;
    let pixels = &mut picture.rgba.as_chunks_mut::<4>().0[from + left..from + right];
    let (mut last, mut grey) = (u32::MAX, 0);
    for ((pixel, near), number) in
        pixels.iter_mut().zip(&nears[left..right]).zip(&triangles[left..right])
    {
        if *near > NOTHING {
            if *number != last {
                (last, grey) = (*number, shader.grey_of(*number));
            }
            *pixel = [grey, grey, grey, 255];
        }
    }
}

/// Colours, one sample a pixel.
fn resolve_colors(
    raster: &Raster,
    shader: &mut Shader<'_>,
    (y, left, right): Row,
    outputs: Outputs,
    backdrop: &Backdrop,
    picture: &mut Rendering,
) {
    let (nears, triangles) = raster.row(y);
    let from = y * picture.width_px as usize;
    let pixels = if outputs.color {
        &mut picture.rgba.as_chunks_mut::<4>().0[from + left..from + right]
    } else {
        &mut []
    };
    for (x, pixel) in (left..right).zip(pixels) {
        if nears[x] > NOTHING {
            let (u, v) = (x as f64 + 0.5, y as f64 + 0.5);
            *pixel = backdrop.lay(shader.color(triangles[x], u, v), 1, 1, *pixel);
        }
    }
}

/// All but the colours, one sample a pixel.
fn resolve_row(
    raster: &Raster,
    shader: &mut Shader<'_>,
    (y, left, right): Row,
    outputs: Outputs,
    picture: &mut Rendering,
) {
    let (nears, triangles) = raster.row(y);
    let (nears, triangles) = (&nears[left..right], &triangles[left..right]);
    let from = y * picture.width_px as usize + left;
    let range = from..from + nears.len();
    if outputs.depth {
        for (depth, near) in picture.depth[range.clone()].iter_mut().zip(nears) {
            let value = shader.depth(*near);
            *depth = if *near > NOTHING { value } else { 0.0 };
        }
    }
    if outputs.coverage {
        for (coverage, near) in picture.coverage[range.clone()].iter_mut().zip(nears) {
            *coverage = if *near > NOTHING { 255 } else { 0 };
        }
    }
    if outputs.normals {
        let normals = &mut picture.normals[range];
        for (i, normal) in normals.iter_mut().enumerate() {
            if nears[i] > NOTHING {
                let (u, v) = ((left + i) as f64 + 0.5, y as f64 + 0.5);
                *normal = shader.normal(triangles[i], u, v);
            }
        }
    }
}

/// What the samples of a pixel sum up to.
#[derive(Default)]
struct Sum {
    covered: u32,
    color: [f32; 3],
    nearest: f32,
    normal: [f32; 3],
}

fn resolve_samples(
    raster: &Raster,
    shader: &mut Shader<'_>,
    (y, area): (usize, Area),
    outputs: Outputs,
    (backdrop, side): (&Backdrop, usize),
    picture: &mut Rendering,
) {
    let width = picture.width_px as usize;
    for x in area.left..area.right.min(width) {
        let sum = sum_pixel(raster, shader, (x, y), outputs, side);
        if sum.covered == 0 {
            continue;
        }
        let (at, all) = (y * width + x, (side * side) as u32);
        if outputs.color {
            let pixels = picture.rgba.as_chunks_mut::<4>().0;
            let color = sum.color.map(|c| c / sum.covered as f32);
            pixels[at] = backdrop.lay(color, sum.covered, all, pixels[at]);
        }
        if outputs.coverage {
            picture.coverage[at] = share(sum.covered, all);
        }
        if outputs.depth {
            picture.depth[at] = shader.depth(sum.nearest);
        }
        if outputs.normals {
            let length = sum.normal.iter().map(|x| x * x).sum::<f32>().sqrt();
            picture.normals[at] = sum.normal.map(|x| if length > 0.0 { x / length } else { 0.0 });
        }
    }
}

fn sum_pixel(
    raster: &Raster,
    shader: &mut Shader<'_>,
    (x, y): (usize, usize),
    outputs: Outputs,
    side: usize,
) -> Sum {
    let mut sum = Sum { nearest: NOTHING, ..Sum::default() };
    for row in y * side..(y + 1) * side {
        let (nears, triangles) = raster.row(row);
        for column in x * side..(x + 1) * side {
            if nears[column] > NOTHING {
                let (u, v) = (column as f64 + 0.5, row as f64 + 0.5);
                sum.covered += 1;
                sum.nearest = sum.nearest.max(nears[column]);
                if outputs.color {
                    let color = shader.color(triangles[column], u, v);
                    (0..3).for_each(|c| sum.color[c] += color[c]);
                }
                if outputs.normals {
                    let normal = shader.normal(triangles[column], u, v);
                    (0..3).for_each(|c| sum.normal[c] += normal[c]);
                }
            }
        }
    }
    sum
}

/// `covered` of `all` as a byte, above 0 where there is any.
pub(crate) fn share(covered: u32, all: u32) -> u8 {
    ((255 * covered + all / 2) / all).max(u32::from(covered > 0)) as u8
}

/// A linear colour as sRGB.
pub(crate) fn encode(color: [f32; 3]) -> [u8; 3] {
    color.map(srgb)
}
