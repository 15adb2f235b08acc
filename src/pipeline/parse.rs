//! The text of a pipeline as a typed spec, with the place of each part and every mistake of form.

use std::ops::Range;

use super::diagnostics::{Diagnostic, Source};
use super::document::{Field, Node, Tree};
use super::profile::ProfileSpec;

/// A pipeline as it stands in its file: nothing looked up, nothing replaced.
#[derive(Debug, Default)]
pub struct Spec {
    /// Name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Seed, or a reference to one.
    pub seed: Option<Node>,
    /// Id of a data set of the catalogue, or a reference to one.
    pub dataset: Option<Node>,
    /// Parameters.
    pub parameters: Vec<ParameterSpec>,
    /// Sets of values that can be chosen.
    pub profiles: Vec<ProfileSpec>,
    /// Stages.
    pub stages: Vec<StageSpec>,
}

/// A parameter of a pipeline.
#[derive(Debug)]
pub struct ParameterSpec {
    /// Name.
    pub name: String,
    /// Place of the name.
    pub name_span: Range<usize>,
    /// Value it has when nobody sets it; without one it must be set.
    pub default: Option<Node>,
    /// What it is for.
    pub help: Option<String>,
}

/// A stage of a pipeline.
#[derive(Debug)]
pub struct StageSpec {
    /// Id; the name of the kind if none is given.
    pub id: String,
    /// Place of the id.
    pub id_span: Range<usize>,
    /// Name of the kind.
    pub kind: String,
    /// Place of that name.
    pub kind_span: Range<usize>,
    /// Ids it reads from; `None` means the stage before it.
    pub from: Option<Vec<(String, Range<usize>)>>,
    /// Place of the whole `from`.
    pub from_span: Option<Range<usize>>,
    /// Parameters of the kind.
    pub params: Vec<Field>,
}

/// Reads the spec, and says all that is wrong with its form.
pub fn spec(fields: Vec<Field>, source: &Source<'_>) -> (Spec, Vec<Diagnostic>) {
    let mut reader = Reader { source, diagnostics: Vec::new() };
    let mut spec = Spec::default();
    let mut has_pipeline = false;
    for field in fields {
        match field.key.as_str() {
            "pipeline" => {
                has_pipeline = true;
                reader.header(field, &mut spec);
            }
            "parameters" => spec.parameters = reader.parameters(field),
            "profile" => spec.profiles = reader.profiles(field),
            "stage" => spec.stages = reader.stages(field),
            _ => {
                let known = ["pipeline", "parameters", "profile", "stage"];
                reader.unknown(&field, "a pipeline", &known);
            }
        }
    }
    if !has_pipeline {
        let help = "begin with `[pipeline]` and `name = \"…\"`";
        reader.diagnostics.push(source.at(0..0, "there is no table `[pipeline]`").help(help));
    }
    if spec.stages.is_empty() && !reader.diagnostics.iter().any(|d| d.message.contains("stage")) {
        let help =
            "add a `[[stage]]` with `use = \"…\"`; `voxflow operators` lists what can be used";
        reader.diagnostics.push(source.at(0..0, "the pipeline has no stage").help(help));
    }
    (spec, reader.diagnostics)
}

