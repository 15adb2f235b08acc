//! `datasets.toml`: the data sets that are known, where they lie, and what should be in them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::Error;
use crate::pipeline::diagnostics::{Diagnostic, Source, tidy};
use crate::pipeline::document::{self, Field, Node, Tree};
use crate::pipeline::template;

/// All data sets of one file.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// The file.
    pub file: PathBuf,
    /// The entries, in the order of the file.
    pub datasets: Vec<Dataset>,
}

/// One data set.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Dataset {
    /// Id in pipelines.
    pub id: String,
    /// Name of the source that reads it.
    pub layout: String,
    /// Root as it is written, or empty for what is made and not read.
    pub root_text: String,
    /// Root with variables replaced, or why it cannot be.
    pub root: Option<Result<PathBuf, String>>,
    /// Terms it may be used under.
    pub licence: String,
    /// Where it comes from: address or citation.
    pub source: String,
    /// What it is.
    pub description: String,
    /// Official splits and their samples.
    pub splits: BTreeMap<String, u64>,
    /// What should be in it.
    pub expected: Expected,
}

/// What should be in a data set; what is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Expected {
    /// Samples.
    pub samples: Option<u64>,
    /// Classes.
    pub classes: Option<u64>,
    /// Samples of single classes.
    pub per_class: BTreeMap<String, u64>,
}

impl Catalogue {
    /// Reads a catalogue.
    ///
    /// # Errors
    /// When it cannot be read, or all that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file).map_err(|e| Error::input("read", file, e))?;
        Self::parse(file, &text).map_err(|diagnostics| Error::Catalogue { diagnostics })
    }

    /// Reads a catalogue from its text.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let source = Source::new(file, text);
        let (fields, syntax) = document::parse(&source);
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut reader = Reader { source: &source, folder, diagnostics: Vec::new() };
        let datasets = reader.datasets(fields);
        let diagnostics = tidy(syntax, reader.diagnostics);
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        Ok(Self { file: file.to_owned(), datasets })
    }

    /// The data set called `id`.
    pub fn find(&self, id: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|dataset| dataset.id == id)
    }
}

/// The catalogue to use: the one given, or the nearest `datasets.toml` in one of the folders or
/// above it.
pub fn locate(given: Option<&Path>, folders: &[&Path]) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    let mut above = folders.iter().flat_map(|folder| {
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        absolute.ancestors().map(Path::to_owned).collect::<Vec<_>>()
    });
    let found = above.find(|folder| folder.join("datasets.toml").is_file())?;
    Some(relative_to_here(found).join("datasets.toml"))
}

/// Messages are easier to read with short paths.
fn relative_to_here(path: PathBuf) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).map(Path::to_owned).unwrap_or(path)
}

/// JSON Schema of `datasets.toml`.
pub fn json_schema(layouts: &[&str]) -> Value {
    let text = |doc: &str| json!({"type": "string", "description": doc});
    let counts = |doc: &str| {
        let count = json!({"type": "integer", "minimum": 0});
        json!({"type": "object", "description": doc, "additionalProperties": count})
    };
    let count = |doc: &str| json!({"type": "integer", "minimum": 0, "description": doc});
    let layout_doc = format!("Name of the source that reads it; built: {}.", layouts.join(", "));
    let expected = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "samples": count("Samples."),
            "classes": count("Classes."),
            "per_class": counts("Samples of single classes."),
        },
    });
    let dataset = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["id", "layout", "licence", "source"],
        "properties": {
            "id": text("Id in pipelines."),
            "layout": {"type": "string", "description": layout_doc, "examples": layouts},
            "root": text("Folder, relative to this file; ${VAR} and ${VAR:-default} are replaced."),
            "licence": text("Terms it may be used under."),
            "source": text("Where it comes from: address or citation."),
            "description": text("What it is."),
            "splits": counts("Official splits and their samples."),
            "expected": expected,
        },
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "voxflow datasets",
        "type": "object",
        "additionalProperties": false,
        "properties": {"dataset": {"type": "array", "items": dataset}},
    })
}

const KEYS: [&str; 8] =
    ["id", "layout", "root", "licence", "source", "description", "splits", "expected"];

