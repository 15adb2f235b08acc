//! Background: what is seen where the mesh is not.

use crate::kernels::noise::Noise;
use crate::kernels::render::Rendering;
use crate::kernels::resolve::{encode, share};
use crate::kernels::shade::linear;

/// What is seen where the mesh is not.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Background {
    /// Nothing: alpha is the share of a pixel that the mesh covers.
    #[default]
    Transparent,
    /// One sRGB colour; alpha is 255 everywhere.
    Color([u8; 3]),
    /// Random colours over the picture, whose height is one unit of the noise; alpha is 255.
    Noise(Noise),
}

/// A background, ready to be painted on.
pub(crate) struct Backdrop(pub(crate) Background);

impl Backdrop {
    /// Makes every pixel background.
    pub(crate) fn fill(&self, picture: &mut Rendering) {
        let (width, height) = (picture.width_px as usize, picture.height_px as usize);
        match self.0 {
            Background::Transparent => picture.rgba.resize(width * height * 4, 0),
            Background::Color([r, g, b]) => {
                picture.rgba.extend([r, g, b, 255].iter().cycle().take(width * height * 4));
            }
            Background::Noise(noise) => {
                let unit = 1.0 / height as f32;
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    let [r, g, b] = encode(noise.color([x as f32 * unit, y as f32 * unit, 0.5]));
                    picture.rgba.extend([r, g, b, 255]);
                }
            }
        }
    }

    /// A pixel of which `covered` of `all` samples show `color`, linear, and the others `behind`.
    pub(crate) fn lay(&self, color: [f32; 3], covered: u32, all: u32, behind: [u8; 4]) -> [u8; 4] {
        if self.0 == Background::Transparent {
            let [r, g, b] = encode(color);
            return [r, g, b, share(covered, all)];
        }
        let part = covered as f32 / all as f32;
        let mixed = [0, 1, 2].map(|c| {
            let behind = linear(behind[c]);
            behind + part * (color[c] - behind)
        });
        let [r, g, b] = encode(mixed);
        [r, g, b, 255]
    }
}
