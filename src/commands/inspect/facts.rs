//! `Facts`: what is known of a file, for people and for programs.

use std::path::Path;

use serde_json::{Map, Value};

use crate::terminal;

/// What is known of a file.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What it is: "mesh", "grid", ...
    sort: String,
    /// Named facts, in order.
    fields: Map<String, Value>,
    /// Tables and such, after the facts; for people only.
    pub(super) more: String,
    /// A picture; for people only.
    pub(super) picture: String,
}

impl Facts {
    /// Of a file of this sort.
    pub(super) fn new(sort: &str) -> Self {
        Self { sort: sort.to_owned(), ..Self::default() }
    }

    /// Adds a fact.
    pub(super) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    /// All facts as one object.
    pub(super) fn to_json(&self, file: &Path) -> Value {
        let mut all = Map::new();
        all.insert("file".to_owned(), Value::from(file.display().to_string()));
        all.insert("kind".to_owned(), Value::from(self.sort.as_str()));
        all.extend(self.fields.clone());
        Value::Object(all)
    }

    /// All facts line by line; long lists and tables are left to the JSON form.
    pub(super) fn to_text(&self, file: &Path, draws: bool) -> String {
        let mut text = format!("{}: {}\n", file.display(), self.sort);
        let rows = self.fields.iter().filter_map(|(name, value)| {
            Some(vec![format!("  {}", name.replace('_', " ")), plain(value)?])
        });
        text += &terminal::table(&rows.collect::<Vec<_>>());
        for part in [self.more.as_str(), if draws { &self.picture } else { "" }] {
            if !part.is_empty() {
                text += &format!("\n{part}");
            }
        }
        text
    }
}

/// `None` for what is too long for a line.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("-".to_owned()),
        Value::Bool(truth) => Some(if *truth { "yes" } else { "no" }.to_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(match number.as_u64() {
            Some(whole) => terminal::thousands(whole),
            None => number.to_string(),
        }),
        Value::Array(items) if items.iter().all(|i| !i.is_object() && !i.is_array()) => {
            Some(items.iter().filter_map(plain).collect::<Vec<_>>().join(", "))
        }
        _ => None,
    }
}
