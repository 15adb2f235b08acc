//! Programs as stages: in a pipeline, in what rows are kept under, and in what is refused.
#![cfg(unix)]

use crate::program::{Sandbox, TETRAHEDRON_OFF};

/// Meshes that pass a program on their way to grids.
const PIPELINE: &str = "\
[pipeline]
name = \"external\"

[[stage]]
use = \"meshes\"
root = \"meshes\"

[[stage]]
id = \"decoded\"
use = \"decode_mesh\"

[[stage]]
id = \"passed\"
use = \"exec\"
gives = \"mesh\"
program = \"sh\"
arguments = [\"pass.sh\", \"{in}\", \"{out}\"]
files = [\"pass.sh\"]

[[stage]]
id = \"voxels\"
use = \"voxelize\"
resolution = 8
fit = \"centered\"

[[stage]]
id = \"dataset\"
use = \"parquet\"
";

fn sandbox(script: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("p.toml", PIPELINE);
    sandbox.write("pass.sh", script);
    sandbox.write("meshes/a/one.off", TETRAHEDRON_OFF);
    sandbox.write("meshes/a/two.off", TETRAHEDRON_OFF.replace("1 0 0", "2 0 0"));
    sandbox
}

#[test]
fn a_program_is_a_stage_and_its_script_counts() {
    let sandbox = sandbox("cp \"$1\" \"$2\"\n");
    let run = sandbox.succeed(&["run", "p.toml"]);
    assert!(run.contains("2 samples in, 2 out"), "{run}");
    let plan = || sandbox.succeed(&["plan", "p.toml"]);
    assert!(plan().contains("nothing: 2 samples reused"), "{}", plan());
    sandbox.write("pass.sh", "# another comment\ncp \"$1\" \"$2\"\n");
    let changed = plan();
    assert!(changed.contains("2 of 2 samples to make") && changed.contains("digests"), "{changed}");
}

#[test]
fn a_program_that_fails_a_sample_refuses_it_and_retry_tries_it_again() {
    let sandbox = sandbox("exec sh other.sh \"$1\" \"$2\"\n");
    sandbox.write("other.sh", "echo out of order >&2; exit 7\n");
    let ended = sandbox.run(&["run", "p.toml"]);
    assert_eq!(ended.code, 20, "{ended:?}");
    let told = ended.stdout.contains("2 refused by passed: program_failed")
        && ended.stdout.contains(": out of order");
    assert!(told, "{ended:?}");
    // What the script calls was not declared: nobody knows that it was mended.
    sandbox.write("other.sh", "cp \"$1\" \"$2\"\n");
    assert_eq!(sandbox.run(&["run", "p.toml"]).code, 20);
    let again = sandbox.succeed(&["retry", "--where", "code=program_failed"]);
    assert!(again.contains("2 samples in, 2 out"), "{again}");
}

#[test]
fn a_script_that_is_not_there_is_told_with_its_line() {
    let sandbox = sandbox("true\n");
    std::fs::remove_file(sandbox.path("pass.sh")).expect("it is there");
    let ended = sandbox.run(&["plan", "p.toml"]);
    assert_eq!(ended.code, 12, "{ended:?}");
    let told = ended.stderr.contains("p.toml:18:") && ended.stderr.contains("pass.sh");
    assert!(told, "{}", ended.stderr);
}
