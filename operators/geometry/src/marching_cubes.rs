//! `marching_cubes`: the surface of every grid, as a closed mesh.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    Stage, map_rows, tables,
};

use crate::grid_rows::{
    default_resolution, grid_of_row, resolution_error, surface_batch, surface_row_bytes,
};
use crate::kernels::marching_cubes;

/// Parameters of `marching_cubes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarchingCubesParams {
    /// Cells along each axis of the grids that come in, 1 to 1024.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: u32,
}

/// `marching_cubes` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct MarchingCubesKind;

impl Kind for MarchingCubesKind {
    fn name(&self) -> &'static str {
        "marching_cubes"
    }

    fn summary(&self) -> &'static str {
        "Turns every grid into a watertight mesh of its surface."
    }

    fn manual(&self) -> &'static str {
        "Takes table `voxels`, gives table `mesh` in the frame of the grid; `mesh_from_source` \
         is the identity, and no look comes with it.\n\n\
         The surface runs half-way between the centres of occupied and empty cells. It is \
         watertight, each vertex is there once, each edge has two triangles, each vertex one fan \
         of them, and triangles are counter-clockwise seen from outside. Beyond the border all \
         is empty, and the surface is closed there. Cells that touch along an edge only are \
         apart.\n\n\
         Refused are grids without an occupied cell (`empty`), frames that are not finite or \
         without size (`frame`), noise with more than 2^26 vertices (`too_large`), and grids of \
         another resolution than `resolution` (`resolution`), by which memory is set aside.\n\n\
         Marching cubes (Lorensen and Cline 1987), with cases made by one rule for each face, so \
         that neighbours always fit. Cost: some 50 ns for each cell of the surface, and a few \
         operations on each word of 64 cells."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["voxels"])
    }

    fn output(&self) -> &'static str {
        "mesh"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"surfaces\"\nuse = \"marching_cubes\"\nfrom = \"grids\"\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(MarchingCubesParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: MarchingCubesParams = params.parse()?;
        match resolution_error(params.resolution) {
            Some(error) => Err(vec![error]),
            None => Ok(Stage::Operator(Arc::new(MarchingCubes {
                resolution: params.resolution as usize,
            }))),
        }
    }
}

struct MarchingCubes {
    resolution: usize,
}

impl Operator for MarchingCubes {
    fn output(&self) -> Schema {
        tables::mesh()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, meshes) = map_rows(batch.rows(), refusals, |row| {
            marching_cubes(&grid_of_row(batch, row, self.resolution)?)
        });
        surface_batch(batch, &kept, &meshes)
    }

    fn bytes_per_row(&self) -> usize {
        surface_row_bytes(self.resolution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::{Fill, VoxelGrid, mesh_of_row};

    #[test]
    fn surfaces_lie_in_the_frame_of_their_grid_and_empty_grids_are_refused() {
        let empty = VoxelGrid::empty(6, [0.0; 3], [1.0; 3], Fill::Surface);
        let grid = testing::random_grid(6, 0.5, 3);
        let mut refusals = Refusals::default();
        let batch = testing::voxels_batch(&[empty, grid.clone()]);
        let output = MarchingCubes { resolution: 6 }.apply(&batch, &mut refusals).expect("a batch");
        assert_eq!(refusals.into_rows()[0].1.code, "empty");
        let mesh = mesh_of_row(&output, 0).expect("a mesh");
        assert_eq!(Ok(&mesh), marching_cubes(&grid).as_ref());
        let bounds = mesh.bounds().expect("a mesh");
        for axis in 0..3 {
            let (low, high) = (grid.translation[axis], grid.translation[axis] + grid.scale[axis]);
            assert!(bounds.min[axis] >= low - 1e-6 && bounds.max[axis] <= high + 1e-6);
        }
    }
}
