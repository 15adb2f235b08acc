//! `Error`: everything outside of bugs that can go wrong, its exit code, and how it is printed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use voxflow_contract::{MachineFault, SetupFault};

use crate::engine::MovesFault;
use crate::exit_code;
use crate::pipeline::Diagnostic;

/// Everything that can go wrong and is no bug.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The catalogue is wrong.
    #[error("the catalogue has {}", count(diagnostics.len(), "mistake"))]
    Catalogue {
        /// All that is wrong with it.
        diagnostics: Vec<Diagnostic>,
    },
    /// The pipeline is wrong; nothing was read.
    #[error("the pipeline has {}, nothing was read", count(diagnostics.len(), "mistake"))]
    Pipeline {
        /// All that is wrong with it.
        diagnostics: Vec<Diagnostic>,
    },
    /// A file that was named cannot be used.
    #[error("cannot {action}: {message}: {}", path.display())]
    InputFile {
        /// What was tried: "read", "decode".
        action: &'static str,
        /// What is wrong with it.
        message: String,
        /// The file.
        path: PathBuf,
    },
    /// A source has nothing to list.
    #[error("stage `{stage}` finds no data: {fault}")]
    DataMissing {
        /// Stage of the source.
        stage: String,
        /// What the source says.
        fault: SetupFault,
    },
    /// An argument cannot be used.
    #[error("{argument}: {message}")]
    Argument {
        /// The argument as it is called on the command line.
        argument: String,
        /// What is wrong with it.
        message: String,
        /// What would be right, or empty.
        hint: String,
    },
    /// The cluster is not described well.
    #[error("{message}")]
    Cluster {
        /// What is wrong.
        message: String,
    },
    /// There is no such run, or it does not fit the plan.
    #[error("{message}")]
    Run {
        /// What is wrong.
        message: String,
    },
    /// A stage's set-up is wrong.
    #[error("stage `{stage}`: {fault}")]
    Setup {
        /// The stage.
        stage: String,
        /// What it says.
        fault: SetupFault,
    },
    /// More samples were refused than allowed.
    #[error("{refused} of {rows} samples were refused, {allowed} allowed")]
    Refused {
        /// Samples refused.
        refused: u64,
        /// Samples that began.
        rows: u64,
        /// The allowance, as it was given.
        allowed: String,
        /// Where the refusals are written.
        table: PathBuf,
    },
    /// Expectations on the data are broken.
    #[error("{}", count(broken.len(), "broken expectation"))]
    Expectation {
        /// One sentence for each.
        broken: Vec<String>,
    },
    /// More samples would lie in another part of the split than allowed.
    #[error("data set `{}`: {_0}; nothing was replaced", _0.moves.stage)]
    Moved(Box<MovesFault>),
    /// A disk failed.
    #[error("{fault}")]
    Disk {
        /// What failed.
        fault: MachineFault,
    },
    /// Memory is too small.
    #[error("{message}")]
    Memory {
        /// What did not fit.
        message: String,
    },
    /// A device failed or is missing.
    #[error("{message}")]
    Device {
        /// What failed.
        message: String,
    },
    /// Another process of the cluster is gone.
    #[error("process {process} is gone: {message}")]
    PeerLost {
        /// Number of that process.
        process: usize,
        /// What was noticed.
        message: String,
    },
    /// A person stopped the run.
    #[error("stopped by a person; run `{run}` keeps what was committed")]
    Interrupted {
        /// Id of the run.
        run: String,
    },
    /// Outputs differ from the record.
    #[error("{}", count(differences.len(), "difference from the record"))]
    Verification {
        /// One sentence for each.
        differences: Vec<String>,
    },
}

