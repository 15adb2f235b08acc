//! The traits of everything a stage can be: source, operator, keyed operator, sink.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::batch::Batch;
use crate::id::{ContentHash, SampleId};
use crate::listing::Listing;
use crate::refusal::{Fault, Refusals};
use crate::schema::Schema;

/// What a source's scan says of one sample, without having opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unique id.
    pub sample: SampleId,
    /// Class.
    pub category: String,
    /// File, relative to the source's root; `None` for samples that come from no file.
    pub path: Option<String>,
    /// Size in bytes, or what the sample will take in memory when it comes from no file.
    pub bytes: u64,
    /// What changes when the sample changes: modification time and size of its file, or the
    /// parameters that make it.
    pub stamp: String,
}

/// A set-up mistake: found before any row is read, and a person must mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SetupFault {
    /// What is wrong and what would be right.
    pub message: String,
}

impl SetupFault {
    /// A set-up mistake.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// A fault of the machine: full disk, lost device. It stops the run; what was committed stays.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct MachineFault {
    /// What failed; the path comes last.
    pub message: String,
    /// What the system said.
    #[source]
    pub source: Option<std::io::Error>,
}

impl MachineFault {
    /// A fault with a message only.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// A failed system call on a path.
    pub fn io(action: &str, path: &Path, source: std::io::Error) -> Self {
        let message = format!("cannot {action}: {source}: {}", path.display());
        Self { message, source: Some(source) }
    }
}

/// Where rows begin.
pub trait Source: Send + Sync {
    /// Schema of the rows.
    fn output(&self) -> Schema;

    /// Lists all samples, sorted by id, each id once. Cheap: opens no sample.
    ///
    /// # Errors
    /// When there is nothing to list, or two files claim one id.
    fn list(&self) -> Result<Listing, SetupFault>;

    /// As [`Source::list`], one by one.
    ///
    /// # Errors
    /// As [`Source::list`].
    fn scan(&self) -> Result<Vec<Entry>, SetupFault> {
        let listing = self.list()?;
        Ok(listing.unpack(&(0..listing.len() as u32).collect::<Vec<_>>()))
    }

    /// Reads the given samples, in order. Dear. Row numbers in refusals count the entries.
    ///
    /// # Errors
    /// When none of the entries could be read for one common reason.
    fn open(&self, entries: &[Entry], refusals: &mut Refusals) -> Result<Batch, Fault>;

    /// Files and folders that a scan depends on, with all that is below them: who keeps samples up to
    /// date wants to be told when one changes.
    fn depends_on(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// What another scan would say otherwise, when nothing but `changed` is another than when the `known`
    /// samples were listed: files and folders, also such as came or went, that begin with one of
    /// [`Source::depends_on`]. `None` when only a scan can tell.
    ///
    /// May name samples that are as they were.
    ///
    /// # Errors
    /// As [`Source::scan`].
    fn relist(
        &self,
        changed: &[PathBuf],
        known: &dyn Known,
    ) -> Result<Option<Vec<Change>>, SetupFault> {
        let _ = (changed, known);
        Ok(None)
    }
}

/// The samples that a source listed.
pub trait Known {
    /// Those whose id begins with `prefix`, sorted by id.
    fn beginning_with(&self, prefix: &str) -> Vec<Entry>;

    /// The one of this id.
    fn get(&self, sample: &str) -> Option<Entry>;
}

/// What a source says of one sample now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Unique id.
    pub sample: SampleId,
    /// The sample; `None` when it is there no more.
    pub entry: Option<Entry>,
}

/// What turns rows of one table into rows of another, sample by sample.
///
/// Pure: no files, no clock, randomness only from a seed in the parameters and the sample's id. The
/// one exception runs a program of the user's, who answers for it.
pub trait Operator: Send + Sync {
    /// Schema of the rows it gives. Begins with the key columns, which it passes on.
    fn output(&self) -> Schema;

