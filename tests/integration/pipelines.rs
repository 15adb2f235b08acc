//! Pipelines are checked as a whole before anything is read, and every mistake is told at once.

use crate::program::{Sandbox, TETRAHEDRON_OFF, shipped};

const FIVE_MISTAKES: &str = "\
[pipeline]
name = \"five\"
sead = 3

[[stage]]
use = \"synthetic\"
count = \"many\"

[[stage]]
use = \"normalise\"

[[stage]]
use = \"voxelize\"
from = \"synthetic\"
resolutoin = 32

[[stage]]
use = \"parquet\"
from = [\"voxelize\", \"spilt\"]
";

#[test]
fn five_mistakes_are_five_errors_with_their_lines() {
    let sandbox = Sandbox::new();
    sandbox.write("five.toml", FIVE_MISTAKES);
    for command in ["plan", "run"] {
        let ended = sandbox.run(&[command, "five.toml"]);
        assert!((10..20).contains(&ended.code), "{ended:?}");
        assert_eq!(ended.stdout, "");
        let places: Vec<_> =
            ended.stderr.lines().filter_map(|line| line.split_once("--> ")).map(|l| l.1).collect();
        let expected = [
            "five.toml:3:1",
            "five.toml:7:9",
            "five.toml:10:7",
            "five.toml:15:1",
            "five.toml:19:21",
        ];
        assert_eq!(places, expected, "{}", ended.stderr);
        for hint in ["did you mean `seed`", "did you mean `normalize`", "did you mean `resolution`"]
        {
            assert!(ended.stderr.contains(hint), "{hint}: {}", ended.stderr);
        }
        assert!(ended.stderr.contains("the pipeline has 5 mistakes, nothing was read"));
    }
    assert!(!sandbox.path(".voxflow").exists(), "a wrong pipeline leaves nothing behind");
}

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    let sandbox = Sandbox::new();
    sandbox.write("x.toml", "[pipeline]\nname = \n\n[[stage]]\nuse = \"sinthetic\"\n");
    let ended = sandbox.run(&["plan", "x.toml"]);
    assert_eq!(ended.code, 12);
    assert!(ended.stderr.contains("x.toml:2:"), "{}", ended.stderr);
    assert!(ended.stderr.contains("did you mean `synthetic`"), "{}", ended.stderr);
}

#[test]
fn the_mesh_pipelines_that_ship_can_be_planned() {
    let sandbox = Sandbox::new();
    sandbox.write("meshes/solid/tetrahedron.off", TETRAHEDRON_OFF);
    for name in ["meshes-to-views", "meshes-to-voxels"] {
        let pipeline = shipped(&format!("pipelines/{name}.toml"));
        let text = sandbox.succeed(&["plan", &pipeline, "--set", "root=meshes"]);
        assert!(text.contains("1 samples of 1 classes"), "{text}");
    }
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let json = sandbox.succeed(&["plan", &pipeline, "--set", "root=meshes", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(plan["stages"][0]["scan"]["samples"], 1);
    assert_eq!(plan["stages"][3]["parameters"]["resolution"], 32);
}

#[test]
fn a_parameter_without_value_and_data_that_are_not_there_are_set_up_errors() {
    let sandbox = Sandbox::new();
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let ended = sandbox.run(&["plan", &pipeline]);
    assert_eq!(ended.code, 12);
    assert!(ended.stderr.contains("--set root="), "{}", ended.stderr);
    let ended = sandbox.run(&["plan", &pipeline, "--set", "root=nowhere"]);
    assert_eq!(ended.code, 13, "{}", ended.stderr);
    let ended = sandbox.run(&["plan", &pipeline, "--set", "root=x", "--set", "rot=y"]);
    assert!(ended.stderr.contains("did you mean `root`"), "{}", ended.stderr);
    assert_eq!(sandbox.run(&["plan", "nowhere.toml"]).code, 11);
}

#[test]
fn the_quickstart_that_ships_can_be_planned() {
    let ended = Sandbox::new().run(&["plan", &shipped("pipelines/quickstart.toml")]);
    if cfg!(feature = "train") {
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stdout.contains("480 samples of 8 classes"), "{}", ended.stdout);
    } else {
        assert_eq!(ended.code, 12);
        assert!(ended.stderr.contains("`train` is not in this build"), "{}", ended.stderr);
    }
}

#[test]
#[cfg(feature = "train")]
fn an_imported_pose_yaml_can_be_planned() {
    let sandbox = Sandbox::new();
    sandbox.write("pose.yaml", "obj: chair\nn_epochs: 9\nsave_freq: 50\nseed: 42\n");
    let printed = sandbox.succeed(&["pipeline", "import", "pose.yaml"]);
    assert!(printed.contains("n_epochs = 9  # n_epochs, line 2\n"), "{printed}");
    assert!(
        printed.contains("#   save_freq (line 3): every epoch leaves a checkpoint"),
        "{printed}"
    );
    sandbox.succeed(&["pipeline", "import", "pose.yaml", "-o", "made/pose.toml"]);
    let plan = sandbox.succeed(&["plan", "made/pose.toml", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
    assert_eq!(plan["stages"][0]["scan"]["samples"], 480);
    sandbox.write("pose.yaml", "obj: chair\nnepochs: 9\n");
    let ended = sandbox.run(&["pipeline", "import", "pose.yaml"]);
    assert_eq!(ended.code, 12, "{}", ended.stderr);
    assert!(ended.stderr.contains("pose.yaml:2:1"), "{}", ended.stderr);
    assert!(ended.stderr.contains("did you mean `n_epochs`"), "{}", ended.stderr);
    assert_eq!(sandbox.run(&["pipeline", "import", "nowhere.yaml"]).code, 11);
}

#[test]
fn the_command_line_is_checked_by_clap() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["fly"]).code, 2);
    assert_eq!(sandbox.run(&["run", "x.toml", "--memory", "much"]).code, 2);
    assert_eq!(sandbox.run(&["run", "x.toml", "--hosts", "h"]).code, 2);
    assert!(sandbox.succeed(&["--help"]).contains("Examples:"));
}
