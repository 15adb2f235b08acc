//! `decode_mesh`: the bytes of a mesh file into a mesh.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Fault, Inputs, Kind, Operator, ParamError, Params, Refusals, Schema,
    SourceFrame, Stage, Transform, Values, appearance_values, key_values, map_rows, mesh_values,
    tables,
};
use voxflow_formats::{DecodedMesh, MeshFormat, Sidecar};

use crate::kernels::check_mesh;

/// Parameters of `decode_mesh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecodeMeshParams {
    /// Whether a file of points without triangles goes through, as a mesh without triangles.
    #[serde(default)]
    pub allow_points: bool,
}

/// `decode_mesh` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct DecodeMeshKind;

impl Kind for DecodeMeshKind {
    fn name(&self) -> &'static str {
        "decode_mesh"
    }

    fn summary(&self) -> &'static str {
        "Reads the bytes of a mesh file (glTF, OBJ, OFF, PLY, STL) into vertices and triangles."
    }

    fn manual(&self) -> &'static str {
        "Takes table `sample`, gives table `mesh` in the frame of the file: nothing is moved or \
         scaled, equal corners are merged in STL only, which repeats each in every triangle, and \
         `mesh_from_source` is the identity.\n\n\
         The reader is chosen by the column `format`, the file's extension. Polygons are cut into \
         triangle fans. What the format does not allow but can be got over stands in `quirks`, \
         separated by `; `.\n\n\
         Colours, normals and texture coordinates are taken over as the file has them; materials and \
         textures of an OBJ and textures of a PLY where `sidecars` holds them. A file that is named and \
         not among the sidecars is a quirk, unless there are none at all.\n\n\
         Refused are unknown formats (`unknown_format`), files that break off or make no sense (the \
         codes of the readers, with the byte offset), coordinates that are not finite \
         (`invalid_mesh`), and files without triangles (`no_triangles`), unless `allow_points` is \
         set.\n\n\
         Cost: one pass over the bytes; memory a few times the file."
    }

    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["sample"])
    }

    fn output(&self) -> &'static str {
        "mesh"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"meshes\"\nuse = \"decode_mesh\"\nfrom = \"objects\"\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(DecodeMeshParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let DecodeMeshParams { allow_points } = params.parse()?;
        Ok(Stage::Operator(Arc::new(DecodeMesh { allow_points })))
    }
}

struct DecodeMesh {
    allow_points: bool,
}

impl Operator for DecodeMesh {
    fn output(&self) -> Schema {
        tables::mesh()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (formats, bytes) = (batch.utf8("format")?, batch.binary("bytes")?);
        let sidecars = batch.images("sidecars")?;
        let (kept, decoded) = map_rows(batch.rows(), refusals, |row| {
            let named = |index| {
                let name = sidecars.path(row, index)?;
                Some(Sidecar { name, bytes: sidecars.bytes(row, index) })
            };
            let sidecars: Vec<_> = (0..sidecars.count(row)).filter_map(named).collect();
            self.decode(formats.value(row), bytes.value(row), &sidecars)
        });
        let quirks: Vec<_> = decoded.iter().map(|mesh| mesh.quirks.join("; ")).collect();
        let (meshes, looks): (Vec<_>, Vec<_>) =
            decoded.into_iter().map(|decoded| (decoded.mesh, decoded.appearance)).unzip();
        let identity = Transform::<SourceFrame, SourceFrame>::from_scale_translation(1.0, [0.0; 3]);
        let mut values = key_values(batch, &kept)?;
        values.extend(mesh_values(&meshes));
        values.push(Values::tensors(&[4, 4], kept.iter().map(|_| identity.to_array())));
        values.push(Values::utf8(&quirks));
        values.extend(appearance_values(&looks));
        Ok(Batch::new(self.output(), values)?)
    }
}

