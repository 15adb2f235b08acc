//! A scene of a glTF document as one mesh.

use gltf_json::mesh::{Mode, Primitive, Semantic};
use gltf_json::scene::Node;
use gltf_json::validation::Checked;
use voxflow_contract::{Appearance, Material, TriMesh};

use super::accessor::{Budget, Vectors, read_indices, read_vectors};
use super::look::{self, Look};
use super::{Document, fault, no_such};
use crate::error::FormatError;
use crate::mesh_format::DecodedMesh;

/// Reads the scene that a viewer would show.
///
/// # Errors
/// As [`super::decode`].
pub(super) fn decode(document: &Document<'_>) -> Result<DecodedMesh, FormatError> {
    let mut notes = Vec::new();
    let (looks, textures) = look::read(document, &mut notes);
    let mut builder = Builder::new(document, looks, notes);
    let mut seen = vec![false; document.root.nodes.len()];
    let mut open: Vec<(usize, Matrix)> =
        roots(document)?.into_iter().rev().map(|node| (node, IDENTITY)).collect();
    while let Some((number, parent)) = open.pop() {
        let nodes = &document.root.nodes;
        let node = nodes.get(number).ok_or_else(|| no_such("node", number, nodes.len()))?;
        if std::mem::replace(&mut seen[number], true) {
            let message = format_args!("node {number} has two parents or is below itself");
            return Err(fault("bad_index", message));
        }
        let world = product(&parent, &local(node));
        if let Some(mesh) = node.mesh {
            builder.add_mesh(mesh.value(), node, &world)?;
        }
        let children = node.children.as_deref().unwrap_or_default();
        open.extend(children.iter().rev().map(|child| (child.value(), world)));
    }
    builder.finish(textures)
}

/// The nodes a scene begins with: those of the default scene, of the first, or all without a parent.
fn roots(document: &Document<'_>) -> Result<Vec<usize>, FormatError> {
    let root = &document.root;
    let number = root.scene.map_or(0, |scene| scene.value());
    match root.scenes.get(number) {
        Some(scene) => Ok(scene.nodes.iter().map(|node| node.value()).collect()),
        None if root.scene.is_some() => Err(no_such("scene", number, root.scenes.len())),
        None => {
            let mut is_child = vec![false; root.nodes.len()];
            for child in root.nodes.iter().flat_map(|node| node.children.iter().flatten()) {
                if let Some(is_child) = is_child.get_mut(child.value()) {
                    *is_child = true;
                }
            }
            Ok((0..root.nodes.len()).filter(|node| !is_child[*node]).collect())
        }
    }
}

/// Notes an oddity once.
pub(super) fn note(notes: &mut Vec<String>, what: &str) {
    if !notes.iter().any(|note| note == what) {
        notes.push(what.to_owned());
    }
}

struct Builder<'d, 'a> {
    document: &'d Document<'a>,
    looks: Vec<Look>,
    budget: Budget,
    notes: Vec<String>,
    mesh: TriMesh,
    /// Points and their colours, which are kept only where there are no triangles.
    points: Vec<[f32; 3]>,
    point_colors: Vec<[u8; 4]>,
    colors: Vec<[u8; 4]>,
    normals: Vec<[f32; 3]>,
    uvs: Vec<[[f32; 2]; 3]>,
    materials: Vec<u32>,
}

impl<'d, 'a> Builder<'d, 'a> {
    fn new(document: &'d Document<'a>, looks: Vec<Look>, notes: Vec<String>) -> Self {
        Self {
            document,
            looks,
            budget: Budget::new(document),
            notes,
            mesh: TriMesh::default(),
            points: Vec::new(),
            point_colors: Vec::new(),
            colors: Vec::new(),
            normals: Vec::new(),
            uvs: Vec::new(),
            materials: Vec::new(),
        }
    }

