//! `voxflow plan`: what a pipeline would do, without doing it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use voxflow_contract::{Coverage, Schema, tables};

use crate::cli::{Format, GlobalArgs, PlanArgs};
use crate::commands::operators::columns_json;
use crate::commands::run::{explain, explain_lists, graph_of, list_line, workers};
use crate::engine::{Scan, StageSurvey, Survey, compare_lists, scan_sources, survey};
use crate::error::Error;
use crate::exit_code;
use crate::parameter_docs;
use crate::pipeline::{Plan, PlannedStage, Settings};
use crate::registry::Role;
use crate::terminal;

/// Prints the plan of a pipeline. Sources are scanned, after all checks; no sample is opened. Gives the
/// exit code.
///
/// # Errors
/// When the pipeline is wrong, or a source finds nothing.
pub fn plan(args: &PlanArgs, global: &GlobalArgs) -> Result<u8, Error> {
    let settings = Settings {
        set: args.set.clone(),
        device: args.device.map(|device| device.name().to_owned()),
        catalogue: global.catalogue.clone(),
    };
    let plan = Plan::load(&args.pipeline, &settings)?;
    let graph = graph_of(&plan);
    let listed = scan_sources(&graph).map_err(|fault| explain(fault, ""))?;
    let lists = compare_lists(&graph, &listed).map_err(explain_lists)?;
    let scans: Vec<_> = (0..plan.stages.len()).map(|i| listed.get(&i).map(facts_of)).collect();
    let workers = workers(args.workers);
    let found = survey(&graph, &listed, &global.home, workers);
    let found = found.map_err(|fault| explain(fault, ""))?;
    match args.format {
        Format::Text => terminal::print(&text(&plan, &scans, (&found, workers), &lists)),
        Format::Json => terminal::print_json(&json(&plan, &scans, (&found, workers), &lists)),
    }?;
    let is_left = found.stages.values().any(|survey| survey.is_kept && survey.to_make > 0);
    Ok(if args.exit_code && is_left { exit_code::DIFFERENT } else { exit_code::SUCCESS })
}

/// What a scan found.
struct ScanFacts {
    samples: u64,
    classes: u64,
    bytes: u64,
}

fn facts_of(scan: &Scan) -> ScanFacts {
    let entries = &scan.entries;
    let classes: BTreeSet<&str> = (0..entries.len()).map(|i| entries.category(i)).collect();
    ScanFacts {
        samples: entries.len() as u64,
        classes: classes.len() as u64,
        bytes: (0..entries.len()).map(|i| entries.bytes(i)).sum(),
    }
}

fn text(
    plan: &Plan,
    scans: &[Option<ScanFacts>],
    (found, workers): (&Survey, usize),
    lists: &BTreeMap<String, Coverage>,
) -> String {
    let mut text = format!("{}: {}\n", plan.name, plan.file.display());
    if !plan.description.is_empty() {
        text += &format!("{}\n", plan.description);
    }
    text += &format!("seed {}", plan.seed);
    if let Some(dataset) = &plan.dataset {
        text += &format!(", data set {dataset}");
    }
    for (name, value) in &plan.parameters {
        text += &format!(", {name} = {value}");
    }
    text += "\n\n";
    for root in (0..plan.stages.len()).filter(|&i| plan.stages[i].from.is_empty()) {
        tree(plan, root, "", "", &mut text);
    }
    for (stage, scan) in plan.stages.iter().zip(scans) {
        text += &stage_text(plan, stage, scan.as_ref());
    }
    let lists = lists.iter().map(|(stage, list)| format!("\n{}\n", list_line(stage, list)));
    text + &lists.collect::<String>()
        + &survey_text(plan, &found.stages)
        + &price_text(plan, found, workers)
        + "\nThe plan is good. Nothing was read but lists of files.\n"
}

