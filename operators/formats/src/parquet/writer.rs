//! `ParquetWriter`: rows into one Parquet file, the same bytes for the same rows.

use std::io::Write;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use voxflow_contract::{Batch, ColumnType, Schema};

use super::bridge::record_batch_under;
use super::fault;
use super::schema::file_schema;
use crate::FormatError;

/// Bytes of a page after which another is begun; readers take far more.
const MAX_PAGE_BYTES: usize = 64 << 20;

/// How a Parquet file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// Rows in each row group but the last; at least 1. A reader loads whole row groups.
    pub row_group_rows: usize,
}

impl Default for WriteOptions {
    /// 32 rows in a row group: a batch of training reads little it does not use.
    fn default() -> Self {
        Self { row_group_rows: 32 }
    }
}

/// Writes batches of one schema as a Parquet file.
///
/// Pictures are stored as they are, everything else by zstd (level 3); text has dictionaries, and
/// text and numbers have statistics. The Arrow schema is kept with all metadata.
///
/// Holds one row group of rows in memory: the encoder, which takes more, is there only while a row
/// group is written. The bytes of the file do not depend on how the rows were
/// dealt to calls, as long as a column of a row group takes less than 64 MiB.
pub struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: Schema,
    file_schema: SchemaRef,
    row_group_rows: usize,
    /// Rows of the next row group.
    pending: Vec<Batch>,
    pending_rows: usize,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// A file of `schema` that is written to `sink`.
    ///
    /// # Errors
    /// When a row group is to have no rows, or the sink fails.
    pub fn new(sink: W, schema: &Schema, options: WriteOptions) -> Result<Self, FormatError> {
        if options.row_group_rows == 0 {
            return Err(fault("a row group has at least 1 row"));
        }
        let file_schema = Arc::new(file_schema(schema)?);
        let properties = properties(schema, &file_schema, options.row_group_rows)?;
        let writer = ArrowWriter::try_new(sink, Arc::clone(&file_schema), Some(properties));
        Ok(Self {
            writer: writer.map_err(fault)?,
            schema: schema.clone(),
            file_schema,
            row_group_rows: options.row_group_rows,
            pending: Vec::new(),
            pending_rows: 0,
        })
    }

    /// Appends the rows of `batch`.
    ///
    /// # Errors
    /// When the batch has other columns than the file, or the sink fails.
    pub fn write(&mut self, batch: &Batch) -> Result<(), FormatError> {
        self.check_columns(batch)?;
        let mut start = 0;
        while start < batch.rows() {
            let len = (batch.rows() - start).min(self.row_group_rows - self.pending_rows);
            self.pending.push(batch.slice(start, len));
            self.pending_rows += len;
            start += len;
            if self.pending_rows == self.row_group_rows {
                self.write_row_group()?;
            }
        }
        Ok(())
    }

    /// Ends the row group, if one is begun: the next rows begin another.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn end_row_group(&mut self) -> Result<(), FormatError> {
        if self.pending_rows > 0 { self.write_row_group() } else { Ok(()) }
    }

    /// Where the bytes go; some may not have gone there yet.
    pub fn sink(&self) -> &W {
        self.writer.inner()
    }

    /// Writes what is left and the footer, and gives the sink back, flushed into but not synced.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn finish(mut self) -> Result<W, FormatError> {
        self.write_row_group()?;
        self.writer.into_inner().map_err(fault)
    }

    fn write_row_group(&mut self) -> Result<(), FormatError> {
        self.pending_rows = 0;
        for rows in std::mem::take(&mut self.pending) {
            let rows = record_batch_under(&rows, Arc::clone(&self.file_schema))?;
            self.writer.write(&rows).map_err(fault)?;
        }
        self.writer.flush().map_err(fault)
    }

    fn check_columns(&self, batch: &Batch) -> Result<(), FormatError> {
        if batch.schema().columns() == self.schema.columns() {
            return Ok(());
        }
        let message = format!("rows of {:?} in a file of {:?}", batch.schema(), self.schema);
        Err(FormatError { code: "column_type", message, offset: None })
    }
}

/// Settings of every leaf of the file, by the type of the column it belongs to.
fn properties(
    schema: &Schema,
    file_schema: &SchemaRef,
    row_group_rows: usize,
) -> Result<WriterProperties, FormatError> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3).map_err(fault)?);
    let mut builder = WriterProperties::builder()
        .set_compression(zstd)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        // One page a column and row group: where the encoder began another would depend on how many
        // rows it was given at once.
        .set_data_page_size_limit(MAX_PAGE_BYTES)
        .set_data_page_row_count_limit(usize::MAX)
        // Pages are not looked up one by one; the index would stay in memory until the footer.
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(row_group_rows));
    let leaves = ArrowSchemaConverter::new().convert(file_schema).map_err(fault)?;
    for leaf in leaves.columns() {
        let path: &ColumnPath = leaf.path();
        let column = path.parts().first().and_then(|name| schema.column(name));
        let Some(column) = column else { continue };
        builder = match column.column_type {
            ColumnType::Images => {
                builder.set_column_compression(path.clone(), Compression::UNCOMPRESSED)
            }
            ColumnType::Utf8 => builder
                .set_column_dictionary_enabled(path.clone(), true)
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk),
            ColumnType::UInt32 | ColumnType::UInt64 | ColumnType::Float32 | ColumnType::Float64 => {
                builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk)
            }
            _ => builder,
        };
    }
    Ok(builder.build())
}
