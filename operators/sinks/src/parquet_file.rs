//! `ParquetFile`: one file of a data set while it is written, counted and hashed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use voxflow_contract::{Batch, MachineFault, Schema, SinkFile};
use voxflow_formats::parquet::{ParquetWriter, WriteOptions};

use crate::fault::{format_fault, internal};
use crate::hugging_face::with_features;

/// A Parquet file that is being written. Holds one row group in memory.
pub(crate) struct ParquetFile {
    path: PathBuf,
    schema: Schema,
    writer: ParquetWriter<HashedFile>,
}

impl ParquetFile {
    /// Begins a new file for rows of a schema; see `Sink::create`.
    pub(crate) fn create(
        path: &Path,
        rows: &Schema,
        options: WriteOptions,
    ) -> Result<Self, MachineFault> {
        let folder = path.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(folder).map_err(|e| MachineFault::io("create", folder, e))?;
        let file = File::create_new(path).map_err(|e| MachineFault::io("create", path, e))?;
        let file = HashedFile { file, hasher: blake3::Hasher::new(), bytes: 0 };
        let schema = with_features(rows);
        let writer = ParquetWriter::new(file, &schema, options)
            .map_err(|e| format_fault("write", path, &e))?;
        Ok(Self { path: path.to_owned(), schema, writer })
    }
}

impl SinkFile for ParquetFile {
    fn write(&mut self, rows: &Batch) -> Result<(), MachineFault> {
        let rows = rows.with_schema(self.schema.clone()).map_err(internal)?;
        self.writer.write(&rows).map_err(|e| format_fault("write", &self.path, &e))
    }

    fn finish(self: Box<Self>) -> Result<(u64, String), MachineFault> {
        let written = self.writer.finish().map_err(|e| format_fault("write", &self.path, &e))?;
        written.file.sync_all().map_err(|e| MachineFault::io("sync", &self.path, e))?;
        Ok((written.bytes, written.hasher.finalize().to_hex().to_string()))
    }
}

/// A file that counts and hashes what is written to it.
struct HashedFile {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
