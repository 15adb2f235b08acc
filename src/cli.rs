//! The command line, as types only: what can be asked for. What is done with it is in `commands`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use voxflow_contract::CheckpointChoice;

/// From raw 3D data sets to a trained reconstruction network, as one dataflow.
#[derive(Debug, Parser)]
#[command(name = "voxflow", version, about, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  voxflow run pipelines/quickstart.toml        prepare, train and evaluate, end to end
  voxflow plan pipelines/quickstart.toml       what that would do
  voxflow operators voxelize                   the manual of one operator
  voxflow inspect chair.binvox                 what is in a file")]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// Die at a commit point, `name` or `name:n`: an aid to testing, see CONTRIBUTING.md
    #[arg(long, env = "VOXFLOW_KILL_AT", value_name = "POINT", hide = true)]
    pub kill_at: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Folder that holds runs and stored rows
    #[arg(long, global = true, env = "VOXFLOW_HOME", default_value = ".voxflow")]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub home: PathBuf,
    /// Catalogue of data sets [default: datasets.toml here or in a folder above]
    #[arg(long, global = true, env = "VOXFLOW_CATALOGUE")]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub catalogue: Option<PathBuf>,
    /// Say more on stderr; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline: prepare, train, evaluate
    Run(RunArgs),
    /// Show what a pipeline would do, without doing it
    Plan(PlanArgs),
    /// Keep the data sets of a pipeline up to date with their sources
    Watch(WatchArgs),
    /// Check that a run's files are what they were, and that it can be repeated
    Verify(VerifyArgs),
    /// Run again, and try anew what was refused
    Retry(RetryArgs),
    /// Train again on what a run prepared, with other parameters
    #[command(after_help = "\
Examples:
  voxflow train                                      the last run once more, as a new run
  voxflow train quickstart-20261126-074500 --set train.g_lr=0.001 --set epochs=60
  voxflow train path/to/run --device wgpu --format json | tail -n 1

It is a new run of the run's pipeline, with the parameters of then but for those that are set; rows
that are there are reused. `voxflow run --resume` goes on with a training instead.
Exit codes: as those of `run`.")]
    Train(AgainArgs),
    /// Evaluate the network of a run again, with other parameters
    #[command(after_help = "\
Examples:
  voxflow evaluate quickstart-20261126-074500 --set evaluate.checkpoint=latest
  voxflow evaluate path/to/run --set evaluate.view=fixed:3 --format json | tail -n 1

The run's evaluation, metrics and record become the new ones; its training is not touched.
Exit codes: as those of `run`.")]
    Evaluate(AgainArgs),
    /// Say what differs between two runs
    Diff(DiffArgs),
    /// Show what became of one sample of a run, and where its rows lie
    Explain(ExplainArgs),
    /// Show, check or tidy the store of rows
    Store(StoreArgs),
    /// List what a stage can be, or show the manual of one
    Operators(OperatorsArgs),
    /// List the networks there are, or show the layers of one
    Models(ModelsArgs),
    /// Make a pipeline of the configuration of another program
    Pipeline(PipelineArgs),
    /// List, show or make data sets
    Datasets(DatasetsArgs),
    /// Show what is in a file: mesh, grid, picture, table, checkpoint
    Inspect(InspectArgs),
    /// Turn a mesh into a grid, or a file into another format
    Convert(ConvertArgs),
    /// Render views of a mesh, with their cameras
    Render(RenderArgs),
    /// Make a shape of a picture, or of several, with a trained network
    Reconstruct(ReconstructArgs),
    /// Make shapes of random codes with a trained network
    Sample(SampleArgs),
    /// Make the shapes between two pictures, or between two random codes
    Interpolate(InterpolateArgs),
    /// Write the weights of a trained network as a PyTorch state dictionary
    Weights(WeightsArgs),
    /// Print a JSON Schema for editors
    Schema(SchemaArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
}

/// Form of what is printed on stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Live lines on a terminal, nothing elsewhere.
    #[default]
    Auto,
    /// Nothing.
    Never,
    /// Plain lines, now and then, wherever stderr goes.
    Plain,
}

