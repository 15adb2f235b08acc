//! Hashes of the values of a column, to tell which rows have the same.

use crate::batch::{Batch, BatchError};
use crate::id::ContentHash;
use crate::schema::{ColumnType, ScalarType};

/// Whether [`row_hashes`] knows the values of such a column.
pub fn has_row_hashes(column_type: &ColumnType) -> bool {
    matches!(
        column_type,
        ColumnType::Utf8
            | ColumnType::FixedBinary(_)
            | ColumnType::UInt32
            | ColumnType::UInt64
            | ColumnType::Tensor(ScalarType::UInt8, _)
    )
}

/// The BLAKE3 hash of each value of a column: of the bytes of texts, hashes and tensors of bytes, of
/// the little-endian bytes of whole numbers. Equal values have equal hashes, in every version of voxflow.
///
/// # Errors
/// When there is no such column, or [`has_row_hashes`] says no to its type.
pub fn row_hashes(rows: &Batch, name: &str) -> Result<Vec<ContentHash>, BatchError> {
    let all = 0..rows.rows();
    let column_type = rows.schema().column(name).map(|column| &column.column_type);
    Ok(match column_type {
        Some(ColumnType::Utf8) => {
            let values = rows.utf8(name)?;
            all.map(|row| ContentHash::of(values.value(row).as_bytes())).collect()
        }
        Some(ColumnType::UInt32) => {
            let values = rows.numbers::<u32>(name)?;
            values.iter().map(|value| ContentHash::of(&value.to_le_bytes())).collect()
        }
        Some(ColumnType::UInt64) => {
            let values = rows.numbers::<u64>(name)?;
            values.iter().map(|value| ContentHash::of(&value.to_le_bytes())).collect()
        }
        Some(ColumnType::Tensor(ScalarType::UInt8, _)) => {
            let values = rows.tensors::<u8>(name)?;
            all.map(|row| ContentHash::of(values.value(row))).collect()
        }
        // Of another type this says what the column is.
        _ => {
            let values = rows.fixed_binary(name)?;
            all.map(|row| ContentHash::of(values.value(row))).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Schema};
    use crate::values::Values;

    #[test]
    fn equal_values_have_equal_hashes() {
        let columns = vec![
            Column::new("text", ColumnType::Utf8, "A text."),
            Column::new("number", ColumnType::UInt32, "A number."),
            Column::new("bits", ColumnType::Tensor(ScalarType::UInt8, vec![2]), "Bits."),
            Column::new("real", ColumnType::Float64, "A number."),
        ];
        let bits: [&[u8]; 3] = [&[1, 2], &[1, 2], &[2, 1]];
        let values = vec![
            Values::utf8(["a", "b", "a"]),
            Values::numbers(vec![7u32, 8, 7]),
            Values::tensors(&[2], bits),
            Values::numbers(vec![0.0f64; 3]),
        ];
        let schema = Schema::new("x", 1, columns);
        let rows = Batch::new(schema.clone(), values).expect("a batch");
        let same = |name: &str| {
            let hashes = row_hashes(&rows, name).expect("hashes");
            [hashes[0] == hashes[1], hashes[0] == hashes[2], hashes[1] == hashes[2]]
        };
        assert_eq!(same("text"), [false, true, false]);
        assert_eq!(same("number"), [false, true, false]);
        assert_eq!(same("bits"), [true, false, false]);
        for column in schema.columns() {
            let hashes = row_hashes(&rows, &column.name);
            assert_eq!(hashes.is_ok(), has_row_hashes(&column.column_type), "{}", column.name);
        }
        assert!(row_hashes(&rows, "none").is_err());
    }
}
