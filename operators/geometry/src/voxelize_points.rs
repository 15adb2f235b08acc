//! `voxelize_points`: clouds of points into occupancy grids.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    Stage, key_values, map_rows, mesh_of_row, tables, voxels_values,
};

use crate::grid_rows::{default_resolution, resolution_error, voxels_row_bytes};
use crate::kernels::{Fit, OutlierCut, PointOptions, voxelize_points};
use crate::ranges::range_error;

/// Parameters of `voxelize_points`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoxelizePointsParams {
    /// Cells along each axis, 1 to 1024.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: u32,
    /// Where the grid lies: `unit_cube`, `centered`, `padded`, `per_axis` (profile `reference` of the
    /// CO3D brief), `binvox` or `box`, as for `voxelize`.
    #[serde(default)]
    pub fit: CloudFit,
    /// For `padded` (default 0) and `per_axis` (default 0.05): how much wider on each side, as a share
    /// of the longest side, or of each.
    pub padding: Option<f64>,
    /// For `fit = "box"`: smallest coordinate on each axis.
    pub box_min: Option<[f64; 3]>,
    /// For `fit = "box"`: largest coordinate on each axis.
    pub box_max: Option<[f64; 3]>,
    /// Points that a cell must hold.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_points: u32,
    /// Neighbours by whose distance outliers are told, 1 to 256; 0 keeps all points.
    #[serde(default)]
    #[schemars(range(max = 256))]
    pub outlier_neighbours: u32,
    /// Standard deviations above the mean that a point's distance to its neighbours may have.
    #[serde(default = "two")]
    #[schemars(range(min = 0.0, max = 1e6))]
    pub outlier_deviations: f64,
    /// Rounds of closing, 0 to 32: gaps of up to twice as many cells close.
    #[serde(default)]
    #[schemars(range(max = 32))]
    pub close_rounds: u32,
    /// Whether to fill what the cells enclose.
    #[serde(default)]
    pub solid: bool,
}

/// Where the grid lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloudFit {
    /// Minimum corner at the cloud's, edge its longest side.
    Binvox,
    /// A cube of the longest side about the middle.
    Centered,
    /// The cube from -0.5 to 0.5.
    #[default]
    UnitCube,
    /// As `Centered`, and wider.
    Padded,
    /// Each axis for itself.
    PerAxis,
    /// A box that is given.
    Box,
}

fn one() -> u32 {
    1
}

fn two() -> f64 {
    2.0
}

impl VoxelizePointsParams {
    fn fit(&self) -> Result<Fit, ParamError> {
        let corner = |key: &str, corner: Option<[f64; 3]>| {
            corner.ok_or_else(|| ParamError::new(key, "is needed for fit = \"box\"".to_owned()))
        };
        let fit = match self.fit {
            CloudFit::Binvox => Fit::Binvox,
            CloudFit::Centered => Fit::Centered,
            CloudFit::UnitCube => Fit::UnitCube,
            CloudFit::Padded => Fit::Padded(self.padding.unwrap_or(0.0)),
            CloudFit::PerAxis => Fit::PerAxis(self.padding.unwrap_or(0.05)),
            CloudFit::Box => Fit::Box {
                min: corner("box_min", self.box_min)?,
                max: corner("box_max", self.box_max)?,
            },
        };
        let is_padded = matches!(self.fit, CloudFit::Padded | CloudFit::PerAxis);
        if self.padding.is_some() && !is_padded {
            let message = "is for fit = \"padded\" and \"per_axis\" only".to_owned();
            return Err(ParamError::new("padding", message));
        }
        if self.box_min.or(self.box_max).is_some() && self.fit != CloudFit::Box {
            return Err(ParamError::new("fit", "is not \"box\", but a box is given".to_owned()));
        }
        let key = if is_padded { "padding" } else { "box_max" };
        fit.check().map(|()| fit).map_err(|fault| ParamError::new(key, fault.message))
    }

    fn errors(&self) -> Vec<ParamError> {
        let errors = [
            resolution_error(self.resolution),
            self.fit().err(),
            range_error("min_points", self.min_points, 1..=u32::MAX),
            range_error("outlier_neighbours", self.outlier_neighbours, 0..=256),
            range_error("outlier_deviations", self.outlier_deviations, 0.0..=1e6),
            range_error("close_rounds", self.close_rounds, 0..=32),
        ];
        errors.into_iter().flatten().collect()
    }
}

/// `voxelize_points` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct VoxelizePointsKind;