/// Where networks are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// CUDA where it is built in and a driver loads, then a real GPU, then the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// Any adapter that wgpu finds, a software one too.
    Wgpu,
    /// A GPU by Vulkan and SPIR-V; needs a build with feature `vulkan`.
    Vulkan,
    /// An NVIDIA GPU by CUDA; needs a build with feature `cuda`.
    Cuda,
}

impl Device {
    /// The device of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Auto, Self::Cpu, Self::Wgpu, Self::Vulkan, Self::Cuda];
        all.into_iter().find(|device| device.name() == name)
    }

    /// The name in pipelines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Cuda => "cuda",
        }
    }
}

/// How many refused samples a run may have and still succeed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowance {
    /// So many.
    Rows(u64),
    /// So many of a hundred.
    Percent(f64),
}

impl Allowance {
    /// Whether `refused` of `rows` samples may be refused.
    pub fn allows(self, refused: u64, rows: u64) -> bool {
        match self {
            Self::Rows(allowed) => refused <= allowed,
            Self::Percent(percent) => refused as f64 * 100.0 <= percent * rows as f64,
        }
    }
}

impl FromStr for Allowance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a number of samples nor a share like `1.5%`");
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Rows).map_err(|_| wrong());
        };
        let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
        if (0.0..=100.0).contains(&percent) { Ok(Self::Percent(percent)) } else { Err(wrong()) }
    }
}

impl std::fmt::Display for Allowance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rows(rows) => write!(f, "{rows}"),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

/// Which run is gone on with, and from which of its checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Name of the run; the latest of the pipeline without one.
    pub run: Option<String>,
    /// The checkpoint; the newest without one.
    pub from: Option<CheckpointChoice>,
}

impl FromStr for Resume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((run, from)) = text.rsplit_once('@') {
            return Ok(Self { run: Some(run.to_owned()), from: Some(from.parse()?) });
        }
        match text.parse() {
            Ok(from) => Ok(Self { run: None, from: Some(from) }),
            Err(message) if text.starts_with("epoch:") => Err(message),
            Err(_) => Ok(Self { run: Some(text.to_owned()), from: None }),
        }
    }
}

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow run pipelines/quickstart.toml
  voxflow run pipelines/quickstart.toml --set count=2000 --set epochs=50 --device wgpu
  voxflow run pipelines/meshes-to-voxels.toml --set root=data/meshes --allow-refused 1%
  voxflow run pipelines/quickstart.toml --resume
  voxflow run pipelines/quickstart.toml --resume=best --set epochs=60
  voxflow run pipelines/quickstart.toml --resume=quickstart-20261126-074500@epoch:8
  voxflow run pipelines/quickstart.toml --format json | tail -n 1

Exit codes: 0 success, 10-19 set-up (nothing was read), 20 more samples refused than allowed,
22 more would move in the split than allowed (nothing was replaced),
30-34 machine or interruption (what was committed stays; --resume goes on).")]
pub struct RunArgs {
    /// Pipeline to run
    #[arg(value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub pipeline: PathBuf,
    /// Set a parameter of the pipeline (`name=value`) or of a stage (`stage.key=value`)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// How to work.
    #[command(flatten)]
    pub work: WorkArgs,
    /// Go on with the latest run of this pipeline or the one named, and with training from its
    /// newest checkpoint, the `best` by validation, or `epoch:N`; later ones are set aside
    #[arg(long, value_name = "[RUN@]latest|best|epoch:N", num_args = 0..=1, require_equals = true)]
    pub resume: Option<Option<Resume>>,
    /// Count the next epoch of training as number N, from 1: learning rates, weights of losses and
    /// random numbers are those of that epoch
    #[arg(long, value_name = "N", requires = "resume", value_parser = clap::value_parser!(u64).range(1..))]
    pub start_epoch: Option<u64>,
    /// Refused samples that are let pass: a number, or a share like 1%
    #[arg(long, value_name = "N|P%", default_value = "0")]
    pub allow_refused: Allowance,
    /// File with one `host:port` a line: the processes of a cluster
    #[arg(long, value_name = "FILE", requires = "process", value_hint = ValueHint::FilePath)]
    pub hosts: Option<PathBuf>,
    /// Number of this process in the hosts file, from 0
    #[arg(long, value_name = "I", requires = "hosts")]
    pub process: Option<usize>,
    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show no progress; the same as --progress never
    #[arg(short, long, conflicts_with = "progress")]
    pub quiet: bool,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t)]
    pub progress: Progress,
    /// Device of every stage that has one, whatever the pipeline says
    #[arg(long, value_enum)]
    pub device: Option<Device>,
}

