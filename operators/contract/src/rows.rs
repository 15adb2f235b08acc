//! Rows as values: the loop every per-sample operator shares, and meshes and grids in rows.

use crate::batch::{Batch, BatchError};
use crate::grid::{Fill, VoxelGrid};
use crate::mesh::{Appearance, Material, TriMesh};
use crate::refusal::{Fault, Refusals};
use crate::soft_grid::SoftGrid;
use crate::tables::KEY;
use crate::values::{Image, Values};

/// Calls `work` with each row number; gives the rows that were not refused and their values.
pub fn map_rows<T>(
    rows: usize,
    refusals: &mut Refusals,
    mut work: impl FnMut(usize) -> Result<T, Fault>,
) -> (Vec<usize>, Vec<T>) {
    let (mut kept, mut values) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for row in 0..rows {
        match work(row) {
            Ok(value) => {
                kept.push(row);
                values.push(value);
            }
            Err(fault) => refusals.refuse(row, fault),
        }
    }
    (kept, values)
}

/// The values of the key columns for the rows that were kept, to begin an output batch with.
///
/// # Errors
/// When the batch lacks a key column.
pub fn key_values(batch: &Batch, kept: &[usize]) -> Result<Vec<Values>, BatchError> {
    let keys = batch.project(&KEY)?;
    let keys = if kept.len() == batch.rows() { keys } else { keys.gather(kept) };
    Ok(keys.arrays().iter().map(|array| Values(array.clone())).collect())
}

/// The mesh in columns `vertices` and `triangles` of a row.
///
/// # Errors
/// When the columns are missing.
pub fn mesh_of_row(batch: &Batch, row: usize) -> Result<TriMesh, BatchError> {
    let vertices = batch.lists::<f32>("vertices")?.value(row);
    let triangles = batch.lists::<u32>("triangles")?.value(row);
    Ok(TriMesh {
        vertices: vertices.as_chunks().0.to_vec(),
        triangles: triangles.as_chunks().0.to_vec(),
    })
}

/// The columns `vertices` and `triangles`.
pub fn mesh_values(meshes: &[TriMesh]) -> [Values; 2] {
    [
        Values::lists(meshes.iter().map(|mesh| mesh.vertices.as_flattened())),
        Values::lists(meshes.iter().map(|mesh| mesh.triangles.as_flattened())),
    ]
}

/// How the mesh of a row looks: the columns of table `mesh` from `vertex_colors` on.
///
/// # Errors
/// When the columns are missing.
pub fn appearance_of_row(batch: &Batch, row: usize) -> Result<Appearance, BatchError> {
    let numbers = |name: &str| Ok::<_, BatchError>(batch.lists::<f32>(name)?.value(row));
    let (normals, uvs) = (numbers("vertex_normals")?, numbers("corner_uvs")?);
    let uvs = uvs.as_chunks::<6>().0.iter();
    let colors = batch.lists::<u8>("material_colors")?.value(row).as_chunks().0;
    let textures_of = batch.lists::<u32>("material_textures")?.value(row);
    let textures = batch.images("textures")?;
    let image = |index: usize| Image {
        bytes: textures.bytes(row, index).to_vec(),
        path: textures.path(row, index).map(str::to_owned),
    };
    Ok(Appearance {
        vertex_colors: batch.lists::<u8>("vertex_colors")?.value(row).as_chunks().0.to_vec(),
        vertex_normals: normals.as_chunks().0.to_vec(),
        corner_uvs: uvs.map(|[a, b, c, d, e, f]| [[*a, *b], [*c, *d], [*e, *f]]).collect(),
        triangle_materials: batch.lists::<u32>("triangle_materials")?.value(row).to_vec(),
        materials: std::iter::zip(colors, textures_of)
            .map(|(color, texture)| Material {
                color: *color,
                texture: (*texture != Material::NONE).then_some(*texture),
            })
            .collect(),
        textures: (0..textures.count(row)).map(image).collect(),
    })
}