    /// Gives one row for each row of `batch` that it does not refuse, in the same order.
    ///
    /// # Errors
    /// When the batch as a whole cannot be worked on; all its rows are refused.
    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault>;

    /// Whether rows are dear enough to be worked on in the pool instead of the dataflow's thread.
    fn is_heavy(&self) -> bool {
        true
    }

    /// At most how many bytes one row of output takes, when that does not follow from the size of
    /// the input; the memory bound reserves them before the row is read.
    fn bytes_per_row(&self) -> usize {
        0
    }
}

/// How samples are dealt to train, val and test.
///
/// What is never cut is a unit: samples of one content, or each sample. A unit is of the class of that
/// of its samples whose id has the least BLAKE3 hash. The units of a class are dealt in the order of
/// [`SplitPolicy::rank`]: the first to train, the next to val, the rest to test, as many as the
/// largest-remainder method gives each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitPolicy {
    /// Shares of train, val and test; their sum is 1.
    pub ratios: [f64; 3],
    /// Seed of the order.
    pub seed: u64,
    /// Whether each sample is a unit; if not, all samples of one content are.
    pub is_by_sample: bool,
}

impl SplitPolicy {
    /// Where a unit stands in the order: depends on the seed and on the unit alone, whatever others there
    /// are. `unit` is the content's hash, or the sample's id.
    pub fn rank(&self, unit: &[u8]) -> ContentHash {
        ContentHash::of(&[b"split".as_slice(), &self.seed.to_le_bytes(), unit].concat())
    }
}

/// What a list of samples and the samples there are have to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Coverage {
    /// Samples that are listed.
    pub listed: u64,
    /// Listed ones that no source has.
    pub absent: u64,
    /// The first of these, by id.
    pub first_absent: Vec<String>,
    /// Samples that are not listed.
    pub unlisted: u64,
}

/// How many samples may lie in another part of a split than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MoveLimit {
    /// So many.
    Samples(u64),
    /// So many of a hundred.
    Percent(f64),
}

impl MoveLimit {
    /// Whether so many of those that are there before and after may move.
    pub fn allows(self, moved: u64, of: u64) -> bool {
        match self {
            Self::Samples(most) => moved <= most,
            Self::Percent(most) => moved as f64 * 100.0 <= most * of as f64,
        }
    }
}

impl std::str::FromStr for MoveLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a number of samples nor a share like `0.5%`");
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Samples).map_err(|_| wrong());
        };
        let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
        if (0.0..=100.0).contains(&percent) { Ok(Self::Percent(percent)) } else { Err(wrong()) }
    }
}

impl std::fmt::Display for MoveLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Samples(most) => write!(f, "{most}"),
            Self::Percent(most) => write!(f, "{most}%"),
        }
    }
}

/// What needs to know all samples before it can say anything of one: a split, say.
pub trait Keyed: Send + Sync {
    /// Schema of the rows it gives: the key columns and more.
    fn output(&self) -> Schema;

    /// How it splits samples, if it does so by their key alone: who keeps a split up to date change by
    /// change must say the same.
    fn split_policy(&self) -> Option<SplitPolicy> {
        None
    }

    /// Compares the list it was built with, if it was, with the ids of all samples, which are sorted.
    ///
    /// # Errors
    /// When there are samples, or samples are missing, that its parameters do not allow.
    fn coverage(
        &self,
        samples: &mut dyn Iterator<Item = &str>,
    ) -> Result<Option<Coverage>, SetupFault> {
        let _ = samples;
        Ok(None)
    }

    /// How many samples may lie in another part than in the data set before; no limit where `None`.
    fn move_limit(&self) -> Option<MoveLimit> {
        None
    }

    /// Columns it needs beside the key, of the stages it reads from.
    fn columns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Gives one row for each row of `keys`, in the same order. `keys` holds the key columns of
    /// every sample that arrived, sorted by sample, and for each of [`Keyed::columns`] the hash of its
    /// value, 32 bytes, under the same name.
    ///
    /// # Errors
    /// When the keys as a whole cannot be worked on.
    fn assign(&self, keys: &Batch) -> Result<Batch, Fault>;
}

