//! Parts into a data set: rows in key order, each to its split, in files of a fixed number of rows.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use voxflow_contract::{Batch, BatchError, Committed, MachineFault, OutputFile, Schema, tables};
use voxflow_formats::parquet::{ParquetReader, ParquetWriter, WriteOptions};

use crate::durable::{format_fault, replace_folder, sync_folder};
use crate::hugging_face::with_features;

/// Folder of all rows where nothing splits them.
const UNSPLIT: &str = "all";
const SPLITS: [&str; 3] = ["train", "val", "test"];

/// How rows lie in files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) rows_per_file: usize,
    pub(crate) options: WriteOptions,
}

/// Makes the data set in `folder`; see `Sink::commit`. Holds one row group of a part in memory, and
/// one of each split.
pub(crate) fn commit(
    layout: Layout,
    parts: &[PathBuf],
    late: &Batch,
    folder: &Path,
) -> Result<Committed, MachineFault> {
    replace_folder(folder, |partial| {
        let mut late = LateRows::new(late)?;
        let mut splits: BTreeMap<String, SplitWriter> = BTreeMap::new();
        for part in parts {
            for_each_row_group(part, |rows| {
                for (split, rows) in late.split(&rows)? {
                    let writer = splits
                        .entry(split)
                        .or_insert_with_key(|split| SplitWriter::new(layout, partial, split));
                    writer.write(&rows)?;
                }
                Ok(())
            })?;
        }
        let mut committed = Committed::default();
        for (split, writer) in splits {
            let files = writer.finish()?;
            committed.splits.insert(split, files.iter().map(|file| file.rows).sum());
            committed.files.extend(files);
        }
        committed.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(committed)
    })
}

fn for_each_row_group(
    part: &Path,
    mut take: impl FnMut(Batch) -> Result<(), MachineFault>,
) -> Result<(), MachineFault> {
    let file = File::open(part).map_err(|e| MachineFault::io("open", part, e))?;
    let reader = ParquetReader::new(file).map_err(|e| format_fault("read", part, &e))?;
    for group in 0..reader.row_group_rows().len() {
        take(reader.read_row_group(group, None).map_err(|e| format_fault("read", part, &e))?)?;
    }
    Ok(())
}

/// What keyed stages said of the samples, walked through in step with the parts.
struct LateRows<'a> {
    late: &'a Batch,
    additions: Batch,
    place: usize,
    last_sample: Option<String>,
}

impl<'a> LateRows<'a> {
    fn new(late: &'a Batch) -> Result<Self, MachineFault> {
        let columns = late.schema().columns().iter().map(|column| column.name.as_str());
        let added: Vec<&str> = columns.filter(|name| !tables::KEY.contains(name)).collect();
        let additions = late.project(&added).map_err(internal)?;
        Ok(Self { late, additions, place: 0, last_sample: None })
    }

    /// `rows`, with the columns keyed stages made, by split.
    fn split(&mut self, rows: &Batch) -> Result<Vec<(String, Batch)>, MachineFault> {
        let whole = if self.additions.schema().columns().is_empty() {
            rows.clone()
        } else {
            let places = self.places(rows)?;
            rows.beside(&self.additions.gather(&places)).map_err(internal)?
        };
        let mut rows_of_split: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for row in 0..whole.rows() {
            rows_of_split.entry(split_of(&whole, row)?).or_default().push(row);
        }
        Ok(rows_of_split.into_iter().map(|(split, rows)| (split, whole.gather(&rows))).collect())
    }

    /// Where in `late` the sample of each row is. Both ascend, so one walk finds all.
    fn places(&mut self, rows: &Batch) -> Result<Vec<usize>, MachineFault> {
        let samples = rows.utf8("sample").map_err(internal)?;
        let known = self.late.utf8("sample").map_err(internal)?;
        let mut places = Vec::with_capacity(rows.rows());
        for sample in samples.values_iter() {
            if self.last_sample.as_deref().is_some_and(|last| last >= sample) {
                return Err(internal(format!("sample `{sample}` is not in key order")));
            }
            while self.place < known.len() && known.value(self.place) < sample {
                self.place += 1;
            }
            if self.place == known.len() || known.value(self.place) != sample {
                return Err(internal(format!("no keyed stage was told of sample `{sample}`")));
            }
            places.push(self.place);
            self.last_sample = Some(sample.to_owned());
        }
        Ok(places)
    }
}