/// The columns of table `mesh` from `vertex_colors` on.
pub fn appearance_values(looks: &[Appearance]) -> [Values; 7] {
    let all = || looks.iter();
    let colors = |look: &Appearance| -> Vec<[u8; 4]> {
        look.materials.iter().map(|material| material.color).collect()
    };
    let textures = |look: &Appearance| -> Vec<u32> {
        look.materials.iter().map(|material| material.texture.unwrap_or(Material::NONE)).collect()
    };
    let images: Vec<Vec<Image>> = all().map(|look| look.textures.clone()).collect();
    [
        Values::lists(all().map(|look| look.vertex_colors.as_flattened())),
        Values::lists(all().map(|look| look.vertex_normals.as_flattened())),
        Values::lists(all().map(|look| look.corner_uvs.as_flattened().as_flattened())),
        Values::lists(all().map(|look| &look.triangle_materials)),
        Values::lists(all().map(|look| colors(look).into_flattened())),
        Values::lists(all().map(textures)),
        Values::images(&images),
    ]
}

/// The grid in the columns of the `voxels` table of a row.
///
/// # Errors
/// When the columns are missing.
pub fn voxels_of_row(batch: &Batch, row: usize) -> Result<VoxelGrid, Fault> {
    let resolution = batch.numbers::<u32>("resolution")?[row] as usize;
    let fill = Fill::from_name(batch.utf8("fill")?.value(row));
    let triple = |name: &str| -> Result<[f64; 3], BatchError> {
        let values = batch.tensors::<f64>(name)?.value(row);
        Ok([values[0], values[1], values[2]])
    };
    let (translation, scale) = (triple("grid_translation")?, triple("grid_scale")?);
    let bits = batch.tensors::<u8>("voxels")?.value(row).to_vec();
    VoxelGrid::from_bits(resolution, translation, scale, fill, bits).ok_or_else(|| {
        Fault::new("voxels", format!("the bits are not those of a {resolution}^3 grid"))
    })
}

/// The columns of the `voxels` table, after the key, for grids of one resolution; `shape` is the
/// tensor shape that [`crate::tables::voxels`] states for it.
pub fn voxels_values(resolution: usize, grids: &[VoxelGrid]) -> Vec<Values> {
    let all = || grids.iter();
    let bytes = [VoxelGrid::byte_len(resolution)];
    vec![
        Values::tensors(&bytes, all().map(VoxelGrid::bits)),
        Values::numbers(all().map(|g| g.resolution as u32).collect::<Vec<_>>()),
        Values::utf8(all().map(|g| g.fill.name())),
        Values::tensors(&[3], all().map(|g| g.translation)),
        Values::tensors(&[3], all().map(|g| g.scale)),
        Values::numbers(all().map(|g| g.occupied() as u32).collect::<Vec<_>>()),
    ]
}

/// The grid in the columns of the `occupancy` table of a row.
///
/// # Errors
/// When the columns are missing, or the values are not as many as the resolution says.
pub fn occupancy_of_row(batch: &Batch, row: usize) -> Result<SoftGrid, Fault> {
    let resolution = batch.numbers::<u32>("occupancy_resolution")?[row] as usize;
    let triple = |name: &str| -> Result<[f64; 3], BatchError> {
        let values = batch.tensors::<f64>(name)?.value(row);
        Ok([values[0], values[1], values[2]])
    };
    let (translation, scale) = (triple("occupancy_translation")?, triple("occupancy_scale")?);
    let values = batch.tensors::<f32>("occupancy")?.value(row).to_vec();
    let count = values.len();
    SoftGrid::new(resolution, translation, scale, values).ok_or_else(|| {
        Fault::new("occupancy", format!("{count} values are not those of a {resolution}^3 grid"))
    })
}

/// The columns of the `occupancy` table, after the key, for grids of one resolution.
pub fn occupancy_values(resolution: usize, grids: &[SoftGrid]) -> Vec<Values> {
    let all = || grids.iter();
    vec![
        Values::tensors(&[resolution; 3], all().map(SoftGrid::values)),
        Values::numbers(all().map(|g| g.resolution as u32).collect::<Vec<_>>()),
        Values::tensors(&[3], all().map(|g| g.translation)),
        Values::tensors(&[3], all().map(|g| g.scale)),
    ]
}