/// How rows are made, whatever they are.
#[derive(Debug, Clone, Args)]
pub struct WorkArgs {
    /// Worker threads [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Bytes of rows that may be in flight at once, such as 512MiB or 2G
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_bytes)]
    pub memory: u64,
    /// Make rows durable after so many seconds at most; what is younger is made again after a crash
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=3600))]
    pub commit_every: u16,
    /// What a stage may spend on one sample
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// What a stage may spend on one sample.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitArgs {
    /// Refuse a sample that keeps a stage longer than so many seconds [default: wait]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub sample_seconds: Option<u32>,
    /// Refuse a sample for which a stage wants more memory than this, such as 2GiB [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub sample_memory: Option<u64>,
}

/// Arguments of `plan`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow plan pipelines/quickstart.toml
  voxflow plan pipelines/meshes-to-voxels.toml --set root=data/meshes --format json

Exit codes: 0 the plan is good, 10-19 it is not.")]
pub struct PlanArgs {
    /// Pipeline to look at
    #[arg(value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub pipeline: PathBuf,
    /// Set a parameter of the pipeline (`name=value`) or of a stage (`stage.key=value`)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Device of every stage that has one, whatever the pipeline says
    #[arg(long, value_enum)]
    pub device: Option<Device>,
    /// Worker threads that the price is for [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// End with code 1 when there is something to make, for scripts
    #[arg(long)]
    pub exit_code: bool,
    /// Form of the plan on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `operators`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow operators
  voxflow operators voxelize
  voxflow operators voxelize --format json")]
pub struct OperatorsArgs {
    /// Show the manual of this one
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Form of the list or manual on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Whether a network is as public code has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum NetworkProfile {
    /// Known defects mended.
    #[default]
    Fixed,
    /// As public code computes, defects and all.
    Reference,
}

/// Arguments of `models`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow models
  voxflow models vae_gan
  voxflow models attention_vae_gan --profile reference --format json

Sizes are those of the literature. Shapes are of one sample, without the batch.")]
pub struct ModelsArgs {
    /// Show the layers of this one
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// With known defects of public code mended, or as it computes
    #[arg(long, value_enum, default_value_t)]
    pub profile: NetworkProfile,
    /// Form of the list on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `pipeline`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow pipeline import config/pose.yaml
  voxflow pipeline import config/pose.yaml --root data/meshes -o pipelines/pose.toml")]
pub struct PipelineArgs {
    /// What to make it of.
    #[command(subcommand)]
    pub command: PipelineCommand,
}

/// What pipelines are made of.
#[derive(Debug, Clone, Subcommand)]
pub enum PipelineCommand {
    /// Print the pipeline that does what the `pose.yaml` of the public multi-view 3D-VAE-GAN with
    /// poses says
    #[command(after_help = "\
Examples:
  voxflow pipeline import config/pose.yaml
  voxflow pipeline import config/pose.yaml --root data/meshes -o pipelines/pose.toml

Each line says which key it comes from; keys that are not taken over are named with the reason.
An unknown key, or a value that cannot be, ends it with code 12 and its line.")]
    Import {
        /// The YAML file
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Folder of meshes, `CLASS/FILE`, to learn from [default: procedural solids]
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        root: Option<PathBuf>,
        /// File to write [default: stdout]
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
}

/// Arguments of `watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow watch pipelines/meshes-to-voxels.toml --set root=path/to/meshes
  voxflow watch pipelines/meshes-to-voxels.toml --every-ms 200 --format json
  voxflow watch pipelines/meshes-to-voxels.toml --set root=path/to/meshes --resume")]
pub struct WatchArgs {
    /// Pipeline to watch; its tasks are left out
    #[arg(value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub pipeline: PathBuf,
    /// Set a parameter of the pipeline (`name=value`) or of a stage (`stage.key=value`)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Go on in the folder of the latest run of this pipeline, or of the run named
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = true)]
    pub resume: Option<Option<String>>,
    /// Milliseconds from one look at everything to the next, at least twenty times what one takes; what
    /// changes before, the system tells of, but not of folders on other machines
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub every_ms: u64,
    /// End after so many revisions, the first included [default: when asked to stop]
    #[arg(long, value_name = "N")]
    pub revisions: Option<u32>,
    /// Worker threads [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Bytes of rows that may be in flight at once, such as 512MiB or 2G
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_bytes)]
    pub memory: u64,
    /// What a stage may spend on one sample
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Form of the line that each revision prints on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow verify
  voxflow verify quickstart-20261125-120000
  voxflow verify --rerun --workers 1")]
pub struct VerifyArgs {
    /// Id or folder of the run [default: the last]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Run its pipeline again in a home of its own, from nothing, and compare everything
    #[arg(long)]
    pub rerun: bool,
    /// Worker threads of the second run [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Bytes of rows that may be in flight at once in the second run
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_bytes)]
    pub memory: u64,
    /// Device of the second run [default: the one that was asked for]
    #[arg(long, value_enum)]
    pub device: Option<Device>,
    /// Progress of the second run on stderr
    #[arg(long, value_enum, default_value_t)]
    pub progress: Progress,
}

