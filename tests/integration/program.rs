//! `Sandbox`: a folder of its own for each test, and the program run in it; a small preparation, and
//! what came of a run.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A folder that is removed after the test.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A path inside the sandbox.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the sandbox.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(&path, contents).expect("writable");
        path
    }

    /// Runs the program in the sandbox.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.command(env!("CARGO_BIN_EXE_voxflow"), arguments))
    }

    /// Runs the program where no file may have more bytes than this, a multiple of 512: to write more
    /// fails, as on a disk that is full.
    #[cfg(target_os = "linux")]
    pub(crate) fn run_with_room(&self, bytes: u64, arguments: &[&str]) -> Ended {
        // The signal that comes with the error would end the program.
        let script = "trap '' XFSZ; ulimit -f $0; exec \"$@\"";
        let blocks = (bytes / 512).to_string();
        let program = ["-c", script, &blocks, env!("CARGO_BIN_EXE_voxflow")];
        ended(&mut self.command("sh", &[&program[..], arguments].concat()))
    }

    /// A program, about to be run in the sandbox.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        for name in ["VOXFLOW_HOME", "VOXFLOW_CATALOGUE", "VOXFLOW_KILL_AT"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs the program, which must succeed, and gives its stdout.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }
}

fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A file of the repository.
pub(crate) fn shipped(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

/// A closed tetrahedron as OFF.
pub(crate) const TETRAHEDRON_OFF: &str = "\
OFF
4 4 6
0 0 0
1 0 0
0 1 0
0 0 1
3 0 2 1
3 0 1 3
3 0 3 2
3 1 2 3
";

/// Preparation as in the quickstart, smaller: a diamond with views, poses and a split.
pub(crate) const PREPARATION: &str = "\
[pipeline]
name = \"prepare\"
seed = 5

[parameters]
count = 80

[[stage]]
id = \"solids\"
use = \"synthetic\"
count = \"${count}\"

[[stage]]
use = \"normalize\"

[[stage]]
id = \"voxels\"
use = \"voxelize\"
from = \"normalize\"
resolution = 16

[[stage]]
id = \"views\"
use = \"render_views\"
from = \"normalize\"
rig = \"random\"
views = 3
size = 32
depth = true
mask = true

[[stage]]
id = \"poses\"
use = \"extract_poses\"
from = \"views\"

[[stage]]
use = \"split\"
from = [\"voxels\", \"poses\"]

[[stage]]
id = \"dataset\"
use = \"parquet\"
from = [\"voxels\", \"views\", \"poses\", \"split\"]
rows_per_file = 16
row_group_rows = 4
";

/// Starts the program and does not wait for it.
pub(crate) fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    sandbox
        .command(env!("CARGO_BIN_EXE_voxflow"), arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// Writes the file `hosts`: two processes on this machine, at ports that are free.
pub(crate) fn write_hosts(sandbox: &Sandbox) {
    let free = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let ports = [free(), free()].map(|l| l.local_addr().expect("an address").to_string());
    sandbox.write("hosts", ports.join("\n"));
}

/// The last line of stdout, which `--format json` ends with.
pub(crate) fn summary(ended: &Ended) -> Value {
    let line = ended.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

/// What a run's summary says of a stage.
pub(crate) fn stage<'a>(summary: &'a Value, id: &str) -> &'a Value {
    let stages = summary["stages"].as_array().expect("stages");
    stages.iter().find(|stage| stage["id"] == id).expect("it is there")
}

/// Rows that a stage made, and not an earlier run.
pub(crate) fn made(summary: &Value, id: &str) -> u64 {
    let number = |key: &str| stage(summary, id)[key].as_u64().expect("a number");
    number("rows_out") - number("reused")
}

/// Every file of a data set and its bytes.
pub(crate) fn bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_owned();
                all.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    all
}

/// The data set of the only run of a home.
pub(crate) fn dataset(sandbox: &Sandbox, home: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    bytes(&only_run(sandbox, home).join("dataset"))
}

/// The folder of the only run of a home.
pub(crate) fn only_run(sandbox: &Sandbox, home: &str) -> PathBuf {
    let runs = fs::read_dir(sandbox.path(home).join("runs")).expect("runs");
    let runs: Vec<PathBuf> = runs.map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

/// Every file below a folder that ends so.
pub(crate) fn files_below(folder: &Path, end: &str) -> Vec<PathBuf> {
    let is_wanted = |path: &&PathBuf| path.to_string_lossy().ends_with(end);
    bytes(folder).keys().filter(is_wanted).map(|path| folder.join(path)).collect()
}
