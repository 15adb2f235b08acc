//! Lists of samples and their part of a split, read for the stages that name them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use voxflow_contract::{AssignmentList, Assignments, Contradiction, PARTS};
use voxflow_formats::FormatError;
use voxflow_formats::parquet::ParquetReader;
use voxflow_formats::split_list::{LineFault, decode_csv, decode_json_lines, part_named};

use super::diagnostics::Diagnostic;

/// Contradictions that are told at most.
const MOST_TOLD: usize = 20;

/// Why a list cannot be used.
pub(super) enum ListFault {
    /// It is not there, or of no form that is known.
    Whole(String),
    /// What is wrong with its lines.
    Lines(Vec<Diagnostic>),
}

/// Reads the list at `path`: what it is says its name, and a folder is a data set.
///
/// # Errors
/// When it cannot be read, or all that is wrong with its lines.
pub(super) fn read(path: &Path) -> Result<Assignments, ListFault> {
    let cannot = |e: &dyn std::fmt::Display| whole(path, &format!("cannot read: {e}"));
    if fs::metadata(path).map_err(|e| cannot(&e))?.is_dir() {
        return read_data_set(path);
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let decode = match extension.to_ascii_lowercase().as_str() {
        "csv" => decode_csv,
        "jsonl" | "ndjson" => decode_json_lines,
        "parquet" => return read_table(path),
        _ => {
            let message =
                "must be a .csv, .jsonl, .ndjson or .parquet file, or the folder of a data set";
            return Err(whole(path, message));
        }
    };
    let bytes = fs::read(path).map_err(|e| cannot(&e))?;
    let list = decode(&bytes).map_err(|faults| in_lines(path, &bytes, faults))?;
    list.finish().map_err(|found| {
        let fault = |found: &Contradiction| {
            let (first, second) = (found.first, found.second);
            let message = format!(
                "sample `{}` is in {} here, and in {} on line {}",
                found.sample,
                PARTS[usize::from(second.0)],
                PARTS[usize::from(first.0)],
                first.1
            );
            LineFault { line: second.1, message }
        };
        in_lines(path, &bytes, found.iter().take(MOST_TOLD).map(fault).collect())
    })
}

/// Changes when the list at `path` may have changed.
pub(crate) fn stamp(path: &Path) -> String {
    let of_file = |path: &Path| -> io::Result<String> {
        let facts = fs::metadata(path)?;
        let modified = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(format!("{} {} {}\n", path.display(), facts.len(), modified.as_nanos()))
    };
    if !path.is_dir() {
        return of_file(path).unwrap_or_default();
    }
    let files = PARTS.iter().flat_map(|part| part_files(&path.join(part)).unwrap_or_default());
    files.map(|file| of_file(&file).unwrap_or_default()).collect()
}

fn whole(path: &Path, message: &str) -> ListFault {
    ListFault::Whole(format!("{message}: {}", path.display()))
}

fn in_lines(path: &Path, bytes: &[u8], faults: Vec<LineFault>) -> ListFault {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let diagnostic = |LineFault { line, message }: LineFault| {
        let text = lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let source_line = String::from_utf8_lossy(text).trim_end_matches('\r').to_owned();
        Diagnostic {
            file: path.display().to_string(),
            line,
            column: 1,
            len: source_line.chars().count().max(1),
            message,
            help: Vec::new(),
            source_line,
        }
    };
    ListFault::Lines(faults.into_iter().map(diagnostic).collect())
}

/// Reads a Parquet file with columns `sample` and `split`.
fn read_table(path: &Path) -> Result<Assignments, ListFault> {
    let columns = ["sample".to_owned(), "split".to_owned()];
    let mut list = AssignmentList::default();
    for_each_batch(path, &columns, &mut |batch| {
        let texts = |name| batch.utf8(name).map_err(|e| whole(path, &e.to_string()));
        for (sample, split) in texts("sample")?.values_iter().zip(texts("split")?.values_iter()) {
            let row = list.len() + 1;
            let part = part_named(split);
            list.push(sample, part.map_err(|e| whole(path, &format!("row {row}: {e}")))?, row);
        }
        Ok(())
    })?;
    list.finish().map_err(|found| twice(path, &found))
}

/// Reads which part each sample of a data set lies in, from the folders it is in.
fn read_data_set(folder: &Path) -> Result<Assignments, ListFault> {
    let mut list = AssignmentList::default();
    for (name, part) in PARTS.iter().zip(0..) {
        let below = folder.join(name);
        let files = part_files(&below).map_err(|e| whole(&below, &format!("cannot list: {e}")))?;
        for path in files {
            for_each_batch(&path, &["sample".to_owned()], &mut |batch| {
                let samples = batch.utf8("sample").map_err(|e| whole(&path, &e.to_string()))?;
                for sample in samples.values_iter() {
                    list.push(sample, part, list.len() + 1);
                }
                Ok(())
            })?;
        }
    }
    if list.is_empty() {
        let message = "holds no data set: no Parquet files in train, val or test";
        return Err(whole(folder, message));
    }
    list.finish().map_err(|found| twice(folder, &found))
}

fn twice(path: &Path, found: &[Contradiction]) -> ListFault {
    let told = |found: &Contradiction| {
        let (first, second) = (found.first, found.second);
        format!(
            "sample `{}` is in {} (row {}) and in {} (row {})",
            found.sample,
            PARTS[usize::from(first.0)],
            first.1,
            PARTS[usize::from(second.0)],
            second.1
        )
    };
    whole(path, &found.iter().take(3).map(told).collect::<Vec<_>>().join("; "))
}

/// The Parquet files of a folder, sorted; none where there is no such folder.
fn part_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    files.sort_unstable();
    Ok(files)
}

