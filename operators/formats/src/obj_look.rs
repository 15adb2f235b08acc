//! How an OBJ looks: texture coordinates, normals and materials, gathered while its faces are read.

use std::collections::{BTreeMap, BTreeSet};

use voxflow_contract::{Appearance, Image, Material, TriMesh};

use crate::mtl::{self, LibraryMaterial};
use crate::normals::units;
use crate::quick_lines::{Corner, NONE};
use crate::sidecars::{Sidecar, SidecarIndex, beside, candidates, is_picture};

/// Triangles from `first` on are painted with a material, up to the next run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaterialRun {
    /// Number of the triangle.
    pub(crate) first: usize,
    /// Number of the material in the order of first use.
    pub(crate) material: u32,
}

/// What the lines of the file said so far.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// The `vt` lines.
    pub(crate) uvs: Vec<[f32; 2]>,
    /// The `vn` lines.
    pub(crate) normals: Vec<[f32; 3]>,
    /// The `usemtl` lines.
    pub(crate) runs: Vec<MaterialRun>,
    /// Number in `uvs` of each corner; as long as the triangles that come before the last to have any.
    uv_corners: Vec<[u32; 3]>,
    normal_corners: Vec<[u32; 3]>,
}

impl Look {
    /// Keeps what the corners of triangle `number` name besides vertices.
    #[inline]
    pub(crate) fn corners(&mut self, number: usize, triangle: [&Corner; 3]) {
        let uvs = triangle.map(|corner| corner[1]);
        if uvs != [NONE; 3] {
            self.uv_corners.resize(number, [NONE; 3]);
            self.uv_corners.push(uvs);
        }
        let normals = triangle.map(|corner| corner[2]);
        if normals != [NONE; 3] {
            self.normal_corners.resize(number, [NONE; 3]);
            self.normal_corners.push(normals);
        }
    }

    /// Whether any corner named more than a vertex.
    pub(crate) fn has_corners(&self) -> bool {
        !self.uv_corners.is_empty() || !self.normal_corners.is_empty()
    }

    /// The look, its materials being numbers of first use that still have to be painted.
    pub(crate) fn into_appearance(self, mesh: &TriMesh, quirks: &mut Vec<String>) -> Appearance {
        let vertex_normals = self.vertex_normals(mesh, quirks);
        let count = mesh.triangles.len();
        let mut triangle_materials = Vec::new();
        for run in self.runs.iter().filter(|run| run.first < count) {
            // A run that another follows at once has no triangles, and is overwritten.
            triangle_materials.resize(run.first, previous(&triangle_materials));
            triangle_materials.push(run.material);
        }
        if !triangle_materials.is_empty() {
            triangle_materials.resize(count, previous(&triangle_materials));
        }
        Appearance {
            vertex_normals,
            corner_uvs: corner_uvs(&self.uvs, self.uv_corners, count),
            triangle_materials,
            ..Appearance::default()
        }
    }

    /// The one normal of each vertex, or nothing.
    fn vertex_normals(&self, mesh: &TriMesh, quirks: &mut Vec<String>) -> Vec<[f32; 3]> {
        if self.normals.is_empty() {
            return Vec::new();
        }
        if mesh.triangles.is_empty() && self.normals.len() == mesh.vertices.len() {
            return units(self.normals.clone(), quirks);
        }
        if self.normal_corners.len() != mesh.triangles.len() {
            return Vec::new();
        }
        let mut normals: Vec<Option<[f32; 3]>> = vec![None; mesh.vertices.len()];
        for (triangle, names) in mesh.triangles.iter().zip(&self.normal_corners) {
            for (vertex, name) in triangle.iter().zip(names) {
                let Some(normal) = self.normals.get(*name as usize) else { return Vec::new() };
                if *normals[*vertex as usize].get_or_insert(*normal) != *normal {
                    return Vec::new();
                }
            }
        }
        normals.into_iter().collect::<Option<_>>().map_or_else(Vec::new, |all| units(all, quirks))
    }
}

fn previous(materials: &[u32]) -> u32 {
    materials.last().copied().unwrap_or(Material::NONE)
}

/// Texture coordinates of each corner; of corners that name none, 0 0.
fn corner_uvs(uvs: &[[f32; 2]], mut corners: Vec<[u32; 3]>, count: usize) -> Vec<[[f32; 2]; 3]> {
    if uvs.is_empty() || corners.is_empty() {
        return Vec::new();
    }
    corners.resize(count, [NONE; 3]);
    let uv = |name: u32| uvs.get(name as usize).copied().unwrap_or_default();
    corners.into_iter().map(|names| names.map(uv)).collect()
}

