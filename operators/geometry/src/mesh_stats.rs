//! `mesh_stats`: counts and measures of every mesh.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    Stage, Values, key_values, map_rows, mesh_of_row, tables,
};

use crate::kernels::{MeshStats as Stats, mesh_stats};

/// Parameters of `mesh_stats`: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeshStatsParams {}

/// `mesh_stats` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct MeshStatsKind;

impl Kind for MeshStatsKind {
    fn name(&self) -> &'static str {
        "mesh_stats"
    }

    fn summary(&self) -> &'static str {
        "Says of every mesh whether it is watertight, in how many pieces, and how large."
    }

    fn manual(&self) -> &'static str {
        "Takes table `mesh`, gives table `mesh_stats`.\n\n\
         Vertices at equal positions count as one wherever triangles meet, so a mesh that is split \
         along texture seams, or an STL file, is judged by its shape; positions are \
         compared after rounding to a 2^-30th of the box's longest side. Watertight means that every edge belongs to two triangles, once in \
         each direction. Pieces hang together by shared edges. A triangle that has a corner twice is \
         counted as degenerate and left out of edges, pieces and the Euler characteristic; a flat one \
         with three corners is counted and stays.\n\n\
         `volume` is the flux of (x, 0, 0) out of the triangles: the volume inside when the mesh is \
         watertight, negative when its triangles look inwards, and when it is open a number without \
         meaning, the one that trimesh gives. `genus` is given for a watertight mesh of one piece; where such a mesh touches itself \
         in a point, each sheet counts for itself.\n\n\
         A point cloud has bounds and no triangles. Refused are meshes without vertices \
         (`no_vertices`) and those with coordinates that are not finite (`invalid_mesh`).\n\n\
         Cost: about 100 ns and 80 bytes a triangle."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["mesh"])
    }

    fn output(&self) -> &'static str {
        "mesh_stats"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"stats\"\nuse = \"mesh_stats\"\nfrom = \"meshes\"\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(MeshStatsParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let MeshStatsParams {} = params.parse()?;
        Ok(Stage::Operator(Arc::new(MeshStats)))
    }
}

struct MeshStats;

impl Operator for MeshStats {
    fn output(&self) -> Schema {
        tables::mesh_stats()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, stats) =
            map_rows(batch.rows(), refusals, |row| mesh_stats(&mesh_of_row(batch, row)?));
        let mut values = key_values(batch, &kept)?;
        values.extend(stats_values(&stats));
        Ok(Batch::new(self.output(), values)?)
    }
}

fn stats_values(stats: &[Stats]) -> Vec<Values> {
    let counts = |count: fn(&Stats) -> usize| {
        Values::numbers(stats.iter().map(|s| count(s) as u64).collect::<Vec<_>>())
    };
    let numbers =
        |number: fn(&Stats) -> f64| Values::numbers(stats.iter().map(number).collect::<Vec<_>>());
    let genus = stats.iter().map(|s| s.genus.map(|genus| genus as u64));
    vec![
        counts(|s| s.vertices),
        counts(|s| s.triangles),
        counts(|s| s.places),
        counts(|s| s.components),
        counts(|s| s.duplicates),
        counts(|s| s.degenerates),
        counts(|s| s.boundary_edges),
        counts(|s| s.nonmanifold_edges),
        Values::boolean(stats.iter().map(|s| s.is_watertight)),
        numbers(|s| s.oriented_share),
        numbers(|s| s.euler_characteristic as f64),
        Values::optional_numbers(genus),
        numbers(|s| s.volume),
        numbers(|s| s.area),
        Values::tensors(&[3], stats.iter().map(|s| s.bounds.min)),
        Values::tensors(&[3], stats.iter().map(|s| s.bounds.max)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::TriMesh;

    #[test]
    fn every_column_is_what_the_kernel_finds_and_nothing_is_refused() {
        let cloud = TriMesh { vertices: vec![[1.0; 3], [2.0; 3]], triangles: vec![] };
        let meshes = [testing::cuboid([0.0; 3], [1.0, 2.0, 3.0]), TriMesh::default(), cloud];
        let mut refusals = Refusals::default();
        let batch = MeshStats.apply(&testing::mesh_batch(&meshes), &mut refusals).expect("a batch");
        assert_eq!(refusals.into_rows()[0].1.code, "no_vertices");
        assert_eq!(batch.numbers::<u64>("vertex_count").expect("a column"), [8, 2]);
        assert_eq!(batch.numbers::<u64>("triangle_count").expect("a column"), [12, 0]);
        assert_eq!(batch.numbers::<u64>("component_count").expect("a column"), [1, 0]);
        assert_eq!(batch.numbers::<f64>("volume").expect("a column"), [6.0, 0.0]);
        assert_eq!(batch.numbers::<f64>("surface_area").expect("a column"), [22.0, 0.0]);
        assert_eq!(batch.optional_numbers::<u64>("genus").expect("a column"), [Some(0), None]);
        assert_eq!(batch.numbers::<f64>("euler_characteristic").expect("a column"), [2.0, 0.0]);
        let watertight = batch.boolean("is_watertight").expect("a column");
        assert_eq!([watertight.value(0), watertight.value(1)], [true, false]);
        let max = batch.tensors::<f64>("bounds_max").expect("a column");
        assert_eq!((max.value(0), max.value(1)), (&[1.0, 2.0, 3.0][..], &[2.0; 3][..]));
    }
}
