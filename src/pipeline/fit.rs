//! Whether tables fit: every stage finds what it needs in what the stages it reads from give.

use std::collections::{BTreeMap, BTreeSet};

use voxflow_contract::{Inputs, Kind, Schema, SetupFault, Stage, has_row_hashes, tables};

use super::diagnostics::{Diagnostic, Source, nearest};
use super::graph::{Graph, from_span};
use super::parse::{Spec, StageSpec};
use crate::registry::{self, Role};

/// A stage on its way to the plan: what could be found out of it so far.
#[derive(Default, Clone)]
pub struct Draft {
    /// Its kind, if there is such a one.
    pub kind: Option<&'static dyn Kind>,
    /// What it was built to, if its parameters are right.
    pub stage: Option<Stage>,
    /// Schema of what it gives; of a sink, of what it writes.
    pub schema: Option<Schema>,
}

impl Draft {
    fn role(&self) -> Option<Role> {
        self.kind.map(registry::role)
    }

    /// Name of what it gives: of an operator the table that it was built for.
    fn gives(&self) -> Option<&'static str> {
        let kind = self.kind?;
        let table = match &self.stage {
            Some(Stage::Operator(operator)) => tables::find(operator.output().table()),
            _ => None,
        };
        Some(table.map_or(kind.output(), |table| table.name))
    }
}

/// Checks every stage against its inputs, in order, and fills in the schemas.
pub fn check(
    spec: &Spec,
    graph: &Graph,
    drafts: &mut [Draft],
    source: &Source<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for &position in &graph.order {
        let checker = Checker { spec, graph, drafts, source, position };
        let (found, schema) = checker.check();
        diagnostics.extend(found);
        if schema.is_some() {
            drafts[position].schema = schema;
        }
    }
    if graph.is_whole {
        report_loose_ends(spec, graph, drafts, source, diagnostics);
    }
}

/// The columns of several per-sample tables side by side: the key once, then all others in order.
/// The error names columns that stand in more than one, and the tables they stand in.
pub fn side_by_side(schemas: &[&Schema]) -> Result<Schema, Vec<String>> {
    let (mut columns, mut twins, mut metadata) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (i, schema) in schemas.iter().enumerate() {
        metadata.extend(schema.metadata().clone());
        for column in schema.columns() {
            let is_key = tables::KEY.contains(&column.name.as_str());
            if is_key && i > 0 {
                continue;
            }
            if let Some(other) = seen.insert(column.name.clone(), schema.table().to_owned()) {
                twins.push(format!("`{}` of {other} and {}", column.name, schema.table()));
                continue;
            }
            columns.push(column.clone());
        }
    }
    let names: Vec<_> = schemas.iter().map(|schema| schema.table()).collect();
    let schema = Schema::with_metadata(&names.join("+"), 1, columns, metadata);
    if twins.is_empty() { Ok(schema) } else { Err(twins) }
}

struct Checker<'a> {
    spec: &'a Spec,
    graph: &'a Graph,
    drafts: &'a [Draft],
    source: &'a Source<'a>,
    position: usize,
}

