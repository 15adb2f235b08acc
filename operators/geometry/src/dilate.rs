//! `dilate`: grids grown by their neighbours.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    Stage, tables,
};

use crate::grid_rows::{default_resolution, map_grids, resolution_error, voxels_row_bytes};
use crate::kernels::{Neighbours, dilate};
use crate::ranges::range_error;

/// Parameters of `dilate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DilateParams {
    /// Cells along each axis of the grids that come in, 1 to 1024.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: u32,
    /// How often the grid grows by a cell, 1 to 64.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub rounds: u32,
    /// `faces`: the 6 cells that share a face. `corners`: the 26 that share a corner at least.
    #[serde(default)]
    pub neighbours: Neighbours,
}

fn one() -> u32 {
    1
}

/// `dilate` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct DilateKind;

impl Kind for DilateKind {
    fn name(&self) -> &'static str {
        "dilate"
    }

    fn summary(&self) -> &'static str {
        "Adds to every grid the neighbours of its occupied cells."
    }

    fn manual(&self) -> &'static str {
        "Takes table `voxels`, gives table `voxels`; frame and `fill` stay.\n\n\
         A cell is occupied afterwards when it or one of its neighbours was, `rounds` times. \
         Beyond the border of the grid all is empty, and what would grow past it is cut off. A \
         grid without an occupied cell stays as it is. `neighbours` is `faces` (6 cells) or \
         `corners` (26).\n\n\
         Grids of another resolution than `resolution` are refused (`resolution`), as the table \
         has one shape for all rows.\n\n\
         Cost: a few operations on words of 64 cells each round."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["voxels"])
    }

    fn output(&self) -> &'static str {
        "voxels"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"dilated\"\nuse = \"dilate\"\nfrom = \"grids\"\nrounds = 1\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(DilateParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: DilateParams = params.parse()?;
        let errors =
            [resolution_error(params.resolution), range_error("rounds", params.rounds, 1..=64)];
        let errors: Vec<_> = errors.into_iter().flatten().collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(Dilate {
            resolution: params.resolution as usize,
            rounds: params.rounds as usize,
            neighbours: params.neighbours,
        })))
    }
}

struct Dilate {
    resolution: usize,
    rounds: usize,
    neighbours: Neighbours,
}

impl Operator for Dilate {
    fn output(&self) -> Schema {
        tables::voxels(self.resolution)
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        map_grids(batch, refusals, [self.resolution; 2], |grid| {
            dilate(grid, self.rounds, self.neighbours)
        })
    }

    fn bytes_per_row(&self) -> usize {
        voxels_row_bytes(self.resolution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::{Fill, VoxelGrid};

    #[test]
    fn rounds_and_neighbours_are_as_asked_for_and_the_fill_stays() {
        let mut grid = VoxelGrid::empty(9, [0.0; 3], [1.0; 3], Fill::Points);
        grid.set(4, 4, 4);
        let stage = Dilate { resolution: 9, rounds: 2, neighbours: Neighbours::Corners };
        let mut refusals = Refusals::default();
        let batch = stage.apply(&testing::voxels_batch(&[grid]), &mut refusals).expect("a batch");
        assert_eq!(batch.numbers::<u32>("occupied").expect("a column"), [125]);
        assert_eq!(batch.utf8("fill").expect("a column").value(0), "points");
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let params = serde_json::json!({ "resolution": 0, "rounds": 65 });
        let params = Params(params.as_object().expect("an object").clone());
        let context = BuildContext { seed: 0, stage: "grids".to_owned() };
        let errors = DilateKind.build(&params, &context).err().expect("two mistakes");
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["resolution", "rounds"]);
    }
}
