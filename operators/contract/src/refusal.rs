//! Refusals: why a sample did not get through a stage.

use crate::batch::{Batch, BatchError};
use crate::tables;
use crate::values::Values;

/// What is wrong with one sample: a stable code, a sentence, and where in its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable `snake_case` code that programs may test for.
    pub code: &'static str,
    /// A sentence that a person can act on.
    pub message: String,
    /// Byte offset in the sample's file, where one is to blame.
    pub offset: Option<u64>,
}

impl Fault {
    /// A fault without a byte offset.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), offset: None }
    }

    /// The same fault at a byte offset.
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

impl From<BatchError> for Fault {
    fn from(error: BatchError) -> Self {
        Self::new("table", error.to_string())
    }
}

/// One row of the refusal table.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Refusal {
    /// Stage that refused.
    pub stage: String,
    /// Sample that was refused.
    pub sample: String,
    /// Stable code of the reason.
    pub code: String,
    /// A sentence that a person can act on.
    pub message: String,
    /// File the sample came from, where there is one.
    pub path: Option<String>,
    /// Byte offset in that file, where one is to blame.
    pub offset: Option<u64>,
    /// How often the stage tried.
    pub attempt: u32,
    /// Time the stage spent on the batch the sample was in.
    pub seconds: f64,
}

/// Where an operator says which rows it refuses.
#[derive(Debug, Default)]
pub struct Refusals {
    rows: Vec<(usize, Fault)>,
}

impl Refusals {
    /// Refuses row `row` of the batch at hand.
    pub fn refuse(&mut self, row: usize, fault: Fault) {
        self.rows.push((row, fault));
    }

    /// Rows refused so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row was refused.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The refused rows and why, in the order they were refused.
    pub fn into_rows(self) -> Vec<(usize, Fault)> {
        self.rows
    }
}

/// Refusals as a batch of the refusal table.
///
/// # Errors
/// Never for refusals of fewer than 2^31 bytes of text.
pub fn refusal_batch(refusals: &[Refusal]) -> Result<Batch, BatchError> {
    let text = |get: fn(&Refusal) -> &str| Values::utf8(refusals.iter().map(get));
    Batch::new(
        tables::refusal(),
        vec![
            text(|r| &r.stage),
            text(|r| &r.code),
            text(|r| &r.message),
            text(|r| &r.sample),
            Values::optional_utf8(refusals.iter().map(|r| r.path.as_deref())),
            Values::optional_numbers(refusals.iter().map(|r| r.offset)),
            Values::numbers(refusals.iter().map(|r| r.attempt).collect::<Vec<u32>>()),
            Values::numbers(refusals.iter().map(|r| r.seconds).collect::<Vec<f64>>()),
        ],
    )
}
