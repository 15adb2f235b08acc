//! `parquet`: a data set of Parquet files, one folder for each split.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, ColumnType, FilePolicy, Inputs, Kind, MachineFault, ParamError, Params,
    PlannedFile, Schema, SetupFault, Sink, SinkFile, Stage, tables,
};
use voxflow_formats::parquet::WriteOptions;

use crate::parquet_file::ParquetFile;
use crate::plan::plan;

/// The registry item of [`ParquetSink`].
pub struct ParquetKind;

/// Parameters of the `parquet` sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParquetParams {
    /// Folder of the data set, relative to the run's.
    pub folder: String,
    /// Most rows in a file. Where a split has more, it is cut in two before the sample whose id has
    /// the least BLAKE3 hash, half of `rows_per_file` from either end at least, and so on. So every
    /// file has between half as many rows and all, unless its split has fewer, and most stay as
    /// they are when a sample comes or goes.
    #[schemars(range(min = 1))]
    pub rows_per_file: usize,
    /// Rows in each row group: what a reader loads at once. When not given, 32 where rows have
    /// pictures, lists or bytes of any length, else as many as make about 128 KiB, 32 to 1024.
    #[schemars(range(min = 1))]
    pub row_group_rows: Option<usize>,
}

/// Rows in a row group at least, unless a pipeline says otherwise.
const FEW_ROWS: usize = 32;
/// Rows in a row group at most, unless a pipeline says otherwise.
const MANY_ROWS: usize = 1024;
/// Bytes that a row group of small rows makes, before it is compressed.
const ROW_GROUP_BYTES: usize = 128 << 10;
/// Bytes that a text is taken for: an id, a class, a format.
const TEXT_BYTES: usize = 32;

impl Default for ParquetParams {
    fn default() -> Self {
        Self { folder: "dataset".to_owned(), rows_per_file: 1024, row_group_rows: None }
    }
}

/// Makes the data set `train/part-00000.parquet` and so on, or `all/part-00000.parquet` when
/// nothing splits the samples.
///
/// The ids of the samples say where files end. With `rows_per_file` = N, as long as more than N rows
/// of a split are together in key order, they are cut in two, at least N/2 rows, rounded up, from
/// either end, before the sample with the least hash: the first 8 bytes (little-endian) of the
/// BLAKE3 of its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParquetSink {
    params: ParquetParams,
}

impl ParquetSink {
    /// A sink with checked parameters.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn new(params: ParquetParams) -> Result<Self, Vec<ParamError>> {
        let at_least_1 =
            |key, value: usize| (value == 0).then(|| ParamError::new(key, "must be at least 1"));
        let errors: Vec<ParamError> = [
            check_folder(&params.folder).err().map(|m| ParamError::new("folder", m)),
            at_least_1("rows_per_file", params.rows_per_file),
            at_least_1("row_group_rows", params.row_group_rows.unwrap_or(1)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if errors.is_empty() { Ok(Self { params }) } else { Err(errors) }
    }

    fn options(&self, rows: &Schema) -> WriteOptions {
        let row_group_rows = self.params.row_group_rows.unwrap_or_else(|| rows_of_a_group(rows));
        WriteOptions { row_group_rows }
    }
}

/// Rows that make a row group which is neither dear to read for one of them nor mostly headers.
fn rows_of_a_group(rows: &Schema) -> usize {
    let bytes = rows.columns().iter().map(|column| match &column.column_type {
        ColumnType::Utf8 => Some(TEXT_BYTES),
        other => other.fixed_bytes(),
    });
    match bytes.sum::<Option<usize>>() {
        Some(bytes) => (ROW_GROUP_BYTES / bytes.max(1)).clamp(FEW_ROWS, MANY_ROWS),
        None => FEW_ROWS,
    }
}

impl Sink for ParquetSink {
    fn check(&self, input: &Schema) -> Result<(), SetupFault> {
        let missing: Vec<&str> =
            tables::KEY.into_iter().filter(|name| input.column(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.join(", ");
        Err(SetupFault::new(format!("a data set needs the key columns; {missing} is not there")))
    }

    fn folder(&self) -> &str {
        &self.params.folder
    }

    fn plan(&self, keys: &Batch) -> Result<Vec<PlannedFile>, MachineFault> {
        plan(keys, FilePolicy { rows_per_file: self.params.rows_per_file })
    }

    fn file_policy(&self) -> Option<FilePolicy> {
        Some(FilePolicy { rows_per_file: self.params.rows_per_file })
    }

    fn create(&self, path: &Path, rows: &Schema) -> Result<Box<dyn SinkFile>, MachineFault> {
        Ok(Box::new(ParquetFile::create(path, rows, self.options(rows))?))
    }
}

impl Kind for ParquetKind {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn summary(&self) -> &'static str {
        "A data set of Parquet files, one folder for each split."
    }

    fn manual(&self) -> &'static str {
        "Writes all columns of its inputs, side by side, sorted by sample, to `train`, `val` and \
         `test` as the column `split` says, or to `all` when there is none.\n\n\
         With `rows_per_file` = N, as long as more than N rows of a split are together in key \
         order, they are cut in two, at least N/2 rows, rounded up, from either end, before the \
         sample with the least hash: the first 8 bytes, little-endian, of the BLAKE3 of its id. So \
         files have between N/2 and N rows, but for splits of fewer, and a sample that comes or \
         goes changes one or two files, seldom more, and not all that follow.\n\n\
         The bytes of the files depend on rows and parameters only, not on the number of workers \
         or on interruptions. The data set appears at once when it is complete, and replaces an \
         older one.\n\n\
         Hugging Face `datasets`, DuckDB and pyarrow read the files as they are: pictures are a \
         list of the Image feature, grids are fixed-size lists of bytes whose shape is in the \
         column's metadata (`voxflow.shape`).\n\n\
         Small row groups let a training read little it does not use; large ones compress \
         better. Memory: a row group of each file that is being written."
    }

    fn version(&self) -> u32 {
        3
    }

    fn inputs(&self) -> Inputs {
        Inputs::Any
    }

    fn output(&self) -> &'static str {
        "dataset"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"dataset\"\nuse = \"parquet\"\nfrom = [\"views\", \"split\"]\n\
         folder = \"dataset\"\nrows_per_file = 1024\nrow_group_rows = 64\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(ParquetParams)
    }

    fn build(&self, params: &Params, _: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        Ok(Stage::Sink(Arc::new(ParquetSink::new(params.parse()?)?)))
    }
}

/// A data set stays in its run's folder: plain names only, on every system.
fn check_folder(folder: &str) -> Result<(), &'static str> {
    let is_plain = |name: &str| {
        !matches!(name, "" | "." | "..")
            && !name.contains(['\\', ':'])
            && !name.contains(char::is_control)
    };
    let is_taken = |name: &str| [".partial", ".old"].iter().any(|end| name.ends_with(end));
    if folder.split('/').any(is_taken) {
        return Err("must not end with `.partial` or `.old`: so is called what is half written");
    }
    if folder.split('/').all(is_plain) {
        return Ok(());
    }
    Err("must be a relative path without `.` and `..`, such as \"dataset\"")
}