/// One file of a committed data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Path relative to the data set's folder, with forward slashes.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Size.
    pub bytes: u64,
    /// BLAKE3 hash of its bytes, in hexadecimal.
    pub blake3: String,
}

/// A committed data set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// All files, sorted by path.
    pub files: Vec<OutputFile>,
    /// Rows in each split.
    pub splits: BTreeMap<String, u64>,
}

/// One file of a data set, before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Path relative to the data set's folder, with forward slashes.
    pub path: String,
    /// Split its rows are in: `train`, `val` or `test`, or `all` when nothing splits the samples.
    pub split: String,
    /// Its samples: their positions in the key order, ascending.
    pub rows: Vec<u32>,
}

/// How the samples of a split are cut into files.
///
/// As long as more than `rows_per_file` rows are together in key order, they are cut in two, at least
/// half of it, rounded up, from either end, before the sample with the least [`FilePolicy::hash`]. As
/// hashes say where files end, and not how many samples came before, a sample that comes or goes
/// moves the cuts near to it at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePolicy {
    /// Most rows in a file, at least 1.
    pub rows_per_file: usize,
}

impl FilePolicy {
    /// Folder of all rows where nothing splits them.
    pub const UNSPLIT: &'static str = "all";

    /// What says where files end: the first 8 bytes, little-endian, of the BLAKE3 of a sample's id.
    pub fn hash(sample: &str) -> u64 {
        let hash = blake3::hash(sample.as_bytes());
        hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }

    /// The rows of each file, in order: `hashes` are those of the samples of a split in key order.
    pub fn cut(&self, hashes: &[u64]) -> Vec<Range<usize>> {
        let least = self.rows_per_file.div_ceil(2);
        let known = Least::of(hashes);
        let (mut files, mut uncut) = (Vec::new(), Vec::new());
        if !hashes.is_empty() {
            uncut.push(0..hashes.len());
        }
        while let Some(rows) = uncut.pop() {
            if rows.len() <= self.rows_per_file {
                files.push(rows);
                continue;
            }
            // More rows than fit are always enough for two files that are half full.
            let place = known.first(rows.start + least..rows.end - least + 1);
            uncut.extend([place..rows.end, rows.start..place]);
        }
        files
    }

    /// Path of file `number` of a split, relative to the data set's folder.
    pub fn path(split: &str, number: usize) -> String {
        format!("{split}/part-{number:05}.parquet")
    }
}

/// Finds the least hash of any range without a look at all of them.
struct Least<'a> {
    hashes: &'a [u64],
    /// The least of each block.
    of_blocks: Vec<u64>,
}

impl<'a> Least<'a> {
    const BLOCK: usize = 64;

    fn of(hashes: &'a [u64]) -> Self {
        let least = |block: &[u64]| block.iter().copied().min().unwrap_or(u64::MAX);
        Self { hashes, of_blocks: hashes.chunks(Self::BLOCK).map(least).collect() }
    }

    /// Position of the least hash of a range, the first of several.
    fn first(&self, range: Range<usize>) -> usize {
        let blocks = range.start.div_ceil(Self::BLOCK)..range.end / Self::BLOCK;
        let least = |range: Range<usize>, of: &[u64]| {
            range.clone().zip(&of[range]).map(|(place, hash)| (*hash, place)).min()
        };
        if blocks.is_empty() {
            return least(range.clone(), self.hashes).map_or(range.start, |(_, place)| place);
        }
        let before = least(range.start..blocks.start * Self::BLOCK, self.hashes);
        let after = least(blocks.end * Self::BLOCK..range.end, self.hashes);
        let within = least(blocks, &self.of_blocks).and_then(|(_, block)| {
            least(block * Self::BLOCK..(block + 1) * Self::BLOCK, self.hashes)
        });
        let all = [before, within, after];
        all.into_iter().flatten().min().map_or(range.start, |(_, place)| place)
    }
}

