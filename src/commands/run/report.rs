//! What a run tells when it is done, as JSON and as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use voxflow_contract::{Batch, BatchError, Coverage, Refusal};

use crate::engine::{Duplicates, Moves, Report, TaskReport, named_moves};
use crate::error::Error;
use crate::pipeline::Plan;

/// Samples that all sources listed.
pub(super) fn samples(plan: &Plan, report: &Report) -> u64 {
    let counts = plan.stages.iter().zip(&report.stages);
    counts.filter(|(stage, _)| stage.from.is_empty()).map(|(_, count)| count.rows_in).sum()
}

/// Samples that were refused anywhere, each once.
pub(super) fn refused_samples(report: &Report) -> u64 {
    let samples = report.refusals.iter().map(|refusal| &refusal.sample);
    samples.collect::<BTreeSet<_>>().len() as u64
}

pub(super) fn summary(plan: &Plan, report: &Report, begun: Instant) -> Result<Value, Error> {
    let stages = plan.stages.iter().zip(&report.stages).map(|(stage, count)| {
        json!({
            "id": stage.id,
            "rows_in": count.rows_in,
            "rows_out": count.rows_out,
            "refused": count.refused,
            "reused": count.reused,
            "seconds": count.nanos as f64 / 1e9,
        })
    });
    let mut splits: BTreeMap<&str, u64> = BTreeMap::new();
    let first_sink = report.committed.values().next();
    for (split, rows) in first_sink.into_iter().flat_map(|committed| &committed.splits) {
        *splits.entry(split).or_default() += rows;
    }
    Ok(json!({
        "run": report.folder,
        "rows_in": samples(plan, report),
        "rows_out": splits.values().sum::<u64>(),
        "refused": refused_samples(report),
        "stages": stages.collect::<Vec<_>>(),
        "splits": splits,
        "duplicates": report.duplicates,
        "moved": report.moves,
        "official": report.lists,
        "metrics": metrics(report)?,
        "feeding": report.tasks.iter().map(feeding).collect::<Vec<_>>(),
        "elapsed_s": begun.elapsed().as_secs_f64(),
        "peak_rss_bytes": peak_rss_bytes(),
    }))
}

/// How long a task computed, and how long it waited for batches.
fn feeding(task: &TaskReport) -> Value {
    json!({
        "stage": task.stage,
        "worked_s": task.feeding.worked.as_secs_f64(),
        "waited_s": task.feeding.waited.as_secs_f64(),
    })
}

/// Every metric at its last epoch; the table of the run has all epochs.
fn metrics(report: &Report) -> Result<Vec<Value>, Error> {
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for batch in report.tasks.iter().filter_map(|task| task.outcome.metrics.as_ref()) {
        let rows = metric_rows(batch);
        for (key, row) in rows.map_err(|e| Error::Run { message: format!("metrics: {e}") })? {
            let is_later =
                last.get(&key).is_none_or(|kept| kept["epoch"].as_u64() <= row["epoch"].as_u64());
            if is_later {
                last.insert(key, row);
            }
        }
    }
    Ok(last.into_values().collect())
}

/// Rows of a metric table, each with what tells metrics apart.
fn metric_rows(batch: &Batch) -> Result<Vec<(String, Value)>, BatchError> {
    let [stage, name, subject, category] = [
        batch.utf8("stage")?,
        batch.utf8("name")?,
        batch.utf8("subject")?,
        batch.utf8("category")?,
    ];
    let threshold = batch.optional_numbers::<f64>("threshold")?;
    let epoch = batch.optional_numbers::<u64>("epoch")?;
    let step = batch.optional_numbers::<u64>("step")?;
    let (value, samples) = (batch.numbers::<f64>("value")?, batch.numbers::<u64>("samples")?);
    let row = |i: usize| {
        let metric = [stage.value(i), name.value(i), subject.value(i)];
        let category = category.get(i);
        let key = format!("{metric:?} {category:?} {:?}", threshold[i]);
        let row = json!({
            "stage": metric[0],
            "name": metric[1],
            "subject": metric[2],
            "category": category,
            "threshold": threshold[i],
            "epoch": epoch[i],
            "step": step[i],
            "value": value[i],
            "samples": samples[i],
        });
        (key, row)
    };
    Ok((0..batch.rows()).map(row).collect())
}

/// Largest resident set of this process so far; `null` where the system does not say.
fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

