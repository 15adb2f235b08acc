//! `parquet`: a data set of Parquet files, one folder for each split.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BatchError, BuildContext, Committed, Inputs, Kind, MachineFault, ParamError, Params,
    Schema, SetupFault, Sink, Stage, tables,
};
use voxflow_formats::FormatError;
use voxflow_formats::parquet::{ParquetReader, ParquetWriter, WriteOptions};

use crate::commit::{Layout, commit};
use crate::durable::{format_fault, write_durably};

/// The registry item of [`ParquetSink`].
pub struct ParquetKind;

/// Parameters of the `parquet` sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParquetParams {
    /// Folder of the data set, relative to the run's.
    pub folder: String,
    /// Rows in each file but the last of a split.
    #[schemars(range(min = 1))]
    pub rows_per_file: usize,
    /// Rows in each row group: what a reader loads at once.
    #[schemars(range(min = 1))]
    pub row_group_rows: usize,
}

impl Default for ParquetParams {
    fn default() -> Self {
        Self { folder: "dataset".to_owned(), rows_per_file: 1024, row_group_rows: 32 }
    }
}

/// Writes parts and, at the end, the data set: `train/part-00000.parquet` and so on, or
/// `all/part-00000.parquet` when nothing splits the samples.
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
            at_least_1("row_group_rows", params.row_group_rows),
        ]
        .into_iter()
        .flatten()
        .collect();
        if errors.is_empty() { Ok(Self { params }) } else { Err(errors) }
    }

    fn options(&self) -> WriteOptions {
        WriteOptions { row_group_rows: self.params.row_group_rows }
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

    fn write(&self, path: &Path, batch: &Batch) -> Result<(), MachineFault> {
        write_durably(path, |file| {
            let mut writer = ParquetWriter::new(file, batch.schema(), self.options())?;
            writer.write(batch)?;
            writer.finish()
        })
    }

    fn read_keys(&self, path: &Path) -> Result<Batch, MachineFault> {
        let file = File::open(path).map_err(|e| MachineFault::io("open", path, e))?;
        let keys = ParquetReader::new(file).and_then(|reader| read_keys(&reader));
        keys.map_err(|e| format_fault("read", path, &e))
    }

    fn commit(
        &self,
        parts: &[PathBuf],
        late: &Batch,
        folder: &Path,
    ) -> Result<Committed, MachineFault> {
        let layout = Layout { rows_per_file: self.params.rows_per_file, options: self.options() };
        commit(layout, parts, late, folder)
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
         The bytes of the files depend on rows and parameters only, not on the number of workers \
         or on interruptions. The data set appears at once when it is complete, and replaces an \
         older one.\n\n\
         Hugging Face `datasets`, DuckDB and pyarrow read the files as they are: pictures are a \
         list of the Image feature, grids are fixed-size lists of bytes whose shape is in the \
         column's metadata (`voxflow.shape`).\n\n\
         Small row groups let a training read little it does not use; large ones compress \
         better. Memory: a row group of each split."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Any
    }

    fn output(&self) -> &'static str {
        "dataset"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"dataset\"\nuse = \"parquet\"\nfrom = [\"views\", \"split\"]\n\
         folder = \"dataset\"\nrows_per_file = 1024\nrow_group_rows = 32\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(ParquetParams)
    }

    fn build(&self, params: &Params, _: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        Ok(Stage::Sink(Arc::new(ParquetSink::new(params.parse()?)?)))
    }
}

fn read_keys(reader: &ParquetReader<File>) -> Result<Batch, FormatError> {
    let names = tables::KEY.map(str::to_owned);
    let misfit = |error: BatchError| FormatError {
        code: "column_type",
        message: error.to_string(),
        offset: None,
    };
    let mut groups = vec![Batch::empty(tables::key())];
    for group in 0..reader.row_group_rows().len() {
        let rows = reader.read_row_group(group, Some(&names))?;
        groups.push(rows.with_schema(tables::key()).map_err(misfit)?);
    }
    let keys = Batch::concat(&groups).map_err(misfit)?;
    Ok(keys.unwrap_or_else(|| Batch::empty(tables::key())))
}

/// A data set stays in its run's folder: plain names only, on every system.
fn check_folder(folder: &str) -> Result<(), &'static str> {
    let is_plain = |name: &str| {
        !matches!(name, "" | "." | "..")
            && !name.contains(['\\', ':'])
            && !name.contains(char::is_control)
    };
    if folder.split('/').all(is_plain) {
        return Ok(());
    }
    Err("must be a relative path without `.` and `..`, such as \"dataset\"")
}