/// Arguments of `retry`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow retry
  voxflow retry meshes-to-voxels-20261125-120000 --where code=time_limit --sample-seconds 600
  voxflow retry --where stage=voxels --where code=not_watertight

A refusal is kept: no run tries the sample again before it or the stage changes. This lifts the
refusals of a run, or those that meet all conditions, and makes a new run of its pipeline. All else
is reused. Exit codes: as those of `run`.")]
pub struct RetryArgs {
    /// Which run, and how.
    #[command(flatten)]
    pub repeat: RepeatArgs,
    /// Only refusals with this: stage=…, code=… or sample=…; may be given several times
    #[arg(long = "where", value_name = "NAME=VALUE")]
    pub only: Vec<String>,
}

/// A run that is asked for once more, and how.
#[derive(Debug, Clone, Args)]
pub struct RepeatArgs {
    /// Id or folder of the run [default: the last]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// How to work.
    #[command(flatten)]
    pub work: WorkArgs,
    /// Refused samples that are let pass: a number, or a share like 1%
    #[arg(long, value_name = "N|P%", default_value = "0")]
    pub allow_refused: Allowance,
    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t)]
    pub progress: Progress,
}

/// Arguments of `train` and `evaluate`.
#[derive(Debug, Clone, Args)]
pub struct AgainArgs {
    /// Which run, and how.
    #[command(flatten)]
    pub repeat: RepeatArgs,
    /// Set a parameter of the pipeline (`name=value`) or of a stage (`stage.key=value`)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Device of every stage that has one [default: the one that was asked for]
    #[arg(long, value_enum)]
    pub device: Option<Device>,
}

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow diff quickstart-20261125-120000 quickstart-20261125-130000
  voxflow diff --format json here/.voxflow/runs/a there/.voxflow/runs/b")]
