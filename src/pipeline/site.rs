//! Where in a pipeline's file what is wrong with a parameter is shown.

use voxflow_contract::{Kind, ParamError};

use super::diagnostics::{Diagnostic, Source};
use super::document::{Field, Node, Tree};
use super::parse::StageSpec;
use super::settings::Resolved;

/// Where the parameters of a stage stand.
pub(super) struct Site<'a> {
    pub(super) kind: &'static dyn Kind,
    pub(super) spec: &'a StageSpec,
    pub(super) resolved: &'a Resolved,
    pub(super) source: &'a Source<'a>,
}

impl Site<'_> {
    /// `None` for what follows from a reference without a value, which was told already.
    pub(super) fn diagnostic(&self, error: &ParamError) -> Option<Diagnostic> {
        let name = self.kind.name();
        if error.key.is_empty() {
            return self.resolved.is_complete.then(|| self.of_stage(error));
        }
        let top = error.key.split(['.', '[']).next().unwrap_or_default();
        let is_unknown = !error.known.is_empty();
        let message = if is_unknown {
            format!("`{name}` has no parameter `{}`", error.key)
        } else {
            format!("parameter `{}` of `{name}`: {}", error.key, error.message)
        };
        let diagnostic = match self.resolved.assigned.get(top) {
            Some(assignment) => Diagnostic::on_command_line(assignment, message),
            None => self.in_file(top, &error.key, is_unknown, message),
        };
        let known = error.known.iter().map(String::as_str);
        Some(if is_unknown { diagnostic.suggest(&error.key, known) } else { diagnostic })
    }

    fn of_stage(&self, error: &ParamError) -> Diagnostic {
        let name = self.kind.name();
        let missing =
            error.message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`'));
        let at = |message: String| self.source.at(self.spec.kind_span.clone(), message);
        match missing {
            Some(key) => {
                at(format!("`{name}` needs parameter `{key}`")).help(format!("add `{key} = …`"))
            }
            None => at(format!("`{name}`: {}", error.message)),
        }
    }

    fn in_file(&self, top: &str, path: &str, is_unknown: bool, message: String) -> Diagnostic {
        let Some(field) = self.spec.params.iter().find(|field| field.key == top) else {
            return self.source.at(self.spec.kind_span.clone(), message);
        };
        if is_unknown {
            return self.source.at(field.key_span.clone(), message);
        }
        let diagnostic = self.source.at(deepest(field, path).span.clone(), message);
        match (field.node.as_text(), self.resolved.values.get(top)) {
            (Some(text), Some(value)) if text.contains("${") => {
                diagnostic.help(format!("note: the value is {value}"))
            }
            _ => diagnostic,
        }
    }
}

/// The node a dotted path leads to, as far as it leads.
fn deepest<'a>(field: &'a Field, path: &str) -> &'a Node {
    let mut node = &field.node;
    for step in path.split(['.', '[']).skip(1) {
        let step = step.trim_end_matches(']');
        let next = match &node.tree {
            Tree::List(nodes) => step.parse().ok().and_then(|i: usize| nodes.get(i)),
            Tree::Table(fields) => fields.iter().find(|f| f.key == step).map(|f| &f.node),
            Tree::Scalar(_) => None,
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}