impl DecodeMesh {
    fn decode(
        &self,
        format: &str,
        bytes: &[u8],
        sidecars: &[Sidecar<'_>],
    ) -> Result<DecodedMesh, Fault> {
        let format = MeshFormat::from_extension(format).ok_or_else(|| unknown_format(format))?;
        let mut decoded = if sidecars.is_empty() {
            voxflow_formats::decode_mesh(format, bytes)?
        } else {
            voxflow_formats::decode_mesh_with(format, bytes, sidecars)?
        };
        check_mesh(&decoded.mesh)?;
        if format.repeats_corners() {
            decoded.mesh = voxflow_formats::merge_corners(&decoded.mesh);
        }
        if decoded.mesh.triangles.is_empty() && !self.allow_points {
            let count = decoded.mesh.vertices.len();
            let message = format!(
                "{count} points and no triangles: a point cloud; set allow_points = true to let it \
                 through, or mesh it before"
            );
            return Err(Fault::new("no_triangles", message));
        }
        Ok(decoded)
    }
}

fn unknown_format(format: &str) -> Fault {
    let known: Vec<_> = MeshFormat::ALL.iter().map(|known| known.extension()).collect();
    let message = format!("no reader for `{format}` (there are: {})", known.join(", "));
    Fault::new("unknown_format", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::{Image, TriMesh, appearance_of_row, mesh_of_row};

    fn run(allow_points: bool, files: &[(&str, &[u8])]) -> (Batch, Vec<(usize, Fault)>) {
        run_with(allow_points, files, &vec![vec![]; files.len()])
    }

    fn run_with(
        allow_points: bool,
        files: &[(&str, &[u8])],
        sidecars: &[Vec<Image>],
    ) -> (Batch, Vec<(usize, Fault)>) {
        let mut values = testing::keys(files.len());
        values.push(Values::utf8(files.iter().map(|_| "path")));
        values.push(Values::utf8(files.iter().map(|file| file.0)));
        values.push(Values::binary(files.iter().map(|file| file.1)));
        values.push(Values::images(sidecars));
        let batch = Batch::new(tables::sample(), values).expect("a batch");
        let mut refusals = Refusals::default();
        let output = DecodeMesh { allow_points }.apply(&batch, &mut refusals).expect("a batch");
        (output, refusals.into_rows())
    }

    const TRIANGLE: &[u8] = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n";
    const POINTS: &[u8] = b"OFF\n2 0 0\n0 0 0\n1 0 0\n";

    #[test]
    fn good_rows_go_through_and_others_are_refused() {
        let files = [("off", TRIANGLE), ("fbx", b"?"), ("OFF", TRIANGLE), ("off", POINTS)];
        let (output, refused) = run(false, &files);
        assert_eq!(output.rows(), 2);
        assert_eq!(output.utf8("sample").expect("key").value(1), "sample_2");
        let mesh = TriMesh {
            vertices: vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            triangles: vec![[0, 1, 2]],
        };
        assert_eq!(mesh_of_row(&output, 1), Ok(mesh));
        let codes: Vec<_> = refused.iter().map(|(row, fault)| (*row, fault.code)).collect();
        assert_eq!(codes, [(1, "unknown_format"), (3, "no_triangles")]);
        assert_eq!(
            refused[0].1.message,
            "no reader for `fbx` (there are: glb, gltf, obj, off, ply, stl)"
        );
    }

    #[test]
    fn looks_and_sidecars_are_passed_on() {
        let obj = b"mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\n";
        let library = b"newmtl a\nKd 1 0 0\nmap_Kd gone.png\n".to_vec();
        let library = Image { bytes: library, path: Some("a.mtl".to_owned()) };
        let (output, _) = run_with(false, &[("obj", obj), ("obj", obj)], &[vec![library], vec![]]);
        let look = appearance_of_row(&output, 0).expect("a look");
        assert_eq!((look.materials.len(), look.triangle_materials), (1, vec![0]));
        assert_eq!(look.materials[0].color, [255, 0, 0, 255]);
        let quirks = output.utf8("quirks").expect("quirks");
        assert_eq!(quirks.value(0), "texture not found: gone.png");
        assert!(appearance_of_row(&output, 1).expect("a look").is_empty());
        assert_eq!(quirks.value(1), "");
    }

    #[test]
    fn points_go_through_when_they_may() {
        let (output, refused) = run(true, &[("off", POINTS)]);
        assert_eq!((output.rows(), refused.len()), (1, 0));
    }
}