pub struct DiffArgs {
    /// Id or folder of a run
    #[arg(value_name = "RUN")]
    pub first: String,
    /// Id or folder of another run
    #[arg(value_name = "OTHER")]
    pub second: String,
    /// Form of the list on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow explain quickstart-20261125-120000 chair/000012
  voxflow explain --format json .voxflow/runs/meshes-to-voxels-20261125-120000 cup/fuze.obj")]
pub struct ExplainArgs {
    /// Id or folder of the run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Id of the sample
    #[arg(value_name = "SAMPLE")]
    pub sample: String,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `store`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow store stats
  voxflow store verify
  voxflow store gc --dry-run")]
pub struct StoreArgs {
    /// What to do with the store.
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What can be done with the store.
#[derive(Debug, Clone, Subcommand)]
pub enum StoreCommand {
    /// Show which stages it has rows of, and what they take
    #[command(after_help = "Examples:\n  voxflow store stats\n  voxflow store stats --format json")]
    Stats {
        /// Form of the list on stdout
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Read everything and compare it with its hashes; ends with code 40 when a byte has changed
    #[command(after_help = "Examples:\n  voxflow store verify\n  voxflow store verify --set-aside")]
    Verify {
        /// Set damaged files aside, so that the next run makes their rows again
        #[arg(long)]
        set_aside: bool,
    },
    /// Make few large shards of many small ones; nothing that is read changes
    #[command(after_help = "\
Examples:
  voxflow store compact
  voxflow store compact --format json

Runs do so themselves where a stage has many small shards. What was replaced is removed as soon as no
other process uses the store.")]
    Compact {
        /// Form of the list on stdout
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Remove what no run needs any more: rows of stages that are in no run's plan, leftovers
    #[command(after_help = "\
Examples:
  voxflow store gc --dry-run
  rm -r .voxflow/runs/quickstart-20261125-120000 && voxflow store gc")]
    Gc {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

/// Arguments of `datasets`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow datasets list
  voxflow datasets show modelnet40
  voxflow datasets synth solids --layout modelnet40 --classes chair,table --count 20")]
pub struct DatasetsArgs {
    /// What to do with data sets.
    #[command(subcommand)]
    pub command: DatasetsCommand,
}

/// What can be done with data sets.
#[derive(Debug, Clone, Subcommand)]
pub enum DatasetsCommand {
    /// List the catalogue
    #[command(
        after_help = "Examples:\n  voxflow datasets list\n  voxflow datasets list --format json"
    )]
    List {
        /// Form of the list on stdout
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show one entry of the catalogue
    #[command(after_help = "Examples:\n  voxflow datasets show modelnet40")]
    Show {
        /// Id of the data set
        #[arg(value_name = "ID")]
        id: String,
        /// Form of the entry on stdout
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Write procedural solids as files, in the layout of a data set
    Synth(SynthArgs),
}

/// Arguments of `datasets synth`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow datasets synth solids --layout modelnet40 --classes chair,table --count 20
  voxflow datasets synth solids --layout meshes --count 100 --seed 7")]
pub struct SynthArgs {
    /// Folder to write to
    #[arg(value_name = "OUT", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Layout of the files
    #[arg(long, value_enum, default_value_t)]
    pub layout: SynthLayout,
    /// Classes, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub classes: Vec<String>,
    /// Objects in all, dealt to the classes in turn
    #[arg(long, value_name = "N", default_value_t = 80)]
    pub count: u64,
    /// Seed of the shapes
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
}

/// Layouts that solids can be written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SynthLayout {
    /// `<class>/{train,test}/<class>_NNNN.off`.
    Modelnet40,
    /// `<class>/<class>_NNNN.obj`.
    #[default]
    Meshes,
}

/// Arguments of `inspect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow inspect chair.obj
  voxflow inspect model.binvox
  voxflow inspect .voxflow/runs/ID/dataset/train/part-00000.parquet --rows 5
  voxflow inspect .voxflow/runs/ID/train")]
pub struct InspectArgs {
    /// Mesh, binvox, npy, npz, mat, jgz, PNG, JPEG or Parquet file, or a checkpoint folder
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub file: PathBuf,
    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Rows of a table that are shown
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rows: usize,
    /// Draw no pictures
    #[arg(long)]
    pub no_picture: bool,
}

/// How cells of a grid are decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum FillChoice {
    /// Every cell that a triangle touches.
    #[default]
    Surface,
    /// The thinnest surface that no path from face to face gets through.
    #[value(name = "surface_thin")]
    SurfaceThin,
    /// The inside, as `--rule` says.
    Solid,
    /// Every cell that holds a vertex.
    Points,
}

/// Which cells a solid fill takes to be inside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RuleChoice {
    /// The surface and what cannot be reached from the border; for any soup without large holes.
    #[default]
    #[value(name = "outside_flood")]
    OutsideFlood,
    /// Centres that a ray leaves through an odd number of triangles; for watertight meshes.
    Parity,
    /// Centres with a winding number of at least one half; for soups with holes, slow.
    Winding,
    /// Two of three parities, and hidden from all six sides; as the program `binvox` without `-e`.
    Carve,
}

/// Where the grid lies about the mesh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum FitChoice {
    /// As the program `binvox` does it.
    #[default]
    Binvox,
    /// The mesh in the middle of the grid.
    Centered,
    /// The unit cube about the origin, whatever the mesh.
    #[value(name = "unit_cube")]
    UnitCube,
    /// The mesh in the middle, with room around it: `--padding`.
    Padded,
}

/// Arguments of `convert`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow convert chair.obj chair.binvox --resolution 32
  voxflow convert chair.off chair.npy --resolution 64 --fill solid --fit centered
  voxflow convert scan.glb scan.binvox --resolution 256 --fill solid --rule winding
  voxflow convert chair.obj chair.ply
  voxflow convert model.binvox model.npy")]
pub struct ConvertArgs {
    /// Mesh (glb, gltf, off, obj, ply, stl), binvox, npy, npz or mat file to read
    #[arg(value_name = "IN", value_hint = ValueHint::FilePath)]
    pub input: PathBuf,
    /// File to write; its extension says the format
    #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Cells along each axis, for mesh to grid
    #[arg(long, value_name = "N", default_value_t = 32)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub resolution: u32,
    /// How cells are decided, for mesh to grid
    #[arg(long, value_enum, default_value_t)]
    pub fill: FillChoice,
    /// What is inside, for `--fill solid`
    #[arg(long, value_enum)]
    pub rule: Option<RuleChoice>,
    /// Where the grid lies about the mesh, for mesh to grid
    #[arg(long, value_enum, default_value_t)]
    pub fit: FitChoice,
    /// Room on each side as a share of the longest side, for `--fit padded`
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    pub padding: f64,
}

/// Where cameras stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RigChoice {
    /// Twelve cameras, elevation 30 degrees, azimuth every 30 degrees.
    #[default]
    Mvcnn12,
    /// As 3D-R2N2: elevation 25 to 30 degrees, distance 1.14 to 1.66, drawn at random.
    R2n2,
    /// As Kato et al.: twenty-four cameras, elevation 30 degrees, azimuth every 15 degrees.
    Kato24,
    /// In the range of LSM: elevation -20 to 40 degrees, drawn at random.
    Lsm20,
    /// Twenty cameras on the corners of a dodecahedron.
    Dodecahedron20,
    /// Cameras drawn at random, elevation 0 to 60 degrees.
    Random,
}

/// Where the colours of a rendered mesh come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorsChoice {
    /// All is white.
    #[default]
    White,
    /// Colours, materials and textures of the file; textures that lie in other files are not read.
    Material,
    /// Random colours.
    Random,
}

/// What is seen where a rendered mesh is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackgroundChoice {
    /// Nothing: pictures have alpha.
    Transparent,
    /// One colour: red, green, blue.
    Color([u8; 3]),
    /// A random colour for each view.
    RandomColor,
    /// Random colours over each view.
    RandomTexture,
}

