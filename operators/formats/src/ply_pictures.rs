//! The pictures that a PLY file names, and the materials that they make with the colours of faces.

use std::collections::{BTreeMap, HashMap};

use voxflow_contract::{Appearance, Image, Material};

use crate::obj_look::Misses;
use crate::sidecars::{Sidecar, SidecarIndex, is_picture};

/// The pictures of a file: for each that it names, its number among `images`.
pub(crate) fn read_pictures(
    names: &[String],
    sidecars: &[Sidecar<'_>],
    images: &mut Vec<Image>,
    quirks: &mut Vec<String>,
) -> Vec<Option<u32>> {
    let (index, mut misses) = (SidecarIndex::of(sidecars), Misses::default());
    let mut read = |name: &String| {
        let Some(sidecar) = index.find(name) else {
            misses.note("texture not found", name);
            return None;
        };
        if !is_picture(sidecar.bytes) {
            misses.note("texture that is neither PNG nor JPEG", name);
            return None;
        }
        let Sidecar { name, bytes } = sidecar;
        images.push(Image { bytes: bytes.to_vec(), path: Some(name.to_owned()) });
        Some(images.len() as u32 - 1)
    };
    let mut numbers: BTreeMap<&String, Option<u32>> = BTreeMap::new();
    let pictures = names.iter().map(|name| *numbers.entry(name).or_insert_with(|| read(name)));
    let pictures = pictures.collect();
    quirks.extend(misses.into_fragments());
    pictures
}

/// Gives the triangles the pictures they name, each pair of colour and picture being a material.
pub(crate) fn paint(look: &mut Appearance, textures: &[u32], pictures: &[Option<u32>]) {
    if pictures.iter().all(Option::is_none) {
        return;
    }
    let mut numbers: HashMap<(u32, Option<u32>), u32> = HashMap::new();
    let colors = std::mem::take(&mut look.materials);
    let painted = std::mem::take(&mut look.triangle_materials);
    look.triangle_materials.reserve(textures.len());
    for (triangle, texture) in textures.iter().enumerate() {
        let color = painted.get(triangle).copied().unwrap_or(Material::NONE);
        let texture = pictures.get(*texture as usize).copied().flatten();
        let next = look.materials.len() as u32;
        let number = *numbers.entry((color, texture)).or_insert(next);
        if number == next {
            let color = colors.get(color as usize).map_or([255; 4], |material| material.color);
            look.materials.push(Material { color, texture });
        }
        look.triangle_materials.push(number);
    }
}