    fn add_mesh(&mut self, number: usize, node: &Node, world: &Matrix) -> Result<(), FormatError> {
        let document = self.document;
        let meshes = &document.root.meshes;
        let mesh = meshes.get(number).ok_or_else(|| no_such("mesh", number, meshes.len()))?;
        if node.skin.is_some() {
            note(&mut self.notes, "skins ignored: the mesh stands as it is stored");
        }
        for primitive in &mesh.primitives {
            if primitive.targets.as_ref().is_some_and(|targets| !targets.is_empty()) {
                note(&mut self.notes, "morph targets ignored");
            }
            self.add_primitive(number, primitive, world)?;
        }
        Ok(())
    }

    fn add_primitive(
        &mut self,
        mesh: usize,
        primitive: &Primitive,
        world: &Matrix,
    ) -> Result<(), FormatError> {
        let Some(positions) = self.attribute(primitive, Semantic::Positions, &[3])? else {
            note(&mut self.notes, "primitives without positions skipped");
            return Ok(());
        };
        let positions = placed(&positions, world);
        if !positions.iter().flatten().all(|x| x.is_finite()) {
            let message = format_args!("mesh {mesh} has a vertex that is not finite");
            return Err(fault("not_finite", message));
        }
        let Checked::Valid(mode) = primitive.mode else {
            note(&mut self.notes, "primitives of unknown mode skipped");
            return Ok(());
        };
        match mode {
            Mode::Points => {
                if let Some(colors) = self.colors(primitive, positions.len())? {
                    self.point_colors.resize(self.points.len(), WHITE);
                    self.point_colors.extend(colors);
                }
                self.points.extend(positions);
            }
            Mode::Lines | Mode::LineLoop | Mode::LineStrip => {
                note(&mut self.notes, "lines skipped");
            }
            Mode::Triangles | Mode::TriangleStrip | Mode::TriangleFan => {
                let corners = self.corners(mesh, primitive, positions.len())?;
                let mut triangles = triangles(mode, &corners);
                if determinant(world) < 0.0 {
                    triangles.iter_mut().for_each(|triangle| triangle.swap(1, 2));
                }
                self.add_triangles(primitive, world, positions, triangles)?;
            }
        }
        Ok(())
    }

    /// The vertex numbers of a primitive, all of which exist.
    fn corners(
        &mut self,
        mesh: usize,
        primitive: &Primitive,
        vertices: usize,
    ) -> Result<Vec<u32>, FormatError> {
        let Some(indices) = &primitive.indices else {
            return Ok((0..vertices as u32).collect());
        };
        let corners = read_indices(self.document, indices.value(), &mut self.budget)?;
        match corners.iter().find(|corner| **corner as usize >= vertices) {
            None => Ok(corners),
            Some(corner) => {
                let message =
                    format_args!("mesh {mesh} names vertex {corner}, its primitive has {vertices}");
                Err(fault("bad_index", message))
            }
        }
    }

    fn add_triangles(
        &mut self,
        primitive: &Primitive,
        world: &Matrix,
        positions: Vec<[f32; 3]>,
        triangles: Vec<[u32; 3]>,
    ) -> Result<(), FormatError> {
        let (first, count) = (self.mesh.vertices.len(), positions.len());
        if u32::try_from(first + count).is_err() {
            return Err(fault("too_large", "the scene has more than 2^32 vertices"));
        }
        let normals = self.attribute(primitive, Semantic::Normals, &[3])?;
        if let Some(normals) = normals.filter(|n| n.len() == count && self.normals.len() == first) {
            self.normals.extend(turned(&normals, world));
        }
        if let Some(colors) = self.colors(primitive, count)? {
            self.colors.resize(first, WHITE);
            self.colors.extend(colors);
        }
        let material = primitive.material.map(|material| material.value());
        let look = material.map(|number| {
            self.looks
                .get(number)
                .cloned()
                .ok_or_else(|| no_such("material", number, self.looks.len()))
        });
        let look = look.transpose()?;
        if let Some(look) = look.filter(|look| look.material.texture.is_some()) {
            let set = Semantic::TexCoords(look.uv_set);
            let uvs = self.attribute(primitive, set, &[2])?;
            if let Some(uvs) = uvs.filter(|uvs| uvs.len() == count) {
                self.uvs.resize(self.mesh.triangles.len(), [[0.0; 2]; 3]);
                let pairs = uvs.numbers.as_chunks::<2>().0;
                let corner = |vertex: u32| finite(look.uv(pairs[vertex as usize]));
                self.uvs.extend(triangles.iter().map(|triangle| triangle.map(corner)));
            }
        }
        let painted_from = self.mesh.triangles.len();
        if first == 0 {
            // Nothing is copied where one primitive is all there is.
            self.mesh = TriMesh { vertices: positions, triangles };
        } else {
            self.mesh.vertices.extend(positions);
            let moved = triangles.into_iter().map(|triangle| triangle.map(|v| v + first as u32));
            self.mesh.triangles.extend(moved);
        }
        if let Some(material) = material {
            self.materials.resize(painted_from, Material::NONE);
            self.materials.resize(self.mesh.triangles.len(), material as u32);
        }
        Ok(())
    }

