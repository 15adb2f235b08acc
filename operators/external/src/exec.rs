//! `exec`: any program as a stage.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{BuildContext, Inputs, Kind, ParamError, Params, Schema, Stage, tables};

use crate::operator::Exec;
use crate::process::{Passes, Program};

/// The registry item of `exec`.
pub(crate) struct ExecKind;

/// The table that a program gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gives {
    /// A triangle mesh per sample.
    Mesh,
    /// What a mesh is like.
    MeshStats,
    /// Points on a surface.
    Points,
    /// An occupancy grid, bit-packed.
    Voxels,
    /// A grid of soft occupancies.
    Occupancy,
    /// Pictures.
    View,
    /// Cameras.
    Pose,
}

/// Parameters of `exec`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecParams {
    /// Program to run: a name that is looked up in `PATH`, or a path with a slash, which begins where
    /// voxflow was started.
    pub program: String,
    /// How rows come to it and go from it: `parquet`, two files, or `arrow`, Arrow IPC streams on
    /// standard input and output.
    #[serde(default)]
    pub passes: Passes,
    /// Its arguments. `{in}` and `{out}` stand for the paths of the two Parquet files; where neither
    /// occurs, both are appended.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Files that its result depends on: scripts, weights. Their contents count in what rows are kept
    /// under, as the program's does.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// The table that it gives.
    pub gives: Gives,
    /// Cells along each axis, where it gives `voxels` or `occupancy`.
    #[serde(default = "default_resolution")]
    #[schemars(range(min = 1, max = 1024))]
    pub resolution: usize,
    /// Seconds that it may take for one batch.
    #[serde(default = "default_timeout_s")]
    #[schemars(range(min = 1))]
    pub timeout_s: u32,
    /// How often it is started again for a batch that it failed, before the rows are tried one by one.
    #[serde(default)]
    #[schemars(range(max = 100))]
    pub retries: u32,
    /// Address space that it may use, in MiB; no limit where not given. Not on Windows.
    #[serde(default)]
    #[schemars(range(min = 16))]
    pub memory_mib: Option<u32>,
    /// Bytes that one row of its result takes at most, for the memory bound.
    #[serde(default = "default_bytes_per_row")]
    pub bytes_per_row: usize,
}

fn default_resolution() -> usize {
    32
}

fn default_timeout_s() -> u32 {
    600
}

fn default_bytes_per_row() -> usize {
    1 << 20
}

impl ExecParams {
    fn check(&self) -> Vec<ParamError> {
        let mut errors = Vec::new();
        let mut must = |holds: bool, key: &str, message: &str| {
            if !holds {
                errors.push(ParamError::new(key, message));
            }
        };
        must(!self.program.trim().is_empty(), "program", "must name a program");
        must((1..=1024).contains(&self.resolution), "resolution", "must be 1 to 1024");
        must(self.timeout_s >= 1, "timeout_s", "must be at least 1 second");
        must(self.retries <= 100, "retries", "must be at most 100");
        let names_files =
            |argument: &String| argument.contains("{in}") || argument.contains("{out}");
        let are_there = self.passes == Passes::Parquet || !self.arguments.iter().any(names_files);
        must(
            are_there,
            "arguments",
            "cannot name {in} or {out}: with `passes = \"arrow\"` there are no files",
        );
        let is_enough = self.memory_mib.is_none_or(|mib| mib >= 16);
        must(is_enough, "memory_mib", "must be at least 16 MiB");
        let can_limit = self.memory_mib.is_none() || cfg!(unix);
        must(can_limit, "memory_mib", "cannot be limited on this system");
        errors
    }

    fn output(&self) -> Schema {
        match self.gives {
            Gives::Mesh => tables::mesh(),
            Gives::MeshStats => tables::mesh_stats(),
            Gives::Points => tables::points(),
            Gives::Voxels => tables::voxels(self.resolution),
            Gives::Occupancy => tables::occupancy(self.resolution),
            Gives::View => tables::view(),
            Gives::Pose => tables::pose(),
        }
    }

    fn program(&self) -> Program {
        Program {
            name: self.program.clone(),
            arguments: self.arguments.clone(),
            limit: Duration::from_secs(self.timeout_s.into()),
            memory_mib: self.memory_mib,
            passes: self.passes,
        }
    }
}

/// The file that a program's name stands for; `None` where there is none.
#[expect(clippy::disallowed_methods, reason = "where a program is does not count, its bytes do")]
fn locate(program: &str) -> Option<PathBuf> {
    let path = PathBuf::from(program);
    if path.components().count() > 1 {
        return path.is_file().then_some(path);
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(&path)).find(|path| path.is_file())
}

impl Kind for ExecKind {
    fn name(&self) -> &'static str {
        "exec"
    }

    fn summary(&self) -> &'static str {
        "Any program: it gets rows as a Parquet file or an Arrow stream, and gives rows as another."
    }

    fn manual(&self) -> &'static str {
        "For each batch the program is started with the paths of two Parquet files. The first has all \
         columns of the inputs, side by side. With `passes = \"arrow\"` there are no files: the same rows \
         come as an Arrow IPC stream on standard input, and a stream on standard output is what it gives. \
         Into the second it writes a row for each sample that it \
         does not refuse: the column `sample`, and the columns of the table named by `gives`, of the types \
         that `voxflow schema` and `voxflow inspect` show; nulls only where they may be. Order does not \
         matter. A sample without a row is refused; a line `refuse<TAB>SAMPLE<TAB>REASON` on stderr says \
         why.\n\n\
         A program that ends with another code than 0, takes longer than `timeout_s`, or gives something \
         else than such a table is started again up to `retries` times, then once for each row alone, so \
         that one bad sample costs itself only. The last lines of stderr are in the refusal.\n\n\
         Rows are kept under the bytes of the program's file and of all `files`, beside the parameters: \
         when one of them changes, the rows are made again. What else it reads - libraries, the network, \
         the clock - voxflow cannot see; a program whose result depends on it breaks the promise that a \
         run can be repeated. Name the script in `files` where the program is an interpreter.\n\n\
         Environment and working folder are those of voxflow. As many copies run at once as there are \
         workers."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Any
    }

    fn output(&self) -> &'static str {
        "rows"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"repaired\"\nuse = \"exec\"\nfrom = \"meshes\"\ngives = \"mesh\"\n\
         program = \"python3\"\narguments = [\"tools/repair.py\", \"{in}\", \"{out}\"]\n\
         files = [\"tools/repair.py\"]\ntimeout_s = 60\nretries = 1\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(ExecParams)
    }

    fn depends_on(&self, params: &Params) -> Vec<(String, PathBuf)> {
        let Ok(params) = params.parse::<ExecParams>() else { return Vec::new() };
        let program = locate(&params.program).unwrap_or_else(|| PathBuf::from(&params.program));
        let files = params.files.into_iter().map(|file| ("files".to_owned(), file));
        [("program".to_owned(), program)].into_iter().chain(files).collect()
    }

    fn build(&self, params: &Params, _: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: ExecParams = params.parse()?;
        let errors = params.check();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Stage::Operator(Arc::new(Exec {
            program: params.program(),
            output: params.output(),
            retries: params.retries,
            bytes_per_row: params.bytes_per_row,
        })))
    }
}