fn parse_background(text: &str) -> Result<BackgroundChoice, String> {
    match text {
        "transparent" => Ok(BackgroundChoice::Transparent),
        "random-color" => Ok(BackgroundChoice::RandomColor),
        "random-texture" => Ok(BackgroundChoice::RandomTexture),
        hex if hex.len() == 6 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            let number = u32::from_str_radix(hex, 16).map_err(|error| error.to_string())?;
            let [_, red, green, blue] = number.to_be_bytes();
            Ok(BackgroundChoice::Color([red, green, blue]))
        }
        _ => Err("transparent, random-color, random-texture, or six hexadecimal digits such as \
                  ffffff"
            .to_owned()),
    }
}

/// Arguments of `render`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow render chair.obj -o views
  voxflow render chair.obj -o views --rig random --views 24 --size 224 --seed 3
  voxflow render chair.ply -o views --colors material --background ffffff")]
pub struct RenderArgs {
    /// Mesh to render; it is centred and scaled first
    #[arg(value_name = "MESH", value_hint = ValueHint::FilePath)]
    pub mesh: PathBuf,
    /// Folder for `000.png`, ... and `cameras.json`
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Where cameras stand
    #[arg(long, value_enum, default_value_t)]
    pub rig: RigChoice,
    /// Cameras of a rig that draws them [default: 12 of random, 24 of r2n2, 20 of lsm20]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub views: Option<u32>,
    /// Width and height of each picture in pixels [default: the rig's]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=2048))]
    pub size: Option<u32>,
    /// Colours of the surface
    #[arg(long, value_enum, default_value_t)]
    pub colors: ColorsChoice,
    /// What is behind: transparent, random-color, random-texture, or a colour such as ffffff
    #[arg(long, value_name = "BACKGROUND", default_value = "transparent")]
    #[arg(value_parser = parse_background)]
    pub background: BackgroundChoice,
    /// Shading
    #[arg(long, value_enum, default_value_t)]
    pub shading: ShadingChoice,
    /// Axis of the mesh that points up
    #[arg(long, value_enum, default_value_t)]
    pub up: UpChoice,
    /// Seed of everything random
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
}

