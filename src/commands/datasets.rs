//! `voxflow datasets`: the catalogue, and procedural solids as files.

use std::io::IsTerminal;
use std::path::Path;

use serde_json::{Value, json};
use voxflow_sources::{ExportError, ExportLayout, SolidClass, export_solids};

use crate::catalogue::{self, Catalogue, Dataset};
use crate::cli::{DatasetsArgs, DatasetsCommand, Format, GlobalArgs, SynthArgs, SynthLayout};
use crate::error::Error;
use crate::pipeline::diagnostics::nearest;
use crate::{registry, terminal};

/// Lists, shows or makes data sets.
///
/// # Errors
/// When the catalogue is wrong, the id unknown, or the disk fails.
pub fn datasets(args: &DatasetsArgs, global: &GlobalArgs) -> Result<(), Error> {
    match &args.command {
        DatasetsCommand::List { format } => list(&load(global)?, *format),
        DatasetsCommand::Show { id, format } => show(&load(global)?, id, *format),
        DatasetsCommand::Synth(args) => synth(args),
    }
}

fn load(global: &GlobalArgs) -> Result<Catalogue, Error> {
    let found = catalogue::locate(global.catalogue.as_deref(), &[Path::new(".")]);
    let file = found.ok_or_else(|| {
        let hint = "run inside a voxflow folder, or name a catalogue with --catalogue FILE";
        Error::argument("--catalogue", "there is no `datasets.toml` here or above", hint)
    })?;
    Catalogue::load(&file)
}

/// How far a data set can be used on this machine, honestly.
fn state(dataset: &Dataset) -> &'static str {
    if !registry::layouts().contains(&dataset.layout.as_str()) {
        return "layout not built yet";
    }
    match &dataset.root {
        None => "made on the fly",
        Some(Err(_)) => "variable not set",
        Some(Ok(root)) if root.is_dir() => "ready",
        Some(Ok(_)) => "no data at its root",
    }
}

fn list(catalogue: &Catalogue, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        return terminal::print_json(&catalogue.datasets.iter().map(facts).collect());
    }
    let mut rows = vec![["ID", "LAYOUT", "SAMPLES", "STATE", "ROOT"].map(str::to_owned).to_vec()];
    for dataset in &catalogue.datasets {
        let samples = dataset.expected.samples.map_or("?".to_owned(), terminal::thousands);
        let (id, layout) = (dataset.id.clone(), dataset.layout.clone());
        rows.push(vec![id, layout, samples, state(dataset).to_owned(), root_text(dataset)]);
    }
    terminal::print(&terminal::table(&rows))
}

fn root_text(dataset: &Dataset) -> String {
    match &dataset.root {
        None => "-".to_owned(),
        Some(Ok(root)) => root.display().to_string(),
        Some(Err(message)) => message.clone(),
    }
}

fn show(catalogue: &Catalogue, id: &str, format: Format) -> Result<(), Error> {
    let dataset = catalogue.find(id).ok_or_else(|| {
        let known: Vec<_> = catalogue.datasets.iter().map(|d| d.id.as_str()).collect();
        let hint = match nearest(id, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", known.join(", ")),
        };
        Error::argument(id, "the catalogue has no such data set", hint)
    })?;
    match format {
        Format::Json => terminal::print_json(&facts(dataset)),
        Format::Text => terminal::print(&entry_text(dataset)),
    }
}

fn entry_text(dataset: &Dataset) -> String {
    let mut rows = vec![
        ("layout", dataset.layout.clone()),
        ("state", state(dataset).to_owned()),
        ("root", root_text(dataset)),
        ("licence", dataset.licence.clone()),
        ("source", dataset.source.clone()),
    ];
    let count = |value: Option<u64>| value.map(terminal::thousands);
    rows.extend(count(dataset.expected.samples).map(|text| ("samples", text)));
    rows.extend(count(dataset.expected.classes).map(|text| ("classes", text)));
    let counts = |counts: &std::collections::BTreeMap<String, u64>| {
        let all =
            counts.iter().map(|(name, count)| format!("{name} {}", terminal::thousands(*count)));
        all.collect::<Vec<_>>().join(", ")
    };
    for (name, of) in [("splits", &dataset.splits), ("per class", &dataset.expected.per_class)] {
        if !of.is_empty() {
            rows.push((name, counts(of)));
        }
    }
    let rows: Vec<_> = rows.into_iter().map(|(k, v)| vec![format!("  {k}"), v]).collect();
    format!("{}\n{}\n\n{}", dataset.id, dataset.description, terminal::table(&rows))
}

fn facts(dataset: &Dataset) -> Value {
    json!({
        "id": dataset.id,
        "layout": dataset.layout,
        "state": state(dataset),
        "root": dataset.root.as_ref().and_then(|root| root.as_ref().ok()),
        "licence": dataset.licence,
        "source": dataset.source,
        "description": dataset.description,
        "splits": dataset.splits,
        "expected": dataset.expected,
    })
}

fn synth(args: &SynthArgs) -> Result<(), Error> {
    let layout = match args.layout {
        SynthLayout::Modelnet40 => ExportLayout::Modelnet40,
        SynthLayout::Meshes => ExportLayout::Meshes,
    };
    let classes = classes(&args.classes)?;
    let shows = std::io::stderr().is_terminal();
    let mut progress = |written: u64| {
        if shows && (written.is_multiple_of(64) || written == args.count) {
            eprint!("\r{written} of {} files", args.count);
        }
    };
    let written = export_solids(&args.out, layout, &classes, args.count, args.seed, &mut progress);
    if shows {
        eprintln!();
    }
    let written = written.map_err(export_error)?;
    let names: Vec<_> = classes.iter().map(|class| class.name()).collect();
    let out = args.out.display();
    terminal::print(&format!("{written} files of {} in {out}\n", names.join(", ")))
}

fn classes(names: &[String]) -> Result<Vec<SolidClass>, Error> {
    if names.is_empty() {
        return Ok(SolidClass::ALL.to_vec());
    }
    let known: Vec<_> = SolidClass::ALL.iter().map(|class| class.name()).collect();
    let read = |name: &String| {
        SolidClass::from_name(name.trim()).ok_or_else(|| {
            let message = format!("there is no class `{name}`");
            Error::argument("--classes", message, format!("known: {}", known.join(", ")))
        })
    };
    names.iter().map(read).collect()
}

fn export_error(error: ExportError) -> Error {
    match error {
        ExportError::Io { action, path, source } => Error::disk(action, &path, source),
        other => Error::argument("OUT", other.to_string(), ""),
    }
}
