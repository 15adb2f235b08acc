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
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoxelizeParams {
    /// Cells along each axis, 1 to 1024.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: u32,
    /// `surface`: cells a triangle touches. `surface_thin`: fewer, still without a gap. `solid`: the
    /// inside, by `rule`. `points`: cells that hold a vertex.
    #[serde(default)]
    pub fill: FillChoice,
    /// What is inside, for `fill = "solid"`: `outside_flood` (what a flood from the border does not
    /// reach; the default), `parity` (closed meshes), `winding` (soups that face outwards) or `carve`
    /// (votes, carved from six sides).
    pub rule: Option<RuleChoice>,
    /// Where the grid lies: `unit_cube` (-0.5 to 0.5, the frame of `normalize`), `centered` (longest
    /// side of the mesh, about its middle), `binvox` (as the program `binvox -e`), `padded` (centered,
    /// and wider), `per_axis` (each axis stretched to the grid) or `box` (`box_min` to `box_max`).
    #[serde(default)]
    pub fit: FitChoice,
    /// For `padded` (default 0) and `per_axis` (default 0.05): how much wider on each side, as a share
    /// of the longest side, or of each.
    pub padding: Option<f64>,
    /// For `fit = "box"`: smallest coordinate on each axis.
    pub box_min: Option<[f64; 3]>,
    /// For `fit = "box"`: largest coordinate on each axis.
    pub box_max: Option<[f64; 3]>,
}

/// Which cells are occupied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FillChoice {
    /// Every cell that a triangle touches.
    Surface,
    /// The thinnest surface that no path from face to face gets through.
    SurfaceThin,
    /// The inside.
    #[default]
    Solid,
    /// Every cell that holds a vertex.
    Points,
}

/// What is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleChoice {
    /// The surface and what a flood from the border does not reach.
    OutsideFlood,
    /// Past an odd number of triangles.
    Parity,
    /// Wound round at least half a time.
    Winding,
    /// The surface, and what is voted inside and hidden from six sides.
    Carve,
}

/// Where the grid lies; [`Fit`] without its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FitChoice {
    /// As `binvox -e`.
    Binvox,
    /// A cube of the mesh's longest side about its middle.
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

impl VoxelizeParams {
    fn fill(&self) -> Result<Fill, ParamError> {
        let rule = match self.rule {
            None | Some(RuleChoice::OutsideFlood) => SolidRule::OutsideFlood,
            Some(RuleChoice::Parity) => SolidRule::Parity,
            Some(RuleChoice::Winding) => SolidRule::Winding,
            Some(RuleChoice::Carve) => SolidRule::Carve,
        };
        let fill = match self.fill {
            FillChoice::Surface => Fill::Surface,
            FillChoice::SurfaceThin => Fill::SurfaceThin,
            FillChoice::Solid => Fill::Solid(rule),
            FillChoice::Points => Fill::Points,
        };
        if self.rule.is_some() && self.fill != FillChoice::Solid {
            let message = format!("says what is inside; fill `{}` has no inside", fill.name());
            return Err(ParamError::new("rule", message));
        }
        Ok(fill)
    }

