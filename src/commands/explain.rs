//! `voxflow explain`: what became of one sample of a run, stage by stage, and where its rows lie.

use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use voxflow_contract::{Batch, BatchError, ContentHash, MachineFault};
use voxflow_formats::FormatError;
use voxflow_formats::parquet::ParquetReader;

use crate::cli::{ExplainArgs, Format, GlobalArgs};
use crate::error::Error;
use crate::pipeline::diagnostics::nearest;
use crate::run_folder::{self, FrozenPlan, FrozenStage};
use crate::run_lock::RunLock;
use crate::store::{RowKey, StageFacts, Store};
use crate::terminal;

/// Prints the way of one sample through a run.
///
/// # Errors
/// When there is no such run or sample, or the disk fails.
pub fn explain(args: &ExplainArgs, global: &GlobalArgs) -> Result<(), Error> {
    let folder = run_folder::locate(&global.home, Some(&args.run))?;
    let lock = RunLock::read(&folder)?;
    let input = find_input(&folder, &lock, &args.sample)?;
    let store = Store::open(&global.home).map_err(disk)?;
    let mut stages = Vec::new();
    for stage in &lock.plan.stages {
        let facts = facts_of(&lock.plan, stage);
        let kept = store.known_stage(&facts).map_err(disk)?;
        let key = input.key();
        let place = key.zip(kept.as_ref()).and_then(|(key, kept)| Some((kept, kept.place(&key)?)));
        let refusal = key.zip(kept.as_ref()).and_then(|(key, kept)| kept.refusal(&key).cloned());
        let row = place.map(|(kept, place)| kept.locate(place));
        stages.push(json!({
            "id": stage.id,
            "use": stage.kind,
            "file": row.as_ref().map(|(path, _)| path.display().to_string()),
            "row": row.as_ref().map(|(_, row)| row),
            "refused": refusal,
        }));
    }
    let unopened = refusals(&folder, &args.sample)?;
    let output = find_output(&folder, &lock, &args.sample)?;
    let facts = json!({
        "sample": args.sample,
        "category": input.category,
        "source": input.source,
        "path": input.path,
        "bytes": input.bytes,
        "content": input.content,
        "stamp": input.stamp,
        "stages": stages,
        "refusals": unopened,
        "output": output,
    });
    match args.format {
        Format::Json => terminal::print_json(&facts),
        Format::Text => terminal::print(&text(&facts)),
    }
}

fn disk(fault: MachineFault) -> Error {
    Error::Disk { fault }
}

/// A sample as the run read it.
struct Input {
    source: String,
    sample: String,
    category: String,
    path: Option<String>,
    bytes: u64,
    stamp: String,
    content: Option<String>,
}

impl Input {
    /// The sample of a row of the table `input`.
    fn of(source: &str, rows: &Batch, row: usize) -> Result<Self, BatchError> {
        Ok(Self {
            source: source.to_owned(),
            sample: rows.utf8("sample")?.value(row).to_owned(),
            category: rows.utf8("category")?.value(row).to_owned(),
            path: rows.utf8("path")?.get(row).map(str::to_owned),
            bytes: rows.numbers::<u64>("bytes")?[row],
            stamp: rows.utf8("stamp")?.value(row).to_owned(),
            content: rows.utf8("content")?.get(row).map(str::to_owned),
        })
    }

    /// What its rows are kept under, if it was opened.
    fn key(&self) -> Option<RowKey> {
        let hash = blake3::Hash::from_hex(self.content.as_ref()?).ok()?;
        let content = ContentHash::from_bytes(*hash.as_bytes());
        let path = self.path.as_deref().unwrap_or_default();
        Some(RowKey::of(&self.sample, &self.category, path, &content))
    }
}

/// What the rows of the sample in a row of the table `input` are kept under, if it was opened.
///
/// # Errors
/// When a column is missing.
pub(super) fn key_of(rows: &Batch, row: usize) -> Result<Option<RowKey>, BatchError> {
    Ok(Input::of("", rows, row)?.key())
}

/// What the store knows a stage of a run by.
pub(super) fn facts_of(plan: &FrozenPlan, stage: &FrozenStage) -> StageFacts {
    let inputs = plan.stages.iter().filter(|from| stage.from.contains(&from.id));
    StageFacts {
        fingerprint: stage.rows_fingerprint.clone(),
        kind: stage.kind.clone(),
        version: stage.version,
        parameters: stage.parameters.clone(),
        seed: plan.seed,
        inputs: inputs.map(|from| from.rows_fingerprint.clone()).collect(),
    }
}

