//! What the program says of itself: manuals, schemas, completions.

use serde_json::Value;

use crate::program::Sandbox;

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&Sandbox::new().succeed(arguments)).expect("JSON")
}

#[test]
fn every_operator_has_a_manual() {
    let sandbox = Sandbox::new();
    let all = json(&["operators", "--format", "json"]);
    let all = all.as_array().expect("a list");
    assert!(all.len() >= 9);
    for operator in all {
        let name = operator["name"].as_str().expect("a name");
        let manual = sandbox.succeed(&["operators", name]);
        for part in ["takes ", "gives ", "Parameters\n", "Example\n"] {
            assert!(manual.contains(part), "{name} lacks {part:?}: {manual}");
        }
    }
    let ended = sandbox.run(&["operators", "voxelise"]);
    assert_eq!(ended.code, 14);
    assert!(ended.stderr.contains("did you mean `voxelize`"), "{}", ended.stderr);
}

#[test]
fn every_example_passes_the_editor_schema_by_its_keys() {
    let schema = json(&["schema", "pipeline"]);
    let stages =
        schema["properties"]["stage"]["items"]["oneOf"].as_array().expect("stages").clone();
    for operator in json(&["operators", "--format", "json"]).as_array().expect("a list") {
        let example: toml::Table =
            operator["example"].as_str().expect("text").parse().expect("TOML");
        for stage in example["stage"].as_array().expect("stages") {
            let name = stage["use"].as_str().expect("a name");
            let found = stages.iter().find(|s| s["properties"]["use"]["const"] == name);
            let properties = &found.expect("a stage of the schema")["properties"];
            for key in stage.as_table().expect("a table").keys() {
                assert!(properties.get(key).is_some(), "{name}.{key} is not in the schema");
            }
        }
    }
}

#[test]
fn schemas_are_json_and_completions_are_scripts() {
    for subject in ["pipeline", "datasets", "operators"] {
        let schema = json(&["schema", subject]);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(sandbox.succeed(&["completions", shell]).contains("voxflow"));
    }
}

#[test]
fn every_command_has_help_with_examples() {
    let sandbox = Sandbox::new();
    for command in [
        "run",
        "plan",
        "watch",
        "verify",
        "retry",
        "train",
        "evaluate",
        "models",
        "pipeline",
        "diff",
        "explain",
        "store",
        "operators",
        "datasets",
        "inspect",
        "convert",
        "render",
        "reconstruct",
        "sample",
        "interpolate",
        "weights",
        "schema",
    ] {
        let help = sandbox.succeed(&[command, "--help"]);
        assert!(help.contains("Examples:"), "{command}: {help}");
    }
}