fn for_each_batch(
    path: &Path,
    columns: &[String],
    take: &mut dyn FnMut(&voxflow_contract::Batch) -> Result<(), ListFault>,
) -> Result<(), ListFault> {
    let bad = |e: FormatError| whole(path, &e.to_string());
    let file = File::open(path).map_err(|e| whole(path, &format!("cannot read: {e}")))?;
    let reader = ParquetReader::new(file).map_err(bad)?;
    for group in 0..reader.row_group_rows().len() {
        take(&reader.read_row_group(group, Some(columns)).map_err(bad)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, text: &str) -> Vec<(usize, String)> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, text).expect("writable");
        match read(&path) {
            Ok(_) => Vec::new(),
            Err(ListFault::Whole(message)) => vec![(0, message)],
            Err(ListFault::Lines(all)) => all.into_iter().map(|d| (d.line, d.message)).collect(),
        }
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        assert_eq!(told("a.csv", "sample,split\na,train\n"), []);
        let none = "`vaal` is no part of a split, these are: train, val, test";
        assert_eq!(told("a.csv", "sample,split\na,vaal\n"), [(2, none.to_owned())]);
        let twice = "sample `a` is in val here, and in test on line 1";
        let lines = "{\"sample\":\"a\",\"split\":\"test\"}\n{\"sample\":\"a\",\"split\":\"val\"}\n";
        assert_eq!(told("a.jsonl", lines), [(2, twice.to_owned())]);
        assert!(told("a.txt", "")[0].1.starts_with("must be a .csv, .jsonl"));
        assert!(told("a.parquet", "sample")[0].1.ends_with("a.parquet"));
    }

    #[test]
    fn what_is_not_there_is_told_and_has_a_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        let absent = folder.path().join("absent.csv");
        let Err(ListFault::Whole(message)) = read(&absent) else { panic!("it is not there") };
        assert!(message.starts_with("cannot read: "), "{message}");
        let Err(ListFault::Whole(message)) = read(folder.path()) else { panic!("it is empty") };
        assert!(message.starts_with("holds no data set"), "{message}");
        let before = stamp(&absent);
        fs::write(&absent, "sample,split\n").expect("writable");
        assert_ne!(stamp(&absent), before);
    }
}