    /// The colours of a primitive's vertices, where it has as many.
    fn colors(
        &mut self,
        primitive: &Primitive,
        count: usize,
    ) -> Result<Option<Vec<[u8; 4]>>, FormatError> {
        let colors = self.attribute(primitive, Semantic::Colors(0), &[3, 4])?;
        Ok(colors.filter(|colors| colors.len() == count).map(|colors| rgba(&colors).collect()))
    }

    /// An attribute of a primitive, whose vectors must have one of these numbers of components.
    fn attribute(
        &mut self,
        primitive: &Primitive,
        semantic: Semantic,
        components: &[usize],
    ) -> Result<Option<Vectors>, FormatError> {
        let Some(accessor) = primitive.attributes.get(&Checked::Valid(semantic)) else {
            return Ok(None);
        };
        let number = accessor.value();
        let vectors = read_vectors(self.document, number, &mut self.budget)?;
        if components.contains(&vectors.components) {
            return Ok(Some(vectors));
        }
        let found = vectors.components;
        let message = format_args!("accessor {number}: its vectors have {found} components");
        Err(fault("bad_accessor", message))
    }

    fn finish(
        mut self,
        textures: Vec<voxflow_contract::Image>,
    ) -> Result<DecodedMesh, FormatError> {
        if self.mesh.triangles.is_empty() && !self.points.is_empty() {
            let mesh = TriMesh { vertices: self.points, triangles: Vec::new() };
            if !self.point_colors.is_empty() {
                self.point_colors.resize(mesh.vertices.len(), WHITE);
            }
            let appearance =
                Appearance { vertex_colors: self.point_colors, ..Appearance::default() };
            return Ok(DecodedMesh { mesh, appearance, quirks: self.notes });
        }
        if self.mesh.vertices.is_empty() {
            return Err(fault("empty", "the scene holds no vertices"));
        }
        if !self.points.is_empty() {
            note(&mut self.notes, "points beside triangles skipped");
        }
        let (vertices, triangles) = (self.mesh.vertices.len(), self.mesh.triangles.len());
        if self.normals.len() != vertices {
            self.normals.clear();
        }
        if !self.colors.is_empty() {
            self.colors.resize(vertices, WHITE);
        }
        if !self.uvs.is_empty() {
            self.uvs.resize(triangles, [[0.0; 2]; 3]);
        }
        if !self.materials.is_empty() {
            self.materials.resize(triangles, Material::NONE);
        }
        let appearance = Appearance {
            vertex_colors: self.colors,
            vertex_normals: self.normals,
            corner_uvs: self.uvs,
            triangle_materials: self.materials,
            materials: self.looks.into_iter().map(|look| look.material).collect(),
            textures,
        };
        Ok(DecodedMesh { mesh: self.mesh, appearance, quirks: self.notes })
    }
}

const WHITE: [u8; 4] = [u8::MAX; 4];