fn find_input(folder: &Path, lock: &RunLock, sample: &str) -> Result<Input, Error> {
    let mut all = Vec::new();
    let files = lock.inputs.iter().flat_map(|(id, files)| files.iter().map(move |f| (id, f)));
    for (source, file) in files {
        let path = folder.join(&file.path);
        let rows = read(&path, None)?;
        let bad = |e: BatchError| unreadable(&path, &e);
        let samples = rows.utf8("sample").map_err(bad)?;
        let found = samples.values_iter().position(|known| known == sample);
        let Some(row) = found else {
            all.extend(samples.values_iter().map(str::to_owned));
            continue;
        };
        return Input::of(source, &rows, row).map_err(bad);
    }
    let known: Vec<&str> = all.iter().map(String::as_str).collect();
    let hint = nearest(sample, &known).map_or_else(
        || format!("the run read {} samples", known.len()),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Error::argument("SAMPLE", format!("the run read no sample `{sample}`"), hint))
}

/// File and row of the sample in each data set.
fn find_output(folder: &Path, lock: &RunLock, sample: &str) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    for file in lock.outputs.values().flatten() {
        let path = folder.join(&file.path);
        let rows = read(&path, Some("sample"))?;
        let samples = rows.utf8("sample").map_err(|e| unreadable(&path, &e))?;
        let row = samples.values_iter().position(|known| known == sample);
        found.extend(row.map(|row| json!({ "file": file.path, "row": row })));
    }
    Ok(found)
}

/// Why the sample is in the refusal table, by stage.
fn refusals(folder: &Path, sample: &str) -> Result<Vec<Value>, Error> {
    let path = folder.join("refusal.parquet");
    let rows = read(&path, None)?;
    let bad = |e: BatchError| unreadable(&path, &e);
    let [samples, stages] = [rows.utf8("sample").map_err(bad)?, rows.utf8("stage").map_err(bad)?];
    let [codes, messages] = [rows.utf8("code").map_err(bad)?, rows.utf8("message").map_err(bad)?];
    let of_sample = (0..rows.rows()).filter(|row| samples.value(*row) == sample);
    let row = |row: usize| {
        let [stage, code] = [stages.value(row), codes.value(row)];
        json!({ "stage": stage, "code": code, "message": messages.value(row) })
    };
    Ok(of_sample.map(row).collect())
}

/// Reads a table of a run: one column, or all.
pub(super) fn read(path: &Path, column: Option<&str>) -> Result<Batch, Error> {
    let file = File::open(path).map_err(|e| Error::disk("open", path, e))?;
    let bad = |e: FormatError| unreadable(path, &e);
    let reader = ParquetReader::new(file).map_err(bad)?;
    let names = column.map(|name| vec![name.to_owned()]);
    let groups = 0..reader.row_group_rows().len();
    let groups = groups.map(|group| reader.read_row_group(group, names.as_deref()).map_err(bad));
    let groups = groups.collect::<Result<Vec<_>, _>>()?;
    let rows = Batch::concat(&groups).map_err(|e| unreadable(path, &e))?;
    Ok(rows.unwrap_or_else(|| Batch::empty(reader.schema().clone())))
}

/// A table that cannot be read.
pub(super) fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::disk("read", path, std::io::Error::other(error.to_string()))
}

fn text(facts: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut text = format!("{} ({})\n", word(&facts["sample"]), word(&facts["category"]));
    text += &format!("  given by  {}: {}\n", word(&facts["source"]), word(&facts["path"]));
    text += &format!("  stamp     {}\n", word(&facts["stamp"]));
    text += &format!("  content   {}\n\n", word(&facts["content"]));
    for stage in facts["stages"].as_array().into_iter().flatten() {
        let refused = facts["refusals"].as_array().into_iter().flatten();
        let refusal = refused.clone().find(|refusal| refusal["stage"] == stage["id"]);
        let what = match (refusal, stage["file"].as_str()) {
            (Some(why), _) => format!("refused: {}: {}", word(&why["code"]), word(&why["message"])),
            (None, Some(file)) => format!("row {} of {file}", stage["row"]),
            (None, None) => "not kept".to_owned(),
        };
        text += &format!("  {:<16} {what}\n", word(&stage["id"]));
    }
    for output in facts["output"].as_array().into_iter().flatten() {
        text += &format!("\n  row {} of {}\n", output["row"], word(&output["file"]));
    }
    text
}
