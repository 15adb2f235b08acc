//! The catalogue: shipped entries, mistakes in one's own, and pipelines that name a data set.

use crate::program::{Sandbox, TETRAHEDRON_OFF, shipped};

const PIPELINE: &str = "\
[pipeline]
name = \"x\"
dataset = \"mine\"
[[stage]]
use = \"meshes\"
[[stage]]
use = \"decode_mesh\"
[[stage]]
use = \"parquet\"
";

#[test]
fn the_shipped_catalogue_is_listed_and_shown() {
    let sandbox = Sandbox::new();
    let catalogue = shipped("datasets.toml");
    let list = sandbox.succeed(&["datasets", "list", "--catalogue", &catalogue]);
    for id in ["synthetic", "modelnet40", "shapenetcore-v2", "pix3d"] {
        assert!(list.contains(id), "{id}: {list}");
    }
    let show = sandbox.succeed(&["datasets", "show", "modelnet40", "--catalogue", &catalogue]);
    assert!(show.contains("12,311") && show.contains("licence"), "{show}");
    let ended = sandbox.run(&["datasets", "show", "modelnet4", "--catalogue", &catalogue]);
    assert_eq!(ended.code, 14);
    assert!(ended.stderr.contains("did you mean `modelnet40`"), "{}", ended.stderr);
}

#[test]
fn a_pipeline_takes_its_root_from_the_catalogue() {
    let sandbox = Sandbox::new();
    sandbox.write("data/solid/tetrahedron.off", TETRAHEDRON_OFF);
    sandbox.write(
        "datasets.toml",
        "[[dataset]]\nid = \"mine\"\nlayout = \"meshes\"\nroot = \"data\"\nlicence = \"CC0\"\n\
         source = \"made here\"\n",
    );
    sandbox.write("pipelines/x.toml", PIPELINE);
    let text = sandbox.succeed(&["plan", "pipelines/x.toml"]);
    assert!(text.contains("1 samples of 1 classes"), "{text}");
}

#[test]
fn unknown_data_sets_and_wrong_catalogues_are_told() {
    let sandbox = Sandbox::new();
    sandbox.write("x.toml", PIPELINE);
    sandbox.write(
        "datasets.toml",
        "[[dataset]]\nid = \"mime\"\nlayout = \"meshes\"\nlicence = \"CC0\"\nsource = \"here\"\n",
    );
    let ended = sandbox.run(&["plan", "x.toml"]);
    assert_eq!(ended.code, 12);
    assert!(ended.stderr.contains("did you mean `mime`"), "{}", ended.stderr);
    sandbox.write("datasets.toml", "[[dataset]]\nid = \"mine\"\nlayuot = \"meshes\"\n");
    let ended = sandbox.run(&["datasets", "list"]);
    assert_eq!(ended.code, 10);
    assert!(ended.stderr.contains("datasets.toml:3:1"), "{}", ended.stderr);
}

#[test]
fn solids_are_written_as_files() {
    let sandbox = Sandbox::new();
    let synth = ["datasets", "synth", "out", "--classes", "chair,table", "--count", "4"];
    sandbox.succeed(&synth);
    assert!(sandbox.path("out/chair/chair_0001.obj").is_file());
    assert_eq!(sandbox.run(&synth).code, 14, "a full folder is left alone");
    let ended = sandbox.run(&["datasets", "synth", "other", "--classes", "cheir"]);
    assert_eq!(ended.code, 14);
    assert!(ended.stderr.contains("known: airplane"), "{}", ended.stderr);
}
