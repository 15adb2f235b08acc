//! `voxelize`: a mesh into an occupancy grid.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Fill, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    SolidRule, Stage, VoxelGrid, key_values, map_rows, mesh_of_row, tables, voxels_values,
};

use crate::kernels::{Fit, MAX_RESOLUTION, voxelize_mesh};
use crate::ranges::range_error;

/// Parameters of `voxelize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoxelizeParams {
    /// Cells along each axis, 1 to 1024.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: u32,
    /// `surface`: cells a triangle touches. `solid`: those and what they enclose.
    #[serde(default)]
    pub fill: FillChoice,
    /// Where the grid lies: `unit_cube` (-0.5 to 0.5, the frame of `normalize`), `centered` (longest
    /// side of the mesh, about its middle) or `binvox` (as the program `binvox -e`).
    #[serde(default)]
    pub fit: FitChoice,
}

/// Where the grid lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FitChoice {
    /// As `binvox -e`.
    Binvox,
    /// Cube of the longest side.
    Centered,
    /// -0.5 to 0.5.
    #[default]
    UnitCube,
}

/// Which cells are occupied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FillChoice {
    /// Every cell that a triangle touches.
    Surface,
    /// The surface and everything it encloses.
    #[default]
    Solid,
}

impl FillChoice {
    fn fill(self) -> Fill {
        match self {
            Self::Surface => Fill::Surface,
            Self::Solid => Fill::Solid(SolidRule::OutsideFlood),
        }
    }
}

fn default_resolution() -> u32 {
    32
}

/// `voxelize` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct VoxelizeKind;

impl Kind for VoxelizeKind {
    fn name(&self) -> &'static str {
        "voxelize"
    }

    fn summary(&self) -> &'static str {
        "Turns every mesh into a cubic occupancy grid, surface or solid."
    }

    fn manual(&self) -> &'static str {
        "Takes table `mesh`, gives table `voxels`.\n\n\
         Surface cells are found by the exact test of triangle against closed box (separating axes, \
         f64): a cell that is only touched counts. Solid adds every cell that a flood from the border \
         of the grid, face to face through empty cells, does not reach. That needs no orientation and \
         no watertight mesh, but a hole wider than a cell drains the inside: such a grid is a \
         surface.\n\n\
         `fit = \"unit_cube\"` puts all samples into one frame and refuses a mesh that reaches out of \
         it (`outside`): `normalize` first. `centered` and `binvox` follow each mesh and refuse one \
         that is a single point (`degenerate`). `binvox` with `fill = \"surface\"` gives what the \
         program `binvox -e` gives, cell for cell: it grows cells by 1 % of their edge on each side \
         before it tests them, and so does this. The frame of each grid is in `grid_translation` and \
         `grid_scale`.\n\n\
         Meshes without triangles are refused (`no_triangles`), as are coordinates that are not finite \
         (`invalid_mesh`).\n\n\
         Cost: at 32^3 a millisecond for some thousand triangles; it grows with the number of cells \
         that are touched, the memory with the number of cells, 3 bits each."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["mesh"])
    }

    fn output(&self) -> &'static str {
        "voxels"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"grids\"\nuse = \"voxelize\"\nfrom = \"normal\"\n\
         resolution = 32\nfill = \"solid\"\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(VoxelizeParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: VoxelizeParams = params.parse()?;
        match range_error("resolution", params.resolution, 1..=MAX_RESOLUTION as u32) {
            Some(error) => Err(vec![error]),
            None => Ok(Stage::Operator(Arc::new(Voxelize {
                resolution: params.resolution as usize,
                fill: params.fill.fill(),
                fit: match params.fit {
                    FitChoice::Binvox => Fit::Binvox,
                    FitChoice::Centered => Fit::Centered,
                    FitChoice::UnitCube => Fit::UnitCube,
                },
            }))),
        }
    }
}

struct Voxelize {
    resolution: usize,
    fill: Fill,
    fit: Fit,
}

impl Operator for Voxelize {
    fn output(&self) -> Schema {
        tables::voxels(self.resolution)
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, grids) = map_rows(batch.rows(), refusals, |row| {
            voxelize_mesh(&mesh_of_row(batch, row)?, self.resolution, self.fill, self.fit)
        });
        let mut values = key_values(batch, &kept)?;
        values.extend(voxels_values(self.resolution, &grids));
        Ok(Batch::new(self.output(), values)?)
    }

    fn bytes_per_row(&self) -> usize {
        // The grid, and its frame, size and count.
        VoxelGrid::byte_len(self.resolution) + 96
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::voxels_of_row;

    #[test]
    fn grids_come_with_their_frame_and_outsiders_are_refused() {
        let meshes =
            [testing::cuboid([-0.3; 3], [0.3; 3]), testing::cuboid([0.0; 3], [2.0, 1.0, 1.0])];
        for resolution in [10, 16] {
            let stage = Voxelize {
                resolution,
                fill: Fill::Solid(SolidRule::OutsideFlood),
                fit: Fit::UnitCube,
            };
            let mut refusals = Refusals::default();
            let batch = stage.apply(&testing::mesh_batch(&meshes), &mut refusals).expect("a batch");
            assert_eq!(refusals.into_rows()[0].1.code, "outside");
            let grid = voxels_of_row(&batch, 0).expect("a grid");
            let expected = voxelize_mesh(
                &meshes[0],
                resolution,
                Fill::Solid(SolidRule::OutsideFlood),
                Fit::UnitCube,
            );
            assert_eq!(Ok(grid), expected);
            assert!(batch.bytes() < stage.bytes_per_row() + 64, "with its keys");
        }
    }

    #[test]
    fn resolutions_out_of_range_are_named() {
        let params = serde_json::json!({ "resolution": 1025 });
        let params = Params(params.as_object().expect("an object").clone());
        let context = BuildContext { seed: 0, stage: "grids".to_owned() };
        let errors = VoxelizeKind.build(&params, &context).err().expect("too large");
        assert_eq!(errors[0].message, "must be from 1 to 1024, not 1025");
    }
}