/// Which trained network is used, and where.
#[derive(Debug, Clone, Args)]
pub struct TrainedArgs {
    /// Run with a trained network: its id, its folder, or the folder of its checkpoints
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The run's `train` stage, where it has several
    #[arg(long, value_name = "ID")]
    pub stage: Option<String>,
    /// Checkpoint: best by validation, latest, or epoch:N
    #[arg(long, value_name = "WHICH", default_value = "best")]
    pub checkpoint: String,
    /// Least probability of an occupied voxel [default: the one that validation chose]
    #[arg(long, value_name = "P", value_parser = parse_threshold)]
    pub threshold: Option<f64>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    pub device: Device,
}

/// Arguments of `reconstruct`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow reconstruct synthetic-vae-gan-20261126-101500 chair.png -o chair.obj
  voxflow reconstruct path/to/run front.png left.png back.png -o chair.binvox --threshold 0.4
  voxflow reconstruct path/to/run a.png b.png --poses poses.json -o chair.npy

Poses are a JSON list with one entry a picture: the 3x4 or 4x4 matrix camera_from_world, row by row,
OpenCV axes (x right, y down, z forward). `.npy` holds the probabilities themselves, x slowest.")]
pub struct ReconstructArgs {
    /// The network
    #[command(flatten)]
    pub trained: TrainedArgs,
    /// Pictures of one object, PNG or JPEG
    #[arg(value_name = "IMAGE", required = true, value_hint = ValueHint::FilePath)]
    pub images: Vec<PathBuf>,
    /// Where the cameras of the pictures stood
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub poses: Option<PathBuf>,
    /// File to write; its extension says what: binvox, npy, png, or a mesh (obj, off, ply, stl)
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
}

/// Arguments of `sample`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow sample synthetic-gan-20261126-101500 -o shapes
  voxflow sample path/to/run -n 64 --seed 7 --form binvox -o shapes --threshold 0.3")]
pub struct SampleArgs {
    /// The network
    #[command(flatten)]
    pub trained: TrainedArgs,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: u32,
    /// Seed of the codes
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// What each shape is written as: binvox, npy, png, or a mesh (obj, off, ply, stl)
    #[arg(long, value_name = "FORM", default_value = "obj")]
    pub form: String,
    /// Folder for `0000.obj`, ...
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
}

/// Arguments of `weights`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow weights synthetic-vae-gan-20261126-101500 -o weights.safetensors
  voxflow weights path/to/run -o weights.safetensors --name encoder=E --name generator=G
  voxflow run pipelines/synthetic-vae-gan.toml --set train.weights=weights.safetensors

Tensors have PyTorch's layouts, and its names for what a layer holds (weight, bias, running_mean);
`safetensors.torch.load_file` reads the file, and a `train` stage begins from it with `weights`.")]
pub struct WeightsArgs {
    /// The run: its name, or its folder, or a folder of checkpoints
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The run's `train` stage, where it has several
    #[arg(long, value_name = "ID")]
    pub stage: Option<String>,
    /// Checkpoint: best by validation, latest, or epoch:N
    #[arg(long, value_name = "WHICH", default_value = "best")]
    pub checkpoint: String,
    /// How names of layers begin here, and how they shall in the file; may be given again
    #[arg(long = "name", value_name = "HERE=THERE", value_parser = parse_name)]
    pub names: Vec<(String, String)>,
    /// File to write
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
}

fn parse_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((here, there)) if !here.is_empty() => Ok((here.to_owned(), there.to_owned())),
        _ => Err("as in encoder=E".to_owned()),
    }
}

/// Arguments of `interpolate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow interpolate path/to/run chair.png sofa.png -o between --steps 9 --form png
  voxflow interpolate path/to/run --seeds 1 2 -o between