/// Vertex numbers as triangles; a strip's second and every other triangle is turned round.
fn triangles(mode: Mode, corners: &[u32]) -> Vec<[u32; 3]> {
    match mode {
        Mode::TriangleStrip => {
            let turn = |(i, three): (usize, &[u32])| match i % 2 {
                0 => [three[0], three[1], three[2]],
                _ => [three[0], three[2], three[1]],
            };
            corners.windows(3).enumerate().map(turn).collect()
        }
        Mode::TriangleFan => match corners {
            [center, rim @ ..] => rim.windows(2).map(|two| [two[0], two[1], *center]).collect(),
            [] => Vec::new(),
        },
        _ => corners.as_chunks::<3>().0.to_vec(),
    }
}

/// A 4 by 4 matrix, column by column as in the document.
type Matrix = [[f64; 4]; 4];

const IDENTITY: Matrix =
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];

/// A node's transform: its matrix, or scale, then rotation, then translation.
fn local(node: &Node) -> Matrix {
    if let Some(matrix) = node.matrix {
        let column = |i: usize| [0, 1, 2, 3].map(|row| f64::from(matrix[4 * i + row]));
        return [column(0), column(1), column(2), column(3)];
    }
    let [x, y, z, w] = node.rotation.unwrap_or_default().0.map(f64::from);
    let scale = node.scale.unwrap_or([1.0; 3]).map(f64::from);
    let [tx, ty, tz] = node.translation.unwrap_or_default().map(f64::from);
    let rotation = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y)],
        [2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x)],
        [2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)],
    ];
    let column = |i: usize| {
        let [a, b, c] = rotation[i].map(|number| number * scale[i]);
        [a, b, c, 0.0]
    };
    [column(0), column(1), column(2), [tx, ty, tz, 1.0]]
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    b.map(|column| [0, 1, 2, 3].map(|row| (0..4).map(|k| a[k][row] * column[k]).sum()))
}

fn determinant([a, b, c, _]: &Matrix) -> f64 {
    let cross = cross(b, c);
    a[0] * cross[0] + a[1] * cross[1] + a[2] * cross[2]
}

fn cross(a: &[f64; 4], b: &[f64; 4]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// Positions in the frame of the scene.
fn placed(positions: &Vectors, world: &Matrix) -> Vec<[f32; 3]> {
    let positions = positions.numbers.as_chunks::<3>().0;
    if *world == IDENTITY {
        return positions.to_vec();
    }
    let place = |position: &[f32; 3]| {
        let [x, y, z] = position.map(f64::from);
        [0, 1, 2]
            .map(|i| (world[0][i] * x + world[1][i] * y + world[2][i] * z + world[3][i]) as f32)
    };
    positions.iter().map(place).collect()
}

/// Normals in the frame of the scene: by the cofactors, which are the inverse's transpose but for a
/// factor, and exist for flat scales too.
fn turned(normals: &Vectors, world: &Matrix) -> Vec<[f32; 3]> {
    let [a, b, c, _] = world;
    let sign = if determinant(world) < 0.0 { -1.0 } else { 1.0 };
    let columns = [cross(b, c), cross(c, a), cross(a, b)].map(|column| column.map(|x| x * sign));
    let turn = |normal: &[f32; 3]| {
        let [x, y, z] = normal.map(f64::from);
        let turned = [0, 1, 2].map(|i| columns[0][i] * x + columns[1][i] * y + columns[2][i] * z);
        let length = turned.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length > 0.0 && length.is_finite() {
            turned.map(|x| (x / length) as f32)
        } else {
            [0.0, 0.0, 1.0]
        }
    };
    normals.numbers.as_chunks::<3>().0.iter().map(turn).collect()
}

fn rgba(colors: &Vectors) -> impl Iterator<Item = [u8; 4]> + '_ {
    colors.numbers.chunks_exact(colors.components).map(|color| {
        let alpha = color.get(3).copied().unwrap_or(1.0);
        look::srgb([color[0], color[1], color[2], alpha])
    })
}

/// Texture coordinates that are no numbers point at the corner.
fn finite(uv: [f32; 2]) -> [f32; 2] {
    uv.map(|x| if x.is_finite() { x } else { 0.0 })
}
