//! What can stop the engine.

use voxflow_contract::{MachineFault, SetupFault, TaskError};
use voxflow_sources::DatasetError;

use super::moves::MovesFault;

/// Why a run stopped before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineFault {
    /// A person must mend the set-up.
    #[error("stage `{stage}`: {fault}")]
    Setup {
        /// Stage.
        stage: String,
        /// What is wrong.
        fault: SetupFault,
    },
    /// The machine failed.
    #[error("stage `{stage}`: {fault}")]
    Machine {
        /// Stage, or what the engine was doing.
        stage: String,
        /// What failed.
        fault: MachineFault,
    },
    /// A task could not use a sample or failed otherwise.
    #[error("stage `{stage}`: {message}")]
    Task {
        /// Stage.
        stage: String,
        /// What is wrong.
        message: String,
    },
    /// A keyed stage could not work on the keys.
    #[error("stage `{stage}`: {message}")]
    Keys {
        /// Stage.
        stage: String,
        /// What is wrong.
        message: String,
    },
    /// More samples would lie in another part of the split than may; nothing was replaced.
    #[error("stage `{}`: {_0}", _0.moves.stage)]
    Moved(Box<MovesFault>),
    /// Another process of the cluster is gone or does not fit.
    #[error("{0}")]
    Peer(String),
    /// A person stopped the run; what was made stays.
    #[error("stopped by request; {made} of {samples} samples are made and will not be made again")]
    Stopped {
        /// Samples of which all rows are made.
        made: usize,
        /// Samples there are.
        samples: usize,
    },
    /// Training was stopped by request; the last checkpoint stays.
    #[error("stage `{stage}` was stopped by request; its last checkpoint stays")]
    TaskStopped {
        /// Stage.
        stage: String,
    },
    /// A mistake in voxflow itself.
    #[error("this is a bug in voxflow: {0}")]
    Bug(String),
}

impl EngineFault {
    pub(crate) fn machine(stage: &str, fault: MachineFault) -> Self {
        Self::Machine { stage: stage.to_owned(), fault }
    }

    /// A data set that was just made can only be unreadable because the disk fails.
    pub(crate) fn dataset(stage: &str, error: DatasetError) -> Self {
        let message = error.to_string();
        let source = match error {
            DatasetError::Io { source, .. } => Some(source),
            DatasetError::Format { source, .. } => Some(std::io::Error::other(source)),
            _ => None,
        };
        Self::machine(stage, MachineFault { message, source })
    }

    pub(crate) fn setup(stage: &str, fault: SetupFault) -> Self {
        Self::Setup { stage: stage.to_owned(), fault }
    }

    pub(crate) fn task(stage: &str, error: TaskError) -> Self {
        match error {
            TaskError::Setup(fault) => Self::setup(stage, fault),
            TaskError::Machine(fault) => Self::machine(stage, fault),
            other => Self::Task { stage: stage.to_owned(), message: other.to_string() },
        }
    }
}
