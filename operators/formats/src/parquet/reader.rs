//! `ParquetReader`: row groups of one Parquet file, as batches.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{ParquetMetaData, ParquetStatisticsPolicy};
use parquet::file::reader::ChunkReader;
use voxflow_contract::{Batch, Schema};

use super::bridge::batch_under;
use super::fault;
use super::schema::voxflow_schema;
use super::shared_source::SharedSource;
use crate::FormatError;

/// Most rows decoded at once: little enough to be allocated on the word of a damaged footer.
const DECODE_ROWS: usize = 8192;
/// Bytes of pages decoded at once: a list of bytes takes eight times its size while it is decoded.
pub(super) const DECODE_BYTES: usize = 1 << 20;

/// Reads a Parquet file: `bytes::Bytes`, `std::fs::File`, or another [`ChunkReader`].
///
/// Any number of threads may read through one reader.
pub struct ParquetReader<R: ChunkReader + 'static> {
    source: SharedSource<R>,
    pub(super) footer: ParquetFooter,
}

/// What a Parquet file says of itself. Cheap to clone; keep it to open the file again without
/// reading its end.
#[derive(Clone)]
pub struct ParquetFooter {
    pub(super) metadata: ArrowReaderMetadata,
    schema: Schema,
}

impl<R: ChunkReader + 'static> ParquetReader<R> {
    /// Opens a file by reading its footer.
    ///
    /// # Errors
    /// When the footer is not one, or a column has a type that no voxflow table uses.
    pub fn new(source: R) -> Result<Self, FormatError> {
        let source = SharedSource::new(source);
        let metadata =
            guarded(|| ArrowReaderMetadata::load(&source, without_statistics()).map_err(fault))?;
        check_row_counts(metadata.metadata())?;
        let schema = voxflow_schema(metadata.schema())?;
        Ok(Self { source, footer: ParquetFooter { metadata, schema } })
    }

    /// Opens a file whose footer was read before. Should the file have changed since, reads fail or
    /// give other rows.
    pub fn with_footer(source: R, footer: ParquetFooter) -> Self {
        Self { source: SharedSource::new(source), footer }
    }

    /// What the file says of itself.
    pub fn footer(&self) -> &ParquetFooter {
        &self.footer
    }

    /// Columns of the file.
    pub fn schema(&self) -> &Schema {
        &self.footer.schema
    }

    /// Rows of each row group, in order.
    pub fn row_group_rows(&self) -> Vec<usize> {
        self.footer.row_group_rows()
    }

    /// Reads row group `index`, whole: all columns, or the named ones in that order.
    ///
    /// # Errors
    /// When there is no such row group or column, the source fails, or its bytes are damaged.
    pub fn read_row_group(
        &self,
        index: usize,
        columns: Option<&[String]>,
    ) -> Result<Batch, FormatError> {
        let groups = self.footer.row_group_rows();
        let Some(&rows) = groups.get(index) else {
            return Err(fault(format!("there is no row group {index} of {}", groups.len())));
        };
        let all: Vec<String>;
        let names = match columns {
            Some(names) => names,
            None => {
                all = self.schema().columns().iter().map(|c| c.name.clone()).collect();
                &all
            }
        };
        guarded(|| self.decode(index, rows, names))
    }

    /// Reads all rows, all columns.
    ///
    /// # Errors
    /// As [`ParquetReader::read_row_group`].
    pub fn read_all(&self) -> Result<Batch, FormatError> {
        let groups = 0..self.footer.row_group_rows().len();
        let batches: Vec<Batch> =
            groups.map(|index| self.read_row_group(index, None)).collect::<Result<_, _>>()?;
        joined(batches, self.schema())
    }

    fn decode(&self, index: usize, rows: usize, names: &[String]) -> Result<Batch, FormatError> {
        let mut places = names.iter().map(|n| self.place(n)).collect::<Result<Vec<_>, _>>()?;
        places.sort_unstable();
        places.dedup();
        let columns = self.schema().columns();
        let in_file_order: Vec<&str> = places.iter().map(|i| columns[*i].name.as_str()).collect();
        let schema = self.schema().project(&in_file_order);

        let metadata = self.footer.metadata.clone();
        let bytes = metadata.metadata().row_group(index).total_byte_size();
        let row_bytes = usize::try_from(bytes).unwrap_or(0) / rows.max(1);
        let decode_rows = (DECODE_BYTES / row_bytes.max(1)).clamp(1, DECODE_ROWS);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), places);
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), metadata)
                .with_row_groups(vec![index])
                .with_projection(mask)
                .with_batch_size(decode_rows.min(rows.max(1)))
                .build()
                .map_err(fault)?;
        let batches = reader
            .map(|batch| batch_under(batch.map_err(fault)?.columns(), schema.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let batch = joined(batches, &schema)?;
        if batch.rows() != rows && !names.is_empty() {
            let found = batch.rows();
            return Err(fault(format!("row group {index} has {found} rows, not {rows}")));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        batch.project(&names).map_err(fault)
    }

    fn place(&self, name: &str) -> Result<usize, FormatError> {
        self.schema().index_of(name).ok_or_else(|| {
            let known: Vec<_> = self.schema().columns().iter().map(|c| c.name.as_str()).collect();
            let known = known.join(", ");
            let message = format!("there is no column `{name}` (there are: {known})");
            FormatError { code: "no_column", message, offset: None }
        })
    }
}

impl ParquetFooter {
    /// Columns of the file.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Rows of each row group, in order.
    pub fn row_group_rows(&self) -> Vec<usize> {
        let groups = self.metadata.metadata().row_groups();
        groups.iter().map(|group| usize::try_from(group.num_rows()).unwrap_or(0)).collect()
    }
}

/// The `parquet` and `arrow` crates panic on some damaged files (a column chunk of negative length, say); for a
/// program that runs for days that is an error like any other. What `read` borrows is only read.
pub(crate) fn guarded<T>(read: impl FnOnce() -> Result<T, FormatError>) -> Result<T, FormatError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let said = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it cannot be read");
        Err(fault(format!("the file is damaged: {said}")))
    })
}

/// Nothing here asks for statistics, and they would be most of a footer's memory.
fn without_statistics() -> ArrowReaderOptions {
    ArrowReaderOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
}

fn joined(mut batches: Vec<Batch>, schema: &Schema) -> Result<Batch, FormatError> {
    if batches.len() == 1 {
        return Ok(batches.remove(0));
    }
    let rows = Batch::concat(&batches).map_err(fault)?;
    Ok(rows.unwrap_or_else(|| Batch::empty(schema.clone())))
}

fn check_row_counts(metadata: &ParquetMetaData) -> Result<(), FormatError> {
    let counts = || metadata.row_groups().iter().map(|group| group.num_rows());
    let total = counts().try_fold(0i64, i64::checked_add);
    if counts().all(|rows| rows >= 0) && total == Some(metadata.file_metadata().num_rows()) {
        return Ok(());
    }
    Err(fault("the row counts of the footer contradict each other"))
}