impl Error {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Catalogue { .. } => exit_code::CATALOGUE,
            Self::Pipeline { .. } => exit_code::PIPELINE,
            Self::InputFile { .. } => exit_code::INPUT_FILE,
            Self::DataMissing { .. } => exit_code::DATA_MISSING,
            Self::Argument { .. } => exit_code::ARGUMENT,
            Self::Cluster { .. } => exit_code::CLUSTER,
            Self::Run { .. } => exit_code::RUN,
            Self::Setup { .. } => exit_code::SETUP,
            Self::Refused { .. } => exit_code::REFUSED,
            Self::Expectation { .. } => exit_code::EXPECTATION,
            Self::Moved(_) => exit_code::MOVED,
            Self::Disk { .. } => exit_code::DISK,
            Self::Memory { .. } => exit_code::MEMORY,
            Self::Device { .. } => exit_code::DEVICE,
            Self::PeerLost { .. } => exit_code::PEER,
            Self::Interrupted { .. } => exit_code::INTERRUPTED,
            Self::Verification { .. } => exit_code::VERIFICATION,
        }
    }

    /// The text for a person: diagnostics where there are some, the sentence, its details, hints.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for diagnostic in self.diagnostics() {
            let _ = writeln!(text, "{diagnostic}");
        }
        let _ = writeln!(text, "error: {self}");
        for detail in self.details() {
            let _ = writeln!(text, "  - {detail}");
        }
        for hint in self.hints() {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// A failed system call on an output.
    pub fn disk(action: &str, path: &Path, source: std::io::Error) -> Self {
        Self::Disk { fault: MachineFault::io(action, path, source) }
    }

    /// A file that was named but cannot be used.
    #[expect(clippy::needless_pass_by_value, reason = "`map_err` hands errors over")]
    pub fn input(action: &'static str, path: &Path, message: impl ToString) -> Self {
        Self::InputFile { action, message: message.to_string(), path: path.to_owned() }
    }

    /// An argument that cannot be used, and what would be right.
    pub fn argument(argument: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Argument { argument: argument.to_owned(), message: message.into(), hint: hint.into() }
    }

    fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Catalogue { diagnostics } | Self::Pipeline { diagnostics } => diagnostics,
            _ => &[],
        }
    }

    fn details(&self) -> &[String] {
        match self {
            Self::Expectation { broken } => broken,
            Self::Verification { differences } => differences,
            _ => &[],
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Argument { hint, .. } if !hint.is_empty() => vec![hint.clone()],
            Self::Refused { table, .. } => vec![
                format!("each refused sample and why: voxflow inspect {}", table.display()),
                "`--allow-refused N` or `--allow-refused P%` lets a run pass with them".to_owned(),
            ],
            Self::Moved(fault) => moved_hints(fault),
            Self::Interrupted { run } => vec![format!("go on with `--resume={run}`")],
            Self::Disk { .. } | Self::Memory { .. } | Self::PeerLost { .. } => {
                vec!["what was committed is safe; `--resume` goes on from there".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// What to do where too many samples would move.
fn moved_hints(fault: &MovesFault) -> Vec<String> {
    let (since, stage) = (fault.moves.since.display(), &fault.moves.stage);
    vec![
        format!("they are compared with data set `{stage}` of {since}"),
        format!(
            "to keep its split, give `split` that data set as its `official` list (the folder in {since} \
             that has train, val and test), with `unlisted = \"deal\"` for new samples"
        ),
        "other ratios, another seed or another `group` move many: if that is what was meant, raise \
         `max_moved`"
            .to_owned(),
    ]
}

/// "1 mistake", "5 mistakes"; "1 difference from x", "2 differences from x".
fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        return format!("1 {noun}");
    }
    match noun.split_once(' ') {
        Some((head, tail)) if head == "difference" => format!("{number} {head}s {tail}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do() {
        let error = Error::Refused {
            refused: 3,
            rows: 10,
            allowed: "0".to_owned(),
            table: PathBuf::from("runs/x/refusal.parquet"),
        };
        assert_eq!(error.exit_code(), 20);
        let text = error.render();
        assert!(text.starts_with("error: 3 of 10 samples were refused, 0 allowed\n"), "{text}");
        assert!(text.contains("hint: each refused sample"), "{text}");
    }

    #[test]
    fn too_many_moves_say_how_to_go_on() {
        let moves = crate::engine::Moves {
            stage: "dataset".to_owned(),
            since: PathBuf::from("runs/x"),
            moved: 3,
            of: 100,
            first: Vec::new(),
        };
        let limit = voxflow_contract::MoveLimit::Samples(2);
        let error = Error::Moved(Box::new(MovesFault { moves, limit }));
        assert_eq!(error.exit_code(), 22);
        let text = error.render();
        assert!(text.contains("3 of 100 samples would move in the split, 2 allowed"), "{text}");
        assert!(text.contains("`official`") && text.contains("raise `max_moved`"), "{text}");
    }

    #[test]
    fn numbers_and_nouns_agree() {
        assert_eq!(count(1, "mistake"), "1 mistake");
        assert_eq!(count(2, "difference from the record"), "2 differences from the record");
    }
}
