//! `downsample`: grids of fewer cells, full where any cell of a block is.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    Stage, tables,
};

use crate::grid_rows::{default_resolution, map_grids, resolution_error, voxels_row_bytes};
use crate::kernels::downsample;

/// Parameters of `downsample` and `downsample_mean`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DownsampleParams {
    /// Cells along each axis of the grids that come in, 1 to 1024.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: u32,
    /// Cells along each axis that become one; divides `resolution`.
    #[serde(default = "two")]
    #[schemars(range(min = 1))]
    pub factor: u32,
}

fn two() -> u32 {
    2
}

/// `downsample` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct DownsampleKind;

impl Kind for DownsampleKind {
    fn name(&self) -> &'static str {
        "downsample"
    }

    fn summary(&self) -> &'static str {
        "Turns every grid into one of fewer cells, each full when any of its block is."
    }

    fn manual(&self) -> &'static str {
        "Takes table `voxels`, gives table `voxels` of `resolution` / `factor` cells along each \
         axis. The frame stays, so the shape stays where it is.\n\n\
         Max pooling: a cell is occupied when one of the `factor`^3 cells of its block is. \
         `downsample_mean` gives shares instead. `factor` must divide `resolution`.\n\n\
         Grids of another resolution than `resolution` are refused (`resolution`), as the table \
         has one shape for all rows.\n\n\
         Cost: a few operations on words of 64 cells."
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
        "[[stage]]\nid = \"small\"\nuse = \"downsample\"\nfrom = \"grids\"\nresolution = 64\nfactor = 2\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(DownsampleParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: DownsampleParams = params.parse()?;
        let errors: Vec<_> =
            [resolution_error(params.resolution), factor_error(params.resolution, params.factor)]
                .into_iter()
                .flatten()
                .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(Downsample {
            resolution: params.resolution as usize,
            factor: params.factor as usize,
        })))
    }
}

/// What is wrong with blocks of `factor` cells in grids of `resolution`.
pub(crate) fn factor_error(resolution: u32, factor: u32) -> Option<ParamError> {
    let fits = factor > 0 && resolution.is_multiple_of(factor);
    let message = format!("must divide the resolution, {resolution}; {factor} does not");
    (!fits).then(|| ParamError::new("factor", message))
}

struct Downsample {
    resolution: usize,
    factor: usize,
}

impl Operator for Downsample {
    fn output(&self) -> Schema {
        tables::voxels(self.resolution / self.factor)
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let out = self.resolution / self.factor;
        map_grids(batch, refusals, [self.resolution, out], |grid| downsample(grid, self.factor))
    }

    fn bytes_per_row(&self) -> usize {
        voxels_row_bytes(self.resolution / self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::{Fill, VoxelGrid};

    #[test]
    fn blocks_become_cells_in_the_same_frame() {
        let mut grid = VoxelGrid::empty(12, [0.0; 3], [1.0; 3], Fill::Surface);
        grid.set(11, 3, 0);
        let stage = Downsample { resolution: 12, factor: 3 };
        let mut refusals = Refusals::default();
        let batch = stage.apply(&testing::voxels_batch(&[grid]), &mut refusals).expect("a batch");
        let small = voxflow_contract::voxels_of_row(&batch, 0).expect("a grid");
        assert_eq!((small.resolution, small.occupied(), small.get(3, 1, 0)), (4, 1, true));
    }

    #[test]
    fn factors_must_divide() {
        let keys = |resolution: u32, factor: u32| -> Vec<String> {
            let params = serde_json::json!({ "resolution": resolution, "factor": factor });
            let params = Params(params.as_object().expect("an object").clone());
            let context = BuildContext { seed: 0, stage: "grids".to_owned() };
            let errors = DownsampleKind.build(&params, &context).err().unwrap_or_default();
            errors.into_iter().map(|error| error.key).collect()
        };
        assert_eq!(keys(64, 5), ["factor"]);
        assert_eq!(keys(0, 0), ["resolution", "factor"]);
        assert!(keys(1024, 1).is_empty());
    }
}