/// Gives the materials that `look` numbers by first use (`names`) the colours and pictures of the
/// libraries. What is missing becomes a quirk.
pub(crate) fn paint(
    look: &mut Appearance,
    names: &BTreeMap<&[u8], u32>,
    libraries: &[String],
    sidecars: &[Sidecar<'_>],
    quirks: &mut Vec<String>,
) {
    let index = SidecarIndex::of(sidecars);
    let mut misses = Misses::default();
    let known = read_libraries(libraries, &index, &mut misses);
    let mut by_use: Vec<(u32, &[u8])> =
        names.iter().map(|(name, number)| (*number, *name)).collect();
    by_use.sort_unstable();
    let is_used = used(&look.triangle_materials, names.len());
    let mut renumbered = vec![Material::NONE; names.len()];
    let mut pictures = Pictures::default();
    for (number, name) in by_use.into_iter().filter(|(number, _)| is_used[*number as usize]) {
        let Some((library, material)) = known.get(name) else {
            misses.note("material in no library", &String::from_utf8_lossy(name));
            continue;
        };
        if material.was_invisible {
            let name = String::from_utf8_lossy(name);
            misses.note("invisible material (Tr 1) taken as opaque", &name);
        }
        let texture = material.texture.as_deref();
        let texture = texture.and_then(|name| pictures.find(library, name, &index, &mut misses));
        renumbered[number as usize] = look.materials.len() as u32;
        look.materials.push(Material { color: material.color, texture });
    }
    for material in &mut look.triangle_materials {
        *material = renumbered.get(*material as usize).copied().unwrap_or(Material::NONE);
    }
    if look.materials.is_empty() {
        look.triangle_materials.clear();
    }
    look.textures = pictures.images;
    quirks.extend(misses.into_fragments());
}

fn used(materials: &[u32], count: usize) -> Vec<bool> {
    let mut used = vec![false; count];
    for material in materials {
        if let Some(used) = used.get_mut(*material as usize) {
            *used = true;
        }
    }
    used
}

/// Materials by name, each with the name of its library; of two of one name the first counts.
fn read_libraries(
    libraries: &[String],
    index: &SidecarIndex<'_>,
    misses: &mut Misses,
) -> BTreeMap<Vec<u8>, (String, LibraryMaterial)> {
    let (mut known, mut read) = (BTreeMap::new(), BTreeSet::new());
    for line in libraries {
        let names = candidates(line);
        let whole = names.iter().take(1).filter(|name| index.find(name).is_some()).count();
        let names = if whole == 1 { &names[..1] } else { &names[names.len().min(1)..] };
        if names.iter().all(|name| index.find(name).is_none()) {
            misses.note("material library not found", line);
        }
        for name in names.iter().filter(|name| read.insert((*name).clone())) {
            let Some(library) = index.find(name) else { continue };
            for material in mtl::decode(library.bytes) {
                let key = material.name.clone();
                known.entry(key).or_insert_with(|| (name.clone(), material));
            }
        }
    }
    known
}

/// The pictures that materials name, each once.
#[derive(Default)]
struct Pictures {
    images: Vec<Image>,
    /// Number of the picture of each sidecar's name.
    numbers: BTreeMap<String, u32>,
}

impl Pictures {
    fn find(
        &mut self,
        library: &str,
        name: &str,
        index: &SidecarIndex<'_>,
        misses: &mut Misses,
    ) -> Option<u32> {
        let Some(sidecar) = index.find(&beside(library, name)).or_else(|| index.find(name)) else {
            misses.note("texture not found", name);
            return None;
        };
        if !is_picture(sidecar.bytes) {
            misses.note("texture that is neither PNG nor JPEG", name);
            return None;
        }
        let next = self.images.len() as u32;
        let number = *self.numbers.entry(sidecar.name.to_owned()).or_insert(next);
        if number == next {
            let Sidecar { name, bytes } = sidecar;
            self.images.push(Image { bytes: bytes.to_vec(), path: Some(name.to_owned()) });
        }
        Some(number)
    }
}

/// What was missing, by kind: the first name, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Misses(BTreeMap<&'static str, (String, u64)>);

impl Misses {
    /// Notes that `name` is missing in the way `what`.
    pub(crate) fn note(&mut self, what: &'static str, name: &str) {
        let shown =
            || name.chars().take(64).map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.0.entry(what).or_insert_with(|| (shown(), 0)).1 += 1;
    }

    /// One fragment for each kind: `texture not found: a.png (3 in all)`.
    pub(crate) fn into_fragments(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|(what, (first, times))| match times {
            1 => format!("{what}: {first}"),
            _ => format!("{what}: {first} ({times} in all)"),
        })
    }
}
