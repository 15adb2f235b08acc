//! `downsample_mean`: grids of fewer cells, by the share of a block that is full.

use std::sync::Arc;

use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    Stage, key_values, map_rows, occupancy_values, tables,
};

use crate::downsample::{DownsampleParams, factor_error};
use crate::grid_rows::{grid_of_row, resolution_error};
use crate::kernels::downsample_mean;

/// Largest resolution of soft grids: 512 MiB each.
const MAX_SOFT_RESOLUTION: u32 = 512;

/// `downsample_mean` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct DownsampleMeanKind;

impl Kind for DownsampleMeanKind {
    fn name(&self) -> &'static str {
        "downsample_mean"
    }

    fn summary(&self) -> &'static str {
        "Turns every grid into one of fewer cells, each the share of its block that is full."
    }

    fn manual(&self) -> &'static str {
        "Takes table `voxels`, gives table `occupancy` of `resolution` / `factor` cells along \
         each axis. The frame stays, so the shape stays where it is.\n\n\
         Mean pooling: the value of a cell is the share of the `factor`^3 cells of its block \
         that are occupied, exact but for one rounding to f32. `factor` must divide \
         `resolution`.\n\n\
         Grids of another resolution than `resolution` are refused (`resolution`), as the table \
         has one shape for all rows.\n\n\
         Cost: a few operations on words of 64 cells for factors 2, 4, 8, 16 and 32; for others \
         some nanoseconds for each `factor` cells along z. 4 bytes a cell."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["voxels"])
    }

    fn output(&self) -> &'static str {
        "occupancy"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"small\"\nuse = \"downsample_mean\"\nfrom = \"grids\"\nresolution = 64\nfactor = 2\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(DownsampleParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: DownsampleParams = params.parse()?;
        let mut errors: Vec<_> =
            [resolution_error(params.resolution), factor_error(params.resolution, params.factor)]
                .into_iter()
                .flatten()
                .collect();
        let out = params.resolution.checked_div(params.factor).unwrap_or(0);
        if errors.is_empty() && out > MAX_SOFT_RESOLUTION {
            let message =
                format!("leaves {out} cells along each axis; at most {MAX_SOFT_RESOLUTION}");
            errors.push(ParamError::new("factor", message));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(DownsampleMean {
            resolution: params.resolution as usize,
            factor: params.factor as usize,
        })))
    }
}

struct DownsampleMean {
    resolution: usize,
    factor: usize,
}

impl Operator for DownsampleMean {
    fn output(&self) -> Schema {
        tables::occupancy(self.resolution / self.factor)
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, grids) = map_rows(batch.rows(), refusals, |row| {
            downsample_mean(&grid_of_row(batch, row, self.resolution)?, self.factor)
        });
        let mut values = key_values(batch, &kept)?;
        values.extend(occupancy_values(self.resolution / self.factor, &grids));
        Ok(Batch::new(self.output(), values)?)
    }

    fn bytes_per_row(&self) -> usize {
        // The values, and their frame and size.
        (self.resolution / self.factor).pow(3) * 4 + 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn blocks_become_cells_in_the_same_frame() {
        let grid = testing::random_grid(12, 0.3, 4);
        let stage = DownsampleMean { resolution: 12, factor: 3 };
        let mut refusals = Refusals::default();
        let batch = testing::voxels_batch(std::slice::from_ref(&grid));
        let batch = stage.apply(&batch, &mut refusals).expect("a batch");
        let soft = voxflow_contract::occupancy_of_row(&batch, 0).expect("a grid");
        let share = soft.values().iter().sum::<f32>() / 64.0;
        assert!((share - grid.occupied() as f32 / 1728.0).abs() < 1e-6);
        assert_eq!(
            (soft.resolution, soft.translation, soft.scale),
            (4, grid.translation, grid.scale)
        );
        assert!(batch.bytes() <= stage.bytes_per_row() + 64, "with its keys");
    }

    #[test]
    fn factors_must_divide() {
        let keys = |resolution: u32, factor: u32| -> Vec<String> {
            let params = serde_json::json!({ "resolution": resolution, "factor": factor });
            let params = Params(params.as_object().expect("an object").clone());
            let context = BuildContext { seed: 0, stage: "grids".to_owned() };
            let errors = DownsampleMeanKind.build(&params, &context).err().unwrap_or_default();
            errors.into_iter().map(|error| error.key).collect()
        };
        assert_eq!(keys(64, 5), ["factor"]);
        assert_eq!(keys(0, 0), ["resolution", "factor"]);
        assert_eq!(keys(1024, 1), ["factor"]);
        assert!(keys(1024, 2).is_empty());
    }
}
