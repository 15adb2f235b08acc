//! Networks: the pipelines that ship, and what a trained network is used for.

use std::fs;

use crate::program::{Sandbox, shipped};

/// What makes a shipped pipeline end in a moment.
const TINY: [&str; 7] = [
    "count=16",
    "epochs=1",
    "voxels.resolution=16",
    "train.cube_len=16",
    "train.z_size=6",
    "train.generator_channels=2",
    "train.discriminator_channels=2",
];

fn train(sandbox: &Sandbox, pipeline: &str, more: &[&str]) {
    let pipeline = shipped(&format!("pipelines/{pipeline}.toml"));
    let mut arguments = vec!["--home", "home", "run", &pipeline, "--device", "cpu"];
    arguments.extend(["--format", "json"]);
    for assignment in TINY.iter().chain(more) {
        arguments.extend(["--set", assignment]);
    }
    let told = sandbox.succeed(&arguments);
    let summary: serde_json::Value =
        serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
    let feeding = summary["feeding"].as_array().expect("tasks");
    assert_eq!([&feeding[0]["stage"], &feeding[1]["stage"]], ["train", "evaluate"]);
    let is_positive = |task: &serde_json::Value, what: &str| task[what].as_f64() > Some(0.0);
    // A training reads more than one batch, so that it waited for the second, be it a microsecond.
    assert!(is_positive(&feeding[0], "worked_s") && is_positive(&feeding[0], "waited_s"), "{told}");
}

fn only_run(sandbox: &Sandbox) -> String {
    let mut runs = fs::read_dir(sandbox.path("home/runs")).expect("runs").flatten();
    runs.next().expect("a run").file_name().to_string_lossy().into_owned()
}

#[test]
fn every_system_has_a_pipeline_for_a_cpu_and_one_for_a_gpu() {
    let sandbox = Sandbox::new();
    for system in ["gan", "vae-gan", "multi-view-vae-gan", "pose-vae-gan", "attention-vae-gan"] {
        let pipeline = shipped(&format!("pipelines/synthetic-{system}.toml"));
        let plan = |more: &[&str]| {
            let arguments = [&["plan", &pipeline, "--format", "json"], more].concat();
            let plan: serde_json::Value =
                serde_json::from_str(&sandbox.succeed(&arguments)).expect("JSON");
            let stages = plan["stages"].as_array().expect("stages").clone();
            stages.into_iter().find(|stage| stage["id"] == "train").expect("a training")
        };
        let (small, full) = (plan(&[]), plan(&["--set", "profile=full"]));
        let size = |stage: &serde_json::Value| stage["parameters"]["z_size"].as_u64();
        assert!(size(&small) < size(&full), "{system}: {small} {full}");
    }
    let pipeline = shipped("pipelines/synthetic-gan.toml");
    let ended = sandbox.run(&["plan", &pipeline, "--set", "profile=ful"]);
    assert_eq!(ended.code, 12);
    assert!(ended.stderr.contains("did you mean `full`"), "{}", ended.stderr);
}

fn the_tasks_of_a_run_are_done_again(sandbox: &Sandbox, run: &str) {
    let again = |arguments: &[&str]| -> serde_json::Value {
        let told =
            sandbox.succeed(&[&["--home", "home"], arguments, &["--format", "json"]].concat());
        serde_json::from_str(told.lines().last().expect("a line")).expect("JSON")
    };
    let evaluated = again(&["evaluate", run, "--set", "evaluate.thresholds=[0.01]"]);
    let metrics = evaluated["metrics"].as_array().expect("metrics").iter();
    let metrics = metrics.filter(|metric| metric["stage"] == "evaluate");
    let thresholds: Vec<_> = metrics.filter_map(|metric| metric["threshold"].as_f64()).collect();
    assert!(!thresholds.is_empty() && thresholds.iter().all(|t| *t == 0.01), "{thresholds:?}");
    assert!(evaluated["run"].as_str().expect("a folder").ends_with(run));
    let trained = again(&["train", run, "--set", "epochs=2"]);
    let folder = trained["run"].as_str().expect("a folder").to_owned();
    assert!(!folder.ends_with(run), "a run of its own");
    let stages = trained["stages"].as_array().expect("stages").iter();
    let kept = stages.filter(|stage| stage["reused"].as_u64() > Some(0));
    assert!(kept.clone().count() > 2 && kept.clone().all(|s| s["reused"] == s["rows_out"]));
    fs::remove_dir_all(sandbox.path(&folder)).expect("a folder");
}

