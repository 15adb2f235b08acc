//! `Dataset`: a committed data set, row by row, in any order.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use voxflow_contract::{Batch, BatchError, DataIndex, IndexedRow, Schema, tables};
use voxflow_formats::FormatError;
use voxflow_formats::parquet::{
    BlockHashes, CheckedSource, HashingWriter, ParquetFooter, ParquetReader,
};

/// Folders of a data set, in the order their rows are numbered.
const SPLITS: [&str; 4] = ["train", "val", "test", "all"];
/// Memory for decoded row groups, where nothing else is said.
const DEFAULT_CACHE_BYTES: usize = 256 << 20;

/// Why a data set cannot be opened or read. The path comes last.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The folder holds no rows.
    #[error("there are no Parquet files in train, val, test or all: {}", .0.display())]
    Empty(PathBuf),
    /// The system says no.
    #[error("cannot read: {source}: {}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not Parquet, is damaged, or lacks a column.
    #[error("{source}: {}", path.display())]
    Format {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A file has other columns than the first.
    #[error("columns {found} where the first file has {expected}: {}", path.display())]
    Columns {
        /// Columns of the first file.
        expected: String,
        /// Columns of this one.
        found: String,
        /// File.
        path: PathBuf,
    },
    /// There is no such row.
    #[error("there is no row {row} (there are {rows})")]
    Row {
        /// Row that was asked for.
        row: usize,
        /// Rows there are.
        rows: usize,
    },
    /// Rows do not fit together, or there is no such column.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// A committed data set as a source of rows that are addressed by their number in its index.
///
/// Reads whole row groups and keeps the last used ones decoded, within a bound of bytes. Any number
/// of threads may read at once; files are opened for each read and never held. Every byte is compared
/// with what was there when the data set was opened: one that changed since is an error, not a row.
pub struct Dataset {
    index: Arc<DataIndex>,
    files: Vec<DataFile>,
    /// File, and row group in it, of each group of the index.
    places: Vec<(usize, usize)>,
    cache: Mutex<Cache>,
}

struct DataFile {
    path: PathBuf,
    footer: ParquetFooter,
    /// Of the bytes there were when the data set was opened.
    hashes: BlockHashes,
}

impl Dataset {
    /// Opens the data set in `folder`: reads the key and split columns, and every byte once for the
    /// digest.
    ///
    /// # Errors
    /// When there are no rows, or a file is damaged or has other columns than the first.
    pub fn open(folder: &Path) -> Result<Self, DatasetError> {
        let mut opening = Opening::default();
        for split in SPLITS {
            for path in part_files(&folder.join(split))? {
                opening.add(split, path)?;
            }
        }
        opening.finish(folder)
    }

    /// The same data set with at most `bytes` bytes of decoded row groups kept; 0 keeps none.
    pub fn with_cache_bytes(self, bytes: usize) -> Self {
        Self { cache: Mutex::new(Cache::new(bytes)), ..self }
    }

    /// All rows without their payload, and which of them are read at once.
    pub fn index(&self) -> &Arc<DataIndex> {
        &self.index
    }

    /// The rows of the given numbers, in that order, repeats and all: the key columns, then the
    /// named ones.
    ///
    /// # Errors
    /// When there is no such row or column, or a file changed or cannot be read.
    pub fn read(&self, rows: &[usize], columns: &[String]) -> Result<Batch, DatasetError> {
        let names = self.names(columns)?;
        let mut rows_of_group: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for row in rows {
            rows_of_group.entry(self.group_of(*row)?).or_default().push(*row);
        }
        let mut found: Vec<Batch> = Vec::with_capacity(rows_of_group.len());
        let mut place_of_row = HashMap::with_capacity(rows.len());
        for (group, mut wanted) in rows_of_group {
            wanted.sort_unstable();
            wanted.dedup();
            let first = self.index.groups[group].start;
            let known = place_of_row.len();
            place_of_row.extend(wanted.iter().enumerate().map(|(i, row)| (*row, known + i)));
            let inside: Vec<usize> = wanted.iter().map(|row| row - first).collect();
            found.push(self.group(group, &names)?.gather(&inside));
        }
        let places: Vec<usize> = rows.iter().map(|row| place_of_row[row]).collect();
        match Batch::concat(&found)? {
            Some(batch) => Ok(batch.gather(&places)),
            None => Ok(Batch::empty(self.projected(&names))),
        }
    }

    fn names(&self, columns: &[String]) -> Result<Vec<String>, DatasetError> {
        let mut names: Vec<String> = tables::KEY.iter().map(|name| (*name).to_owned()).collect();
        for column in columns {
            if self.index.schema.column(column).is_none() {
                let known = column_names(&self.index.schema);
                return Err(BatchError::NoColumn { name: column.clone(), known }.into());
            }
            if !names.contains(column) {
                names.push(column.clone());
            }
        }
        Ok(names)
    }

    fn projected(&self, names: &[String]) -> Schema {
        self.index.schema.project(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn group_of(&self, row: usize) -> Result<usize, DatasetError> {
        let rows = self.index.rows.len();
        if row >= rows {
            return Err(DatasetError::Row { row, rows });
        }
        Ok(self.index.groups.partition_point(|group| group.end <= row))
    }

    /// A decoded row group. Two threads that miss it at once both decode it: neither waits.
    fn group(&self, group: usize, names: &[String]) -> Result<Batch, DatasetError> {
        if let Some(batch) = self.cache().get(group, names) {
            return Ok(batch);
        }
        let (file, row_group) = self.places[group];
        let DataFile { path, footer, hashes } = &self.files[file];
        let source = File::open(path).map_err(|e| io_error(path, e))?;
        let source = CheckedSource::new(source, hashes.clone());
        let batch = ParquetReader::with_footer(source, footer.clone())
            .read_row_group(row_group, Some(names))
            .map_err(|e| format_error(path, e))?
            .with_schema(self.projected(names))?;
        self.cache().put(group, names, &batch);
        Ok(batch)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A data set that is being opened, file by file.
#[derive(Default)]
struct Opening {
    rows: Vec<IndexedRow>,
    groups: Vec<Range<usize>>,
    places: Vec<(usize, usize)>,
    files: Vec<DataFile>,
    digest: blake3::Hasher,
}

impl Opening {
    fn add(&mut self, split: &str, path: PathBuf) -> Result<(), DatasetError> {
        let hashes = self.hash(split, &path)?;
        let file = File::open(&path).map_err(|e| io_error(&path, e))?;
        let reader = ParquetReader::new(file).map_err(|e| format_error(&path, e))?;
        self.check_columns(reader.schema(), &path)?;
        for (row_group, rows) in reader.row_group_rows().into_iter().enumerate() {
            if rows > 0 {
                let start = self.rows.len();
                self.index_group(&reader, row_group, split).map_err(|e| format_error(&path, e))?;
                self.groups.push(start..self.rows.len());
                self.places.push((self.files.len(), row_group));
            }
        }
        self.files.push(DataFile { footer: reader.footer().clone(), path, hashes });
        Ok(())
    }

    /// Reads a file once, for the digest and for its blocks. Names count relative to the data set, so
    /// that it may move.
    fn hash(&mut self, split: &str, path: &Path) -> Result<BlockHashes, DatasetError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut both = HashingWriter::new(blake3::Hasher::new());
        let copied = File::open(path).and_then(|mut source| io::copy(&mut source, &mut both));
        copied.map_err(|e| io_error(path, e))?;
        let (file, hashes) = both.finish();
        self.digest.update(format!("{split}/{name}\n{}\n", file.finalize().to_hex()).as_bytes());
        Ok(hashes)
    }

    fn check_columns(&self, schema: &Schema, path: &Path) -> Result<(), DatasetError> {
        match self.files.first().map(|file| file.footer.schema()) {
            Some(first) if first.columns() != schema.columns() => Err(DatasetError::Columns {
                expected: format!("{first:?}"),
                found: format!("{schema:?}"),
                path: path.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Appends the rows of one row group. The folder says the split; a `split` column must agree.
    fn index_group(
        &mut self,
        reader: &ParquetReader<File>,
        row_group: usize,
        folder: &str,
    ) -> Result<(), FormatError> {
        let has_split = reader.schema().column("split").is_some();
        let mut names: Vec<String> = tables::KEY.iter().map(|name| (*name).to_owned()).collect();
        names.extend(has_split.then(|| "split".to_owned()));
        let batch = reader.read_row_group(row_group, Some(&names))?;
        batch.fixed_binary("content").map_err(unfit)?;
        let samples = batch.utf8("sample").map_err(unfit)?;
        let categories = batch.utf8("category").map_err(unfit)?;
        for row in 0..batch.rows() {
            let split =
                if has_split { batch.utf8("split").map_err(unfit)?.value(row) } else { folder };
            if split != folder {
                let message = format!("sample `{}` of split `{split}`", samples.value(row));
                return Err(unfit(format!("{message} lies in folder `{folder}`")));
            }
            self.rows.push(IndexedRow {
                sample: samples.value(row).to_owned(),
                category: categories.value(row).to_owned(),
                split: split.to_owned(),
            });
        }
        Ok(())
    }

    fn finish(self, folder: &Path) -> Result<Dataset, DatasetError> {
        let Some(first) = self.files.first().filter(|_| !self.rows.is_empty()) else {
            return Err(DatasetError::Empty(folder.to_owned()));
        };
        let index = DataIndex {
            rows: self.rows,
            groups: self.groups,
            schema: first.footer.schema().clone(),
            digest: self.digest.finalize().to_hex().to_string(),
        };
        let cache = Mutex::new(Cache::new(DEFAULT_CACHE_BYTES));
        Ok(Dataset { index: Arc::new(index), files: self.files, places: self.places, cache })
    }
}

/// Parquet files in `folder`, in the order they were written (part 100000 after part 99999); none
/// when there is no such folder.
fn part_files(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(folder, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| io_error(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            paths.push(path);
        }
    }
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(paths)
}

fn column_names(schema: &Schema) -> String {
    schema.columns().iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn io_error(path: &Path, source: io::Error) -> DatasetError {
    DatasetError::Io { path: path.to_owned(), source }
}

fn format_error(path: &Path, source: FormatError) -> DatasetError {
    DatasetError::Format { path: path.to_owned(), source }
}

fn unfit(error: impl std::fmt::Display) -> FormatError {
    FormatError { code: "dataset", message: error.to_string(), offset: None }
}

/// Decoded row groups, the last used ones, within a bound of bytes.
struct Cache {
    bound: usize,
    bytes: usize,
    clock: u64,
    entries: HashMap<(usize, Vec<String>), Entry>,
}

struct Entry {
    batch: Batch,
    bytes: usize,
    used: u64,
}

impl Cache {
    fn new(bound: usize) -> Self {
        Self { bound, bytes: 0, clock: 0, entries: HashMap::new() }
    }

    fn get(&mut self, group: usize, names: &[String]) -> Option<Batch> {
        self.clock += 1;
        let entry = self.entries.get_mut(&(group, names.to_vec()))?;
        entry.used = self.clock;
        Some(entry.batch.clone())
    }

    fn put(&mut self, group: usize, names: &[String], batch: &Batch) {
        let bytes = batch.bytes();
        if bytes > self.bound {
            return;
        }
        self.clock += 1;
        let entry = Entry { batch: batch.clone(), bytes, used: self.clock };
        let replaced = self.entries.insert((group, names.to_vec()), entry);
        self.bytes = self.bytes + bytes - replaced.map_or(0, |entry| entry.bytes);
        while self.bytes > self.bound {
            self.drop_oldest();
        }
    }

    /// A walk over all entries: there are as many as row groups fit, and decoding one costs more.
    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
        let Some(key) = oldest.map(|(key, _)| key.clone()) else {
            self.bytes = 0;
            return;
        };
        self.bytes -= self.entries.remove(&key).map_or(0, |entry| entry.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{Column, ColumnType, Values};
    use voxflow_formats::parquet::{ParquetWriter, WriteOptions};

    fn batch(split: &str, rows: Range<usize>) -> Batch {
        let mut columns = tables::key().columns().to_vec();
        columns.push(Column::new("size", ColumnType::UInt32, "A size."));
        columns.push(Column::new("bytes", ColumnType::Binary, "Bytes."));
        if split != "all" {
            columns.push(Column::new("split", ColumnType::Utf8, "A split."));
        }
        let mut values = vec![
            Values::utf8(rows.clone().map(|i| format!("s{i:03}"))),
            Values::utf8(rows.clone().map(|i| ["cup", "jug"][i % 2])),
            Values::fixed_binary(32, rows.clone().map(|i| [i as u8; 32])),
            Values::numbers(rows.clone().map(|i| i as u32).collect()),
            Values::binary(rows.clone().map(|i| vec![i as u8; 1000])),
        ];
        if split != "all" {
            values.push(Values::utf8(vec![split; rows.len()]));
        }
        Batch::new(Schema::new("thing", 1, columns), values).expect("a batch")
    }

    fn put(folder: &Path, split: &str, number: usize, batch: &Batch) -> PathBuf {
        let folder = folder.join(split);
        fs::create_dir_all(&folder).expect("a folder");
        let options = WriteOptions { row_group_rows: 4 };
        let mut writer = ParquetWriter::new(Vec::new(), batch.schema(), options).expect("writer");
        writer.write(batch).expect("rows");
        let path = folder.join(format!("part-{number:05}.parquet"));
        fs::write(&path, writer.finish().expect("a file")).expect("written");
        path
    }

    /// 17 rows: train 0..10 in two files, val 10..14, test 14..17.
    fn data_set() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        put(folder.path(), "train", 0, &batch("train", 0..6));
        put(folder.path(), "train", 1, &batch("train", 6..10));
        put(folder.path(), "val", 0, &batch("val", 10..14));
        put(folder.path(), "test", 0, &batch("test", 14..17));
        folder
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn sizes(dataset: &Dataset, rows: &[usize]) -> Vec<u32> {
        let batch = dataset.read(rows, &names(&["size"])).expect("rows");
        batch.numbers::<u32>("size").expect("sizes").to_vec()
    }

    #[test]
    fn rows_are_numbered_by_split_and_grouped_as_on_disk() {
        let folder = data_set();
        let dataset = Dataset::open(folder.path()).expect("open");
        let index = dataset.index();
        assert_eq!(index.groups, [0..4, 4..6, 6..10, 10..14, 14..17]);
        assert_eq!(index.rows.len(), 17);
        let row = IndexedRow { sample: "s011".into(), category: "jug".into(), split: "val".into() };
        assert_eq!(index.rows[11], row);
        assert_eq!(index.schema.columns(), batch("train", 0..1).schema().columns());
    }

    #[test]
    fn rows_come_in_any_order_and_any_number_of_times() {
        let folder = data_set();
        let dataset = Dataset::open(folder.path()).expect("open");
        let rows = [16, 0, 5, 0, 12, 11, 16];
        let batch = dataset.read(&rows, &names(&["bytes", "size", "sample"])).expect("rows");
        assert_eq!(column_names(batch.schema()), "sample, category, content, bytes, size");
        assert_eq!(batch.numbers::<u32>("size").expect("sizes"), [16, 0, 5, 0, 12, 11, 16]);
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(batch.utf8("sample").expect("samples").value(i), format!("s{row:03}"));
            assert_eq!(batch.binary("bytes").expect("bytes").value(i), [*row as u8; 1000]);
        }
        let none = dataset.read(&[], &names(&["size"])).expect("no rows");
        assert_eq!((none.rows(), none.schema().columns().len()), (0, 4));
    }

    #[test]
    fn threads_read_at_once_whatever_the_cache_holds() {
        let folder = data_set();
        for bytes in [0, 9000, DEFAULT_CACHE_BYTES] {
            let dataset = Dataset::open(folder.path()).expect("open").with_cache_bytes(bytes);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let dataset = &dataset;
                    scope.spawn(move || {
                        for i in 0..30 {
                            let rows = [(i * 7 + thread) % 17, (i * 5) % 17];
                            let expected = rows.map(|row| row as u32);
                            assert_eq!(sizes(dataset, &rows), expected);
                            dataset.read(&rows, &names(&["bytes"])).expect("rows");
                        }
                    });
                }
            });
            let cache = dataset.cache();
            assert!(cache.bytes <= bytes);
            assert_eq!(cache.bytes, cache.entries.values().map(|entry| entry.bytes).sum::<usize>());
        }
    }

    #[test]
    fn what_was_used_last_stays() {
        let mut cache = Cache::new(2 * batch("all", 0..4).bytes());
        for group in [0, 1] {
            cache.put(group, &[], &batch("all", 0..4));
        }
        cache.get(0, &[]);
        cache.put(2, &[], &batch("all", 0..4));
        assert!(cache.get(1, &[]).is_none());
        assert!(cache.get(0, &[]).is_some() && cache.get(2, &[]).is_some());
        cache.put(3, &[], &batch("all", 0..17));
        assert!(cache.get(3, &[]).is_none() && cache.get(0, &[]).is_some());
    }

    #[test]
    fn the_digest_follows_bytes_and_names_not_the_place() {
        let digest = |folder: &Path| Dataset::open(folder).expect("open").index().digest.clone();
        let (one, other) = (data_set(), data_set());
        assert_eq!(digest(one.path()), digest(other.path()));
        let file = other.path().join("test/part-00000.parquet");
        fs::rename(&file, file.with_file_name("part-00001.parquet")).expect("renamed");
        assert_ne!(digest(one.path()), digest(other.path()));
    }

    #[test]
    fn rows_without_split_lie_in_all() {
        let folder = tempfile::tempdir().expect("a folder");
        put(folder.path(), "all", 99_999, &batch("all", 0..3));
        put(folder.path(), "all", 100_000, &batch("all", 3..5));
        let dataset = Dataset::open(folder.path()).expect("open");
        assert_eq!(sizes(&dataset, &[0, 1, 2, 3, 4]), [0, 1, 2, 3, 4]);
        assert_eq!(dataset.index().rows[0].split, "all");
    }

    fn open_error(folder: &Path) -> String {
        Dataset::open(folder).err().expect("an error").to_string()
    }

    #[test]
    fn mistakes_are_told_with_the_path_last() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(open_error(folder.path()).starts_with("there are no Parquet files in train"));
        put(folder.path(), "train", 0, &Batch::empty(batch("train", 0..1).schema().clone()));
        assert!(open_error(folder.path()).starts_with("there are no Parquet files in train"));

        let folder = data_set();
        put(folder.path(), "test", 1, &batch("val", 20..21));
        let error = open_error(folder.path());
        assert!(
            error.starts_with("sample `s020` of split `val` lies in folder `test`: "),
            "{error}"
        );
        put(folder.path(), "test", 1, &batch("all", 20..21));
        assert!(open_error(folder.path()).starts_with("columns thing v1 (sample"));
        assert!(open_error(folder.path()).ends_with("part-00001.parquet"));

        let dataset = Dataset::open(data_set().path()).expect("open");
        let error = dataset.read(&[17], &[]).expect_err("17 rows");
        assert_eq!(error.to_string(), "there is no row 17 (there are 17)");
        let error = dataset.read(&[0], &names(&["x"])).expect_err("no such column");
        assert!(error.to_string().starts_with("there is no column `x` (there are: sample,"));
        let error = dataset.read(&[0], &[]).expect_err("the folder is gone");
        assert!(error.to_string().starts_with("cannot read: "), "{error}");
    }

    #[test]
    fn damaged_files_are_errors() {
        let folder = data_set();
        let path = folder.path().join("val/part-00000.parquet");
        let whole = fs::read(&path).expect("a file");
        for len in [0, 3, 100, whole.len() - 1] {
            fs::write(&path, &whole[..len]).expect("cut");
            assert!(open_error(folder.path()).ends_with("part-00000.parquet"));
        }
        let dataset = {
            fs::write(&path, &whole).expect("mended");
            Dataset::open(folder.path()).expect("open")
        };
        fs::write(&path, &whole[..50]).expect("cut while open");
        let error = dataset.read(&[11], &names(&["size"])).expect_err("cut").to_string();
        assert!(error.ends_with("part-00000.parquet"), "{error}");
    }
}
