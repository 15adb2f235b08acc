//! Arrow IPC streams: batches as every Arrow library passes them between programs.
//!
//! The format is that of the Arrow columnar specification ("IPC Streaming Format", version 5): a
//! schema, then record batches, then an end mark. It goes over the bridge of [`crate::parquet`], so
//! the same tables can be read; nothing is compressed.
//!
//! ```
//! use voxflow_contract::{Batch, Column, ColumnType, Schema, Values};
//! use voxflow_formats::arrow_stream;
//!
//! let schema = Schema::new("cup", 1, vec![Column::new("handles", ColumnType::UInt32, "Handles.")]);
//! let batch = Batch::new(schema, vec![Values::numbers(vec![1u32, 0, 2])])?;
//! let mut stream = Vec::new();
//! arrow_stream::write(&mut stream, &batch)?;
//! assert_eq!(arrow_stream::read(stream)?, batch);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::Write;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use voxflow_contract::Batch;

use crate::FormatError;
use crate::parquet::{from_record_batch, guarded, to_record_batch};

/// Writes `batch` as a stream of one record batch.
///
/// # Errors
/// When a column has a type that no voxflow table uses, or `out` fails.
pub fn write(out: impl Write, batch: &Batch) -> Result<(), FormatError> {
    let rows = to_record_batch(batch)?;
    let mut writer = StreamWriter::try_new(out, &rows.schema()).map_err(fault)?;
    writer.write(&rows).map_err(fault)?;
    writer.finish().map_err(fault)
}

/// Reads the rows of all record batches of a stream. What it allocates follows from `bytes`, not from
/// the lengths they claim.
///
/// # Errors
/// When the stream is cut short or damaged, has no schema or something after its end, or holds a
/// column of a type that no voxflow table uses.
pub fn read(bytes: Vec<u8>) -> Result<Batch, FormatError> {
    guarded(|| {
        let mut decoder = StreamDecoder::new();
        let mut left = Buffer::from_vec(bytes);
        let mut batches = Vec::new();
        while let Some(rows) = decoder.decode(&mut left).map_err(fault)? {
            batches.push(from_record_batch(&rows)?);
        }
        decoder.finish().map_err(fault)?;
        let Some(schema) = decoder.schema() else { return Err(fault("it is empty")) };
        match Batch::concat(&batches).map_err(fault)? {
            Some(rows) => Ok(rows),
            None => from_record_batch(&RecordBatch::new_empty(schema)),
        }
    })
}

/// What the `arrow` crate said, as a format error.
fn fault(error: impl std::fmt::Display) -> FormatError {
    FormatError { code: "arrow_stream", message: error.to_string(), offset: None }
}

#[cfg(test)]
mod tests {
    use voxflow_contract::{Values, tables};

    use super::*;

    fn stream(rows: &Batch) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, rows).expect("memory");
        bytes
    }

    fn keys(samples: &[&str]) -> Batch {
        let contents = Values::fixed_binary(32, vec![[7u8; 32]; samples.len()]);
        let category = Values::utf8(vec!["cup"; samples.len()]);
        Batch::new(tables::key(), vec![Values::utf8(samples), category, contents]).expect("keys")
    }

    #[test]
    fn rows_come_back_as_they_went() {
        for rows in [keys(&["a", "b"]), keys(&[]), keys(&["a", "b", "c"]).slice(1, 2)] {
            assert_eq!(read(stream(&rows)).expect("a stream"), rows);
        }
    }

    #[test]
    fn damage_is_an_error_and_nothing_more() {
        let whole = stream(&keys(&["a", "b"]));
        assert!(read(Vec::new()).is_err());
        for len in 1..whole.len() - 8 {
            assert!(read(whole[..len].to_vec()).is_err(), "cut at {len}");
        }
        for at in 0..whole.len() {
            for bit in [0, 7] {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                // A flipped bit of a value is another value; all else is refused. Nothing panics.
                let _ = read(bytes);
            }
        }
        let mut twice = whole.clone();
        twice.extend(&whole);
        assert!(read(twice).is_err(), "a second stream behind the first");
    }

    #[test]
    fn lengths_that_lie_reserve_no_memory() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0xf0, 0xff, 0xff, 0x7f, 0, 0, 0, 0];
        let error = read(huge.to_vec()).expect_err("two gigabytes of twelve bytes");
        assert_eq!(error.code, "arrow_stream");
    }
}
