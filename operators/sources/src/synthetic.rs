//! `synthetic`: a source of procedural solids, for trying things out without a download.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Appearance, Batch, BuildContext, ContentHash, Entry, Fault, Inputs, Kind, Listed, Listing,
    ParamError, Params, Refusals, Schema, SetupFault, Source, Stage, TriMesh, Values,
    appearance_values, map_rows, mesh_values, tables,
};

use crate::solids::{SolidClass, solid};

/// What one mesh takes in memory at most: 3500 triangles and half as many vertices, 12 bytes each.
const MESH_BYTES: u64 = 64 << 10;

/// More objects than anyone needs, few enough that listing them fits in memory.
const MAX_COUNT: u64 = 10_000_000;

/// Parameters of `synthetic`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyntheticParams {
    /// Classes to make: airplane, bed, car, chair, lamp, shelf, sofa, table. All when not given.
    #[serde(default = "default_classes")]
    pub classes: Vec<String>,
    /// Number of objects of all classes together, 1 to 10 million; spread evenly.
    #[serde(default = "default_count")]
    pub count: u64,
    /// Seed of the shapes; the pipeline's when not given.
    #[serde(default)]
    pub seed: Option<u64>,
}

fn default_classes() -> Vec<String> {
    SolidClass::ALL.iter().map(|class| class.name().to_owned()).collect()
}

fn default_count() -> u64 {
    400
}

pub(crate) struct SyntheticKind;

impl Kind for SyntheticKind {
    fn name(&self) -> &'static str {
        "synthetic"
    }

    fn summary(&self) -> &'static str {
        "Makes procedural solids of eight everyday classes, from a seed and nothing else."
    }

    fn manual(&self) -> &'static str {
        "Gives table `mesh`: airplanes, beds, cars, chairs, lamps, shelves, sofas and tables. Each \
         class is a family of its own with discrete makes (a chair has four legs, a star base, a \
         sled, ...) and continuous proportions, so that no two objects are alike and the mean of a \
         class says little of its members.\n\n\
         Meshes are in metres, +Y up, the front towards +Z, 60 to 3500 triangles. They consist of \
         closed, outward-facing parts that overlap; the object is the union of its parts. A \
         voxelizer that counts windings or fills what its surface encloses gets a solid object.\n\n\
         Samples are called `chair/chair_0001`, counted from 1 in each class. What a sample looks \
         like depends on seed, class and number only: a larger `count` adds objects and changes \
         none. When `count` does not divide by the number of classes, the first classes by name \
         have one object more.\n\n\
         Nothing is refused. Cost: tens of microseconds an object."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::None
    }

    fn output(&self) -> &'static str {
        "mesh"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"objects\"\nuse = \"synthetic\"\n\
         classes = [\"chair\", \"table\"]\ncount = 100\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(SyntheticParams)
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: SyntheticParams = params.parse()?;
        let (classes, mut errors) = named_classes(&params.classes);
        if !(1..=MAX_COUNT).contains(&params.count) {
            errors.push(ParamError::new("count", format!("must be from 1 to {MAX_COUNT}")));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let seed = params.seed.unwrap_or(context.seed);
        Ok(Stage::Source(Arc::new(Synthetic { classes, count: params.count, seed })))
    }
}

/// The classes of the given names, sorted, and what is wrong with the names.
fn named_classes(names: &[String]) -> (Vec<SolidClass>, Vec<ParamError>) {
    let (mut classes, mut errors) = (Vec::new(), Vec::new());
    for (i, name) in names.iter().enumerate() {
        let key = format!("classes[{i}]");
        match SolidClass::from_name(name) {
            Some(class) if classes.contains(&class) => {
                errors.push(ParamError::new(&key, format!("`{name}` is named twice")));
            }
            Some(class) => classes.push(class),
            None => errors.push(ParamError {
                key,
                message: format!("there is no class `{name}`"),
                known: default_classes(),
            }),
        }
    }
    if names.is_empty() {
        errors.push(ParamError::new("classes", "must name at least one class"));
    }
    classes.sort();
    (classes, errors)
}

/// How many objects of each class make `count` altogether; the first classes have one more when it
/// does not divide.
pub(crate) fn spread(classes: &[SolidClass], count: u64) -> Vec<(SolidClass, u64)> {
    let n = classes.len().max(1) as u64;
    let share = |i: usize| count / n + u64::from((i as u64) < count % n);
    classes.iter().enumerate().map(|(i, class)| (*class, share(i))).collect()
}

/// Name of object `number` of a class, without the class's folder: `chair_0001`.
pub(crate) fn object_name(class: SolidClass, number: u64) -> String {
    format!("{class}_{number:04}")
}

/// The class and number in a sample id that [`Synthetic::scan`] gave.
fn parse_sample(sample: &str) -> Option<(SolidClass, u64)> {
    let (folder, name) = sample.split_once('/')?;
    let class = SolidClass::from_name(folder)?;
    let number = name.rsplit_once('_')?.1.parse().ok()?;
    (name == object_name(class, number)).then_some((class, number))
}

struct Synthetic {
    classes: Vec<SolidClass>,
    count: u64,
    seed: u64,
}

impl Source for Synthetic {
    fn output(&self) -> Schema {
        tables::mesh()
    }

    fn list(&self) -> Result<Listing, SetupFault> {
        let stamp = format!("synthetic v{} seed {}", SyntheticKind.version(), self.seed);
        let mut listing = Listing::default();
        for (class, count) in spread(&self.classes, self.count) {
            for number in 1..=count {
                let sample = format!("{class}/{}", object_name(class, number));
                let (sample, category, stamp) = (sample.as_str(), class.name(), stamp.as_str());
                listing.push(Listed { sample, category, path: None, bytes: MESH_BYTES, stamp });
            }
        }
        listing.sort();
        Ok(listing)
    }

