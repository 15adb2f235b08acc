//! A data set, file by file: those whose rows are the same as before are linked, the others written.

use std::collections::BTreeMap;
use std::path::Path;

use voxflow_contract::{
    Batch, BatchError, Committed, MachineFault, OutputFile, PlannedFile, Sink, SinkFile,
    commit_point,
};
use voxflow_sinks::replace_folder;

use super::join::side_by_side;
use crate::store::{KeptFiles, Place, RowKey, RowReader, StageStore, fingerprint_of};

/// Rows that are read from the store at once.
const CHUNK: usize = 32;
/// Bytes of rows after which memory that is free is given back: row groups of many sizes come and go,
/// and what lies between them would grow.
const GIVE_BACK_BYTES: usize = 1 << 20;

/// What a data set is made of: for each of its samples, in key order, a row of every input.
pub(crate) struct Rows<'a> {
    pub(crate) inputs: Vec<&'a StageStore>,
    /// Where the rows are, by input.
    pub(crate) places: Vec<Vec<Place>>,
    /// What the rows are kept under.
    pub(crate) row_keys: Vec<RowKey>,
    /// What keyed stages said.
    pub(crate) additions: Option<Batch>,
}

/// The files of a data set that is to be made.
pub(crate) struct PlannedDataset {
    files: Vec<PlannedFile>,
    fingerprints: Vec<String>,
}

impl PlannedDataset {
    /// Hashes of the files that are kept from before.
    pub(crate) fn used_again<'a>(
        &'a self,
        kept: &'a KeptFiles,
    ) -> impl Iterator<Item = String> + 'a {
        self.fingerprints.iter().filter_map(|print| kept.find(print)).map(|file| file.blake3)
    }
}

/// Plans the data set of rows with these key columns.
///
/// # Errors
/// When the sink cannot cut it into files.
pub(crate) fn plan_dataset(
    sink: &dyn Sink,
    keys: Batch,
    rows: &Rows<'_>,
    sink_fingerprint: &str,
) -> Result<PlannedDataset, MachineFault> {
    let files = match &rows.additions {
        Some(additions) => sink.plan(&keys.beside(additions).map_err(|e| internal(&e))?)?,
        None => sink.plan(&keys)?,
    };
    drop(keys);
    let fingerprints = files.iter().map(|file| fingerprint(file, rows, sink_fingerprint));
    let fingerprints = fingerprints.collect::<Result<Vec<_>, _>>().map_err(|e| internal(&e))?;
    Ok(PlannedDataset { files, fingerprints })
}

/// Makes a data set in `folder`; says what it has, and how many of its rows were not written anew.
///
/// # Errors
/// When the machine fails; the folder is as it was then.
pub(crate) fn write_dataset(
    sink: &dyn Sink,
    dataset: &PlannedDataset,
    rows: &Rows<'_>,
    files: &KeptFiles,
    folder: &Path,
) -> Result<(Committed, u64), MachineFault> {
    let PlannedDataset { files: planned, fingerprints } = dataset;
    replace_folder(folder, |partial| {
        let mut done: BTreeMap<usize, OutputFile> = BTreeMap::new();
        let mut reused = 0;
        for (number, (file, fingerprint)) in planned.iter().zip(fingerprints).enumerate() {
            let target = partial.join(&file.path);
            create_parent(&target)?;
            if let Some(kept) = files.link(fingerprint, &target)? {
                reused += kept.rows;
                done.insert(number, kept.output(&file.path));
            }
        }
        commit_point("dataset.linked");
        let mut writing = Writing { sink, rows, partial, planned, open: BTreeMap::new() };
        let missing = (0..planned.len()).filter(|number| !done.contains_key(number));
        for (number, output) in writing.write(&missing.collect::<Vec<_>>())? {
            let path = partial.join(&output.path);
            files.keep(&fingerprints[number], &path, &output)?;
            done.insert(number, output);
        }
        let mut committed = Committed::default();
        for (number, output) in done {
            *committed.splits.entry(planned[number].split.clone()).or_default() += output.rows;
            committed.files.push(output);
        }
        Ok((committed, reused))
    })
}

/// Writes the only file of a data set of these rows to `target`, or links the one that is the same.
///
/// # Errors
/// When the machine fails.
pub(crate) fn write_file(
    sink: &dyn Sink,
    rows: &Rows<'_>,
    sink_fingerprint: &str,
    files: &KeptFiles,
    target: &Path,
) -> Result<OutputFile, MachineFault> {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
    let (Some(path), Some(partial)) = (name, target.parent()) else {
        return Err(MachineFault::new(format!("no place for a file: {}", target.display())));
    };
    let all = (0..rows.row_keys.len() as u32).collect();
    let planned = [PlannedFile { path, split: String::new(), rows: all }];
    let fingerprint = fingerprint(&planned[0], rows, sink_fingerprint).map_err(|e| internal(&e))?;
    if let Some(kept) = files.link(&fingerprint, target)? {
        return Ok(kept.output(&planned[0].path));
    }
    let mut writing = Writing { sink, rows, partial, planned: &planned, open: BTreeMap::new() };
    let written = writing.write(&[0])?.pop();
    let (_, output) = written.ok_or_else(|| MachineFault::new("a file has no rows"))?;
    files.keep(&fingerprint, target, &output)?;
    Ok(output)
}