struct Reader<'a> {
    source: &'a Source<'a>,
    folder: &'a Path,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn datasets(&mut self, fields: Vec<Field>) -> Vec<Dataset> {
        let mut datasets: Vec<Dataset> = Vec::new();
        for field in fields {
            let Tree::List(nodes) = field.node.tree else {
                self.unknown(&field, "a catalogue", &["dataset"]);
                continue;
            };
            if field.key != "dataset" {
                let message = format!("unknown key `{}` in a catalogue", field.key);
                self.error(field.key_span, message);
                continue;
            }
            for node in nodes {
                let span = node.span.clone();
                let Some(dataset) = self.dataset(node) else { continue };
                if datasets.iter().any(|other| other.id == dataset.id) {
                    self.error(span, format!("two data sets are called `{}`", dataset.id));
                }
                datasets.push(dataset);
            }
        }
        datasets
    }

    fn dataset(&mut self, node: Node) -> Option<Dataset> {
        let span = node.span.clone();
        let Tree::Table(fields) = node.tree else {
            self.error(span, "a data set is a table; write `[[dataset]]`".to_owned());
            return None;
        };
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        let (mut splits, mut expected) = (BTreeMap::new(), Expected::default());
        for field in &fields {
            match field.key.as_str() {
                "splits" => splits = self.counts(field),
                "expected" => expected = self.expected(field),
                key => match KEYS.iter().find(|known| **known == key) {
                    Some(known) => drop(texts.insert(known, self.text(field))),
                    None => self.unknown(field, "a data set", &KEYS),
                },
            }
        }
        for required in ["id", "layout", "licence", "source"] {
            if !texts.contains_key(required) {
                self.error(span.clone(), format!("the data set has no `{required}`"));
            }
        }
        let mut take = |key: &str| texts.remove(key).unwrap_or_default();
        let root_text = take("root");
        let root = (!root_text.is_empty()).then(|| self.root(&root_text));
        let (id, layout, licence) = (take("id"), take("layout"), take("licence"));
        let (source, description) = (take("source"), take("description"));
        Some(Dataset {
            id,
            layout,
            root_text,
            root,
            licence,
            source,
            description,
            splits,
            expected,
        })
    }

    /// A variable that is not set matters only to who uses the data set.
    fn root(&self, text: &str) -> Result<PathBuf, String> {
        let expanded = template::expand(text, |name| {
            template::environment(name.strip_prefix("env:").unwrap_or(name))
        });
        match expanded {
            Ok(root) => Ok(self.folder.join(root.as_str().unwrap_or_default())),
            Err(faults) => {
                let all: Vec<_> = faults.into_iter().map(|fault| fault.message).collect();
                Err(all.join("; "))
            }
        }
    }

    fn expected(&mut self, field: &Field) -> Expected {
        let mut expected = Expected::default();
        let Some(fields) = field.node.as_table() else {
            self.error(field.node.span.clone(), "`expected` should be a table".to_owned());
            return expected;
        };
        for field in fields {
            match field.key.as_str() {
                "samples" => expected.samples = self.count(field),
                "classes" => expected.classes = self.count(field),
                "per_class" => expected.per_class = self.counts(field),
                _ => self.unknown(field, "`expected`", &["samples", "classes", "per_class"]),
            }
        }
        expected
    }

    fn counts(&mut self, field: &Field) -> BTreeMap<String, u64> {
        let Some(fields) = field.node.as_table() else {
            let message = format!("`{}` should be a table of numbers", field.key);
            self.error(field.node.span.clone(), message);
            return BTreeMap::new();
        };
        fields.iter().filter_map(|field| Some((field.key.clone(), self.count(field)?))).collect()
    }

    fn count(&mut self, field: &Field) -> Option<u64> {
        let count = field.node.to_json().as_u64();
        if count.is_none() {
            let message =
                format!("`{}` is {}, but should be a count", field.key, field.node.kind());
            self.error(field.node.span.clone(), message);
        }
        count
    }

    fn text(&mut self, field: &Field) -> String {
        let text = field.node.as_text().filter(|text| !text.is_empty()).map(str::to_owned);
        text.unwrap_or_else(|| {
            let message = format!("`{}` should be a text that is not empty", field.key);
            self.error(field.node.span.clone(), message);
            String::new()
        })
    }

    fn unknown(&mut self, field: &Field, place: &str, known: &[&str]) {
        let message = format!("unknown key `{}` in {place}", field.key);
        let diagnostic = self.source.at(field.key_span.clone(), message);
        self.diagnostics.push(diagnostic.suggest(&field.key, known.iter().copied()));
    }

    fn error(&mut self, span: Range<usize>, message: String) {
        self.diagnostics.push(self.source.at(span, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_that_ships_is_good() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets.toml");
        let catalogue = Catalogue::load(&file).expect("good");
        let modelnet = catalogue.find("modelnet40").expect("there");
        assert_eq!(modelnet.expected.samples, Some(12_311));
        assert_eq!(modelnet.splits.values().sum::<u64>(), 12_311);
        for dataset in &catalogue.datasets {
            assert!(!dataset.description.is_empty(), "{}", dataset.id);
            assert!(dataset.root.as_ref().is_none_or(Result::is_ok), "{}", dataset.id);
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "[[dataset]]\nid = \"a\"\nlayuot = \"x\"\nlicence = \"l\"\nsource = 3\n\
                    expected = { samples = \"many\" }\n[[dataset]]\nid = \"a\"\nlayout = \"m\"\n\
                    licence = \"l\"\nsource = \"s\"\n";
        let errors = Catalogue::parse(Path::new("d.toml"), text).expect_err("wrong");
        let lines: Vec<_> = errors.iter().map(|e| (e.line, e.message.as_str())).collect();
        let expected = [
            (1, "the data set has no `layout`"),
            (3, "unknown key `layuot` in a data set"),
            (5, "`source` should be a text that is not empty"),
            (6, "`samples` is text, but should be a count"),
            (7, "two data sets are called `a`"),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn roots_are_relative_to_the_file_and_may_name_variables() {
        let text = "[[dataset]]\nid = \"a\"\nlayout = \"m\"\nlicence = \"l\"\nsource = \"s\"\n\
                    root = \"${VOXFLOW_SURELY_UNSET:-data/a}\"\n";
        let catalogue = Catalogue::parse(Path::new("/x/d.toml"), text).expect("good");
        assert_eq!(catalogue.datasets[0].root, Some(Ok(PathBuf::from("/x/data/a"))));
    }
}