Codes are mixed evenly, from all of the first to all of the second.")]
pub struct InterpolateArgs {
    /// The network
    #[command(flatten)]
    pub trained: TrainedArgs,
    /// Picture of one object, and of another
    #[arg(value_names = ["FROM", "TO"], num_args = 2, value_hint = ValueHint::FilePath)]
    #[arg(required_unless_present = "seeds", conflicts_with = "seeds")]
    pub images: Vec<PathBuf>,
    /// Seeds of two random codes instead
    #[arg(long, value_names = ["S", "T"], num_args = 2)]
    pub seeds: Vec<u64>,
    /// Shapes to make, both ends included
    #[arg(long, value_name = "N", default_value_t = 6)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub steps: u32,
    /// What each shape is written as: binvox, npy, png, or a mesh (obj, off, ply, stl)
    #[arg(long, value_name = "FORM", default_value = "obj")]
    pub form: String,
    /// Folder for `0000.obj`, ...
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
}

fn parse_threshold(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("must be above 0 and at most 1".to_owned()),
    }
}

/// Which axis of a mesh points up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum UpChoice {
    /// ShapeNet and most files.
    #[default]
    Y,
    /// ModelNet and most CAD programs.
    Z,
}

/// How surfaces are shaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ShadingChoice {
    /// One normal a triangle.
    #[default]
    Flat,
    /// Normals averaged over the triangles of each vertex.
    Smooth,
}

/// Arguments of `schema`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow schema pipeline > pipeline.schema.json
  voxflow schema datasets > datasets.schema.json

In a pipeline, `#:schema ../pipeline.schema.json` on the first line switches it on in editors that
use taplo.")]
pub struct SchemaArgs {
    /// What to describe
    #[arg(value_enum)]
    pub subject: SchemaSubject,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaSubject {
    /// `pipelines/*.toml`.
    Pipeline,
    /// `datasets.toml`.
    Datasets,
    /// The parameters of every operator, by name.
    Operators,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  voxflow completions bash > ~/.local/share/bash-completion/completions/voxflow
  voxflow completions zsh > ~/.zfunc/_voxflow")]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Reads a number of bytes: `1048576`, `512MiB`, `512M`, `2G`, `1.5GiB`, `100kB`. A bare letter is
/// binary: `2G` is 2^31 bytes; `2GB` is 2·10^9.
///
/// # Errors
/// When the text is no such number, or the number is zero.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write it like 512MiB or 2G");
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.chars().next() {
        None | Some('b') => 0,
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some(_) => return Err(wrong()),
    };
    let base: f64 = match unit.get(1..).unwrap_or_default() {
        "" | "ib" => 1024.0,
        "b" => 1000.0,
        _ => return Err(wrong()),
    };
    let bytes = (number * base.powi(power)).round();
    if (1.0..9e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_parse() {
        check(&Cli::command());
    }

    fn check(command: &clap::Command) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with("Examples:"), "{} has no examples", command.get_name());
        for line in help.lines().filter_map(|line| line.strip_prefix("  voxflow ")) {
            let line = line.split(['>', '|']).next().unwrap_or_default();
            let line = line.split("   ").next().unwrap_or_default();
            let words = std::iter::once("voxflow").chain(line.split_whitespace());
            Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        command.get_subcommands().filter(|c| c.get_name() != "help").for_each(check);
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_bytes("512MiB"), Ok(512 << 20));
        assert_eq!(parse_bytes("2G"), Ok(2 << 30));
        assert_eq!(parse_bytes("2GB"), Ok(2_000_000_000));
        assert_eq!(parse_bytes("77"), Ok(77));
        assert_eq!(parse_bytes("1.5k"), Ok(1536));
        for wrong in ["", "G", "0", "1X", "2GIB!", "-1"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn allowances_are_read_and_kept() {
        assert_eq!("3".parse(), Ok(Allowance::Rows(3)));
        assert_eq!("1.5%".parse(), Ok(Allowance::Percent(1.5)));
        assert!("x".parse::<Allowance>().is_err() && "101%".parse::<Allowance>().is_err());
        assert!(Allowance::Rows(3).allows(3, 3) && !Allowance::Rows(3).allows(4, 9));
        assert!(Allowance::Percent(10.0).allows(1, 10) && !Allowance::Percent(10.0).allows(2, 10));
    }
}
