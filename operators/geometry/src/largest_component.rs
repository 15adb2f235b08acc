//! `largest_component`: of every grid only the largest piece.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    Stage, VoxelGrid, tables,
};

use crate::grid_rows::{default_resolution, map_grids, resolution_error, voxels_row_bytes};
use crate::kernels::{Neighbours, largest_component};
use crate::ranges::range_error;

/// Parameters of `largest_component`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LargestComponentParams {
    /// Cells along each axis of the grids that come in, 1 to 1024.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: u32,
    /// `faces`: cells hang together by faces. `corners`: by corners too.
    #[serde(default)]
    pub neighbours: Neighbours,
    /// Share of the occupied cells, 0 to 1, that the largest piece must hold.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_share: f64,
}

/// `largest_component` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct LargestComponentKind;

impl Kind for LargestComponentKind {
    fn name(&self) -> &'static str {
        "largest_component"
    }

    fn summary(&self) -> &'static str {
        "Keeps of every grid only the largest piece."
    }

    fn manual(&self) -> &'static str {
        "Takes table `voxels`, gives table `voxels`; frame and `fill` stay.\n\n\
         Pieces are cells that hang together by `neighbours`: `faces` (6 cells, the default) or \
         `corners` (26). The piece with the most cells stays; of equal ones that which holds the \
         first cell, x slowest and z fastest. A grid without an occupied cell stays as it is.\n\n\
         With `min_share` a sample whose largest piece holds less than that share of its \
         occupied cells is refused (`fragmented`), and the message says how many pieces there \
         are. Grids of another resolution than `resolution` are refused (`resolution`), as the \
         table has one shape for all rows. Noise of more than 2^27 runs of cells is refused \
         (`too_large`).\n\n\
         Runs of cells along z are united where they touch (He, Chao and Suzuki 2008). Cost: \
         some 10 ns and 8 bytes a run."
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
        "[[stage]]\nid = \"whole\"\nuse = \"largest_component\"\nfrom = \"grids\"\nneighbours = \"corners\"\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(LargestComponentParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: LargestComponentParams = params.parse()?;
        let errors = [
            resolution_error(params.resolution),
            range_error("min_share", params.min_share, 0.0..=1.0),
        ];
        let errors: Vec<_> = errors.into_iter().flatten().collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(LargestComponent {
            resolution: params.resolution as usize,
            neighbours: params.neighbours,
            min_share: params.min_share,
        })))
    }
}

struct LargestComponent {
    resolution: usize,
    neighbours: Neighbours,
    min_share: f64,
}

impl LargestComponent {
    fn keep(&self, grid: &VoxelGrid) -> Result<VoxelGrid, Fault> {
        let largest = largest_component(grid, self.neighbours)?;
        let occupied = grid.occupied();
        if (largest.cells as f64) < self.min_share * occupied as f64 {
            let message = format!(
                "{} pieces, the largest with {} of {occupied} cells",
                largest.components, largest.cells
            );
            return Err(Fault::new("fragmented", message));
        }
        Ok(largest.grid)
    }
}

impl Operator for LargestComponent {
    fn output(&self) -> Schema {
        tables::voxels(self.resolution)
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        map_grids(batch, refusals, [self.resolution; 2], |grid| self.keep(grid))
    }

    fn bytes_per_row(&self) -> usize {
        voxels_row_bytes(self.resolution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::Fill;

    #[test]
    fn the_largest_stays_unless_it_is_too_small_a_part() {
        let mut grid = VoxelGrid::empty(8, [0.0; 3], [1.0; 3], Fill::Surface);
        [(0, 0, 0), (1, 1, 1), (4, 4, 4)].iter().for_each(|c| grid.set(c.0, c.1, c.2));
        let batch = testing::voxels_batch(&[grid]);
        let run = |neighbours, min_share| {
            let stage = LargestComponent { resolution: 8, neighbours, min_share };
            let mut refusals = Refusals::default();
            let output = stage.apply(&batch, &mut refusals).expect("a batch");
            let occupied = output.numbers::<u32>("occupied").expect("a column").to_vec();
            (occupied, refusals.into_rows().into_iter().map(|(_, fault)| fault.message).next())
        };
        assert_eq!(run(Neighbours::Corners, 0.5), (vec![2], None));
        assert_eq!(run(Neighbours::Faces, 0.0), (vec![1], None));
        let message = "3 pieces, the largest with 1 of 3 cells".to_owned();
        assert_eq!(run(Neighbours::Faces, 0.5), (vec![], Some(message)));
    }
}
