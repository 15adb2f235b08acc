//! What `dilate` and `erode` share: their parameters, and a stage that works round by round.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, Fault, Operator, ParamError, Params, Refusals, Schema, Stage, VoxelGrid, tables,
};

use crate::grid_rows::{default_resolution, map_grids, resolution_error, voxels_row_bytes};
use crate::kernels::Neighbours;
use crate::ranges::range_error;

/// Parameters of `dilate` and `erode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MorphologyParams {
    /// Cells along each axis of the grids that come in, 1 to 1024.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: u32,
    /// How often, each time by a cell, 1 to 64.
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

/// What becomes of a grid in so many rounds.
type Rounds = fn(&VoxelGrid, usize, Neighbours) -> Result<VoxelGrid, Fault>;

/// Grids into grids of the same frame, round by round.
pub(crate) struct Morphology {
    params: MorphologyParams,
    work: Rounds,
}

impl Morphology {
    /// The stage that does `work` as the parameters say.
    ///
    /// # Errors
    /// Names each parameter that cannot be.
    pub(crate) fn build(params: &Params, work: Rounds) -> Result<Stage, Vec<ParamError>> {
        let params: MorphologyParams = params.parse()?;
        let errors =
            [resolution_error(params.resolution), range_error("rounds", params.rounds, 1..=64)];
        let errors: Vec<_> = errors.into_iter().flatten().collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(Self { params, work })))
    }

    fn resolution(&self) -> usize {
        self.params.resolution as usize
    }
}

impl Operator for Morphology {
    fn output(&self) -> Schema {
        tables::voxels(self.resolution())
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        map_grids(batch, refusals, [self.resolution(); 2], |grid| {
            (self.work)(grid, self.params.rounds as usize, self.params.neighbours)
        })
    }

    fn bytes_per_row(&self) -> usize {
        voxels_row_bytes(self.resolution())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{dilate, erode};
    use crate::testing;
    use voxflow_contract::Fill;

    fn params(json: &serde_json::Value) -> Params {
        Params(json.as_object().expect("an object").clone())
    }

    /// Occupied cells and `fill` of what comes of a grid.
    fn after(grid: VoxelGrid, json: &serde_json::Value, work: Rounds) -> (u32, String) {
        let Ok(Stage::Operator(stage)) = Morphology::build(&params(json), work) else {
            panic!("it is an operator")
        };
        let mut refusals = Refusals::default();
        let batch = stage.apply(&testing::voxels_batch(&[grid]), &mut refusals).expect("a batch");
        let fill = batch.utf8("fill").expect("a column").value(0).to_owned();
        (batch.numbers::<u32>("occupied").expect("a column")[0], fill)
    }

    #[test]
    fn rounds_and_neighbours_are_as_asked_for_and_the_fill_stays() {
        let mut one = VoxelGrid::empty(9, [0.0; 3], [1.0; 3], Fill::Points);
        one.set(4, 4, 4);
        let grown = serde_json::json!({"resolution": 9, "rounds": 2, "neighbours": "corners"});
        assert_eq!(after(one, &grown, dilate), (125, "points".to_owned()));
        let full = vec![255; VoxelGrid::byte_len(8)];
        let full = VoxelGrid::from_bits(8, [0.0; 3], [1.0; 3], Fill::Points, full).expect("a grid");
        let shrunk = serde_json::json!({"resolution": 8, "rounds": 2});
        assert_eq!(after(full, &shrunk, erode), (64, "points".to_owned()));
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let wrong = params(&serde_json::json!({ "resolution": 0, "rounds": 65 }));
        let errors = Morphology::build(&wrong, dilate).err().expect("two mistakes");
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["resolution", "rounds"]);
    }
}
