//! `[profile.NAME]`: values that `--set profile=NAME` gives to parameters and stages together.

use std::ops::Range;

use serde_json::Value;

use super::diagnostics::{Diagnostic, Source};
use super::document::{Field, Tree};
use super::parse::Spec;

/// Name of the setting that chooses a profile.
pub const KEY: &str = "profile";

/// A named set of values.
#[derive(Debug)]
pub struct ProfileSpec {
    /// Name.
    pub name: String,
    /// What it sets, in the order of the file.
    pub values: Vec<ProfileValue>,
}

/// One value of a profile.
#[derive(Debug)]
pub struct ProfileValue {
    /// The stage, or none for a parameter of the pipeline.
    pub stage: Option<String>,
    /// The parameter.
    pub key: String,
    /// Place of its name.
    pub span: Range<usize>,
    /// The value.
    pub value: Value,
}

impl ProfileSpec {
    /// Reads `NAME = { parameter = value, stage.key = value }`; none when it is no table.
    pub fn read(field: Field) -> Option<Self> {
        let Tree::Table(fields) = field.node.tree else { return None };
        let mut values = Vec::new();
        for entry in fields {
            match entry.node.tree {
                Tree::Table(settings) => values.extend(settings.into_iter().map(|setting| {
                    let stage = Some(entry.key.clone());
                    let value = setting.node.to_json();
                    ProfileValue { stage, key: setting.key, span: setting.key_span, value }
                })),
                _ => values.push(ProfileValue {
                    stage: None,
                    key: entry.key,
                    span: entry.key_span,
                    value: entry.node.to_json(),
                }),
            }
        }
        Some(Self { name: field.key, values })
    }
}

/// Says which values of which profiles are of nothing that the pipeline has.
pub fn check(spec: &Spec, source: &Source<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let parameters: Vec<&str> = spec.parameters.iter().map(|p| p.name.as_str()).collect();
    let stages: Vec<&str> = spec.stages.iter().map(|s| s.id.as_str()).collect();
    for entry in spec.profiles.iter().flat_map(|profile| &profile.values) {
        let (name, known, what) = match &entry.stage {
            None => (&entry.key, &parameters, "parameter"),
            Some(stage) => (stage, &stages, "stage"),
        };
        if !known.contains(&name.as_str()) {
            let message = format!("the pipeline has no {what} `{name}`");
            let diagnostic = source.at(entry.span.clone(), message);
            diagnostics.push(diagnostic.suggest(name, known.iter().copied()));
        }
    }
}

/// The profile that assignments choose; none when they choose none.
///
/// # Errors
/// When the pipeline has no profile of that name.
pub fn chosen<'a>(
    spec: &'a Spec,
    set: &[String],
) -> Result<Option<&'a ProfileSpec>, Box<Diagnostic>> {
    let Some((assignment, name)) = set.iter().rev().find_map(|text| choice(spec, text)) else {
        return Ok(None);
    };
    let found = spec.profiles.iter().find(|profile| profile.name == name);
    found.map(Some).ok_or_else(|| {
        let known: Vec<&str> = spec.profiles.iter().map(|p| p.name.as_str()).collect();
        let message = match known.is_empty() {
            true => "the pipeline has no profiles".to_owned(),
            false => format!("the pipeline has no profile `{name}`"),
        };
        Box::new(Diagnostic::on_command_line(assignment, message).suggest(name, known))
    })
}

/// Whether an assignment chooses a profile, and which. A parameter of the name goes first.
pub fn choice<'a>(spec: &Spec, assignment: &'a str) -> Option<(&'a str, &'a str)> {
    let (name, value) = assignment.split_once('=')?;
    let is_choice = name.trim() == KEY && !spec.parameters.iter().any(|p| p.name == KEY);
    is_choice.then(|| (assignment, value.trim().trim_matches('"')))
}
