//! Parquet: batches into files and back, over the one bridge between the two Arrow crates.
//!
//! voxflow holds rows in `arrow2`; files are the business of the maintained `parquet` crate, which
//! speaks `arrow` 60. [`to_record_batch`] and [`from_record_batch`] hand arrays over by the Arrow C
//! Data Interface, so not a value is copied. All `unsafe` of voxflow lies in `parquet/bridge.rs`.
//!
//! **Invariant:** equal rows, schema and [`WriteOptions`] give equal bytes, however the rows were
//! cut into batches: rows are gathered into whole row groups before they are encoded, and nothing
//! in a file depends on the time or the machine.
//!
//! ```
//! use voxflow_contract::{Batch, Column, ColumnType, Schema, Values};
//! use voxflow_formats::parquet::{ParquetReader, ParquetWriter, WriteOptions};
//!
//! let schema = Schema::new("cup", 1, vec![Column::new("handles", ColumnType::UInt32, "Handles.")]);
//! let batch = Batch::new(schema.clone(), vec![Values::numbers(vec![1u32, 0, 2])])?;
//!
//! let mut writer = ParquetWriter::new(Vec::new(), &schema, WriteOptions { row_group_rows: 2 })?;
//! writer.write(&batch)?;
//! let file = bytes::Bytes::from(writer.finish()?);
//!
//! let reader = ParquetReader::new(file)?;
//! assert_eq!(reader.row_group_rows(), [2, 1]);
//! assert_eq!(reader.read_all()?, batch);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bridge;
mod checked;
mod reader;
mod schema;
mod shared_source;
#[cfg(test)]
mod tests;
mod writer;

pub use bridge::{from_record_batch, to_record_batch};
pub use checked::{BlockHashes, CheckedSource, HashingWriter};
pub(crate) use reader::guarded;
pub use reader::{ParquetFooter, ParquetReader};
pub use writer::{ParquetWriter, WriteOptions};

use crate::FormatError;

/// What the `parquet` or `arrow` crate said, as a format error.
fn fault(error: impl std::fmt::Display) -> FormatError {
    FormatError { code: "parquet", message: error.to_string(), offset: None }
}
