//! Paint: the colours of a mesh, ready to be looked up.

use voxflow_contract::{Appearance, Fault, Material, TriMesh};
use voxflow_formats::picture::{Picture, decode};

use crate::kernels::shade::linear;

/// An appearance that was checked against its mesh, with its textures decoded.
pub struct Paint<'a> {
    look: &'a Appearance,
    textures: Vec<Picture>,
}

impl<'a> Paint<'a> {
    /// Checks `look` and decodes its textures; that takes most of the time, so do it once a mesh.
    ///
    /// # Errors
    /// `bad_appearance` when lists are not as long as `mesh` needs or numbers name nothing,
    /// `bad_texture` when a picture cannot be decoded.
    pub fn new(mesh: &TriMesh, look: &'a Appearance) -> Result<Self, Fault> {
        if !look.fits(mesh) {
            let message = "colours, normals or materials are not as many as the mesh needs";
            return Err(Fault::new("bad_appearance", message));
        }
        let decoded = look.textures.iter().enumerate().map(|(number, image)| {
            decode(&image.bytes).map_err(|error| {
                let name = image.path.as_deref().unwrap_or("without a name");
                let message = format!("texture {number} ({name}): {}", error.message);
                Fault::new("bad_texture", message)
            })
        });
        Ok(Self { look, textures: decoded.collect::<Result<_, _>>()? })
    }

    /// The normals that came with the mesh, or nothing.
    pub(crate) fn vertex_normals(&self) -> &[[f32; 3]] {
        &self.look.vertex_normals
    }

    /// The linear colour of a point of triangle `number`, given by its barycentric weights: that of
    /// the vertices times that of the material times that of the texture, as far as there are any.
    pub(crate) fn color(&self, mesh: &TriMesh, number: usize, weights: [f32; 3]) -> [f32; 3] {
        let mut color = [1.0f32; 3];
        if !self.look.vertex_colors.is_empty() {
            let corners = mesh.triangles[number].map(|v| self.look.vertex_colors[v as usize]);
            color = [0, 1, 2].map(|c| {
                (0..3).map(|corner| weights[corner] * linear(corners[corner][c])).sum::<f32>()
            });
        }
        let Some(material) = self.material(number) else { return color };
        (0..3).for_each(|c| color[c] *= linear(material.color[c]));
        let texture = material.texture.and_then(|t| self.textures.get(t as usize));
        if let (Some(texture), Some(uvs)) = (texture, self.look.corner_uvs.get(number)) {
            let uv = [0, 1].map(|axis| (0..3).map(|i| weights[i] * uvs[i][axis]).sum());
            let texel = sample(texture, uv);
            (0..3).for_each(|c| color[c] *= texel[c]);
        }
        color
    }

    fn material(&self, number: usize) -> Option<Material> {
        let material = *self.look.triangle_materials.get(number)?;
        self.look.materials.get(material as usize).copied()
    }
}

/// The linear colour of a picture at (u, v), v upwards: repeated in both directions, bilinear between
/// the centres of four texels. Alpha is not looked at.
fn sample(picture: &Picture, [u, v]: [f32; 2]) -> [f32; 3] {
    let (x, first_x, second_x) = texels(u, picture.width as usize);
    let (y, first_y, second_y) = texels(1.0 - v, picture.height as usize);
    let texel = |x: usize, y: usize| -> [f32; 3] {
        let channels = usize::from(picture.channels);
        let at = (y * picture.width as usize + x) * channels;
        // Grey has one channel for all three.
        [0, 1, 2].map(|c| linear(picture.data[at + if channels < 3 { 0 } else { c }]))
    };
    let mix =
        |a: [f32; 3], b: [f32; 3], share: f32| [0, 1, 2].map(|c| a[c] + share * (b[c] - a[c]));
    let top = mix(texel(first_x, first_y), texel(second_x, first_y), x);
    let bottom = mix(texel(first_x, second_y), texel(second_x, second_y), x);
    mix(top, bottom, y)
}

/// The two texels whose centres lie around a coordinate, and how far it is from the first to the second.
fn texels(coordinate: f32, size: usize) -> (f32, usize, usize) {
    let coordinate = if coordinate.is_finite() { coordinate } else { 0.0 };
    let at = f64::from(coordinate).rem_euclid(1.0) * size as f64 - 0.5;
    let floor = at.floor();
    let first = (floor as i64).rem_euclid(size as i64) as usize;
    ((at - floor) as f32, first, (first + 1) % size)
}

#[cfg(test)]
mod tests {
    use voxflow_contract::Image;
    use voxflow_formats::picture::encode_png;

    use super::*;
    use crate::kernels::shade::srgb;
    use crate::testing;

    #[test]
    fn textures_repeat_and_blend_in_linear_light() {
        let data = vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
        let picture = Picture { width: 2, height: 2, channels: 3, data };
        let at = |u: f32, v: f32| sample(&picture, [u, v]).map(srgb);
        assert_eq!(at(0.25, 0.75), [255, 0, 0]);
        assert_eq!(at(0.75, 0.75), [0, 255, 0]);
        assert_eq!(at(0.25, 0.25), [0, 0, 255]);
        assert_eq!(at(-3.75, 4.75), [255, 0, 0]);
        assert_eq!(at(0.5, 0.75), [188, 188, 0]);
        // Over the border it blends with the other side.
        assert_eq!(at(0.0, 0.75), [188, 188, 0]);
        assert_eq!(at(f32::NAN, 0.75), at(0.0, 0.75));
    }

    #[test]
    fn colors_of_vertices_materials_and_textures_multiply() {
        let mesh = testing::cuboid([0.0; 3], [1.0; 3]);
        let grey = Picture { width: 1, height: 1, channels: 1, data: vec![188] };
        let png = encode_png(&grey).expect("a picture");
        let look = Appearance {
            vertex_colors: vec![[255, 255, 0, 255]; 8],
            corner_uvs: vec![[[0.0; 2]; 3]; 12],
            triangle_materials: [vec![0; 11], vec![Material::NONE]].concat(),
            materials: vec![Material { color: [255, 0, 0, 255], texture: Some(0) }],
            textures: vec![Image { bytes: png, path: None }],
            ..Appearance::default()
        };
        let paint = Paint::new(&mesh, &look).expect("a good look");
        assert_eq!(paint.color(&mesh, 0, [0.2, 0.3, 0.5]).map(srgb), [188, 0, 0]);
        assert_eq!(paint.color(&mesh, 11, [0.2, 0.3, 0.5]).map(srgb), [255, 255, 0]);
    }

    #[test]
    fn looks_that_do_not_fit_are_refused() {
        let mesh = testing::cuboid([0.0; 3], [1.0; 3]);
        let code = |look: Appearance| Paint::new(&mesh, &look).err().map(|fault| fault.code);
        let short = Appearance { vertex_colors: vec![[0; 4]], ..Appearance::default() };
        assert_eq!(code(short), Some("bad_appearance"));
        let image = Image { bytes: b"no picture".to_vec(), path: None };
        let broken = Appearance { textures: vec![image], ..Appearance::default() };
        assert_eq!(code(broken), Some("bad_texture"));
        assert_eq!(code(Appearance::default()), None);
    }
}
