//! `voxflow plan`: what a pipeline would do, without doing it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use voxflow_contract::{Schema, Stage, tables};

use crate::cli::{Format, GlobalArgs, PlanArgs};
use crate::commands::operators::columns_json;
use crate::error::Error;
use crate::parameter_docs;
use crate::pipeline::{Plan, PlannedStage, Settings};
use crate::registry::Role;
use crate::terminal;

/// Prints the plan of a pipeline. Sources are scanned, after all checks; no sample is opened.
///
/// # Errors
/// When the pipeline is wrong, or a source finds nothing.
pub fn plan(args: &PlanArgs, global: &GlobalArgs) -> Result<(), Error> {
    let settings = Settings {
        set: args.set.clone(),
        device: args.device.map(|device| device.name().to_owned()),
        catalogue: global.catalogue.clone(),
    };
    let plan = Plan::load(&args.pipeline, &settings)?;
    let scans = plan.stages.iter().map(scan).collect::<Result<Vec<_>, _>>()?;
    match args.format {
        Format::Text => terminal::print(&text(&plan, &scans)),
        Format::Json => terminal::print_json(&json(&plan, &scans)),
    }
}

/// What a scan found.
struct Scan {
    samples: u64,
    classes: u64,
    bytes: u64,
}

fn scan(stage: &PlannedStage) -> Result<Option<Scan>, Error> {
    let Stage::Source(source) = &stage.stage else { return Ok(None) };
    let missing = |fault| Error::DataMissing { stage: stage.id.clone(), fault };
    let entries = source.scan().map_err(missing)?;
    let classes: BTreeSet<&str> = entries.iter().map(|entry| entry.category.as_str()).collect();
    Ok(Some(Scan {
        samples: entries.len() as u64,
        classes: classes.len() as u64,
        bytes: entries.iter().map(|entry| entry.bytes).sum(),
    }))
}

fn text(plan: &Plan, scans: &[Option<Scan>]) -> String {
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
    text + "\nThe plan is good. Nothing was read but lists of files.\n"
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

fn stage_text(plan: &Plan, stage: &PlannedStage, scan: Option<&Scan>) -> String {
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

fn json(plan: &Plan, scans: &[Option<Scan>]) -> Value {
    let stages = plan.stages.iter().zip(scans).map(|(stage, scan)| {
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
        "stages": stages.collect::<Vec<_>>(),
    })
}