struct Reader<'a> {
    source: &'a Source<'a>,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn header(&mut self, field: Field, spec: &mut Spec) {
        let span = field.key_span.clone();
        let Some(fields) = self.table(field) else { return };
        let mut named = false;
        for field in fields {
            match field.key.as_str() {
                "name" => {
                    named = true;
                    spec.name = self.text(&field).unwrap_or_default();
                }
                "description" => spec.description = self.text(&field),
                "seed" => spec.seed = Some(field.node),
                "dataset" => spec.dataset = Some(field.node),
                _ => {
                    self.unknown(&field, "[pipeline]", &["name", "seed", "dataset", "description"]);
                }
            }
        }
        if !named {
            self.error(span, "`[pipeline]` has no `name`");
        }
    }

    fn parameters(&mut self, field: Field) -> Vec<ParameterSpec> {
        let fields = self.table(field).unwrap_or_default();
        fields.into_iter().filter_map(|field| self.parameter(field)).collect()
    }

    fn profiles(&mut self, field: Field) -> Vec<ProfileSpec> {
        let fields = self.table(field).unwrap_or_default();
        let mut profiles = Vec::new();
        for field in fields {
            let (name, span) = (field.key.clone(), field.key_span.clone());
            match ProfileSpec::read(field) {
                Some(profile) => profiles.push(profile),
                None => self.error(span, &format!("write `[profile.{name}]` and its values below")),
            }
        }
        profiles
    }

    fn parameter(&mut self, field: Field) -> Option<ParameterSpec> {
        let (name, name_span) = (field.key, field.key_span);
        if name.contains(['.', ':', '=', '}']) {
            self.error(name_span, "a parameter's name may hold no `.`, `:`, `=` or `}`");
            return None;
        }
        let Tree::Table(details) = field.node.tree else {
            return Some(ParameterSpec { name, name_span, default: Some(field.node), help: None });
        };
        let (mut default, mut help) = (None, None);
        for detail in details {
            match detail.key.as_str() {
                "default" => default = Some(detail.node),
                "help" => help = self.text(&detail),
                "required" => self.required(&detail),
                _ => self.unknown(&detail, "a parameter", &["default", "help", "required"]),
            }
        }
        Some(ParameterSpec { name, name_span, default, help })
    }

    /// A parameter without a default is required; saying so is allowed, saying otherwise is not.
    fn required(&mut self, detail: &Field) {
        if !matches!(&detail.node.tree, Tree::Scalar(serde_json::Value::Bool(true))) {
            let message = "`required` can only be `true`; give a `default` otherwise";
            self.error(detail.node.span.clone(), message);
        }
    }

    fn stages(&mut self, field: Field) -> Vec<StageSpec> {
        let (key_span, kind) = (field.key_span.clone(), field.node.kind());
        match field.node.tree {
            Tree::List(nodes) => nodes.into_iter().filter_map(|node| self.stage(node)).collect(),
            _ => {
                let message = format!("`stage` is {kind}, but should be a list of tables");
                self.diagnostics.push(
                    self.source.at(key_span, message).help("write `[[stage]]` with two brackets"),
                );
                Vec::new()
            }
        }
    }

    fn stage(&mut self, node: Node) -> Option<StageSpec> {
        let (span, kind) = (node.span.clone(), node.kind());
        let Tree::Table(fields) = node.tree else {
            self.error(span, &format!("a stage is a table, this is {kind}"));
            return None;
        };
        let (mut id, mut used, mut from, mut params) = (None, None, None, Vec::new());
        for field in fields {
            match field.key.as_str() {
                "id" => id = self.text(&field).map(|text| (text, field.node.span.clone())),
                "use" => used = Some((self.text(&field), field.node.span.clone())),
                "from" => from = Some((self.ids(&field), field.node.span.clone())),
                _ => params.push(field),
            }
        }
        let Some((kind, kind_span)) = used else {
            let message = "the stage does not say what it is: `use` is missing";
            let help = "`voxflow operators` lists what can be used";
            self.diagnostics.push(self.source.at(span, message).help(help));
            return None;
        };
        let kind = kind?;
        let (id, id_span) = id.unwrap_or_else(|| (kind.clone(), kind_span.clone()));
        self.check_id(&id, &id_span);
        let (from, from_span) = from.map_or((None, None), |(ids, span)| (Some(ids), Some(span)));
        Some(StageSpec { id, id_span, kind, kind_span, from, from_span, params })
    }

    /// Ids become names of folders.
    fn check_id(&mut self, id: &str, span: &Range<usize>) {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if id.is_empty() || !id.chars().all(fine) || id.starts_with('-') {
            let message = format!("`{id}` is no id: letters, digits, `_` and `-` only");
            self.error(span.clone(), &message);
        }
    }

    fn ids(&mut self, field: &Field) -> Vec<(String, Range<usize>)> {
        let one = std::slice::from_ref(&field.node);
        let nodes = if let Tree::List(nodes) = &field.node.tree { nodes } else { one };
        let mut ids = Vec::new();
        for node in nodes {
            match node.as_text() {
                Some(id) if ids.iter().any(|(other, _)| other == id) => {
                    self.error(node.span.clone(), &format!("`{id}` stands twice in `from`"));
                }
                Some(id) => ids.push((id.to_owned(), node.span.clone())),
                None => {
                    let message = format!("`from` takes ids of stages, this is {}", node.kind());
                    self.error(node.span.clone(), &message);
                }
            }
        }
        ids
    }

    fn table(&mut self, field: Field) -> Option<Vec<Field>> {
        let kind = field.node.kind();
        match field.node.tree {
            Tree::Table(fields) => Some(fields),
            _ => {
                let message = format!("`{}` is {kind}, but should be a table", field.key);
                self.error(field.key_span, &message);
                None
            }
        }
    }

    fn text(&mut self, field: &Field) -> Option<String> {
        let text = field.node.as_text().map(str::to_owned);
        if text.is_none() {
            let message = format!("`{}` is {}, but should be text", field.key, field.node.kind());
            self.error(field.node.span.clone(), &message);
        }
        text
    }

    fn unknown(&mut self, field: &Field, place: &str, known: &[&str]) {
        let message = format!("unknown key `{}` in {place}", field.key);
        let diagnostic = self.source.at(field.key_span.clone(), message);
        self.diagnostics.push(diagnostic.suggest(&field.key, known.iter().copied()));
    }

    fn error(&mut self, span: Range<usize>, message: &str) {
        self.diagnostics.push(self.source.at(span, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::document;
    use std::path::Path;

    fn messages(text: &str) -> Vec<String> {
        let source = Source::new(Path::new("x.toml"), text);
        let (fields, syntax) = document::parse(&source);
        assert!(syntax.is_empty(), "{syntax:?}");
        spec(fields, &source).1.into_iter().map(|d| d.message).collect()
    }

    #[test]
    fn a_good_pipeline_has_no_mistakes() {
        let text = "[pipeline]\nname = \"x\"\n[parameters]\na = 1\nb = { help = \"h\" }\n\
                    [[stage]]\nuse = \"synthetic\"\n[[stage]]\nuse = \"voxelize\"\nfrom = \"synthetic\"\n";
        assert_eq!(messages(text), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_of_form_is_told() {
        let text = "extra = 1\n[pipeline]\nseeed = 1\n[[stage]]\nid = \"a\"\n[[stage]]\nuse = 3\n\
                    [[stage]]\nuse = \"x\"\nid = \"a/b\"\nfrom = [1, \"a\", \"a\"]\n";
        let expected = [
            "unknown key `extra` in a pipeline",
            "unknown key `seeed` in [pipeline]",
            "`[pipeline]` has no `name`",
            "the stage does not say what it is: `use` is missing",
            "`use` is a number, but should be text",
            "`from` takes ids of stages, this is a number",
            "`a` stands twice in `from`",
            "`a/b` is no id: letters, digits, `_` and `-` only",
        ];
        assert_eq!(messages(text), expected);
    }
}
