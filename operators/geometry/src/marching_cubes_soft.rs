//! `marching_cubes_soft`: the surface of every soft grid, as a closed mesh.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    Stage, map_rows, occupancy_of_row, tables,
};

use crate::grid_rows::{
    check_resolution, default_resolution, resolution_error, surface_batch, surface_row_bytes,
};
use crate::kernels::marching_cubes_soft;

/// Parameters of `marching_cubes_soft`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarchingCubesSoftParams {
    /// Cells along each axis of the grids that come in, 1 to 1024.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: u32,
    /// Occupancy on the surface, above 0.
    #[serde(default = "half")]
    pub iso: f32,
}

fn half() -> f32 {
    0.5
}

/// `marching_cubes_soft` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct MarchingCubesSoftKind;

impl Kind for MarchingCubesSoftKind {
    fn name(&self) -> &'static str {
        "marching_cubes_soft"
    }

    fn summary(&self) -> &'static str {
        "Turns every grid of soft occupancies into a watertight mesh."
    }

    fn manual(&self) -> &'static str {
        "Takes table `occupancy`, gives table `mesh` in the frame of the grid; \
         `mesh_from_source` is the identity, and no look comes with it.\n\n\
         The surface runs where the values, linear between centres of cells, are `iso`; it comes \
         no nearer to a centre than a thousandth of the way to the next, so that no vertex is \
         there twice. A value of `iso` is inside. It is watertight, each vertex is there once, \
         each edge has two triangles, each vertex one fan of them, and triangles are \
         counter-clockwise seen from outside. Beyond the border all is empty, and the surface is \
         closed there. Cells that touch along an edge only are apart.\n\n\
         Refused are grids without an occupied cell (`empty`), values that are not finite \
         (`occupancy`), frames that are not finite or without size (`frame`), noise with more \
         than 2^26 vertices (`too_large`), and grids of another resolution than `resolution` \
         (`resolution`), by which memory is set aside.\n\n\
         Marching cubes (Lorensen and Cline 1987), with cases made by one rule for each face, so \
         that neighbours always fit. Cost: some 50 ns for each cell of the surface, and a few \
         operations on each word of 64 cells."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["occupancy"])
    }

    fn output(&self) -> &'static str {
        "mesh"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"surfaces\"\nuse = \"marching_cubes_soft\"\nfrom = \"soft\"\niso = 0.5\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(MarchingCubesSoftParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: MarchingCubesSoftParams = params.parse()?;
        let iso_error = (!(params.iso > 0.0 && params.iso.is_finite()))
            .then(|| ParamError::new("iso", format!("must be above 0, not {}", params.iso)));
        let errors = [resolution_error(params.resolution), iso_error];
        let errors: Vec<_> = errors.into_iter().flatten().collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(MarchingCubesSoft {
            resolution: params.resolution as usize,
            iso: params.iso,
        })))
    }
}

struct MarchingCubesSoft {
    resolution: usize,
    iso: f32,
}

impl Operator for MarchingCubesSoft {
    fn output(&self) -> Schema {
        tables::mesh()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, meshes) = map_rows(batch.rows(), refusals, |row| {
            let grid = occupancy_of_row(batch, row)?;
            check_resolution(grid.resolution, self.resolution)?;
            marching_cubes_soft(&grid, self.iso)
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
    use voxflow_contract::{Values, key_values, mesh_of_row};

    #[test]
    fn surfaces_lie_in_the_frame_of_their_grid_and_empty_grids_are_refused() {
        let grid = testing::random_grid(6, 0.5, 3);
        let soft = crate::kernels::downsample_mean(&grid, 2).expect("a grid");
        let empty = vec![0.0; 27];
        let empty = voxflow_contract::SoftGrid::new(3, [0.0; 3], [1.0; 3], empty).expect("a grid");
        let grids = [empty, soft.clone()];
        let keys = testing::voxels_batch(&[grid.clone(), grid]);
        let mut values: Vec<Values> = key_values(&keys, &[0, 1]).expect("keys");
        values.extend(voxflow_contract::occupancy_values(3, &grids));
        let batch = Batch::new(tables::occupancy(3), values).expect("a batch");
        let mut refusals = Refusals::default();
        let stage = MarchingCubesSoft { resolution: 3, iso: 0.4 };
        let output = stage.apply(&batch, &mut refusals).expect("a batch");
        assert_eq!(refusals.into_rows()[0].1.code, "empty");
        assert_eq!(mesh_of_row(&output, 0).map_err(Fault::from), marching_cubes_soft(&soft, 0.4));
        let mut refusals = Refusals::default();
        MarchingCubesSoft { resolution: 4, iso: 0.4 }
            .apply(&batch, &mut refusals)
            .expect("a batch");
        assert_eq!(refusals.into_rows()[1].1.code, "resolution");
    }
}