#[test]
fn a_trained_network_reconstructs_and_mixes() {
    let sandbox = Sandbox::new();
    let sizes = ["views.size=16", "train.image_size=16", "train.encoder_channels=[2,4]"];
    train(&sandbox, "synthetic-pose-vae-gan", &sizes);
    let run = only_run(&sandbox);
    let mesh = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n";
    the_tasks_of_a_run_are_done_again(&sandbox, &run);
    sandbox.write("solid.obj", mesh);
    let told = sandbox.succeed(&[
        "--home",
        "home",
        "weights",
        &run,
        "-o",
        "state.safetensors",
        "--name",
        "encoder=E",
    ]);
    assert!(told.contains("tensors (pose_vae_gan, epoch 1)"), "{told}");
    let state = fs::read(sandbox.path("state.safetensors")).expect("a file");
    let header = String::from_utf8_lossy(&state[8..2000]);
    assert!(header.contains("\"E.") && !header.contains("\"encoder."), "{header}");
    sandbox.succeed(&["render", "solid.obj", "-o", "views", "--size", "16"]);
    let pose = "[1,0,0,0, 0,1,0,0, 0,0,1,2]";
    sandbox.write("poses.json", format!("[{pose}, {pose}]"));
    let pictures = ["views/000.png", "views/003.png"];
    let reconstruct = |more: &[&str]| {
        let network = ["--home", "home", "reconstruct", &run, pictures[0], pictures[1]];
        sandbox.run(&[&network[..], &["--device", "cpu"], more].concat())
    };
    let ended = reconstruct(&["-o", "shape.binvox"]);
    assert_eq!(ended.code, 14, "{ended:?}");
    assert!(ended.stderr.contains("must be told where the cameras stood"), "{ended:?}");
    let ended = reconstruct(&["--poses", "poses.json", "-o", "shape.npy", "--threshold", "0.01"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("pose_vae_gan, epoch 1, threshold 0.01"), "{ended:?}");
    let facts = sandbox.succeed(&["inspect", "shape.npy"]);
    assert!(facts.contains("16"), "{facts}");
    let again = reconstruct(&["--poses", "poses.json", "-o", "again.npy"]);
    assert_eq!(again.code, 0, "{again:?}");
    let bytes = |name: &str| fs::read(sandbox.path(name)).expect("a file");
    assert_eq!(bytes("shape.npy"), bytes("again.npy"));
    let ended = reconstruct(&["--poses", "poses.json", "-o", "shape.gltf"]);
    assert!(ended.stderr.contains("known: binvox"), "{ended:?}");
}

#[test]
fn a_trained_network_imagines() {
    let sandbox = Sandbox::new();
    train(&sandbox, "synthetic-gan", &[]);
    let run = only_run(&sandbox);
    let imagine = |more: &[&str]| {
        let ended = sandbox.run(&[&["--home", "home"], more, &["--device", "cpu"]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
    };
    let low = ["--threshold", "0.001", "--form", "binvox"];
    imagine(&[&["sample", &run, "-n", "3", "--seed", "5", "-o", "shapes"], &low[..]].concat());
    imagine(
        &[&["interpolate", &run, "--seeds", "5", "6", "--steps", "3", "-o", "between"], &low[..]]
            .concat(),
    );
    let bytes = |name: &str| fs::read(sandbox.path(name)).expect("a file");
    assert_eq!(bytes("shapes/0000.binvox"), bytes("between/0000.binvox"));
    assert!(sandbox.path("shapes/0002.binvox").is_file());
    assert!(sandbox.path("between/0002.binvox").is_file());
    let ended = sandbox.run(&["--home", "home", "interpolate", &run, "-o", "x"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}
