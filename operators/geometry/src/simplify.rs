//! `simplify`: meshes of fewer triangles in the same place.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Appearance, Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals,
    Schema, Stage, Values, appearance_values, key_values, map_rows, mesh_of_row, mesh_values,
    tables,
};

use crate::kernels::simplify;
use crate::ranges::range_error;

/// Parameters of `simplify`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimplifyParams {
    /// Triangles that may be left, at least 4.
    #[serde(default = "default_triangles")]
    #[schemars(range(min = 4))]
    pub triangles: u32,
    /// How far the surface may move, as a share of the longest side of the mesh's box, 0 to 1.
    #[serde(default = "default_max_error")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_error: f64,
}

fn default_triangles() -> u32 {
    10_000
}

fn default_max_error() -> f64 {
    0.01
}

/// `simplify` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct SimplifyKind;

impl Kind for SimplifyKind {
    fn name(&self) -> &'static str {
        "simplify"
    }

    fn summary(&self) -> &'static str {
        "Turns every mesh into one of fewer triangles in the same place."
    }

    fn manual(&self) -> &'static str {
        "Takes table `mesh`, gives table `mesh`, in the same frame and with the same quirks; colours, \
         normals, texture coordinates and materials do not pass.\n\n\
         Edges are collapsed, the cheapest first, until no more than `triangles` are left or the next \
         collapse would move the surface by more than `max_error`; then more are left. Vertices at one \
         place become one before, and triangles that have a corner twice go. Vertices only go, none is \
         moved. A closed mesh stays closed and keeps its pieces and handles. A mesh with few triangles \
         already comes back welded.\n\n\
         Meshes without triangles are refused (`no_triangles`), as are those of which nothing is left \
         (`degenerate`) and coordinates that are not finite (`invalid_mesh`).\n\n\
         Quadric error metrics (Garland and Heckbert 1997) by the library meshoptimizer. Cost: about half \
         a microsecond a triangle."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["mesh"])
    }

    fn output(&self) -> &'static str {
        "mesh"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"light\"\nuse = \"simplify\"\nfrom = \"meshes\"\ntriangles = 5000\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(SimplifyParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: SimplifyParams = params.parse()?;
        let errors = [
            range_error("triangles", params.triangles, 4..=u32::MAX),
            range_error("max_error", params.max_error, 0.0..=1.0),
        ];
        let errors: Vec<_> = errors.into_iter().flatten().collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(Simplify { params })))
    }
}

struct Simplify {
    params: SimplifyParams,
}

impl Operator for Simplify {
    fn output(&self) -> Schema {
        tables::mesh()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let SimplifyParams { triangles, max_error } = self.params;
        let (kept, meshes) = map_rows(batch.rows(), refusals, |row| {
            let simple = simplify(&mesh_of_row(batch, row)?, triangles as usize, max_error)?;
            Ok(simple.mesh)
        });
        let (transforms, quirks) =
            (batch.tensors::<f64>("mesh_from_source")?, batch.utf8("quirks")?);
        let mut values = key_values(batch, &kept)?;
        values.extend(mesh_values(&meshes));
        values.push(Values::tensors(&[4, 4], kept.iter().map(|row| transforms.value(*row))));
        values.push(Values::utf8(kept.iter().map(|row| quirks.value(*row))));
        values.extend(appearance_values(&vec![Appearance::default(); kept.len()]));
        Ok(Batch::new(self.output(), values)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::TriMesh;

    #[test]
    fn meshes_shrink_and_keep_their_frame() {
        let meshes = [TriMesh::default(), testing::ball(1.0, 4)];
        let batch = testing::mesh_batch(&meshes);
        let params = SimplifyParams { triangles: 200, max_error: 1.0 };
        let mut refusals = Refusals::default();
        let output = Simplify { params }.apply(&batch, &mut refusals).expect("a batch");
        assert_eq!(refusals.into_rows()[0].1.code, "no_triangles");
        let mesh = mesh_of_row(&output, 0).expect("a mesh");
        assert!((100..=200).contains(&mesh.triangles.len()), "{}", mesh.triangles.len());
        let frame = |batch: &Batch, row| {
            batch.tensors::<f64>("mesh_from_source").expect("a column").value(row).to_vec()
        };
        assert_eq!(frame(&output, 0), frame(&batch, 1));
    }
}
