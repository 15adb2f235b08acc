//! Where a task that was begun before goes on from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of a task's checkpoints is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum CheckpointChoice {
    /// The one with the best validation; the newest when none was validated.
    #[default]
    Best,
    /// The newest.
    Latest,
    /// The one after so many epochs.
    Epoch(u64),
}

impl std::str::FromStr for CheckpointChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "best" => Ok(Self::Best),
            "latest" => Ok(Self::Latest),
            _ => {
                let epoch = text.strip_prefix("epoch:").and_then(|n| n.parse().ok());
                epoch
                    .map(Self::Epoch)
                    .ok_or_else(|| "must be \"best\", \"latest\" or \"epoch:N\"".to_owned())
            }
        }
    }
}

impl TryFrom<String> for CheckpointChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CheckpointChoice> for String {
    fn from(choice: CheckpointChoice) -> Self {
        match choice {
            CheckpointChoice::Best => "best".to_owned(),
            CheckpointChoice::Latest => "latest".to_owned(),
            CheckpointChoice::Epoch(epoch) => format!("epoch:{epoch}"),
        }
    }
}

/// How a task goes on that was begun before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoOn {
    /// From where.
    pub from: CheckpointChoice,
    /// Number of the first epoch that is then trained, counted from 1: schedules and random numbers
    /// are those of that epoch. Without one it is the epoch after the checkpoint's.
    pub start_epoch: Option<u64>,
}

impl GoOn {
    /// From the newest checkpoint, or from the beginning where there is none.
    pub const LATEST: Self = Self { from: CheckpointChoice::Latest, start_epoch: None };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_survives_being_written() {
        for text in ["best", "latest", "epoch:12"] {
            let choice: CheckpointChoice = text.parse().expect("a choice");
            assert_eq!(String::from(choice), text);
        }
        for text in ["epoch:", "epoch:x", "newest", ""] {
            assert!(text.parse::<CheckpointChoice>().is_err(), "{text}");
        }
    }
}
