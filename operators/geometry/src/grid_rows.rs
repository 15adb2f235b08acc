//! Rows with grids: what every operator from grid to grid does with them.

use voxflow_contract::{
    Appearance, Batch, Fault, ParamError, Refusals, SourceFrame, Transform, TriMesh, Values,
    VoxelGrid, appearance_values, key_values, map_rows, mesh_values, tables, voxels_of_row,
    voxels_values,
};

use crate::ranges::range_error;

/// Cells along each axis where a pipeline does not say.
pub(crate) fn default_resolution() -> u32 {
    32
}

/// What is wrong with a resolution.
pub(crate) fn resolution_error(resolution: u32) -> Option<ParamError> {
    range_error("resolution", resolution, 1..=VoxelGrid::MAX_RESOLUTION as u32)
}

/// The grid of a row of table `voxels`.
///
/// # Errors
/// `resolution` when it is not of the resolution that the stage was told; `voxels`, `table`.
pub(crate) fn grid_of_row(
    batch: &Batch,
    row: usize,
    resolution: usize,
) -> Result<VoxelGrid, Fault> {
    let grid = voxels_of_row(batch, row)?;
    check_resolution(grid.resolution, resolution)?;
    Ok(grid)
}

/// Refuses a grid of another resolution than the stage was told.
///
/// # Errors
/// `resolution`.
pub(crate) fn check_resolution(found: usize, told: usize) -> Result<(), Fault> {
    if found == told {
        return Ok(());
    }
    let message =
        format!("the grid has {found} cells along each axis, not {told}; set `resolution`");
    Err(Fault::new("resolution", message))
}

/// A batch of table `voxels` with what `work` makes of each grid of `resolution`: a grid of
/// `resolution_out`.
pub(crate) fn map_grids(
    batch: &Batch,
    refusals: &mut Refusals,
    [resolution, resolution_out]: [usize; 2],
    work: impl Fn(&VoxelGrid) -> Result<VoxelGrid, Fault>,
) -> Result<Batch, Fault> {
    let (kept, grids) =
        map_rows(batch.rows(), refusals, |row| work(&grid_of_row(batch, row, resolution)?));
    let mut values = key_values(batch, &kept)?;
    values.extend(voxels_values(resolution_out, &grids));
    Ok(Batch::new(tables::voxels(resolution_out), values)?)
}

/// At most how many bytes a row of table `voxels` takes: the grid, its frame, size, count and rule.
pub(crate) fn voxels_row_bytes(resolution: usize) -> usize {
    VoxelGrid::byte_len(resolution) + 96
}

/// A batch of table `mesh` with the rows of `batch` that were kept, of meshes that no file holds.
pub(crate) fn surface_batch(
    batch: &Batch,
    kept: &[usize],
    meshes: &[TriMesh],
) -> Result<Batch, Fault> {
    let identity = Transform::<SourceFrame, SourceFrame>::from_scale_translation(1.0, [0.0; 3]);
    let mut values = key_values(batch, kept)?;
    values.extend(mesh_values(meshes));
    values.push(Values::tensors(&[4, 4], kept.iter().map(|_| identity.to_array())));
    values.push(Values::utf8(kept.iter().map(|_| "")));
    values.extend(appearance_values(&vec![Appearance::default(); kept.len()]));
    Ok(Batch::new(tables::mesh(), values)?)
}

/// How many bytes the surface of a solid in a grid takes, as far as one can say: some 12 cells of it
/// for each cell of a side, a vertex and two triangles each.
pub(crate) fn surface_row_bytes(resolution: usize) -> usize {
    12 * resolution * resolution * 36
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn grids_go_through_and_other_resolutions_are_refused() {
        let grids = [testing::random_grid(8, 0.5, 1), testing::random_grid(8, 0.5, 2)];
        let batch = testing::voxels_batch(&grids);
        let keep = |grid: &VoxelGrid| match grid.get(0, 0, 0) == grids[1].get(0, 0, 0) {
            true => Ok(grid.clone()),
            false => Err(Fault::new("other", "not this one")),
        };
        let mut refusals = Refusals::default();
        let output = map_grids(&batch, &mut refusals, [8, 8], keep).expect("a batch");
        let last = output.rows() - 1;
        assert_eq!(voxels_of_row(&output, last), Ok(grids[1].clone()));
        assert!(output.bytes() <= output.rows() * (voxels_row_bytes(8) + 64), "with its keys");
        let mut refusals = Refusals::default();
        map_grids(&batch, &mut refusals, [16, 16], keep).expect("a batch");
        let codes: Vec<_> = refusals.into_rows().iter().map(|(_, fault)| fault.code).collect();
        assert_eq!(codes, ["resolution"; 2]);
    }
}