    fn fit(&self) -> Result<Fit, ParamError> {
        let is_padded = matches!(self.fit, FitChoice::Padded | FitChoice::PerAxis);
        if self.padding.is_some() && !is_padded {
            let message = "is for fit = \"padded\" and \"per_axis\" only".to_owned();
            return Err(ParamError::new("padding", message));
        }
        let (min, max) = (self.box_min, self.box_max);
        if self.fit != FitChoice::Box && (min.is_some() || max.is_some()) {
            let key = if min.is_some() { "box_min" } else { "box_max" };
            return Err(ParamError::new(key, "is for fit = \"box\" only".to_owned()));
        }
        let corner = |key: &str, corner: Option<[f64; 3]>| {
            corner.ok_or_else(|| ParamError::new(key, "is needed for fit = \"box\"".to_owned()))
        };
        let fit = match self.fit {
            FitChoice::Binvox => Fit::Binvox,
            FitChoice::Centered => Fit::Centered,
            FitChoice::UnitCube => Fit::UnitCube,
            FitChoice::Padded => Fit::Padded(self.padding.unwrap_or(0.0)),
            FitChoice::PerAxis => Fit::PerAxis(self.padding.unwrap_or(0.05)),
            FitChoice::Box => {
                Fit::Box { min: corner("box_min", min)?, max: corner("box_max", max)? }
            }
        };
        let key = if is_padded { "padding" } else { "box_max" };
        fit.check().map(|()| fit).map_err(|fault| ParamError::new(key, fault.message))
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
         `fill` says which cells are occupied. `surface`: every cell that a triangle touches, by the \
         exact test of triangle against closed box (separating axes, f64); one that is only touched \
         counts. `surface_thin`: those of which a triangle cuts the cross that joins the middles of \
         opposite faces; no path from face to face gets through, and it is about half as many. \
         `points`: those that hold a vertex; this needs no triangles. `solid`: the inside, by `rule`.\n\n\
         `outside_flood` adds to the surface every cell that a flood from the border of the grid, face \
         to face through empty cells, does not reach. That needs no orientation and no watertight mesh, \
         but a hole wider than a cell drains the inside: such a grid is a surface. `parity` takes the \
         cells whose centre a line along z enters through an odd number of triangles: the exact inside \
         of a closed mesh, and wrong along whole lines on any other. `winding` takes those around whose \
         centre the mesh winds at least half a time: for soups whose triangles are counter-clockwise \
         seen from outside; it closes gaps smoothly, and costs a hundred times more. `carve` adds to the \
         surface the cells that two of the parities along x, y and z call inside and that cells of the \
         surface hide from all six sides: for meshes with small gaps.\n\n\
         Ties: `surface` cells are closed on all sides; elsewhere a point or centre on a border belongs \
         to the side of the larger coordinates, and only the grid's own far sides are closed. The order \
         of triangles changes no cell.\n\n\
         `fit = \"unit_cube\"` puts all samples into one frame and refuses a mesh that reaches out of \
         it (`outside`): `normalize` first. `centered`, `padded` and `binvox` follow each mesh and refuse \
         one that is a single point (`degenerate`). `padded` is `centered` with a share `padding` of the \
         longest side more on each side. `per_axis` stretches each axis by itself, with `padding` (0.05) of \
         its extent on each side, and cells that begin at `floor((p - m) / (M - m) * (resolution - 1))`; \
         a flat mesh is refused (`degenerate`). `box` lies from `box_min` to `box_max`, and cuts off what \
         reaches out. `binvox` with `fill = \"surface\"` gives what the program `binvox -e` gives, cell \
         for cell: it grows cells by 1 % of their edge on each side before it tests them, and so does \
         this. The frame of each grid is in `grid_translation` and `grid_scale`.\n\n\
         Meshes without triangles are refused (`no_triangles`), as are coordinates that are not finite \
         (`invalid_mesh`).\n\n\
         Cost: grows with the number of triangles, and of columns of cells that each touches; at 32^3 \
         most take some ten to a hundred nanoseconds each. Memory grows with the number of cells, 2 to 6 \
         bits each (128 MiB a bit at 1024^3)."
    }

    fn version(&self) -> u32 {
        2
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
        let range = 1..=MAX_RESOLUTION as u32;
        match (range_error("resolution", params.resolution, range), params.fill(), params.fit()) {
            (None, Ok(fill), Ok(fit)) => {
                let resolution = params.resolution as usize;
                Ok(Stage::Operator(Arc::new(Voxelize { resolution, fill, fit })))
            }
            (resolution, fill, fit) => {
                Err(resolution.into_iter().chain(fill.err()).chain(fit.err()).collect())
            }
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

    /// The keys and messages of what is wrong with parameters.
    fn check(params: &serde_json::Value, expected: &[(&str, &str)]) {
        let params = Params(params.as_object().expect("an object").clone());
        let context = BuildContext { seed: 0, stage: "grids".to_owned() };
        let errors = VoxelizeKind.build(&params, &context).err().unwrap_or_default();
        let errors: Vec<_> = errors.iter().map(|e| (e.key.as_str(), e.message.as_str())).collect();
        assert_eq!(errors, expected);
    }

    #[test]
    fn parameters_that_do_not_go_together_are_named() {
        use serde_json::json;
        check(&json!({ "resolution": 1024, "rule": "carve" }), &[]);
        check(&json!({ "fill": "points", "fit": "per_axis" }), &[]);
        check(&json!({ "fit": "box", "box_min": [0, 0, 0], "box_max": [1, 2, 3] }), &[]);
        check(
            &json!({ "resolution": 1025 }),
            &[("resolution", "must be from 1 to 1024, not 1025")],
        );
        check(
            &json!({ "fill": "surface_thin", "rule": "parity", "padding": 0.1 }),
            &[
                ("rule", "says what is inside; fill `surface_thin` has no inside"),
                ("padding", "is for fit = \"padded\" and \"per_axis\" only"),
            ],
        );
        check(&json!({ "fit": "box" }), &[("box_min", "is needed for fit = \"box\"")]);
        check(&json!({ "box_max": [1, 1, 1] }), &[("box_max", "is for fit = \"box\" only")]);
        check(
            &json!({ "fit": "padded", "padding": -1.0 }),
            &[("padding", "padding -1 is not from 0 to 1e6")],
        );
        check(
            &json!({ "fit": "box", "box_min": [0, 0, 0], "box_max": [1, 0, 1] }),
            &[("box_max", "the box from [0.0, 0.0, 0.0] to [1.0, 0.0, 1.0] has no volume")],
        );
    }
}