impl Checker<'_> {
    fn check(&self) -> (Vec<Diagnostic>, Option<Schema>) {
        let mut found = Vec::new();
        let Some(kind) = self.drafts[self.position].kind else { return (found, None) };
        let role = registry::role(kind);
        if role == Role::Source {
            found.extend(self.takes_nothing());
            return (found, self.built_schema());
        }
        if self.inputs().is_empty() {
            found.extend(self.has_no_input(kind));
            return (found, self.built_schema());
        }
        found.extend(self.wrong_parts(role));
        if found.is_empty() {
            found.extend(self.missing_tables(kind, role));
            found.extend(self.several_sources());
        }
        if !found.is_empty() || role == Role::Task {
            let fault = if found.is_empty() { self.task_fault() } else { None };
            found.extend(fault);
            return (found, self.built_schema());
        }
        match self.joined() {
            Err(diagnostic) => (vec![*diagnostic], self.built_schema()),
            Ok(joined) if role == Role::Sink => self.sink(joined),
            Ok(joined) => {
                found.extend(self.missing_columns(&joined));
                (found, self.built_schema())
            }
        }
    }

    fn stage(&self) -> &StageSpec {
        &self.spec.stages[self.position]
    }

    fn inputs(&self) -> &[usize] {
        &self.graph.from[self.position]
    }

    fn id(&self, position: usize) -> &str {
        &self.spec.stages[position].id
    }

    fn error(&self, message: String) -> Diagnostic {
        self.source.at(from_span(self.stage()), message)
    }

    fn built_schema(&self) -> Option<Schema> {
        match self.drafts[self.position].stage.as_ref()? {
            Stage::Source(source) => Some(source.output()),
            Stage::Operator(operator) => Some(operator.output()),
            Stage::Keyed(keyed) => Some(keyed.output()),
            Stage::Sink(_) | Stage::Task(_) => None,
        }
    }

    fn takes_nothing(&self) -> Option<Diagnostic> {
        let span = self.stage().from_span.clone()?;
        let message = format!("`{}` is a source and takes no input", self.stage().kind);
        Some(self.source.at(span, message).help("leave `from` out"))
    }

    fn has_no_input(&self, kind: &dyn Kind) -> Option<Diagnostic> {
        let unknown = self.stage().from.as_ref().is_some_and(|from| !from.is_empty());
        let message = format!("`{}` has nothing to read from", kind.name());
        let help = "say `from = \"…\"`; the first stage should be a source";
        (!unknown).then(|| self.error(message).help(help))
    }

    /// Inputs that give another sort of thing than the stage takes.
    fn wrong_parts(&self, role: Role) -> Vec<Diagnostic> {
        let fits = |input: Role| match role {
            Role::Source => false,
            Role::Operator | Role::Keyed => matches!(input, Role::Source | Role::Operator),
            Role::Sink => matches!(input, Role::Source | Role::Operator | Role::Keyed),
            Role::Task => matches!(input, Role::Sink | Role::Task),
        };
        let wrong = self.inputs().iter().filter_map(|&position| {
            let input = self.drafts[position].role()?;
            (!fits(input)).then(|| self.wrong_part(role, position, input))
        });
        let mut wrong: Vec<_> = wrong.collect();
        let mut roles = self.inputs().iter().map(|&i| self.drafts[i].role());
        if role == Role::Sink && wrong.is_empty() && roles.all(|r| r == Some(Role::Keyed)) {
            let message = format!("`{}` gets no rows, only what is said of them", self.stage().id);
            let help = "add to `from` the stages whose columns it should write";
            wrong.push(self.error(message).help(help));
        }
        wrong
    }

    fn wrong_part(&self, role: Role, position: usize, input: Role) -> Diagnostic {
        let (id, input_id) = (&self.stage().id, self.id(position));
        let gives = self.drafts[position].gives().unwrap_or_default();
        let message = match (role, input) {
            (Role::Task, _) => {
                format!("`{id}` reads a committed data set; `{input_id}` gives table {gives}")
            }
            (_, Role::Keyed) => {
                format!("what `{input_id}` says is known at the end; only a sink may take it")
            }
            _ => format!("`{id}` takes rows; `{input_id}` gives a {gives}"),
        };
        let help = match role {
            Role::Task => "put a sink such as `parquet` between them",
            _ => "take the rows from the stage before it",
        };
        self.error(message).help(help)
    }

    /// What can be had from the inputs; `None` when an input's kind is unknown.
    fn given(&self) -> Option<BTreeSet<&'static str>> {
        let mut given = BTreeSet::new();
        for &position in self.inputs() {
            given.insert(self.drafts[position].gives()?);
            if self.drafts[position].role() == Some(Role::Task)
                && self.sink_above(position).is_some()
            {
                given.insert("dataset");
            }
        }
        Some(given)
    }

    fn missing_tables(&self, kind: &dyn Kind, role: Role) -> Option<Diagnostic> {
        let Inputs::Tables(needed) = kind.inputs() else { return None };
        let given = self.given()?;
        let missing: Vec<_> = needed.iter().copied().filter(|t| !given.contains(t)).collect();
        let first = *missing.first()?;
        let noun = if missing.len() == 1 { "table" } else { "tables" };
        let noun = if role == Role::Task { "input" } else { noun };
        let has: Vec<_> = given.into_iter().collect();
        let from: Vec<_> = self.inputs().iter().map(|&i| format!("`{}`", self.id(i))).collect();
        let message = format!(
            "`{}` needs {noun} {}; its input has {}, from {}",
            kind.name(),
            missing.join(", "),
            has.join(", "),
            from.join(", "),
        );
        Some(self.error(message).help(self.who_gives(first)))
    }

    /// Columns that a keyed stage needs and none of its inputs has, or has of a type that it cannot use.
    fn missing_columns(&self, joined: &Schema) -> Vec<Diagnostic> {
        let Some(Stage::Keyed(keyed)) = &self.drafts[self.position].stage else { return vec![] };
        let usable = joined.columns().iter().filter(|c| has_row_hashes(&c.column_type));
        let usable: Vec<&str> = usable.map(|column| column.name.as_str()).collect();
        let missing = keyed.columns().into_iter().filter(|name| !usable.contains(&name.as_str()));
        let tell = |name: String| {
            let message = match joined.column(&name) {
                Some(column) => format!(
                    "samples cannot be grouped by column `{name}`, which is {}",
                    column.column_type
                ),
                None => {
                    format!("there is no column `{name}` in the input of `{}`", self.stage().id)
                }
            };
            let mut known: Vec<&str> = usable.clone();
            known.extend(["content", "sample"]);
            let help = match nearest(&name, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", known.join(", ")),
            };
            self.error(message).help(help)
        };
        missing.map(tell).collect()
    }

    fn who_gives(&self, table: &str) -> String {
        let gives = |draft: &Draft| draft.gives() == Some(table);
        let stages: Vec<_> = (0..self.drafts.len())
            .filter(|&i| i != self.position && gives(&self.drafts[i]))
            .map(|i| format!("`{}`", self.id(i)))
            .collect();
        if !stages.is_empty() {
            return format!("{table} is given by stage {}; name it in `from`", stages.join(", "));
        }
        let kinds = registry::kinds().into_iter().filter(|kind| kind.output() == table);
        let kinds: Vec<_> = kinds.map(|kind| format!("`{}`", kind.name())).collect();
        if kinds.is_empty() {
            return format!("no operator of this build gives {table}");
        }
        format!("{table} is given by {}; add such a stage before it", kinds.join(", "))
    }

    /// Rows of different sources have different samples and cannot lie side by side.
    fn several_sources(&self) -> Option<Diagnostic> {
        let mut sources = BTreeSet::new();
        for &input in self.inputs() {
            self.sources_above(input, &mut sources);
        }
        let names: Vec<_> = sources.iter().map(|&i| format!("`{}`", self.id(i))).collect();
        (names.len() > 1).then(|| {
            let message = format!(
                "`{}` would join rows of different sources: {}",
                self.stage().id,
                names.join(", ")
            );
            self.error(message).help("everything a stage reads must begin in one source")
        })
    }

    fn sources_above(&self, position: usize, sources: &mut BTreeSet<usize>) {
        if self.drafts[position].role() == Some(Role::Source) {
            sources.insert(position);
        }
        for &input in &self.graph.from[position] {
            self.sources_above(input, sources);
        }
    }

    /// All inputs side by side; an input without a schema counts as one without columns.
    fn joined(&self) -> Result<Schema, Box<Diagnostic>> {
        let schemas: Vec<_> = self
            .inputs()
            .iter()
            .filter_map(|&position| self.drafts[position].schema.as_ref())
            .collect();
        side_by_side(&schemas).map_err(|twins| {
            let message = format!(
                "columns would stand twice in the input of `{}`: {}",
                self.stage().id,
                twins.join(", ")
            );
            Box::new(self.error(message).help("take each table from one stage only"))
        })
    }

    fn sink(&self, joined: Schema) -> (Vec<Diagnostic>, Option<Schema>) {
        let is_whole = self.inputs().iter().all(|&i| self.drafts[i].schema.is_some());
        let mut found = Vec::new();
        if let (Some(Stage::Sink(sink)), true) = (&self.drafts[self.position].stage, is_whole) {
            found.extend(sink.check(&joined).err().map(|fault| self.fault(&fault)));
            found.extend(self.same_folder(sink.folder()));
            found.extend(self.unseen_by_keyed());
        }
        (found, is_whole.then_some(joined))
    }

    /// A keyed stage must be reached by just the samples that reach its sink: otherwise its shares
    /// would count samples that another branch refuses, or lack some that the sink has.
    fn unseen_by_keyed(&self) -> Vec<Diagnostic> {
        let is_keyed = |&i: &usize| self.drafts[i].role() == Some(Role::Keyed);
        let above = |inputs: Vec<usize>| {
            let mut above = BTreeSet::new();
            inputs.into_iter().for_each(|input| self.rows_above(input, &mut above));
            above
        };
        let rows = self.inputs().iter().copied().filter(|i| !is_keyed(i)).collect();
        let of_sink: BTreeSet<usize> = above(rows);
        let mut found = Vec::new();
        for keyed in self.inputs().iter().copied().filter(is_keyed) {
            let of_keyed = above(self.graph.from[keyed].clone());
            let differing = of_sink.symmetric_difference(&of_keyed);
            let names: Vec<_> = differing.map(|&i| format!("`{}`", self.id(i))).collect();
            if !names.is_empty() {
                let message = format!(
                    "`{}` and `{}` do not depend on the same stages: {} on one side only",
                    self.id(keyed),
                    self.stage().id,
                    names.join(", ")
                );
                let help =
                    "let both read from the same branches, so that they see the same samples";
                found.push(self.error(message).help(help));
            }
        }
        found
    }

    /// The stages that rows pass on their way to what the stage at `position` gives, itself included.
    fn rows_above(&self, position: usize, above: &mut BTreeSet<usize>) {
        if above.insert(position) {
            self.graph.from[position].iter().for_each(|&input| self.rows_above(input, above));
        }
    }

    fn same_folder(&self, folder: &str) -> Option<Diagnostic> {
        let other = (0..self.position).find(|&i| {
            matches!(&self.drafts[i].stage, Some(Stage::Sink(sink)) if sink.folder() == folder)
        })?;
        let message = format!("`{}` writes to the same folder `{folder}`", self.id(other));
        Some(self.source.at(self.stage().id_span.clone(), message))
    }

    /// The sink whose data set a task reads: named directly, or that of a task it reads from.
    fn sink_above(&self, position: usize) -> Option<usize> {
        let from = &self.graph.from[position];
        let role = |i: &usize| self.drafts[*i].role();
        let direct = from.iter().copied().find(|i| role(i) == Some(Role::Sink));
        let tasks = || from.iter().copied().filter(|i| role(i) == Some(Role::Task));
        direct.or_else(|| tasks().find_map(|task| self.sink_above(task)))
    }

    fn task_fault(&self) -> Option<Diagnostic> {
        let Some(Stage::Task(task)) = &self.drafts[self.position].stage else { return None };
        let sink = self.sink_above(self.position)?;
        let schema = self.drafts[sink].schema.as_ref()?;
        task.check(schema).err().map(|fault| self.fault(&fault))
    }

    fn fault(&self, fault: &SetupFault) -> Diagnostic {
        self.error(format!("`{}`: {fault}", self.stage().id))
    }
}

fn report_loose_ends(
    spec: &Spec,
    graph: &Graph,
    drafts: &[Draft],
    source: &Source<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let is_used = |position: &usize| graph.from.iter().flatten().any(|input| input == position);
    for position in (0..drafts.len()).filter(|position| !is_used(position)) {
        let Some(role) = drafts[position].role() else { continue };
        if !matches!(role, Role::Sink | Role::Task) {
            let id = &spec.stages[position].id;
            let message = format!("the rows of `{id}` go nowhere");
            let help = format!("name it in the `from` of a later stage: from = \"{id}\"");
            diagnostics.push(source.at(spec.stages[position].id_span.clone(), message).help(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_lie_side_by_side_with_one_key() {
        let (voxels, pose) = (tables::voxels(32), tables::pose());
        let joined = side_by_side(&[&voxels, &pose]).expect("no twins");
        assert_eq!(joined.table(), "voxels+pose");
        assert_eq!(joined.columns().len(), voxels.columns().len() + pose.columns().len() - 3);
    }

    #[test]
    fn twins_are_named() {
        let twins = side_by_side(&[&tables::pose(), &tables::pose()]).expect_err("twins");
        assert_eq!(twins[0], "`camera_from_world` of pose and pose");
    }
}
