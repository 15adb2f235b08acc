//! `convert`, `inspect` and `render` on small files.

use serde_json::Value;
use voxflow_formats::{binvox, npy, picture};

use crate::program::{Sandbox, TETRAHEDRON_OFF};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("tetrahedron.off", TETRAHEDRON_OFF);
    sandbox
}

fn inspect(sandbox: &Sandbox, file: &str) -> Value {
    let json = sandbox.succeed(&["inspect", file, "--format", "json"]);
    serde_json::from_str(&json).expect("JSON")
}

#[test]
fn meshes_become_grids_and_grids_arrays() {
    let sandbox = sandbox();
    let convert =
        ["convert", "tetrahedron.off", "t.binvox", "--resolution", "16", "--fill", "solid"];
    sandbox.succeed(&convert);
    sandbox.succeed(&["convert", "t.binvox", "out/t.npy"]);
    sandbox.succeed(&["convert", "out/t.npy", "back.binvox"]);
    let read = |name: &str| std::fs::read(sandbox.path(name)).expect("readable");
    let grid = binvox::decode(&read("t.binvox")).expect("a grid");
    assert_eq!((grid.resolution, grid.translation, grid.scale), (16, [0.0; 3], [1.0; 3]));
    let array = npy::decode(&read("out/t.npy")).expect("an array");
    assert_eq!(array, npy::from_grid(&grid));
    assert_eq!(binvox::decode(&read("back.binvox")).expect("a grid").bits(), grid.bits());
    let facts = inspect(&sandbox, "t.binvox");
    assert_eq!(facts["occupied"], grid.occupied());
    assert_eq!(inspect(&sandbox, "out/t.npy")["shape"], serde_json::json!([16, 16, 16]));
    let text = sandbox.succeed(&["inspect", "t.binvox"]);
    assert!(text.contains("front") && text.contains('█'), "{text}");
}

#[test]
fn meshes_keep_their_shape_in_every_format() {
    let sandbox = sandbox();
    for format in ["glb", "gltf", "obj", "off", "ply", "stl"] {
        let name = format!("copy.{format}");
        sandbox.succeed(&["convert", "tetrahedron.off", &name]);
        let facts = inspect(&sandbox, &name);
        assert_eq!(facts["triangles"], 4, "{format}");
        assert_eq!(facts["watertight"], true, "{format}");
        assert_eq!(facts["max"], serde_json::json!([1.0, 1.0, 1.0]), "{format}");
    }
}

#[test]
fn views_come_with_their_cameras() {
    let sandbox = sandbox();
    sandbox.succeed(&["render", "tetrahedron.off", "-o", "views", "--size", "32"]);
    let bytes = std::fs::read(sandbox.path("views/011.png")).expect("the last view");
    let picture = picture::decode(&bytes).expect("a picture");
    assert_eq!((picture.width, picture.height, picture.channels), (32, 32, 4));
    assert!(picture.data.iter().skip(3).step_by(4).any(|alpha| *alpha == 255), "something is seen");
    let cameras = std::fs::read_to_string(sandbox.path("views/cameras.json")).expect("cameras");
    let cameras: Value = serde_json::from_str(&cameras).expect("JSON");
    assert_eq!(cameras["cameras"].as_array().expect("a list").len(), 12);
    assert_eq!(cameras["cameras"][0]["K"][0][2], 16.0);
    assert_eq!(inspect(&sandbox, "views/000.png")["width_px"], 32);
    let random = ["render", "tetrahedron.off", "-o", "more", "--rig", "random", "--views", "3"];
    sandbox.succeed(&random);
    assert!(sandbox.path("more/002.png").exists() && !sandbox.path("more/003.png").exists());
}

#[test]
fn files_that_cannot_be_used_are_told() {
    let sandbox = sandbox();
    sandbox.write("broken.off", "OFF\nnothing\n");
    sandbox.write("notes.txt", "x");
    let code = |arguments: &[&str]| sandbox.run(arguments).code;
    assert_eq!(code(&["inspect", "broken.off"]), 11);
    assert_eq!(code(&["inspect", "missing.off"]), 11);
    assert_eq!(code(&["inspect", "notes.txt"]), 14);
    assert_eq!(code(&["inspect", "."]), 11);
    assert_eq!(code(&["convert", "tetrahedron.off", "x.docx"]), 14);
    sandbox.succeed(&["convert", "tetrahedron.off", "t.binvox"]);
    assert_eq!(code(&["convert", "t.binvox", "t.obj"]), 14);
    assert_eq!(code(&["convert", "broken.off", "never.obj"]), 11);
    assert!(!sandbox.path("never.obj").exists());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_voxflow"))
        .args(["schema", "pipeline"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
