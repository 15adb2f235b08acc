//! Work: what a stage does to the batch of one part, and how it is kept from doing harm.

use std::collections::BTreeMap;
use std::sync::Arc;

use voxflow_contract::{
    Batch, Entry, Fault, MachineFault, Operator, Refusals, Schema, Source, tables,
};

use super::guard::guarded;
use super::join::samples_of;
use super::sample_limits::SampleLimits;
use super::scan::Scan;
use crate::store::StageWriter;

/// A row that was refused: its sample, why, and at which attempt.
pub(crate) type RefusedRow = (String, Fault, u32);

/// What became of a batch.
pub(crate) struct Worked {
    pub(crate) rows: Batch,
    pub(crate) refused: Vec<RefusedRow>,
}

/// What a stage does to the rows of one part.
pub(crate) trait Work: Send + Sync {
    /// Does it.
    ///
    /// # Errors
    /// When the machine fails.
    fn run(&self, rows: Batch) -> Result<Worked, MachineFault>;

    /// What comes of no rows.
    fn nothing(&self) -> Batch;

    /// Whether it belongs in the pool.
    fn is_heavy(&self) -> bool;
}

/// A per-sample operator.
pub(crate) struct OperatorWork {
    pub(crate) operator: Arc<dyn Operator>,
    /// What it may spend on one sample.
    pub(crate) limits: SampleLimits,
}

impl Work for OperatorWork {
    fn run(&self, rows: Batch) -> Result<Worked, MachineFault> {
        if self.limits.are_none() {
            return Ok(apply(self.operator.as_ref(), &rows, 1));
        }
        let operator = Arc::clone(&self.operator);
        let batch = rows.clone();
        let one = move |row| apply(operator.as_ref(), &batch.slice(row, 1), 1);
        let samples = samples_of(&rows).unwrap_or_default();
        let samples: Vec<String> = samples.iter().map(|s| (*s).to_owned()).collect();
        let one: Arc<dyn Fn(usize) -> Worked + Send + Sync> = Arc::new(one);
        row_by_row_within(samples, &self.operator.output(), self.limits, &one)
    }

    fn nothing(&self) -> Batch {
        Batch::empty(self.operator.output())
    }

    fn is_heavy(&self) -> bool {
        self.operator.is_heavy()
    }
}

/// Leaves rows to the store; nothing goes on.
pub(crate) struct KeepWork {
    pub(crate) writer: Arc<StageWriter>,
    pub(crate) scans: Arc<BTreeMap<usize, Scan>>,
    /// The source that listed the samples.
    pub(crate) root: usize,
}

impl Work for KeepWork {
    fn run(&self, rows: Batch) -> Result<Worked, MachineFault> {
        let keys = self.scans[&self.root].entries.keys_of(&rows);
        self.writer.append(&rows, keys.map_err(MachineFault::new)?)?;
        Ok(Worked { rows: self.nothing(), refused: Vec::new() })
    }

    fn nothing(&self) -> Batch {
        Batch::empty(tables::key())
    }

    fn is_heavy(&self) -> bool {
        true
    }
}

/// Applies an operator. A panic costs the row that caused it, not the batch: the batch is tried
/// again row by row.
fn apply(operator: &dyn Operator, rows: &Batch, attempt: u32) -> Worked {
    let schema = operator.output();
    if rows.is_empty() {
        return Worked { rows: Batch::empty(schema), refused: Vec::new() };
    }
    let mut refusals = Refusals::default();
    match guarded(|| operator.apply(rows, &mut refusals)) {
        Ok(Ok(out)) => check(rows, out, refusals, attempt),
        Ok(Err(fault)) => refuse_all(rows, schema, &fault, attempt),
        Err(panic) if rows.rows() == 1 => refuse_all(
            rows,
            schema,
            &Fault::new("panic", format!("the operator panicked: {panic}")),
            attempt,
        ),
        Err(_) => {
            row_by_row(rows.rows(), schema, |i| apply(operator, &rows.slice(i, 1), attempt + 1))
        }
    }
}

/// As [`row_by_row`]; a row that goes beyond a limit is refused.
fn row_by_row_within(
    samples: Vec<String>,
    schema: &Schema,
    limits: SampleLimits,
    apply: &Arc<dyn Fn(usize) -> Worked + Send + Sync>,
) -> Result<Worked, MachineFault> {
    let mut done = limits.each(samples.len(), apply)?.into_iter().zip(samples);
    Ok(row_by_row(done.len(), schema.clone(), |_| match done.next() {
        Some((Ok(worked), _)) => worked,
        Some((Err(fault), sample)) => {
            Worked { rows: Batch::empty(schema.clone()), refused: vec![(sample, fault, 1)] }
        }
        None => Worked { rows: Batch::empty(schema.clone()), refused: Vec::new() },
    }))
}

fn row_by_row(rows: usize, schema: Schema, mut apply: impl FnMut(usize) -> Worked) -> Worked {
    let (mut batches, mut refused) = (Vec::new(), Vec::new());
    for i in 0..rows {
        let worked = apply(i);
        batches.push(worked.rows);
        refused.extend(worked.refused);
    }
    let joined = Batch::concat(&batches).ok().flatten();
    Worked { rows: joined.unwrap_or_else(|| Batch::empty(schema)), refused }
}