/// Changes with everything the bytes of a file depend on.
fn fingerprint(
    file: &PlannedFile,
    rows: &Rows<'_>,
    sink_fingerprint: &str,
) -> Result<String, BatchError> {
    let positions: Vec<usize> = file.rows.iter().map(|row| *row as usize).collect();
    let keys: Vec<[u8; RowKey::LEN]> = positions.iter().map(|p| rows.row_keys[*p].0).collect();
    let said = match &rows.additions {
        Some(additions) => additions.gather(&positions).encode()?,
        None => Vec::new(),
    };
    let version = b"file 1".as_slice();
    let texts = [version, sink_fingerprint.as_bytes(), keys.as_flattened(), &said];
    Ok(fingerprint_of(&texts))
}

fn create_parent(path: &Path) -> Result<(), MachineFault> {
    let Some(parent) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(parent).map_err(|e| MachineFault::io("create", parent, e))
}

fn internal(error: &BatchError) -> MachineFault {
    MachineFault::new(format!("internal error while a data set is made: {error}"))
}

/// The files of a data set that are being written, all in one walk through the rows.
struct Writing<'a> {
    sink: &'a dyn Sink,
    rows: &'a Rows<'a>,
    partial: &'a Path,
    planned: &'a [PlannedFile],
    open: BTreeMap<usize, Box<dyn SinkFile>>,
}

impl Writing<'_> {
    fn write(&mut self, numbers: &[usize]) -> Result<Vec<(usize, OutputFile)>, MachineFault> {
        let of_file =
            |&number: &usize| self.planned[number].rows.iter().map(move |row| (*row, number));
        let mut wanted: Vec<(u32, usize)> = numbers.iter().flat_map(of_file).collect();
        wanted.sort_unstable();
        let mut readers: Vec<_> = self.rows.inputs.iter().map(|s| RowReader::new(s)).collect();
        let mut done = Vec::new();
        let mut bytes = 0;
        for chunk in wanted.chunks(CHUNK) {
            let rows = self.read(&mut readers, chunk)?;
            bytes += rows.bytes();
            if bytes > GIVE_BACK_BYTES {
                crate::allocator::give_back_free();
                bytes = 0;
            }
            let mut of_files: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (i, (_, number)) in chunk.iter().enumerate() {
                of_files.entry(*number).or_default().push(i);
            }
            for (number, of_file) in of_files {
                self.append(number, &rows, &of_file)?;
                let last = of_file.last().map(|i| chunk[*i].0);
                if self.planned[number].rows.last().copied() == last {
                    done.extend(self.finish(number)?);
                }
            }
        }
        Ok(done)
    }

    /// Rows of the chunk, all columns.
    fn read(
        &self,
        readers: &mut [RowReader<'_>],
        chunk: &[(u32, usize)],
    ) -> Result<Batch, MachineFault> {
        let mut inputs = Vec::with_capacity(readers.len());
        for (reader, places) in readers.iter_mut().zip(&self.rows.places) {
            let places: Vec<Place> = chunk.iter().map(|(row, _)| places[*row as usize]).collect();
            inputs.push(reader.read(&places)?);
        }
        let rows = side_by_side(&inputs).map_err(|e| internal(&e))?;
        let Some(additions) = &self.rows.additions else { return Ok(rows) };
        let positions: Vec<usize> = chunk.iter().map(|(row, _)| *row as usize).collect();
        rows.beside(&additions.gather(&positions)).map_err(|e| internal(&e))
    }

    fn append(
        &mut self,
        number: usize,
        rows: &Batch,
        of_file: &[usize],
    ) -> Result<(), MachineFault> {
        let file = match self.open.entry(number) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let path = self.partial.join(&self.planned[number].path);
                place.insert(self.sink.create(&path, rows.schema())?)
            }
        };
        let is_whole = of_file.len() == rows.rows();
        if is_whole { file.write(rows) } else { file.write(&rows.gather(of_file)) }
    }

    fn finish(&mut self, number: usize) -> Result<Option<(usize, OutputFile)>, MachineFault> {
        let Some(file) = self.open.remove(&number) else { return Ok(None) };
        let (bytes, blake3) = file.finish()?;
        let planned = &self.planned[number];
        let rows = planned.rows.len() as u64;
        let output = OutputFile { path: planned.path.clone(), rows, bytes, blake3 };
        Ok(Some((number, output)))
    }
}
