//! `sample_points`: points spread evenly over the surface of every mesh.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Random, Refusals,
    Schema, Stage, Values, key_values, map_rows, mesh_of_row, tables,
};

use crate::kernels::sample_points;
use crate::ranges::range_error;

/// Parameters of `sample_points`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplePointsParams {
    /// Points a sample, 1 to 1,000,000.
    #[serde(default = "default_count")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: u32,
    /// Whether to give each point the normal of its triangle.
    #[serde(default)]
    pub normals: bool,
}

fn default_count() -> u32 {
    2048
}

/// `sample_points` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct SamplePointsKind;

impl Kind for SamplePointsKind {
    fn name(&self) -> &'static str {
        "sample_points"
    }

    fn summary(&self) -> &'static str {
        "Draws points evenly from the surface of every mesh."
    }

    fn manual(&self) -> &'static str {
        "Takes table `mesh`, gives table `points`.\n\n\
         Points are independent, and each place of the surface is as likely as any other: a triangle \
         is drawn by its share of the area, then a place in it (Osada et al. 2002). They depend on the \
         pipeline's seed and the sample's id only, and fewer points are the first of more. A part of \
         the surface that the mesh has twice gets twice the points, and walls inside of it get theirs.\n\n\
         Normals are those of the triangles, outwards where these are counter-clockwise seen from \
         outside.\n\n\
         Meshes without triangles are refused (`no_triangles`), as are those without area \
         (`degenerate`) and coordinates that are not finite (`invalid_mesh`).\n\n\
         Cost: a pass over the triangles, then 100 ns a point, up to 600 where the mesh is far larger \
         than the cache."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["mesh"])
    }

    fn output(&self) -> &'static str {
        "points"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"points\"\nuse = \"sample_points\"\nfrom = \"normal\"\ncount = 2048\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(SamplePointsParams)
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: SamplePointsParams = params.parse()?;
        match range_error("count", params.count, 1..=1_000_000) {
            Some(error) => Err(vec![error]),
            None => Ok(Stage::Operator(Arc::new(SamplePoints {
                count: params.count as usize,
                normals: params.normals,
                seed: context.seed,
            }))),
        }
    }
}

struct SamplePoints {
    count: usize,
    normals: bool,
    seed: u64,
}

impl Operator for SamplePoints {
    fn output(&self) -> Schema {
        tables::points()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let samples = batch.utf8("sample")?;
        let (kept, mut points) = map_rows(batch.rows(), refusals, |row| {
            let mut random = Random::new(self.seed, &["sample_points", samples.value(row)]);
            sample_points(&mesh_of_row(batch, row)?, self.count, &mut random)
        });
        if !self.normals {
            points.iter_mut().for_each(|points| points.normals.clear());
        }
        let mut values = key_values(batch, &kept)?;
        values.push(Values::lists(points.iter().map(|points| points.positions.as_flattened())));
        values.push(Values::lists(points.iter().map(|points| points.normals.as_flattened())));
        Ok(Batch::new(self.output(), values)?)
    }

    fn bytes_per_row(&self) -> usize {
        // Three numbers of 4 bytes for each position and normal, and where the lists end.
        self.count * if self.normals { 24 } else { 12 } + 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::TriMesh;

    #[test]
    fn points_depend_on_seed_and_sample_and_come_with_normals_when_asked_for() {
        let ball = testing::ball(0.5, 3);
        let batch = testing::mesh_batch(&[ball.clone(), TriMesh::default(), ball]);
        let run = |seed, normals| {
            let stage = SamplePoints { count: 100, normals, seed };
            let mut refusals = Refusals::default();
            let output = stage.apply(&batch, &mut refusals).expect("a batch");
            assert_eq!(refusals.into_rows()[0].1.code, "no_triangles");
            assert!(output.bytes() <= 2 * (stage.bytes_per_row() + 64), "with its keys");
            output
        };
        let lists = |batch: &Batch, column: &str, row: usize| -> Vec<f32> {
            batch.lists::<f32>(column).expect("a column").value(row).to_vec()
        };
        let output = run(1, true);
        let (points, normals) = (lists(&output, "points", 0), lists(&output, "point_normals", 0));
        assert_eq!((points.len(), normals.len()), (300, 300));
        for (point, normal) in points.as_chunks::<3>().0.iter().zip(normals.as_chunks::<3>().0) {
            let dot: f32 = point.iter().zip(normal).map(|(p, n)| p * n).sum();
            assert!(dot > 0.48, "outwards, nearly along the radius: {dot}");
        }
        assert_ne!(lists(&output, "points", 1), points, "another sample");
        assert_ne!(lists(&run(2, true), "points", 0), points, "another seed");
        let plain = run(1, false);
        assert_eq!(lists(&plain, "points", 0), points);
        assert!(lists(&plain, "point_normals", 0).is_empty());
    }
}
