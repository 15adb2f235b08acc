//! The parameters of `split`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use voxflow_contract::{MoveLimit, ParamError};

use crate::official::{Absent, Unlisted};

/// How far from 1 the ratios may sum: nine digits of a third are near enough.
const SUM_TOLERANCE: f64 = 1.000_001e-9;

/// What always lies in one split.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "String")]
pub enum GroupBy {
    /// All samples of equal content, so that no duplicate leaks from one split to another.
    #[default]
    Content,
    /// Each sample by itself; duplicates may leak.
    Sample,
    /// All samples that have the same value in this column.
    Column(String),
}

impl From<String> for GroupBy {
    fn from(text: String) -> Self {
        match text.as_str() {
            "content" => Self::Content,
            "sample" => Self::Sample,
            _ => Self::Column(text),
        }
    }
}

/// Parameters of `split`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitParams {
    /// Share of each class that is trained on, 0 to 1.
    #[serde(default = "default_train")]
    pub train: f64,
    /// Share of each class that is validated on while training, 0 to 1.
    #[serde(default = "default_val")]
    pub val: f64,
    /// Share of each class that is kept for the final measurement, 0 to 1.
    #[serde(default = "default_test")]
    pub test: f64,
    /// Seed of the order in which samples are dealt; the pipeline's when not given.
    #[serde(default)]
    pub seed: Option<u64>,
    /// What always lies in one split: samples of equal `content`, each `sample` by itself, or samples
    /// with the same value in the column of this name.
    #[serde(default)]
    #[schemars(with = "String", default = "default_group")]
    pub group: GroupBy,
    /// List of samples and their part: CSV with the header `sample,split`, JSON lines (*.jsonl,
    /// *.ndjson), a Parquet table, or the folder of a data set that voxflow made; relative to where
    /// voxflow was started. Listed samples lie where the list says.
    #[serde(default)]
    pub official: Option<String>,
    /// What becomes of samples that the official list does not name; `refuse` when not given.
    #[serde(default)]
    pub unlisted: Option<Unlisted>,
    /// What becomes of a run that lacks samples of the official list; `warn` when not given.
    #[serde(default)]
    pub absent: Option<Absent>,
    /// How many samples may lie in another split than in the data set before: a number, or a share
    /// such as "0.5%" of the samples that both have. A run above it ends before it replaces anything.
    #[serde(default)]
    #[schemars(with = "Option<NumberOrShare>")]
    pub max_moved: Option<MaxMoved>,
}

/// How many samples may move: a number, or a text such as "0.5%".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxMoved(pub MoveLimit);

/// The two forms of [`MaxMoved`].
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum NumberOrShare {
    Number(u64),
    Share(String),
}

impl<'de> Deserialize<'de> for MaxMoved {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = MaxMoved;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of samples, or a share like \"0.5%\"")
            }

            fn visit_u64<E: serde::de::Error>(self, samples: u64) -> Result<MaxMoved, E> {
                Ok(MaxMoved(MoveLimit::Samples(samples)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MaxMoved, E> {
                text.parse().map(MaxMoved).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn default_group() -> String {
    "content".to_owned()
}

fn default_train() -> f64 {
    0.7
}

fn default_val() -> f64 {
    0.1
}

fn default_test() -> f64 {
    0.2
}

/// What is wrong with the ratios.
pub(crate) fn ratio_errors(params: &SplitParams) -> Vec<ParamError> {
    let ratios = [("train", params.train), ("val", params.val), ("test", params.test)];
    let mut errors: Vec<_> = ratios
        .iter()
        .filter(|(_, ratio)| !(*ratio >= 0.0 && ratio.is_finite()))
        .map(|(key, _)| ParamError::new(key, "must be a number of at least 0"))
        .collect();
    let sum: f64 = ratios.iter().map(|(_, ratio)| ratio).sum();
    if errors.is_empty() && (sum - 1.0).abs() > SUM_TOLERANCE {
        let SplitParams { train, val, test, .. } = params;
        let message = format!("train + val + test must be 1, these are {train} + {val} + {test}");
        errors.push(ParamError::new("train", message));
    }
    errors
}
