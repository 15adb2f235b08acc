//! `--set`: what the command line changes of a pipeline, and the values its references stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::diagnostics::{Diagnostic, Source};
use super::document::{Node, Tree, parse_value};
use super::parse::{ParameterSpec, Spec, StageSpec};
use super::profile::{self, ProfileSpec};
use super::template::{self, Fault};

/// What the command line says about a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Assignments `name=value` and `stage.key=value`, in order; the last one counts.
    pub set: Vec<String>,
    /// Device of every stage that has one.
    pub device: Option<String>,
    /// Catalogue of data sets; `None` looks for one above the current folder and the pipeline's.
    pub catalogue: Option<PathBuf>,
}

/// The values of a pipeline's parameters, and what the command line sets directly.
pub struct Scope {
    values: BTreeMap<String, Option<Value>>,
    overrides: Vec<Override>,
    /// Parameters that something refers to.
    used: BTreeSet<String>,
    /// Parameters without which something has no value.
    needed: BTreeSet<String>,
}

struct Override {
    stage: String,
    key: String,
    value: Value,
    assignment: String,
}

/// The parameters of a stage with everything replaced.
pub struct Resolved {
    /// The values.
    pub values: Map<String, Value>,
    /// Assignments of the command line, by the parameter they set.
    pub assigned: BTreeMap<String, String>,
    /// Whether every reference had a value.
    pub is_complete: bool,
}

