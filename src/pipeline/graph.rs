//! Who reads from whom: ids to positions, and an order in which everything comes after its inputs.

use std::ops::Range;

use super::diagnostics::{Diagnostic, Source};
use super::parse::{Spec, StageSpec};
use crate::registry::{self, Role};

/// The stages each stage reads from, and an order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Positions of the inputs of each stage of the spec.
    pub from: Vec<Vec<usize>>,
    /// Positions of all stages that are in no cycle, inputs first.
    pub order: Vec<usize>,
    /// Whether every id was found and nothing reads from itself.
    pub is_whole: bool,
}

/// Finds the inputs of every stage.
pub fn resolve(spec: &Spec, source: &Source<'_>, diagnostics: &mut Vec<Diagnostic>) -> Graph {
    let before = diagnostics.len();
    report_twins(spec, source, diagnostics);
    let from: Vec<Vec<usize>> = (0..spec.stages.len())
        .map(|position| inputs(spec, position, source, diagnostics))
        .collect();
    let order = order(&from);
    if order.len() < from.len() {
        diagnostics.push(cycle(spec, &from, &order, source));
    }
    Graph { from, order, is_whole: diagnostics.len() == before }
}

/// Place of what a stage reads from: its `from`, or else its `use`.
pub fn from_span(stage: &StageSpec) -> Range<usize> {
    stage.from_span.clone().unwrap_or_else(|| stage.kind_span.clone())
}

fn report_twins(spec: &Spec, source: &Source<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for (position, stage) in spec.stages.iter().enumerate() {
        if spec.stages[..position].iter().any(|other| other.id == stage.id) {
            let message = format!("two stages are called `{}`", stage.id);
            let help = "give one of them another `id`";
            diagnostics.push(source.at(stage.id_span.clone(), message).help(help));
        }
    }
}

fn inputs(
    spec: &Spec,
    position: usize,
    source: &Source<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<usize> {
    let stage = &spec.stages[position];
    let Some(from) = &stage.from else {
        let role = registry::find(&stage.kind).map(registry::role);
        let reads = role.is_some_and(|role| role != Role::Source);
        return if reads { position.checked_sub(1).into_iter().collect() } else { Vec::new() };
    };
    let mut found = Vec::new();
    for (id, span) in from {
        match spec.stages.iter().position(|other| other.id == *id) {
            Some(input) if input == position => {
                let message = format!("`{id}` reads from itself");
                diagnostics.push(source.at(span.clone(), message));
            }
            Some(input) => found.push(input),
            None => {
                let known = spec.stages.iter().map(|s| s.id.as_str()).filter(|s| *s != stage.id);
                let message = format!("there is no stage `{id}` to read from");
                diagnostics.push(source.at(span.clone(), message).suggest(id, known));
            }
        }
    }
    found
}

/// The order of the file wherever it can be kept.
fn order(from: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::new();
    loop {
        let is_ready = |position: &usize| {
            !order.contains(position) && from[*position].iter().all(|input| order.contains(input))
        };
        match (0..from.len()).find(is_ready) {
            Some(position) => order.push(position),
            None => return order,
        }
    }
}

/// Walks against the flow inside what could not be ordered: that ends in a cycle.
fn cycle(spec: &Spec, from: &[Vec<usize>], order: &[usize], source: &Source<'_>) -> Diagnostic {
    let is_stuck = |position: &usize| !order.contains(position);
    let mut path: Vec<usize> = Vec::new();
    let mut at = (0..from.len()).find(is_stuck);
    while let Some(position) = at {
        if let Some(start) = path.iter().position(|seen| *seen == position) {
            path.drain(..start);
            break;
        }
        path.push(position);
        at = from[position].iter().copied().find(is_stuck);
    }
    path.reverse();
    let first = path.iter().copied().min().unwrap_or(0);
    let turn = path.iter().position(|p| *p == first).unwrap_or(0);
    path.rotate_left(turn);
    path.push(first);
    let names: Vec<_> = path.iter().map(|p| format!("`{}`", spec.stages[*p].id)).collect();
    let message = format!("stages feed each other in a circle: {}", names.join(" -> "));
    source.at(from_span(&spec.stages[first]), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{document, parse};
    use std::path::Path;

    fn check(stages: &[(&str, &[&str])]) -> (Graph, Vec<String>) {
        let mut text = "[pipeline]\nname = \"x\"\n".to_owned();
        for (id, from) in stages {
            text += &format!("[[stage]]\nid = \"{id}\"\nuse = \"k\"\nfrom = {from:?}\n");
        }
        let source = Source::new(Path::new("x.toml"), &text);
        let (spec, _) = parse::spec(document::parse(&source).0, &source);
        let mut diagnostics = Vec::new();
        let graph = resolve(&spec, &source, &mut diagnostics);
        (graph, diagnostics.into_iter().map(|d| d.message).collect())
    }

    #[test]
    fn stages_may_be_written_in_any_order() {
        let (graph, messages) = check(&[("c", &["a", "b"]), ("a", &[]), ("b", &["a"])]);
        assert_eq!(messages, Vec::<String>::new());
        assert_eq!(graph.order, [1, 2, 0]);
        assert_eq!(graph.from[0], [1, 2]);
    }

    #[test]
    fn circles_twins_and_strangers_are_told() {
        let (graph, messages) =
            check(&[("a", &["b"]), ("b", &["a"]), ("b", &["x"]), ("d", &["d"]), ("e", &["a"])]);
        let expected = [
            "two stages are called `b`",
            "there is no stage `x` to read from",
            "`d` reads from itself",
            "stages feed each other in a circle: `a` -> `b` -> `a`",
        ];
        assert_eq!(messages, expected);
        assert!(!graph.is_whole);
    }
}