    fn open(&self, entries: &[Entry], refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, meshes) = map_rows(entries.len(), refusals, |row| {
            let sample = entries[row].sample.as_str();
            let (class, number) = parse_sample(sample).ok_or_else(|| {
                Fault::new("unknown_sample", format!("`{sample}` is no synthetic object"))
            })?;
            Ok(solid(class, self.seed, number))
        });
        let kept: Vec<&Entry> = kept.into_iter().map(|row| &entries[row]).collect();
        mesh_batch(&kept, &meshes)
    }
}

fn mesh_batch(entries: &[&Entry], meshes: &[TriMesh]) -> Result<Batch, Fault> {
    let identity: [f64; 16] = std::array::from_fn(|i| if i % 5 == 0 { 1.0 } else { 0.0 });
    let contents = meshes.iter().map(|mesh| *content_of(mesh).as_bytes());
    let [vertices, triangles] = mesh_values(meshes);
    let mut values = vec![
        Values::utf8(entries.iter().map(|entry| entry.sample.as_str())),
        Values::utf8(entries.iter().map(|entry| &entry.category)),
        Values::fixed_binary(ContentHash::LEN, contents),
        vertices,
        triangles,
        Values::tensors(&[4, 4], meshes.iter().map(|_| identity)),
        Values::utf8(meshes.iter().map(|_| "")),
    ];
    values.extend(appearance_values(&vec![Appearance::default(); meshes.len()]));
    Ok(Batch::new(tables::mesh(), values)?)
}

/// The hash of all coordinates and then all vertex numbers, little-endian.
fn content_of(mesh: &TriMesh) -> ContentHash {
    let vertices = mesh.vertices.as_flattened().iter().flat_map(|x| x.to_le_bytes());
    let triangles = mesh.triangles.as_flattened().iter().flat_map(|x| x.to_le_bytes());
    ContentHash::of(&vertices.chain(triangles).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use voxflow_contract::mesh_of_row;

    fn build(params: serde_json::Value) -> Result<Arc<dyn Source>, Vec<ParamError>> {
        let serde_json::Value::Object(params) = params else { panic!("parameters are a table") };
        let params = Params(params);
        let context = BuildContext { seed: 5, stage: "objects".to_owned() };
        match SyntheticKind.build(&params, &context)? {
            Stage::Source(source) => Ok(source),
            _ => panic!("synthetic is a source"),
        }
    }

    fn open(source: &dyn Source) -> Batch {
        let mut refusals = Refusals::default();
        let batch = source.open(&source.scan().expect("a scan"), &mut refusals).expect("a batch");
        assert!(refusals.is_empty());
        batch
    }

    #[test]
    fn objects_are_spread_evenly_and_sorted() {
        let source = build(json!({"classes": ["table", "chair", "bed"], "count": 8}));
        let entries = source.expect("good parameters").scan().expect("a scan");
        let ids: Vec<_> = entries.iter().map(|entry| entry.sample.as_str()).collect();
        let expected = "bed/bed_0001 bed/bed_0002 bed/bed_0003 chair/chair_0001 chair/chair_0002 \
                        chair/chair_0003 table/table_0001 table/table_0002";
        assert_eq!(ids.join(" "), expected);
        assert!(entries.iter().all(|entry| entry.stamp == "synthetic v1 seed 5"));
    }

    #[test]
    fn ids_stay_sorted_past_four_digits() {
        let source = build(json!({"classes": ["bed"], "count": 10_050})).expect("good parameters");
        let entries = source.scan().expect("a scan");
        assert_eq!(entries.len(), 10_050);
        assert!(entries.windows(2).all(|pair| pair[0].sample < pair[1].sample));
    }

    #[test]
    fn rows_hold_the_meshes_of_their_ids() {
        let source = build(json!({"count": 16})).expect("good parameters");
        let batch = open(source.as_ref());
        assert_eq!((batch.schema(), batch.rows()), (&tables::mesh(), 16));
        let mesh = mesh_of_row(&batch, 3).expect("a mesh");
        assert_eq!(batch.utf8("sample").expect("samples").value(3), "bed/bed_0002");
        assert_eq!(mesh, solid(SolidClass::Bed, 5, 2));
        let content = batch.fixed_binary("content").expect("contents").value(3);
        assert_eq!(content, content_of(&mesh).as_bytes());
    }

    #[test]
    fn a_larger_count_changes_no_object() {
        let few = open(build(json!({"classes": ["car"], "count": 3})).expect("good").as_ref());
        let many = open(build(json!({"classes": ["car"], "count": 9})).expect("good").as_ref());
        assert_eq!(few, many.slice(0, 3));
        let other = build(json!({"classes": ["car"], "count": 3, "seed": 6}));
        assert_ne!(few, open(other.expect("good").as_ref()));
    }

    #[test]
    fn wrong_parameters_are_all_named() {
        let errors = build(json!({"classes": ["chair", "boat", "chair"], "count": 0}));
        let errors = errors.err().expect("three mistakes");
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["classes[1]", "classes[2]", "count"]);
        assert_eq!(errors[0].known, default_classes());
        assert_eq!(build(json!({"classes": []})).err().expect("an error")[0].key, "classes");
    }

    #[test]
    fn ids_of_others_are_refused() {
        let source = build(json!({})).expect("good parameters");
        let mut entries = source.scan().expect("a scan");
        entries.truncate(2);
        entries[0].sample = voxflow_contract::SampleId::new("boat/boat_0001").expect("an id");
        let mut refusals = Refusals::default();
        assert_eq!(source.open(&entries, &mut refusals).expect("a batch").rows(), 1);
        assert_eq!(refusals.into_rows()[0].1.code, "unknown_sample");
    }
}