/// Where rows end: says which files a data set has, and writes one file at a time.
///
/// The engine keeps the rows and joins what keyed stages said to them. Once all samples are known
/// it asks for the plan, and has only those files written whose rows are not what they were: a file
/// depends on its rows, their schema and the sink's parameters alone, so an older one of the same
/// rows can stand for it. A plan should therefore keep most files as they are when a sample comes
/// or goes.
///
/// Files may be written at the same time, on any threads.
pub trait Sink: Send + Sync {
    /// Says whether it can take rows of this schema (all its inputs, side by side).
    ///
    /// # Errors
    /// Says what is missing.
    fn check(&self, input: &Schema) -> Result<(), SetupFault>;

    /// Name of the folder of the data set, relative to the run's.
    fn folder(&self) -> &str;

    /// Cuts the samples into files. `keys` has a row for each sample, sorted by sample: the key
    /// columns and what keyed stages said of it, such as its `split`.
    ///
    /// Depends on `keys` and the parameters alone, and reads no file. The files are sorted by path,
    /// none is empty, and every sample is in exactly one.
    ///
    /// # Errors
    /// When `keys` are not what they should be: out of order, or in a split that there is not. That
    /// is a mistake of the program and nobody else's.
    fn plan(&self, keys: &Batch) -> Result<Vec<PlannedFile>, MachineFault>;

    /// How it cuts samples into files, if it does so by their ids and splits alone: who keeps a data
    /// set up to date change by change must say the same as [`Sink::plan`].
    fn file_policy(&self) -> Option<FilePolicy> {
        None
    }

    /// Begins the file `path`, which must not be there, for rows of the schema `rows`; makes its
    /// folder where there is none.
    ///
    /// The file's schema is `rows` with metadata that tells readers more of the columns. Equal rows,
    /// schema and parameters give equal bytes, however the rows are dealt to calls.
    ///
    /// # Errors
    /// When the machine fails or the file is there already.
    fn create(&self, path: &Path, rows: &Schema) -> Result<Box<dyn SinkFile>, MachineFault>;
}

/// A file of a data set that is being written.
///
/// One that is dropped before [`SinkFile::finish`], or that failed, stays behind half-written: it
/// is for the caller to write into a folder that is thrown away then.
pub trait SinkFile: Send {
    /// Adds rows, in key order, of the schema that the file was created for.
    ///
    /// # Errors
    /// When the machine fails or the rows have other columns.
    fn write(&mut self, rows: &Batch) -> Result<(), MachineFault>;

    /// Completes the file and forces it to disk; gives its size in bytes and the BLAKE3 hash of its
    /// bytes, in hexadecimal. Its name in the folder is not forced to disk: that is for the caller.
    ///
    /// # Errors
    /// When the machine fails.
    fn finish(self: Box<Self>) -> Result<(u64, String), MachineFault>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The rule, word by word.
    fn plain(rows: Range<usize>, hashes: &[u64], most: usize) -> Vec<Range<usize>> {
        if rows.is_empty() {
            return Vec::new();
        }
        if rows.len() <= most {
            return vec![rows];
        }
        let least = most.div_ceil(2);
        let places = rows.start + least..rows.end - least + 1;
        let place = places.min_by_key(|place| hashes[*place]).expect("a place");
        let halves = [rows.start..place, place..rows.end];
        halves.into_iter().flat_map(|rows| plain(rows, hashes, most)).collect()
    }

    #[test]
    fn cuts_are_those_of_the_plain_rule() {
        let mut random = Random::new(1, &["cuts"]);
        for most in [1, 2, 3, 7, 64, 200, 1000] {
            for len in [0, 1, 2, 63, 64, 65, 127, 500, 3000] {
                // Some are equal, so that the first counts.
                let hashes: Vec<u64> = (0..len).map(|_| random.below(900)).collect();
                let cut = FilePolicy { rows_per_file: most }.cut(&hashes);
                assert_eq!(cut, plain(0..len, &hashes, most), "{most} of {len}");
            }
        }
    }
}