pub(super) fn text_report(plan: &Plan, run: &str, report: &Report, summary: &Value) -> String {
    let mut text = String::new();
    for task in &report.tasks {
        if !task.outcome.report.is_empty() {
            let _ = writeln!(text, "{}\n", task.outcome.report.trim_end());
        }
    }
    let _ = writeln!(
        text,
        "{:<16} {:>9} {:>9} {:>8} {:>8} {:>9}",
        "stage", "rows in", "rows out", "refused", "reused", "seconds"
    );
    for (stage, count) in plan.stages.iter().zip(&report.stages) {
        let _ = writeln!(
            text,
            "{:<16} {:>9} {:>9} {:>8} {:>8} {:>9.1}",
            stage.id,
            count.rows_in,
            count.rows_out,
            count.refused,
            count.reused,
            count.nanos as f64 / 1e9
        );
    }
    feeding_lines(&mut text, report);
    refusal_lines(&mut text, report);
    duplicate_lines(&mut text, report);
    split_lines(&mut text, report);
    let splits = summary["splits"].as_object().into_iter().flatten();
    let splits: Vec<String> = splits.map(|(split, rows)| format!("{rows} {split}")).collect();
    let _ = writeln!(
        text,
        "\nrun {run}: {} samples in, {} out ({}), {} refused, {:.1} s, peak memory {} MiB",
        summary["rows_in"],
        summary["rows_out"],
        splits.join(", "),
        summary["refused"],
        summary["elapsed_s"].as_f64().unwrap_or_default(),
        summary["peak_rss_bytes"].as_u64().unwrap_or_default() >> 20,
    );
    let _ = writeln!(text, "{}", report.folder.display());
    text
}

/// Tasks that the workers kept waiting.
fn feeding_lines(text: &mut String, report: &Report) {
    for task in report.tasks.iter().filter(|task| task.feeding.is_starved()) {
        let (idle, waited) = (100.0 * task.feeding.idle_share(), task.feeding.waited.as_secs_f64());
        let _ = writeln!(
            text,
            "\n{}: waited for batches {idle:.0} % of its time ({waited:.1} s): the device is faster than \
             the workers prepare; more cores, --workers or smaller pictures would help",
            task.stage
        );
    }
}

/// Samples that are the same, where there are any.
fn duplicate_lines(text: &mut String, report: &Report) {
    for found in report.duplicates.iter().filter(|found| found.values > 0) {
        let Duplicates { of, values, samples, leaking } = found;
        let _ = write!(text, "\nduplicates: {samples} samples share {values} values of `{of}`");
        let _ = match leaking {
            0 => writeln!(text, ", none of them across splits"),
            _ => writeln!(text, "; {leaking} of them LEAK: they lie in several splits"),
        };
    }
}

/// What official lists have to do with the samples, and who moved in the split.
fn split_lines(text: &mut String, report: &Report) {
    for (stage, coverage) in &report.lists {
        let _ = writeln!(text, "\n{}", list_line(stage, coverage));
    }
    for moves in &report.moves {
        let Moves { stage, since, moved, of, first } = moves;
        let _ =
            write!(text, "\nmoved: {moved} of {of} samples of {stage} since {}", since.display());
        let _ = match first.as_slice() {
            [] => writeln!(text),
            first if (first.len() as u64) < *moved => {
                writeln!(text, ": {}, ...", named_moves(first))
            }
            first => writeln!(text, ": {}", named_moves(first)),
        };
    }
}

/// What a list has to do with the samples there are.
pub(crate) fn list_line(stage: &str, coverage: &Coverage) -> String {
    let Coverage { listed, absent, first_absent, unlisted } = coverage;
    let mut line = format!("official: {listed} samples listed for {stage}, {unlisted} others");
    if *absent > 0 {
        line += &format!("; {absent} listed ones ABSENT: {}", first_absent.join(", "));
        line += if *absent > first_absent.len() as u64 { ", ..." } else { "" };
    }
    line
}

/// The first refusals of each stage and code; the table has them all.
fn refusal_lines(text: &mut String, report: &Report) {
    const SHOWN: usize = 3;
    let mut groups: BTreeMap<(&str, &str), Vec<&Refusal>> = BTreeMap::new();
    for refusal in &report.refusals {
        groups.entry((&refusal.stage, &refusal.code)).or_default().push(refusal);
    }
    for ((stage, code), refusals) in groups {
        let _ = writeln!(text, "\n{} refused by {stage}: {code}", refusals.len());
        for refusal in refusals.iter().take(SHOWN) {
            let _ = writeln!(text, "  {}: {}", refusal.sample, refusal.message);
        }
        if refusals.len() > SHOWN {
            let _ = writeln!(text, "  ... and {} more in refusal.parquet", refusals.len() - SHOWN);
        }
    }
}
