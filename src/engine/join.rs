//! Joining: the batches of one part from several stages, side by side by sample.

use std::collections::BTreeSet;

use voxflow_contract::{Batch, BatchError};

/// Joins the batches of one part on `sample`: rows that every input has, side by side. Samples that
/// one lacks were refused on their way to it. All inputs hold their rows in the part's order.
///
/// # Errors
/// When an input has no `sample` column.
pub(crate) fn join(inputs: &[Batch]) -> Result<Batch, BatchError> {
    let samples = inputs.iter().map(samples_of).collect::<Result<Vec<_>, _>>()?;
    if samples.windows(2).all(|pair| pair[0] == pair[1]) {
        return side_by_side(inputs);
    }
    let sets: Vec<BTreeSet<&str>> = samples.iter().map(|s| s.iter().copied().collect()).collect();
    let everywhere = |sample: &&str| sets.iter().all(|set| set.contains(sample));
    let matched = inputs.iter().zip(&samples).map(|(input, samples)| {
        let kept: Vec<usize> = (0..samples.len()).filter(|&i| everywhere(&samples[i])).collect();
        input.gather(&kept)
    });
    side_by_side(&matched.collect::<Vec<_>>())
}

/// The values of the `sample` column.
///
/// # Errors
/// When there is none.
pub(crate) fn samples_of(batch: &Batch) -> Result<Vec<&str>, BatchError> {
    Ok(batch.utf8("sample")?.values_iter().collect())
}

/// All columns of batches of the same rows.
///
/// # Errors
/// When they have not the same number of rows.
pub(crate) fn side_by_side(inputs: &[Batch]) -> Result<Batch, BatchError> {
    let mut joined = inputs[0].clone();
    for input in &inputs[1..] {
        joined = joined.beside(input)?;
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{Column, ColumnType, Schema, Values};

    fn batch(column: &str, samples: &[&str]) -> Batch {
        let columns = vec![
            Column::new("sample", ColumnType::Utf8, "Id."),
            Column::new(column, ColumnType::Utf8, "Value."),
        ];
        let values = samples.iter().map(|s| format!("{column}-{s}"));
        Batch::new(
            Schema::new(column, 1, columns),
            vec![Values::utf8(samples), Values::utf8(values)],
        )
        .expect("a batch")
    }

    #[test]
    fn rows_meet_by_sample() {
        let joined = join(&[batch("a", &["1", "2", "3"]), batch("b", &["2", "3", "4"])]);
        let joined = joined.expect("both have samples");
        assert_eq!(samples_of(&joined).expect("samples"), ["2", "3"]);
        let right: Vec<_> = joined.utf8("b").expect("column").values_iter().collect();
        assert_eq!(right, ["b-2", "b-3"]);
    }
}