fn split_of(rows: &Batch, row: usize) -> Result<String, MachineFault> {
    if rows.schema().column("split").is_none() {
        return Ok(UNSPLIT.to_owned());
    }
    let split = rows.utf8("split").map_err(internal)?.value(row);
    if SPLITS.contains(&split) {
        return Ok(split.to_owned());
    }
    Err(internal(format!("there is no split `{split}` (there are: {})", SPLITS.join(", "))))
}

fn internal(error: impl Into<InternalFault>) -> MachineFault {
    MachineFault::new(format!("internal error while a data set is made: {}", error.into().0))
}

struct InternalFault(String);

impl From<String> for InternalFault {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<BatchError> for InternalFault {
    fn from(error: BatchError) -> Self {
        Self(error.to_string())
    }
}

/// The files of one split.
struct SplitWriter {
    layout: Layout,
    root: PathBuf,
    split: String,
    open: Option<OpenFile>,
    done: Vec<OutputFile>,
}

impl SplitWriter {
    fn new(layout: Layout, root: &Path, split: &str) -> Self {
        let (root, split) = (root.to_owned(), split.to_owned());
        Self { layout, root, split, open: None, done: Vec::new() }
    }

    fn write(&mut self, rows: &Batch) -> Result<(), MachineFault> {
        let mut start = 0;
        while start < rows.rows() {
            let mut file = match self.open.take() {
                Some(file) => file,
                None => self.next_file(rows.schema())?,
            };
            let len = (rows.rows() - start).min(self.layout.rows_per_file - file.rows);
            file.write(&rows.slice(start, len))?;
            start += len;
            if file.rows == self.layout.rows_per_file {
                self.done.push(file.finish()?);
            } else {
                self.open = Some(file);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<OutputFile>, MachineFault> {
        if let Some(file) = self.open.take() {
            self.done.push(file.finish()?);
        }
        sync_folder(&self.root.join(&self.split))?;
        Ok(self.done)
    }

    fn next_file(&self, schema: &Schema) -> Result<OpenFile, MachineFault> {
        let folder = self.root.join(&self.split);
        fs::create_dir_all(&folder).map_err(|e| MachineFault::io("create", &folder, e))?;
        let name = format!("{}/part-{:05}.parquet", self.split, self.done.len());
        OpenFile::create(self.root.join(&name), name, schema, self.layout.options)
    }
}

/// A file that is being written.
struct OpenFile {
    path: PathBuf,
    name: String,
    rows: usize,
    schema: Schema,
    writer: ParquetWriter<HashedFile>,
}

impl OpenFile {
    fn create(
        path: PathBuf,
        name: String,
        schema: &Schema,
        options: WriteOptions,
    ) -> Result<Self, MachineFault> {
        let file = File::create_new(&path).map_err(|e| MachineFault::io("create", &path, e))?;
        let file = HashedFile { file, hasher: blake3::Hasher::new(), bytes: 0 };
        let schema = with_features(schema);
        let writer = ParquetWriter::new(file, &schema, options)
            .map_err(|e| format_fault("write", &path, &e))?;
        Ok(Self { path, name, rows: 0, schema, writer })
    }

    fn write(&mut self, rows: &Batch) -> Result<(), MachineFault> {
        self.rows += rows.rows();
        let rows = rows.with_schema(self.schema.clone()).map_err(internal)?;
        self.writer.write(&rows).map_err(|e| format_fault("write", &self.path, &e))
    }

    fn finish(self) -> Result<OutputFile, MachineFault> {
        let sink = self.writer.finish().map_err(|e| format_fault("write", &self.path, &e))?;
        sink.file.sync_all().map_err(|e| MachineFault::io("sync", &self.path, e))?;
        Ok(OutputFile {
            path: self.name,
            rows: self.rows as u64,
            bytes: sink.bytes,
            blake3: sink.hasher.finalize().to_hex().to_string(),
        })
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