impl Scope {
    /// Gives the parameters their values.
    pub fn new(
        spec: &Spec,
        set: &[String],
        source: &Source<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut given = BTreeMap::new();
        let mut overrides = Vec::new();
        profile::check(spec, source, diagnostics);
        match profile::chosen(spec, set) {
            Ok(chosen) => of_profile(chosen, &mut given, &mut overrides),
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
        // What is set one by one goes over what a profile says.
        for assignment in set.iter().filter(|text| profile::choice(spec, text).is_none()) {
            match read_assignment(spec, assignment) {
                Ok(Target::Parameter(name, value)) => drop(given.insert(name, value)),
                Ok(Target::Stage(setting)) => overrides.push(setting),
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        let mut values = BTreeMap::new();
        for parameter in &spec.parameters {
            let value = match given.remove(&parameter.name) {
                Some(value) => Some(value),
                None => default_value(parameter, source, diagnostics),
            };
            values.insert(parameter.name.clone(), value);
        }
        Self { values, overrides, used: BTreeSet::new(), needed: BTreeSet::new() }
    }

    /// The parameters and their values.
    pub fn values(&self) -> BTreeMap<String, Value> {
        let known = self.values.iter().filter_map(|(n, v)| Some((n.clone(), v.clone()?)));
        known.collect()
    }

    /// Replaces the references in a value; `None` when one of them has none.
    pub fn resolve(
        &mut self,
        node: &Node,
        source: &Source<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        match &node.tree {
            Tree::Scalar(Value::String(text)) => {
                let expanded = template::expand(text, |name| self.lookup(name));
                expanded.map_err(|faults| report(&faults, node, source, diagnostics)).ok()
            }
            Tree::Scalar(value) => Some(value.clone()),
            Tree::List(nodes) => {
                let all: Vec<_> =
                    nodes.iter().map(|node| self.resolve(node, source, diagnostics)).collect();
                all.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
            }
            Tree::Table(fields) => {
                let mut all = Map::new();
                let mut is_complete = true;
                for field in fields {
                    match self.resolve(&field.node, source, diagnostics) {
                        Some(value) => drop(all.insert(field.key.clone(), value)),
                        None => is_complete = false,
                    }
                }
                is_complete.then_some(Value::Object(all))
            }
        }
    }

    /// The parameters of a stage, with what the command line sets of them.
    pub fn resolve_stage(
        &mut self,
        stage: &StageSpec,
        source: &Source<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Resolved {
        let mut resolved =
            Resolved { values: Map::new(), assigned: BTreeMap::new(), is_complete: true };
        for setting in self.overrides.iter().filter(|setting| setting.stage == stage.id) {
            resolved.values.insert(setting.key.clone(), setting.value.clone());
            resolved.assigned.insert(setting.key.clone(), setting.assignment.clone());
        }
        for field in &stage.params {
            let needed = self.needed.clone();
            let value = self.resolve(&field.node, source, diagnostics);
            if resolved.assigned.contains_key(&field.key) {
                self.needed = needed;
                continue;
            }
            match value {
                Some(value) => drop(resolved.values.insert(field.key.clone(), value)),
                None => resolved.is_complete = false,
            }
        }
        resolved
    }

    /// Says which parameters nothing refers to, and which need a value; to be called last.
    pub fn report(&self, spec: &Spec, source: &Source<'_>, diagnostics: &mut Vec<Diagnostic>) {
        for parameter in &spec.parameters {
            if !self.used.contains(&parameter.name) {
                let message = format!("nothing refers to parameter `{}`", parameter.name);
                let help = format!("refer to it as \"${{{}}}\", or leave it out", parameter.name);
                diagnostics.push(source.at(parameter.name_span.clone(), message).help(help));
            } else if self.needed.contains(&parameter.name) && parameter.default.is_none() {
                diagnostics.push(missing(parameter, source));
            }
        }
    }

    /// A parameter without a value is reported once, where it is declared.
    fn lookup(&mut self, name: &str) -> Result<Value, Fault> {
        if let Some(variable) = name.strip_prefix("env:") {
            return template::environment(variable);
        }
        match self.values.get(name) {
            Some(value) => {
                self.used.insert(name.to_owned());
                value.clone().ok_or_else(|| {
                    self.needed.insert(name.to_owned());
                    Fault::new("")
                })
            }
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Fault {
        let known: Vec<&str> = self.values.keys().map(String::as_str).collect();
        let probe = Diagnostic::on_command_line("", "").suggest(name, known.iter().copied());
        let mut help = probe.help;
        if help.is_empty() {
            help.push(format!("declare it under `[parameters]`: `{name} = …`"));
        }
        Fault { message: format!("there is no parameter `{name}`"), help }
    }
}

/// The values of a profile, as if they had been set one by one.
fn of_profile(
    chosen: Option<&ProfileSpec>,
    given: &mut BTreeMap<String, Value>,
    overrides: &mut Vec<Override>,
) {
    let Some(profile) = chosen else { return };
    for entry in &profile.values {
        let (key, value) = (entry.key.clone(), entry.value.clone());
        match &entry.stage {
            None => drop(given.insert(key, value)),
            Some(stage) => {
                let assignment = format!("{}={} ({stage}.{key})", profile::KEY, profile.name);
                overrides.push(Override { stage: stage.clone(), key, value, assignment });
            }
        }
    }
}

enum Target {
    Parameter(String, Value),
    Stage(Override),
}

fn read_assignment(spec: &Spec, assignment: &str) -> Result<Target, Box<Diagnostic>> {
    let wrong = |message: String| Diagnostic::on_command_line(assignment, message);
    let Some((name, value)) = assignment.split_once('=') else {
        let message = "an assignment is `name=value` or `stage.key=value`".to_owned();
        return Err(Box::new(wrong(message)));
    };
    let (name, value) = (name.trim(), parse_value(value).to_json());
    let Some((stage, key)) = name.split_once('.') else {
        let mut known: Vec<_> = spec.parameters.iter().map(|p| p.name.as_str()).collect();
        if known.contains(&name) {
            return Ok(Target::Parameter(name.to_owned(), value));
        }
        if !spec.profiles.is_empty() {
            known.push(profile::KEY);
        }
        let message = format!("the pipeline has no parameter `{name}`");
        return Err(Box::new(wrong(message).suggest(name, known)));
    };
    if !spec.stages.iter().any(|s| s.id == stage) {
        let known = spec.stages.iter().map(|s| s.id.as_str());
        let message = format!("the pipeline has no stage `{stage}`");
        return Err(Box::new(wrong(message).suggest(stage, known)));
    }
    if ["id", "use", "from"].contains(&key) {
        return Err(Box::new(wrong(format!("`{key}` of a stage cannot be set from outside"))));
    }
    let (stage, key, assignment) = (stage.to_owned(), key.to_owned(), assignment.to_owned());
    Ok(Target::Stage(Override { stage, key, value, assignment }))
}

fn default_value(
    parameter: &ParameterSpec,
    source: &Source<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Value> {
    let node = parameter.default.as_ref()?;
    let Some(text) = node.as_text() else { return Some(node.to_json()) };
    let expanded = template::expand(text, |name| match name.strip_prefix("env:") {
        Some(variable) => template::environment(variable),
        None => Err(Fault::with_help(
            "a parameter's default may refer to the environment only",
            "write `${env:NAME}`",
        )),
    });
    expanded.map_err(|faults| report(&faults, node, source, diagnostics)).ok()
}

fn missing(parameter: &ParameterSpec, source: &Source<'_>) -> Diagnostic {
    let message = format!("parameter `{}` has no value", parameter.name);
    let diagnostic = source
        .at(parameter.name_span.clone(), message)
        .help(format!("give it one: --set {}=…", parameter.name));
    match &parameter.help {
        Some(help) => diagnostic.help(format!("note: {help}")),
        None => diagnostic,
    }
}

fn report(faults: &[Fault], node: &Node, source: &Source<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for fault in faults.iter().filter(|fault| !fault.message.is_empty()) {
        let mut diagnostic = source.at(node.span.clone(), fault.message.clone());
        diagnostic.help.clone_from(&fault.help);
        diagnostics.push(diagnostic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{document, parse};
    use serde_json::json;
    use std::path::Path;

    const TEXT: &str = "[pipeline]\nname = \"x\"\n[parameters]\nsize = 32\nroot = { help = \"a folder\" }\n\
                        [[stage]]\nuse = \"meshes\"\nroot = \"${root}/a\"\nsize = \"${size}\"\n";

    fn resolve(set: &[&str]) -> (Resolved, Vec<Diagnostic>) {
        resolve_text(TEXT, set)
    }

    fn resolve_text(text: &str, set: &[&str]) -> (Resolved, Vec<Diagnostic>) {
        let source = Source::new(Path::new("x.toml"), text);
        let (spec, _) = parse::spec(document::parse(&source).0, &source);
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        let mut diagnostics = Vec::new();
        let mut scope = Scope::new(&spec, &set, &source, &mut diagnostics);
        let resolved = scope.resolve_stage(&spec.stages[0], &source, &mut diagnostics);
        scope.report(&spec, &source, &mut diagnostics);
        (resolved, diagnostics)
    }

    #[test]
    fn parameters_are_set_with_their_type() {
        let (resolved, diagnostics) = resolve(&["root=/data", "size=64"]);
        assert_eq!(diagnostics, []);
        assert_eq!(Value::Object(resolved.values), json!({"root": "/data/a", "size": 64}));
    }

    #[test]
    fn a_missing_parameter_is_told_once_where_it_is_declared() {
        let (resolved, diagnostics) = resolve(&[]);
        assert!(!resolved.is_complete);
        assert_eq!(diagnostics.len(), 1);
        assert_eq!(diagnostics[0].line, 5);
        assert_eq!(diagnostics[0].help, ["give it one: --set root=…", "note: a folder"]);
    }

    #[test]
    fn stages_are_set_directly() {
        let (resolved, diagnostics) = resolve(&["root=/a", "meshes.size=[1]", "meshes.new=x"]);
        assert_eq!(diagnostics, []);
        assert_eq!(
            Value::Object(resolved.values),
            json!({"size": [1], "new": "x", "root": "/a/a"})
        );
        assert_eq!(resolved.assigned["new"], "meshes.new=x");
    }

    #[test]
    fn wrong_assignments_are_told() {
        let (_, diagnostics) =
            resolve(&["meshes.root=/a", "sizze=3", "mesh.a=1", "nothing", "meshes.use=x"]);
        let messages: Vec<_> = diagnostics.iter().map(|d| d.message.as_str()).collect();
        let expected = [
            "the pipeline has no parameter `sizze`",
            "the pipeline has no stage `mesh`",
            "an assignment is `name=value` or `stage.key=value`",
            "`use` of a stage cannot be set from outside",
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn a_profile_sets_parameters_and_stages_and_single_settings_go_over_it() {
        let text = format!("{TEXT}[profile.big]\nsize = 64\nmeshes.depth = 3\nmeshes.new = 1\n");
        let (resolved, diagnostics) = resolve_text(&text, &["root=/a", "profile=big"]);
        assert_eq!(diagnostics, []);
        let expected = json!({"root": "/a/a", "size": 64, "depth": 3, "new": 1});
        assert_eq!(Value::Object(resolved.values), expected);
        let set = ["root=/a", "meshes.new=2", "profile=big", "size=9"];
        let (resolved, _) = resolve_text(&text, &set);
        let expected = json!({"root": "/a/a", "size": 9, "depth": 3, "new": 2});
        assert_eq!(Value::Object(resolved.values), expected);
    }

    #[test]
    fn a_profile_of_nothing_is_told() {
        let text = format!("{TEXT}[profile.big]\nsizes = 64\nmash.depth = 3\n");
        let (_, diagnostics) = resolve_text(&text, &["root=/a", "profile=bog"]);
        let messages: Vec<_> = diagnostics.iter().map(|d| d.message.as_str()).collect();
        let expected = [
            "the pipeline has no parameter `sizes`",
            "the pipeline has no stage `mash`",
            "the pipeline has no profile `bog`",
        ];
        assert_eq!(messages, expected);
        let (_, diagnostics) = resolve(&["root=/a", "profile=big"]);
        assert_eq!(diagnostics[0].message, "the pipeline has no profiles");
    }
}
