//! `normalize`: meshes of any size, place and up axis into one frame.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Appearance, Batch, BatchError, BuildContext, Fault, Inputs, Kind, Object, Operator, ParamError,
    Params, Refusals, Schema, SourceFrame, Stage, Transform, TriMesh, Values, appearance_of_row,
    appearance_values, key_values, map_rows, mesh_of_row, mesh_values, tables,
};

use crate::kernels::{Normalize as Fit, Up, normalize_mesh};

/// Parameters of `normalize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormalizeParams {
    /// `unit_cube`: longest side 1, middle of the box at the origin. `unit_sphere`: middle of the box
    /// at the origin, farthest vertex at distance 1.
    #[serde(default)]
    pub fit: Fit,
    /// Axis of the source that points up, `y` or `z`; +Y does afterwards.
    #[serde(default)]
    pub up: Up,
}

/// `normalize` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct NormalizeKind;

impl Kind for NormalizeKind {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn summary(&self) -> &'static str {
        "Moves, scales and turns every mesh into one frame: centred, of unit size, +Y up."
    }

    fn manual(&self) -> &'static str {
        "Takes table `mesh`, gives table `mesh`. One scale for all axes, so proportions stay; the \
         transform is put before the one in `mesh_from_source`, so coordinates of the file can always \
         be had back. Triangles and quirks pass unchanged.\n\n\
         The bounding box is that of the vertices that triangles use; stray vertices do not count. \
         `fit = \"unit_cube\"` is the frame in which `voxelize` and `render_views` stand by default. \
         `fit = \"unit_sphere\"` has radius 1 (the convention of point-cloud networks): such a mesh may \
         reach out of the unit cube, so voxelize it with `fit = \"centered\"` and render it from a \
         greater `distance`, 1 / sin(fov_y_deg / 2).\n\n\
         `up = \"z\"` turns by -90 degrees about X: +Z becomes +Y, +Y becomes -Z. ModelNet needs it.\n\n\
         A mesh without vertices, or whose vertices are all one point, is refused (`degenerate`), as \
         is one with coordinates that are not finite (`invalid_mesh`).\n\n\
         Cost: two passes over the vertices, in f64, rounded to f32 once."
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
        "[[stage]]\nid = \"normal\"\nuse = \"normalize\"\nfrom = \"meshes\"\nup = \"z\"\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(NormalizeParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        Ok(Stage::Operator(Arc::new(Normalize { params: params.parse()? })))
    }
}

struct Normalize {
    params: NormalizeParams,
}

impl Operator for Normalize {
    fn output(&self) -> Schema {
        tables::mesh()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, placed) =
            map_rows(batch.rows(), refusals, |row| place_row(batch, row, self.params));
        let (mut meshes, mut looks, mut transforms) = (vec![], vec![], vec![]);
        for (mesh, look, transform) in placed {
            meshes.push(mesh);
            looks.push(look);
            transforms.push(transform);
        }
        let quirks = batch.utf8("quirks")?;
        let mut values = key_values(batch, &kept)?;
        values.extend(mesh_values(&meshes));
        values.push(Values::tensors(&[4, 4], transforms.iter().map(Transform::to_array)));
        values.push(Values::utf8(kept.iter().map(|row| quirks.value(*row))));
        values.extend(appearance_values(&looks));
        Ok(Batch::new(self.output(), values)?)
    }

    fn is_heavy(&self) -> bool {
        false
    }
}

fn place_row(
    batch: &Batch,
    row: usize,
    params: NormalizeParams,
) -> Result<(TriMesh, Appearance, Transform<Object, SourceFrame>), Fault> {
    let (mesh, mut look) = (mesh_of_row(batch, row)?, appearance_of_row(batch, row)?);
    let (mesh, object_from_mesh) = normalize_mesh(&mesh, params.fit, params.up)?;
    look.vertex_normals.iter_mut().for_each(|normal| *normal = params.up.turn(*normal));
    Ok((mesh, look, object_from_mesh * mesh_from_source(batch, row)?))
}

fn mesh_from_source(
    batch: &Batch,
    row: usize,
) -> Result<Transform<SourceFrame, SourceFrame>, BatchError> {
    let cells = batch.tensors::<f64>("mesh_from_source")?.value(row);
    let matrix = std::array::from_fn(|i| std::array::from_fn(|j| cells[i * 4 + j]));
    Ok(Transform::from_matrix(matrix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn transforms_are_chained_and_points_are_refused() {
        let point = TriMesh { vertices: vec![[1.0; 3]], triangles: vec![] };
        let batch = testing::mesh_batch(&[point, testing::cuboid([1.0; 3], [3.0, 2.0, 2.0])]);
        let params = NormalizeParams { fit: Fit::UnitCube, up: Up::Z };
        let mut refusals = Refusals::default();
        let once = Normalize { params }.apply(&batch, &mut refusals).expect("a batch");
        assert_eq!(refusals.into_rows()[0].1.code, "degenerate");
        let mut refusals = Refusals::default();
        let twice = Normalize { params }.apply(&once, &mut refusals).expect("a batch");
        let chained = mesh_from_source(&twice, 0).expect("a transform");
        let vertices = mesh_of_row(&twice, 0).expect("a mesh").vertices;
        let source = testing::cuboid([1.0; 3], [3.0, 2.0, 2.0]).vertices;
        for (before, after) in source.iter().zip(&vertices) {
            assert_eq!(chained.apply(before.map(f64::from)), after.map(f64::from));
        }
        assert_eq!(twice.utf8("sample").expect("key").value(0), "sample_1");
    }
}