/// Holds the operator to its word: one row out for each row that it did not refuse, in order.
fn check(rows: &Batch, out: Batch, refusals: Refusals, attempt: u32) -> Worked {
    let schema = out.schema().clone();
    let mut faults: Vec<Option<Fault>> = vec![None; rows.rows()];
    for (row, fault) in refusals.into_rows() {
        if let Some(slot) = faults.get_mut(row) {
            slot.get_or_insert(fault);
        }
    }
    let (Ok(before), Ok(after)) = (samples_of(rows), samples_of(&out)) else {
        return refuse_all(
            rows,
            schema,
            &Fault::new("contract", "a key column is missing"),
            attempt,
        );
    };
    let kept = before.iter().zip(&faults).filter(|(_, fault)| fault.is_none()).map(|(s, _)| s);
    if !kept.eq(after.iter()) {
        let message =
            format!("the operator gave {} rows that do not match its refusals", after.len());
        return refuse_all(rows, schema, &Fault::new("contract", message), attempt);
    }
    let refused =
        before.iter().zip(faults).filter_map(|(s, f)| Some(((*s).to_owned(), f?, attempt)));
    let refused = refused.collect();
    Worked { rows: out, refused }
}

fn refuse_all(rows: &Batch, schema: Schema, fault: &Fault, attempt: u32) -> Worked {
    let samples = samples_of(rows).unwrap_or_default();
    let refused = samples.iter().map(|s| ((*s).to_owned(), fault.clone(), attempt)).collect();
    Worked { rows: Batch::empty(schema), refused }
}

/// Reads one part of a source, with the same care as an operator.
///
/// # Errors
/// When the machine fails.
pub(crate) fn open_part(
    source: &Arc<dyn Source>,
    entries: Vec<Entry>,
    limits: SampleLimits,
) -> Result<Worked, MachineFault> {
    if limits.are_none() {
        return Ok(open_entries(source.as_ref(), &entries, 1));
    }
    let samples = entries.iter().map(|entry| entry.sample.to_string()).collect();
    let (schema, source) = (source.output(), Arc::clone(source));
    let one = move |row: usize| open_entries(source.as_ref(), &entries[row..=row], 1);
    let one: Arc<dyn Fn(usize) -> Worked + Send + Sync> = Arc::new(one);
    row_by_row_within(samples, &schema, limits, &one)
}

fn open_entries(source: &dyn Source, entries: &[Entry], attempt: u32) -> Worked {
    let schema = source.output();
    let refuse = |fault: &Fault| {
        let row = |e: &Entry| (e.sample.to_string(), fault.clone(), attempt);
        let refused = entries.iter().map(row).collect();
        Worked { rows: Batch::empty(schema.clone()), refused }
    };
    let mut refusals = Refusals::default();
    match guarded(|| source.open(entries, &mut refusals)) {
        Ok(Ok(rows)) => {
            let name = |(row, fault): (usize, Fault)| {
                entries.get(row).map(|e| (e.sample.to_string(), fault, attempt))
            };
            let refused: Vec<_> = refusals.into_rows().into_iter().filter_map(name).collect();
            if rows.rows() + refused.len() == entries.len() {
                return Worked { rows, refused };
            }
            refuse(&Fault::new(
                "contract",
                "the source gave another number of rows than it was asked for",
            ))
        }
        Ok(Err(fault)) => refuse(&fault),
        Err(panic) if entries.len() == 1 => {
            refuse(&Fault::new("panic", format!("the source panicked: {panic}")))
        }
        Err(_) => row_by_row(entries.len(), schema.clone(), |i| {
            open_entries(source, &entries[i..=i], attempt + 1)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::Values;

    struct Fussy;

    impl Operator for Fussy {
        fn output(&self) -> Schema {
            tables::key()
        }

        fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
            let samples = samples_of(batch)?;
            assert!(!samples.contains(&"panics"), "cannot bear it");
            let odd = |i: &usize| samples[*i] == "odd";
            (0..samples.len())
                .filter(odd)
                .for_each(|i| refusals.refuse(i, Fault::new("odd", "is odd")));
            Ok(batch.gather(&(0..samples.len()).filter(|i| !odd(i)).collect::<Vec<_>>()))
        }
    }

    fn keys(samples: &[&str]) -> Batch {
        let values = vec![
            Values::utf8(samples),
            Values::utf8(samples.iter().map(|_| "c")),
            Values::fixed_binary(32, samples.iter().map(|_| [0u8; 32])),
        ];
        Batch::new(tables::key(), values).expect("key columns")
    }

    #[test]
    fn a_panicking_row_is_refused_alone() {
        let worked = apply(&Fussy, &keys(&["a", "panics", "odd", "z"]), 1);
        assert_eq!(samples_of(&worked.rows).expect("samples"), ["a", "z"]);
        let codes: Vec<_> =
            worked.refused.iter().map(|(s, f, n)| (s.as_str(), f.code, *n)).collect();
        assert_eq!(codes, [("panics", "panic", 2), ("odd", "odd", 2)]);
    }

    struct Liar;

    impl Operator for Liar {
        fn output(&self) -> Schema {
            tables::key()
        }

        fn apply(&self, batch: &Batch, _refusals: &mut Refusals) -> Result<Batch, Fault> {
            Ok(batch.slice(0, 1))
        }
    }

    #[test]
    fn rows_that_vanish_are_noticed() {
        let worked = apply(&Liar, &keys(&["a", "b"]), 1);
        assert!(worked.rows.is_empty());
        assert!(worked.refused.iter().all(|(_, fault, _)| fault.code == "contract"));
    }
}