impl Kind for VoxelizePointsKind {
    fn name(&self) -> &'static str {
        "voxelize_points"
    }

    fn summary(&self) -> &'static str {
        "Turns every cloud of points into a cubic occupancy grid."
    }

    fn manual(&self) -> &'static str {
        "Takes table `mesh`, gives table `voxels`. All vertices of a row are points, whether triangles \
         use them or not; `decode_mesh` lets clouds through with `allow_points = true`.\n\n\
         In order: outliers go; the grid is fitted to the points that are left; a cell with at least \
         `min_points` points is occupied; gaps are closed; with `solid` what the cells enclose is \
         filled, by a flood from the border. A point on the border of two cells belongs to the one of \
         the larger coordinates; only the far sides of the grid are closed.\n\n\
         With `outlier_neighbours` = k a point is an outlier when its mean distance to the k points \
         nearest to it exceeds the mean of all such distances by more than `outlier_deviations` \
         standard deviations (Rusu et al. 2008; PCL and Open3D have the same). `close_rounds` grows the \
         cells over all 26 neighbours so many times and shrinks them again; nothing that is occupied is \
         lost.\n\n\
         `fit` is that of `voxelize`. `per_axis` with its default padding is the grid of the CO3D brief: \
         each axis is stretched, at 32^3 the cloud reaches from cell 1 to cell 29, and its proportions \
         are in `grid_scale` only; a flat cloud is refused (`degenerate`). With `box` points outside \
         are left out.\n\n\
         Refused are rows without points (`no_points`), points that are not finite (`invalid_mesh`), \
         clouds that reach out of the unit cube (`outside`) or that are one point where the fit follows \
         their size (`degenerate`), and grids without an occupied cell (`empty`).\n\n\
         Cost: some nanoseconds a point, and some microseconds a point for the cut with 20 neighbours."
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
        "[[stage]]\nid = \"grids\"\nuse = \"voxelize_points\"\nfrom = \"clouds\"\n\
         fit = \"padded\"\npadding = 0.05\noutlier_neighbours = 20\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(VoxelizePointsParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: VoxelizePointsParams = params.parse()?;
        let errors = params.errors();
        match params.fit() {
            Ok(fit) if errors.is_empty() => {
                Ok(Stage::Operator(Arc::new(VoxelizePoints::new(&params, fit))))
            }
            _ => Err(errors),
        }
    }
}

struct VoxelizePoints {
    resolution: usize,
    fit: Fit,
    options: PointOptions,
}

impl VoxelizePoints {
    fn new(params: &VoxelizePointsParams, fit: Fit) -> Self {
        let cut = OutlierCut {
            neighbours: params.outlier_neighbours as usize,
            deviations: params.outlier_deviations,
        };
        let options = PointOptions {
            outliers: (cut.neighbours > 0).then_some(cut),
            min_points: params.min_points,
            close_rounds: params.close_rounds as usize,
            is_solid: params.solid,
        };
        Self { resolution: params.resolution as usize, fit, options }
    }
}

impl Operator for VoxelizePoints {
    fn output(&self) -> Schema {
        tables::voxels(self.resolution)
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, grids) = map_rows(batch.rows(), refusals, |row| {
            let points = mesh_of_row(batch, row)?.vertices;
            voxelize_points(&points, self.resolution, self.fit, &self.options)
        });
        let mut values = key_values(batch, &kept)?;
        values.extend(voxels_values(self.resolution, &grids));
        Ok(Batch::new(self.output(), values)?)
    }

    fn bytes_per_row(&self) -> usize {
        voxels_row_bytes(self.resolution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::json;
    use voxflow_contract::TriMesh;

    fn build(params: &serde_json::Value) -> Result<Stage, Vec<ParamError>> {
        let params = Params(params.as_object().expect("an object").clone());
        let context = BuildContext { seed: 0, stage: "grids".to_owned() };
        VoxelizePointsKind.build(&params, &context)
    }

    #[test]
    fn clouds_become_grids_by_the_parameters() {
        let points: Vec<[f32; 3]> =
            testing::cells(4).map(|cell| cell.map(|i| i as f32 / 3.0 - 0.5)).collect();
        let cloud = TriMesh { vertices: points, triangles: vec![] };
        let far = TriMesh { vertices: vec![[9.0; 3]], triangles: vec![] };
        let batch = testing::mesh_batch(&[far, cloud]);
        for (params, occupied) in [
            (json!({ "resolution": 16 }), 64),
            (json!({ "resolution": 16, "close_rounds": 3 }), 4096),
            (json!({ "resolution": 2, "min_points": 8 }), 8),
            (json!({ "resolution": 8, "outlier_neighbours": 3 }), 64),
        ] {
            let Ok(Stage::Operator(stage)) = build(&params) else { panic!("it builds") };
            let mut refusals = Refusals::default();
            let output = stage.apply(&batch, &mut refusals).expect("a batch");
            assert_eq!(
                output.numbers::<u32>("occupied").expect("a column"),
                [occupied],
                "{params}"
            );
            assert_eq!(refusals.into_rows()[0].1.code, "outside");
            assert!(output.bytes() <= stage.bytes_per_row() + 64, "with its keys");
        }
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let keys = |params: serde_json::Value| -> Vec<String> {
            build(&params).err().unwrap_or_default().into_iter().map(|error| error.key).collect()
        };
        let expected = ["resolution", "padding", "min_points", "close_rounds"];
        let wrong = json!({ "resolution": 0, "padding": 0.1, "min_points": 0, "close_rounds": 33 });
        assert_eq!(keys(wrong), expected);
        assert_eq!(keys(json!({ "fit": "box", "box_min": [0.0, 0.0, 0.0] })), ["box_max"]);
        assert_eq!(keys(json!({ "box_min": [0.0, 0.0, 0.0] })), ["fit"]);
        assert_eq!(keys(json!({ "fit": "padded", "padding": -1.0 })), ["padding"]);
        let cut = json!({ "outlier_neighbours": 257, "outlier_deviations": -1.0 });
        assert_eq!(keys(cut), ["outlier_neighbours", "outlier_deviations"]);
        assert!(keys(json!({ "fit": "per_axis" })).is_empty());
    }
}
