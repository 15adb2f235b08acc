//! Materials and pictures of a glTF document.

use std::borrow::Cow;

use gltf_json::extensions::texture::TextureTransform;
use gltf_json::material::Material as JsonMaterial;
use voxflow_contract::{Image, Material};

use super::Document;

/// A material, and where its texture coordinates come from.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// The material.
    pub(super) material: Material,
    /// Number of the set of texture coordinates.
    pub(super) uv_set: u32,
    transform: Option<[[f32; 3]; 2]>,
}

impl Look {
    /// The texture coordinates of a vertex, v = 0 at the bottom, from those of the file, which have
    /// it at the top.
    pub(super) fn uv(&self, [u, v]: [f32; 2]) -> [f32; 2] {
        let [u, v] = match self.transform {
            None => [u, v],
            Some(rows) => rows.map(|[a, b, c]| a * u + b * v + c),
        };
        [u, 1.0 - v]
    }
}

/// All materials of a document and the pictures they use, each once.
pub(super) fn read(document: &Document<'_>, notes: &mut Vec<String>) -> (Vec<Look>, Vec<Image>) {
    let mut pictures =
        Pictures { document, numbers: vec![None; document.root.images.len()], images: Vec::new() };
    let looks = document.root.materials.iter().map(|m| look(m, &mut pictures, notes)).collect();
    (looks, pictures.images)
}

fn look(material: &JsonMaterial, pictures: &mut Pictures<'_, '_>, notes: &mut Vec<String>) -> Look {
    let base = &material.pbr_metallic_roughness;
    let color = srgb(base.base_color_factor.0);
    let Some(info) = &base.base_color_texture else {
        return Look { material: Material { color, texture: None }, uv_set: 0, transform: None };
    };
    let texture = pictures.of_texture(info.index.value());
    if texture.is_none() {
        super::scene::note(notes, "textures that are missing or neither PNG nor JPEG");
    }
    let transform = info.extensions.as_ref().and_then(|all| all.texture_transform.as_ref());
    let uv_set = transform.and_then(|transform| transform.tex_coord).unwrap_or(info.tex_coord);
    Look { material: Material { color, texture }, uv_set, transform: transform.map(uv_rows) }
}

/// The rows of a texture's transform.
///
/// The extension's prose and the viewers turn counter-clockwise as seen with v downwards; the matrix
/// in its text turns the other way.
fn uv_rows(transform: &TextureTransform) -> [[f32; 3]; 2] {
    let (sin, cos) = transform.rotation.0.sin_cos();
    let ([su, sv], [ou, ov]) = (transform.scale.0, transform.offset.0);
    [[cos * su, sin * sv, ou], [-sin * su, cos * sv, ov]]
}

struct Pictures<'d, 'a> {
    document: &'d Document<'a>,
    /// Number among `images` of each picture of the document that was taken.
    numbers: Vec<Option<u32>>,
    images: Vec<Image>,
}

impl Pictures<'_, '_> {
    /// The number of a texture's picture; `None` when it is missing or of no format that is read.
    fn of_texture(&mut self, texture: usize) -> Option<u32> {
        let source = self.document.root.textures.get(texture)?.source.value();
        if let Some(number) = self.numbers.get(source)? {
            return Some(*number);
        }
        let image = self.document.root.images.get(source)?;
        let bytes: Cow<'_, [u8]> = match (&image.buffer_view, self.document.pictures.get(source)?) {
            (_, Some(bytes)) => Cow::Borrowed(bytes),
            (Some(view), None) => Cow::Borrowed(self.document.view(view.value()).ok()?.0),
            (None, None) => return None,
        };
        let is_read = bytes.starts_with(b"\x89PNG\r\n\x1a\n") || bytes.starts_with(b"\xff\xd8\xff");
        // Overlapping views must not make more bytes than the file has.
        let taken: usize = self.images.iter().map(|image| image.bytes.len()).sum();
        if !is_read || taken + bytes.len() > self.document.input_len {
            return None;
        }
        let number = self.images.len() as u32;
        let uri = image.uri.as_deref().filter(|uri| !uri.starts_with("data:"));
        self.images.push(Image { bytes: bytes.into_owned(), path: uri.map(super::file_name) });
        self.numbers[source] = Some(number);
        Some(number)
    }
}

/// A linear colour with straight alpha as sRGB (IEC 61966-2-1).
pub(super) fn srgb([r, g, b, a]: [f32; 4]) -> [u8; 4] {
    let encode = |linear: f32| {
        let linear = linear.clamp(0.0, 1.0);
        if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
    };
    // A number that is not one becomes 0.
    [encode(r), encode(g), encode(b), a.clamp(0.0, 1.0)].map(|x| (x * 255.0).round() as u8)
}
