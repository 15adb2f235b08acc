//! The operator behind `exec`: rows into a file, a program, rows out of a file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use tempfile::TempDir;
use voxflow_contract::{Batch, BatchError, Fault, Operator, Refusals, Schema, tables};
use voxflow_formats::arrow_stream;
use voxflow_formats::parquet::{ParquetReader, ParquetWriter, WriteOptions};

use crate::process::{Passes, Program};

/// Rows of a program.
pub(crate) struct Exec {
    pub(crate) program: Program,
    pub(crate) output: Schema,
    /// How often it is started again for a batch.
    pub(crate) retries: u32,
    pub(crate) bytes_per_row: usize,
}

/// What a program gave for a batch.
pub(crate) struct Given {
    /// Rows of the output table, in the order of the input.
    pub(crate) rows: Batch,
    /// Rows of the input that have none, and why.
    pub(crate) refused: Vec<(usize, Fault)>,
}

impl Operator for Exec {
    fn output(&self) -> Schema {
        self.output.clone()
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let mut last = self.once(batch);
        for _ in 0..self.retries {
            if last.is_ok() {
                break;
            }
            last = self.once(batch);
        }
        let given = match last {
            Ok(given) => given,
            Err(_) if batch.rows() > 1 => self.row_by_row(batch)?,
            Err(fault) => return Err(fault),
        };
        for (row, fault) in given.refused {
            refusals.refuse(row, fault);
        }
        Ok(given.rows)
    }

    fn bytes_per_row(&self) -> usize {
        self.bytes_per_row
    }
}

impl Exec {
    /// Runs the program for each row alone, so that one bad row costs itself only.
    fn row_by_row(&self, batch: &Batch) -> Result<Given, Fault> {
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        for row in 0..batch.rows() {
            match self.once(&batch.slice(row, 1)) {
                Ok(given) => {
                    rows.push(given.rows);
                    refused.extend(given.refused.into_iter().map(|(_, fault)| (row, fault)));
                }
                Err(fault) => refused.push((row, fault)),
            }
        }
        let rows = Batch::concat(&rows)?.unwrap_or_else(|| Batch::empty(self.output.clone()));
        Ok(Given { rows, refused })
    }

    /// Runs the program once.
    fn once(&self, batch: &Batch) -> Result<Given, Fault> {
        let io =
            |what: &str, e: std::io::Error| Fault::new("program_files", format!("{what}: {e}"));
        let folder = TempDir::with_prefix("voxflow-exec-");
        let folder = folder.map_err(|e| io("cannot make a folder for a program", e))?;
        let (from, to) = (folder.path().join("in"), folder.path().join("out"));
        write(&from, batch, self.program.passes)
            .map_err(|e| Fault::new("program_files", format!("cannot write rows: {e}")))?;
        let said = self.program.run(folder.path(), &from, &to)?;
        let cannot = |e| io("the program left no file", e);
        let rows = match self.program.passes {
            Passes::Parquet => {
                let file = File::open(&to).map_err(cannot)?;
                ParquetReader::new(file).and_then(|reader| reader.read_all())
            }
            Passes::Arrow => arrow_stream::read(fs::read(&to).map_err(cannot)?),
        };
        let rows = rows.map_err(|e| bad_output(&e.to_string()))?;
        self.check(batch, &rows, &said)
    }

    /// Puts what a program gave in order, under the key columns of what it was given.
    pub(crate) fn check(&self, batch: &Batch, given: &Batch, stderr: &str) -> Result<Given, Fault> {
        let reasons = reasons(stderr);
        let said = |e: BatchError| bad_output(&e.to_string());
        let samples = given.utf8("sample").map_err(said)?;
        let mut found = BTreeMap::new();
        for (row, sample) in samples.values_iter().enumerate() {
            if found.insert(sample, row).is_some() {
                return Err(bad_output(&format!("it has two rows for {sample}")));
            }
        }
        let (mut from, mut to, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (row, sample) in batch.utf8("sample")?.values_iter().enumerate() {
            match found.remove(sample) {
                Some(place) => {
                    from.push(row);
                    to.push(place);
                }
                None => {
                    let reason = reasons.get(sample).map(String::as_str);
                    let message = reason.unwrap_or("the program gave no row for it and no reason");
                    refused.push((row, Fault::new("program_refused", message)));
                }
            }
        }
        if let Some(sample) = found.keys().next() {
            return Err(bad_output(&format!("it has a row for {sample}, which was not asked for")));
        }
        let keys = batch.project(&tables::KEY)?.gather(&from);
        let payload = self.output.columns().iter().map(|column| column.name.as_str());
        let payload: Vec<&str> = payload.filter(|name| !tables::KEY.contains(name)).collect();
        let payload = given.project(&payload).map_err(said)?.gather(&to);
        let rows = keys.beside(&payload)?.with_schema(self.output.clone()).map_err(said)?;
        Ok(Given { rows, refused })
    }
}

fn bad_output(message: &str) -> Fault {
    Fault::new("program_output", format!("what the program gave cannot be used: {message}"))
}

fn write(path: &Path, batch: &Batch, passes: Passes) -> Result<(), String> {
    let file = File::create_new(path).map_err(|e| e.to_string())?;
    match passes {
        Passes::Parquet => {
            let options = WriteOptions { row_group_rows: batch.rows().max(1) };
            let writer = ParquetWriter::new(file, batch.schema(), options);
            let written = writer.and_then(|mut writer| {
                writer.write(batch)?;
                writer.finish().map(drop)
            });
            written.map_err(|e| e.to_string())
        }
        Passes::Arrow => {
            arrow_stream::write(BufWriter::new(file), batch).map_err(|e| e.to_string())
        }
    }
}

/// Lines `refuse<TAB>SAMPLE<TAB>REASON`.
fn reasons(said: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (sample, reason) = line.strip_prefix("refuse\t")?.split_once('\t')?;
        Some((sample.to_owned(), reason.trim().to_owned()))
    };
    said.lines().filter_map(line).collect()
}
