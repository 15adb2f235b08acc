//! Moves: samples that lie in another part of the split than in the data set before.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use voxflow_contract::{MachineFault, MoveLimit, OutputFile, PARTS};
use voxflow_formats::parquet::ParquetReader;

/// Moves that are told one by one at most.
pub(crate) const NAMED: usize = 5;

/// A data set that was committed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Folder of the run that made it.
    pub run: PathBuf,
    /// Its files; paths are relative to the folder of the run.
    pub files: Vec<OutputFile>,
}

/// Samples of a data set that lie in another part than in the one before.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Moves {
    /// Id of the sink.
    pub stage: String,
    /// Folder of the run that made the data set before.
    pub since: PathBuf,
    /// Samples that moved.
    pub moved: u64,
    /// Samples that are in both.
    pub of: u64,
    /// The first that moved, by id.
    pub first: Vec<Move>,
}

/// A sample that moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Move {
    /// Id.
    pub sample: String,
    /// The part it was in.
    pub was: String,
    /// The part it is in.
    pub is: String,
}

/// More samples would move than may.
#[derive(Debug, Clone, PartialEq)]
pub struct MovesFault {
    /// What would move.
    pub moves: Moves,
    /// The limit.
    pub limit: MoveLimit,
}

impl std::fmt::Display for MovesFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Moves { moved, of, first, .. } = &self.moves;
        let limit = self.limit;
        write!(
            f,
            "{moved} of {of} samples would move in the split, {limit} allowed: {}",
            named(first)
        )
    }
}

/// Moves as a person reads them.
pub(crate) fn named(first: &[Move]) -> String {
    let one = |one: &Move| format!("{} ({} -> {})", one.sample, one.was, one.is);
    first.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl Moves {
    /// Those of a sink since the data set before, none of which was counted yet.
    pub(crate) fn none(stage: &str, since: &Path) -> Self {
        Self {
            stage: stage.to_owned(),
            since: since.to_owned(),
            moved: 0,
            of: 0,
            first: Vec::new(),
        }
    }

    /// Counts a sample that is in both.
    pub(crate) fn add(&mut self, sample: &str, was: &str, is: &str) {
        self.of += 1;
        if was == is {
            return;
        }
        self.moved += 1;
        let is_among_first = self.first.len() < NAMED
            || self.first.last().is_some_and(|last| sample < last.sample.as_str());
        if is_among_first {
            let [sample, was, is] = [sample, was, is].map(str::to_owned);
            let found = Move { sample, was, is };
            let place = self.first.partition_point(|before| *before < found);
            self.first.insert(place, found);
            self.first.truncate(NAMED);
        }
    }

    /// Counts the samples of the data set before, by the part that each lies in now, if it is there.
    ///
    /// Files that are used again, by their hash, have the same samples in the same part: only the
    /// others are read, and of these only the ids.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub(crate) fn count<'n>(
        mut self,
        previous: &Previous,
        used_again: &BTreeSet<String>,
        now: impl Fn(&str) -> Option<&'n str>,
    ) -> Result<Self, MachineFault> {
        for file in &previous.files {
            let Some(was) = part_of(&file.path) else { continue };
            if used_again.contains(&file.blake3) {
                self.of += file.rows;
                continue;
            }
            for_each_sample(&previous.run.join(&file.path), |sample| {
                if let Some(is) = now(sample) {
                    self.add(sample, was, is);
                }
            })?;
        }
        Ok(self)
    }
}

/// The part of the split that a file of a data set belongs to: its folder.
fn part_of(path: &str) -> Option<&'static str> {
    let folder = Path::new(path).parent()?.file_name()?;
    PARTS.into_iter().find(|part| folder == *part)
}

fn for_each_sample(path: &Path, mut take: impl FnMut(&str)) -> Result<(), MachineFault> {
    let bad = |message: String| MachineFault {
        message: format!(
            "cannot read the data set before, to see which samples moved: {message}: {}",
            path.display()
        ),
        source: Some(std::io::Error::other("it cannot be read")),
    };
    let file = File::open(path).map_err(|e| bad(e.to_string()))?;
    let reader = ParquetReader::new(file).map_err(|e| bad(e.to_string()))?;
    for group in 0..reader.row_group_rows().len() {
        let rows = reader.read_row_group(group, Some(&["sample".to_owned()]));
        let rows = rows.map_err(|e| bad(e.to_string()))?;
        let samples = rows.utf8("sample").map_err(|e| bad(e.to_string()))?;
        samples.values_iter().for_each(&mut take);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_counted_and_the_first_by_id_are_named() {
        let mut moves = Moves::none("dataset", Path::new("runs/a"));
        for sample in ["f", "b", "e", "a", "d", "c", "g"] {
            moves.add(sample, "train", "test");
        }
        moves.add("0", "val", "val");
        assert_eq!((moves.moved, moves.of), (7, 8));
        let first: Vec<_> = moves.first.iter().map(|one| one.sample.as_str()).collect();
        assert_eq!(first, ["a", "b", "c", "d", "e"]);
        let fault = MovesFault { moves, limit: MoveLimit::Percent(0.5) };
        let told = "7 of 8 samples would move in the split, 0.5% allowed: a (train -> test), b";
        assert!(fault.to_string().starts_with(told), "{fault}");
    }

    #[test]
    fn the_folder_of_a_file_says_its_part() {
        assert_eq!(part_of("dataset/val/part-00000.parquet"), Some("val"));
        assert_eq!(part_of("dataset/all/part-00000.parquet"), None);
    }
}