/// What a run would make, of the stages whose rows are kept.
fn survey_text(plan: &Plan, surveys: &BTreeMap<usize, StageSurvey>) -> String {
    let mut text = "\nto do\n".to_owned();
    for (stage, survey) in surveys.iter().filter(|(_, survey)| survey.is_kept) {
        let number = |count: u64| terminal::thousands(count);
        let mut line = format!("  {:<16} ", plan.stages[*stage].id);
        if survey.to_make == 0 {
            line += &format!("nothing: {} samples reused", number(survey.reused));
        } else {
            let of = survey.reused + survey.refused + survey.to_make;
            line += &format!("{} of {} samples to make", number(survey.to_make), number(of));
            line += &format!(" ({})", survey.reasons.join(", "));
            if let Some(bytes) = survey.bytes {
                line += &format!(", +{}", terminal::bytes(bytes as u64));
            }
        }
        if survey.refused > 0 {
            line += &format!(", {} known to be refused", number(survey.refused));
        }
        text += &format!("{line}\n");
    }
    text
}

/// How long that is likely to take, and what it adds to the store.
fn price_text(plan: &Plan, found: &Survey, workers: usize) -> String {
    if found.stages.values().all(|survey| survey.to_make == 0) {
        return String::new();
    }
    let bytes = bytes_to_add(found).map(|bytes| format!(", +{}", terminal::bytes(bytes as u64)));
    let bytes = bytes.unwrap_or_default();
    let Some(price) = found.price else {
        let ids = found.untimed.iter().map(|stage| plan.stages[*stage].id.as_str());
        let ids = ids.collect::<Vec<_>>().join(", ");
        return format!("  no timings yet of {ids}: nobody knows how long it takes{bytes}\n");
    };
    let [about, low, high] = [price.seconds, price.low, price.high].map(terminal::duration);
    let workers = if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
    format!(
        "  about {about} with {workers} ({low} to {high}){bytes}, from what was measured before\n"
    )
}

/// Bytes that the store is likely to grow by; `None` where a stage never had a row.
fn bytes_to_add(found: &Survey) -> Option<f64> {
    let growing = found.stages.values().filter(|survey| survey.is_kept && survey.to_make > 0);
    growing.map(|survey| survey.bytes).sum()
}

/// A stage hangs below the first stage it reads from; the others stand beside it.
fn tree(plan: &Plan, position: usize, lead: &str, below: &str, text: &mut String) {
    let stage = &plan.stages[position];
    let beside: Vec<_> = stage.from.iter().skip(1).map(|&i| plan.stages[i].id.as_str()).collect();
    let beside =
        if beside.is_empty() { String::new() } else { format!("  + {}", beside.join(" + ")) };
    *text += &format!("{lead}{}{beside}  -> {}\n", label(stage), stage.kind.output());
    let children: Vec<_> = plan
        .readers(position)
        .into_iter()
        .filter(|&reader| plan.stages[reader].from.first() == Some(&position))
        .collect();
    for (i, child) in children.iter().enumerate() {
        let (branch, rail) =
            if i + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        tree(plan, *child, &format!("{below}{branch}"), &format!("{below}{rail}"), text);
    }
}

fn label(stage: &PlannedStage) -> String {
    let name = stage.kind.name();
    if stage.id == name { name.to_owned() } else { format!("{} ({name})", stage.id) }
}

