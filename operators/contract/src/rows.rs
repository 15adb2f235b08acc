//! Rows as values: the loop every per-sample operator shares, and meshes and grids in rows.

use crate::batch::{Batch, BatchError};
use crate::grid::{Fill, VoxelGrid};
use crate::mesh::TriMesh;
use crate::refusal::{Fault, Refusals};
use crate::tables::KEY;
use crate::values::Values;

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

/// The grid in the columns of the `voxels` table of a row.
///
/// # Errors
/// When the columns are missing.
pub fn voxels_of_row(batch: &Batch, row: usize) -> Result<VoxelGrid, Fault> {
    let resolution = batch.numbers::<u32>("resolution")?[row] as usize;
    let fill = match batch.utf8("fill")?.value(row) {
        "surface" => Fill::Surface,
        "solid" => Fill::Solid,
        _ => Fill::Unknown,
    };
    let translation = batch.tensors::<f64>("grid_translation")?.value(row);
    let translation = [translation[0], translation[1], translation[2]];
    let scale = batch.numbers::<f64>("grid_scale")?[row];
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
        Values::numbers(all().map(|g| g.scale).collect::<Vec<_>>()),
        Values::numbers(all().map(|g| g.occupied() as u32).collect::<Vec<_>>()),
    ]
}
