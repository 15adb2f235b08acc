//! OBJ and OFF written: coordinates have the fewest digits that read back as the same number.

use std::collections::HashMap;
use std::fmt::Write as _;

use voxflow_contract::{Appearance, Material, TriMesh};

/// Writes an OBJ file with what `look` says of colours and normals of vertices and of texture
/// coordinates; materials would need a second file.
pub(crate) fn encode_obj(mesh: &TriMesh, look: &Appearance) -> Vec<u8> {
    let mut text = String::with_capacity(32 * (mesh.vertices.len() + mesh.triangles.len()));
    for (i, vertex) in mesh.vertices.iter().enumerate() {
        text.push('v');
        push_numbers(&mut text, vertex);
        if let Some(color) = look.vertex_colors.get(i) {
            let len = if color[3] == 255 { 3 } else { 4 };
            push_color(&mut text, &color[..len]);
        }
        text.push('\n');
    }
    for normal in &look.vertex_normals {
        text.push_str("vn");
        push_numbers(&mut text, normal);
        text.push('\n');
    }
    let mut uvs = Numbered::default();
    for (i, triangle) in mesh.triangles.iter().enumerate() {
        let names = look.corner_uvs.get(i).map(|corners| corners.map(|uv| uvs.line(&mut text, uv)));
        text.push('f');
        for (corner, vertex) in triangle.iter().enumerate() {
            text.push(' ');
            push_integer(&mut text, u64::from(*vertex) + 1);
            let uv = names.map(|names| names[corner]);
            if let Some(uv) = uv {
                text.push('/');
                push_integer(&mut text, uv);
            }
            if !look.vertex_normals.is_empty() {
                text.push_str(if uv.is_some() { "/" } else { "//" });
                push_integer(&mut text, u64::from(*vertex) + 1);
            }
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// Texture coordinates that have a line, by their bits.
#[derive(Default)]
struct Numbered(HashMap<[u32; 2], u64>);

impl Numbered {
    /// The number of a texture coordinate, whose line is written when it is new.
    fn line(&mut self, text: &mut String, uv: [f32; 2]) -> u64 {
        let next = self.0.len() as u64 + 1;
        let number = *self.0.entry(uv.map(f32::to_bits)).or_insert(next);
        if number == next {
            text.push_str("vt");
            push_numbers(text, &uv);
            text.push('\n');
        }
        number
    }
}

/// Writes an OFF file with what `look` says of colours and normals of vertices, and with the colours
/// of materials as those of faces; texture coordinates, which OFF has for vertices only, are not
/// in it.
pub(crate) fn encode_off(mesh: &TriMesh, look: &Appearance) -> Vec<u8> {
    let mut text = String::with_capacity(32 * (mesh.vertices.len() + mesh.triangles.len()));
    text.push_str(if look.vertex_colors.is_empty() { "" } else { "C" });
    text.push_str(if look.vertex_normals.is_empty() { "OFF\n" } else { "NOFF\n" });
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{} {} 0", mesh.vertices.len(), mesh.triangles.len());
    for (i, vertex) in mesh.vertices.iter().enumerate() {
        let start = text.len();
        push_numbers(&mut text, vertex);
        look.vertex_normals.get(i).inspect(|normal| push_numbers(&mut text, &normal[..]));
        look.vertex_colors.get(i).inspect(|color| push_color(&mut text, &color[..]));
        // Every number brought a blank with it.
        text.replace_range(start..=start, "");
        text.push('\n');
    }
    for (i, triangle) in mesh.triangles.iter().enumerate() {
        text.push('3');
        for vertex in triangle {
            text.push(' ');
            push_integer(&mut text, u64::from(*vertex));
        }
        let material = look.triangle_materials.get(i).copied().unwrap_or(Material::NONE);
        let material = look.materials.get(material as usize);
        material.inspect(|material| push_color(&mut text, &material.color));
        text.push('\n');
    }
    text.into_bytes()
}

fn push_numbers(text: &mut String, numbers: &[f32]) {
    for number in numbers {
        let _ = write!(text, " {number}");
    }
}

/// Bytes as numbers from 0 to 1, with the digits that tell 256 values apart.
fn push_color(text: &mut String, color: &[u8]) {
    for byte in color {
        let _ = write!(text, " {:.4}", f32::from(*byte) / 255.0);
    }
}

fn push_integer(text: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend(digits[start..].iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(look: &Appearance, obj: &str, off: &str) {
        let mesh = TriMesh { vertices: vec![[0.1, -2.0, 1e-7]; 3], triangles: vec![[0, 1, 2]] };
        assert!(look.fits(&mesh));
        assert_eq!(String::from_utf8(encode_obj(&mesh, look)).expect("text"), obj);
        assert_eq!(String::from_utf8(encode_off(&mesh, look)).expect("text"), off);
    }

    #[test]
    fn bare_meshes() {
        check(
            &Appearance::default(),
            "v 0.1 -2 0.0000001\nv 0.1 -2 0.0000001\nv 0.1 -2 0.0000001\nf 1 2 3\n",
            "OFF\n3 1 0\n0.1 -2 0.0000001\n0.1 -2 0.0000001\n0.1 -2 0.0000001\n3 0 1 2\n",
        );
    }

    #[test]
    fn looks() {
        let look = Appearance {
            vertex_colors: vec![[255, 0, 128, 255], [0, 0, 0, 51], [0, 0, 0, 255]],
            vertex_normals: vec![[0.0, 0.0, 1.0]; 3],
            corner_uvs: vec![[[0.0, 0.5], [1.0, 0.5], [0.0, 0.5]]],
            triangle_materials: vec![0],
            materials: vec![Material { color: [255, 255, 0, 255], texture: None }],
            textures: vec![],
        };
        check(
            &look,
            "v 0.1 -2 0.0000001 1.0000 0.0000 0.5020\n\
             v 0.1 -2 0.0000001 0.0000 0.0000 0.0000 0.2000\n\
             v 0.1 -2 0.0000001 0.0000 0.0000 0.0000\n\
             vn 0 0 1\nvn 0 0 1\nvn 0 0 1\nvt 0 0.5\nvt 1 0.5\nf 1/1/1 2/2/2 3/1/3\n",
            "CNOFF\n3 1 0\n\
             0.1 -2 0.0000001 0 0 1 1.0000 0.0000 0.5020 1.0000\n\
             0.1 -2 0.0000001 0 0 1 0.0000 0.0000 0.0000 0.2000\n\
             0.1 -2 0.0000001 0 0 1 0.0000 0.0000 0.0000 1.0000\n\
             3 0 1 2 1.0000 1.0000 0.0000 1.0000\n",
        );
    }

    #[test]
    fn integers_of_all_lengths() {
        for number in [0, 9, 10, 4_294_967_296, u64::MAX] {
            let mut text = String::new();
            push_integer(&mut text, number);
            assert_eq!(text, number.to_string());
        }
    }
}