fn stage_text(plan: &Plan, stage: &PlannedStage, scan: Option<&ScanFacts>) -> String {
    let mut text = format!("\n{}\n", label(stage));
    if !stage.from.is_empty() {
        let from: Vec<_> = stage.from.iter().map(|&i| plan.stages[i].id.as_str()).collect();
        text += &format!("  from        {}\n", from.join(", "));
    }
    let parameters: Vec<_> = parameters(stage)
        .into_iter()
        .map(|(name, value, is_default)| {
            format!("{name} = {value}{}", if is_default { " (default)" } else { "" })
        })
        .collect();
    if !parameters.is_empty() {
        text += &format!("  parameters  {}\n", parameters.join("\n              "));
    }
    if let Some(scan) = scan {
        let (samples, classes) = (terminal::thousands(scan.samples), scan.classes);
        let bytes = terminal::bytes(scan.bytes);
        text += &format!("  will read   {samples} samples of {classes} classes, {bytes}\n");
    }
    let verb = if stage.role() == Role::Sink { "writes" } else { "gives" };
    if let Some(schema) = &stage.schema {
        text += &format!("  {verb:<10}  {}\n", columns_text(schema));
    } else {
        text += &format!("  {verb:<10}  {}\n", stage.kind.output());
    }
    text
}

fn columns_text(schema: &Schema) -> String {
    let own = schema.columns().iter().filter(|c| !tables::KEY.contains(&c.name.as_str()));
    let own: Vec<_> =
        own.map(|column| format!("{}: {}", column.name, column.column_type)).collect();
    format!("{} (key + {})", schema.table(), own.join(", "))
}

/// Parameters that were given, then the defaults of those that were not.
fn parameters(stage: &PlannedStage) -> Vec<(String, Value, bool)> {
    let given = &stage.params.0;
    let mut all: Vec<_> = given.iter().map(|(n, v)| (n.clone(), v.clone(), false)).collect();
    for parameter in parameter_docs::of(stage.kind) {
        if let (false, Some(value)) = (given.contains_key(&parameter.name), parameter.default) {
            all.push((parameter.name, value, true));
        }
    }
    all
}

fn json(
    plan: &Plan,
    scans: &[Option<ScanFacts>],
    (found, workers): (&Survey, usize),
    lists: &BTreeMap<String, Coverage>,
) -> Value {
    let stages = plan.stages.iter().zip(scans).enumerate().map(|(position, (stage, scan))| {
        let from: Vec<_> = stage.from.iter().map(|&i| plan.stages[i].id.as_str()).collect();
        let parameters: serde_json::Map<_, _> =
            parameters(stage).into_iter().map(|(name, value, _)| (name, value)).collect();
        let scan = scan
            .as_ref()
            .map(|s| json!({"samples": s.samples, "classes": s.classes, "bytes": s.bytes}));
        json!({
            "id": stage.id,
            "use": stage.kind.name(),
            "version": stage.kind.version(),
            "from": from,
            "parameters": parameters,
            "output": stage.kind.output(),
            "columns": stage.schema.as_ref().map(columns_json),
            "fingerprint": stage.fingerprint,
            "scan": scan,
            "to_do": found.stages.get(&position).map(survey_json),
        })
    });
    json!({
        "pipeline": plan.name,
        "file": plan.file.display().to_string(),
        "description": plan.description,
        "dataset": plan.dataset,
        "seed": plan.seed,
        "parameters": plan.parameters,
        "text_digest": plan.text_digest,
        "fingerprint": plan.fingerprint(),
        "price": price_json(plan, found, workers),
        "official": lists,
        "stages": stages.collect::<Vec<_>>(),
    })
}

fn price_json(plan: &Plan, found: &Survey, workers: usize) -> Value {
    let untimed: Vec<_> =
        found.untimed.iter().map(|stage| plan.stages[*stage].id.as_str()).collect();
    json!({
        "workers": workers,
        "seconds": found.price.map(|price| price.seconds),
        "seconds_low": found.price.map(|price| price.low),
        "seconds_high": found.price.map(|price| price.high),
        "bytes": bytes_to_add(found),
        "untimed": untimed,
    })
}

fn survey_json(survey: &StageSurvey) -> Value {
    json!({
        "is_kept": survey.is_kept,
        "reused": survey.reused,
        "refused": survey.refused,
        "to_make": survey.to_make,
        "new_or_changed": survey.unknown,
        "reasons": survey.reasons,
        "seconds": survey.seconds,
        "bytes": survey.bytes,
    })
}
