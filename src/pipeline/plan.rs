//! `Plan`: a pipeline that was checked in every way that needs no data, ready to be run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use voxflow_contract::{BuildContext, Kind, ParamError, Params, Schema, SplitLists, Stage};

use super::diagnostics::{Diagnostic, Source, tidy};
use super::fit::{self, Draft};
use super::graph::{self, Graph};
use super::parse::{Spec, StageSpec};
use super::settings::{Resolved, Scope, Settings};
use super::site::Site;
use super::split_list::{self, ListFault};
use super::{document, fingerprint, parse};
use crate::catalogue::{self, Catalogue, Dataset};
use crate::error::Error;
use crate::registry::{self, Role};

/// A pipeline that was checked, with everything replaced and built.
#[derive(Clone)]
pub struct Plan {
    /// Name of the pipeline.
    pub name: String,
    /// What it is for, or empty.
    pub description: String,
    /// Data set of the catalogue it reads, if it names one.
    pub dataset: Option<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// File it was read from.
    pub file: PathBuf,
    /// Its text, as it was read.
    pub text: String,
    /// BLAKE3 hash of its text, in hexadecimal.
    pub text_digest: String,
    /// Values of its parameters.
    pub parameters: BTreeMap<String, Value>,
    /// The stages; each reads from earlier ones only.
    pub stages: Vec<PlannedStage>,
}

/// One stage of a plan.
#[derive(Clone)]
pub struct PlannedStage {
    /// Id, unique in the plan.
    pub id: String,
    /// What it is.
    pub kind: &'static dyn Kind,
    /// Its parameters with everything replaced, defaults not filled in.
    pub params: Params,
    /// Stages it reads from, by position in the plan.
    pub from: Vec<usize>,
    /// What it does.
    pub stage: Stage,
    /// Schema of the rows it gives; of a sink, of the rows it writes, with what keyed stages say of
    /// them; `None` for tasks.
    pub schema: Option<Schema>,
    /// Changes whenever the same data would give other rows, or other data is read.
    pub fingerprint: String,
    /// Changes whenever the same samples would give other rows, wherever they are read from.
    pub rows_fingerprint: String,
}

impl Plan {
    /// Reads and checks a pipeline. Touches no data.
    ///
    /// # Errors
    /// When the file cannot be read, or all that is wrong with it.
    pub fn load(file: &Path, settings: &Settings) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file).map_err(|e| Error::input("read", file, e))?;
        Self::from_text(file, &text, settings)
    }

    /// Checks a pipeline whose text was read from `file`.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn from_text(file: &Path, text: &str, settings: &Settings) -> Result<Self, Error> {
        let source = Source::new(file, text);
        let (fields, syntax) = document::parse(&source);
        let (spec, mut diagnostics) = parse::spec(fields, &source);
        let mut planner = Planner { spec: &spec, source: &source, settings, diagnostics: vec![] };
        let plan = planner.plan(file, syntax.is_empty());
        diagnostics.append(&mut planner.diagnostics);
        let diagnostics = tidy(syntax, diagnostics);
        match plan {
            Some(plan) if diagnostics.is_empty() => Ok(plan),
            _ => Err(failure(diagnostics)),
        }
    }

    /// The stage called `id`.
    pub fn stage(&self, id: &str) -> Option<&PlannedStage> {
        self.stages.iter().find(|stage| stage.id == id)
    }

    /// Positions of the stages that read from the stage at `position`.
    pub fn readers(&self, position: usize) -> Vec<usize> {
        (0..self.stages.len()).filter(|&i| self.stages[i].from.contains(&position)).collect()
    }

    /// Changes whenever a stage of the plan does.
    pub fn fingerprint(&self) -> String {
        let parts: Vec<_> =
            self.stages.iter().flat_map(|s| [s.id.as_str(), s.fingerprint.as_str()]).collect();
        fingerprint::of_parts(&parts)
    }
}

impl PlannedStage {
    /// The part it plays.
    pub fn role(&self) -> Role {
        registry::role(self.kind)
    }
}

fn failure(diagnostics: Vec<Diagnostic>) -> Error {
    let is_catalogue =
        |d: &Diagnostic| Path::new(&d.file).file_name() == Some("datasets.toml".as_ref());
    if !diagnostics.is_empty() && diagnostics.iter().all(is_catalogue) {
        return Error::Catalogue { diagnostics };
    }
    Error::Pipeline { diagnostics }
}

struct Planner<'a> {
    spec: &'a Spec,
    source: &'a Source<'a>,
    settings: &'a Settings,
    diagnostics: Vec<Diagnostic>,
}

impl Planner<'_> {
    /// `None` when a stage could not be built; the diagnostics say why.
    fn plan(&mut self, file: &Path, is_whole: bool) -> Option<Plan> {
        let (spec, source) = (self.spec, self.source);
        let mut scope = Scope::new(spec, &self.settings.set, source, &mut self.diagnostics);
        let seed = self.seed(&mut scope);
        let dataset = self.dataset(&mut scope, file);
        let mut resolved: Vec<_> = spec
            .stages
            .iter()
            .map(|stage| scope.resolve_stage(stage, source, &mut self.diagnostics))
            .collect();
        scope.report(spec, source, &mut self.diagnostics);
        self.fill_root(dataset.as_ref(), &mut resolved);
        let mut drafts: Vec<_> =
            spec.stages.iter().zip(&mut resolved).map(|(s, r)| self.draft(s, r, seed)).collect();
        let mut graph = graph::resolve(spec, source, &mut self.diagnostics);
        graph.is_whole &= is_whole;
        fit::check(spec, &graph, &mut drafts, source, &mut self.diagnostics);
        let stages = assemble(spec, &graph, drafts, resolved, seed)?;
        Some(Plan {
            name: spec.name.clone(),
            description: spec.description.clone().unwrap_or_default(),
            dataset: dataset.map(|dataset| dataset.id),
            seed,
            file: file.to_owned(),
            text: source.text().to_owned(),
            text_digest: blake3::hash(source.text().as_bytes()).to_hex().to_string(),
            parameters: scope.values(),
            stages,
        })
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn seed(&mut self, scope: &mut Scope) -> u64 {
        let Some(node) = &self.spec.seed else { return 0 };
        let Some(value) = scope.resolve(node, self.source, &mut self.diagnostics) else { return 0 };
        value.as_u64().unwrap_or_else(|| {
            let message = format!("the seed should be a whole number from 0, this is {value}");
            self.error(self.source.at(node.span.clone(), message));
            0
        })
    }

    /// The entry of the catalogue that `[pipeline].dataset` names.
    fn dataset(&mut self, scope: &mut Scope, file: &Path) -> Option<Dataset> {
        let node = self.spec.dataset.as_ref()?;
        let value = scope.resolve(node, self.source, &mut self.diagnostics)?;
        let at = |message: String| self.source.at(node.span.clone(), message);
        let Some(id) = value.as_str() else {
            self.error(at(format!("`dataset` should be the id of a data set, this is {value}")));
            return None;
        };
        let here = [Path::new("."), file.parent().unwrap_or(Path::new("."))];
        let Some(path) = catalogue::locate(self.settings.catalogue.as_deref(), &here) else {
            let help = "name it with --catalogue FILE";
            self.error(at("there is no `datasets.toml` here or above".to_owned()).help(help));
            return None;
        };
        match Catalogue::load(&path) {
            Ok(catalogue) => {
                let known = catalogue.datasets.iter().map(|dataset| dataset.id.as_str());
                let message = format!("{} has no data set `{id}`", path.display());
                let unknown = at(message).suggest(id, known);
                let found = catalogue.find(id).cloned();
                if found.is_none() {
                    self.error(unknown);
                }
                found
            }
            Err(Error::Catalogue { diagnostics }) => {
                self.diagnostics.extend(diagnostics);
                None
            }
            Err(other) => {
                self.error(at(other.to_string()));
                None
            }
        }
    }

    /// Gives sources of the data set's layout its root, where they have none of their own.
    fn fill_root(&mut self, dataset: Option<&Dataset>, resolved: &mut [Resolved]) {
        let (Some(dataset), Some(node)) = (dataset, &self.spec.dataset) else { return };
        let at = |message: String| self.source.at(node.span.clone(), message);
        let readers: Vec<usize> = (0..self.spec.stages.len())
            .filter(|&i| self.spec.stages[i].kind == dataset.layout)
            .collect();
        if readers.is_empty() {
            let message = format!(
                "data set `{}` has layout `{}`, which no stage uses",
                dataset.id, dataset.layout
            );
            let help = match registry::find(&dataset.layout) {
                Some(_) => format!("begin with a stage that has use = \"{}\"", dataset.layout),
                None => "that layout is not built yet".to_owned(),
            };
            self.error(at(message).help(help));
        }
        for reader in readers {
            if resolved[reader].values.contains_key("root") {
                continue;
            }
            match &dataset.root {
                Some(Ok(root)) => {
                    let root = Value::from(root.to_string_lossy());
                    resolved[reader].values.insert("root".to_owned(), root);
                }
                Some(Err(message)) => {
                    let message = format!("the root of data set `{}`: {message}", dataset.id);
                    self.diagnostics.push(at(message));
                }
                None => {}
            }
        }
    }

    /// Makes the contents of the files that a stage depends on, and what its lists say, count among its
    /// parameters.
    fn add_digests(
        &mut self,
        kind: &'static dyn Kind,
        spec: &StageSpec,
        resolved: &mut Resolved,
        lists: &SplitLists,
    ) {
        let mut digests = serde_json::Map::new();
        let of_lists =
            lists.iter().map(|(key, list)| (key.clone(), list.digest().to_string().into()));
        digests.extend(of_lists);
        for (key, path) in kind.depends_on(&Params(resolved.values.clone())) {
            match digest_of(&path) {
                Ok(digest) => {
                    digests.insert(path.display().to_string(), Value::from(digest));
                }
                Err(e) => {
                    let error = ParamError::new(&key, format!("{e}: {}", path.display()));
                    let site = Site { kind, spec, resolved, source: self.source };
                    self.diagnostics.extend(site.diagnostic(&error));
                }
            }
        }
        if !digests.is_empty() {
            resolved.values.insert("digests".to_owned(), Value::Object(digests));
        }
    }

    /// Reads the lists that a stage names; gives also the parameters whose lists cannot be used, which
    /// was told then.
    fn read_lists(
        &mut self,
        kind: &'static dyn Kind,
        spec: &StageSpec,
        resolved: &Resolved,
    ) -> (SplitLists, Vec<String>) {
        let (mut lists, mut unusable) = (SplitLists::new(), Vec::new());
        for (key, path) in kind.split_lists(&Params(resolved.values.clone())) {
            match split_list::read(Path::new(&path)) {
                Ok(list) => {
                    lists.insert(key, Arc::new(list));
                    continue;
                }
                Err(ListFault::Lines(diagnostics)) => self.diagnostics.extend(diagnostics),
                Err(ListFault::Whole(message)) => {
                    let site = Site { kind, spec, resolved, source: self.source };
                    self.diagnostics.extend(site.diagnostic(&ParamError::new(&key, message)));
                }
            }
            unusable.push(key);
        }
        (lists, unusable)
    }

    /// Finds the kind of a stage and builds it.
    fn draft(&mut self, spec: &StageSpec, resolved: &mut Resolved, seed: u64) -> Draft {
        let Some(kind) = registry::find(&spec.kind) else {
            self.error(unknown_kind(spec, self.source));
            return Draft::default();
        };
        if let Some(device) = self.settings.device.as_deref().filter(|_| has_device(kind)) {
            resolved.values.insert("device".to_owned(), Value::from(device));
            resolved.assigned.insert("device".to_owned(), format!("{}.device={device}", spec.id));
        }
        let (lists, unusable) = self.read_lists(kind, spec, resolved);
        let context = BuildContext { seed, stage: spec.id.clone() };
        let built = kind.build_with(&Params(resolved.values.clone()), &context, &lists);
        let stage = match built {
            Ok(stage) => {
                self.add_digests(kind, spec, resolved, &lists);
                Some(stage)
            }
            Err(errors) => {
                let site = Site { kind, spec, resolved, source: self.source };
                let untold = errors.iter().filter(|error| !unusable.contains(&error.key));
                self.diagnostics.extend(untold.filter_map(|error| site.diagnostic(error)));
                None
            }
        };
        Draft { kind: Some(kind), stage, schema: None }
    }
}

/// The BLAKE3 hash of a file, in hexadecimal.
fn digest_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn has_device(kind: &dyn Kind) -> bool {
    let schema = kind.parameters();
    schema.get("properties").and_then(|properties| properties.get("device")).is_some()
}

fn unknown_kind(spec: &StageSpec, source: &Source<'_>) -> Diagnostic {
    let name = &spec.kind;
    if registry::is_left_out(name) {
        let message = format!("`{name}` is not in this build, which was made without training");
        let help = "build voxflow with its cargo feature `train` (on by default)";
        return source.at(spec.kind_span.clone(), message).help(help);
    }
    let message = format!("there is nothing called `{name}` to use");
    source.at(spec.kind_span.clone(), message).suggest(name, registry::names())
}

/// Puts the stages in order and gives them their fingerprints; `None` when one is missing.
fn assemble(
    spec: &Spec,
    graph: &Graph,
    drafts: Vec<Draft>,
    resolved: Vec<Resolved>,
    seed: u64,
) -> Option<Vec<PlannedStage>> {
    let place = |position: usize| graph.order.iter().position(|p| *p == position);
    let mut drafts: Vec<_> = drafts.into_iter().zip(resolved).map(Some).collect();
    let mut stages: Vec<PlannedStage> = Vec::new();
    if graph.order.len() != drafts.len() {
        return None;
    }
    for &position in &graph.order {
        let (draft, resolved) = drafts[position].take()?;
        let (kind, stage) = (draft.kind?, draft.stage?);
        let from: Vec<usize> =
            graph.from[position].iter().map(|&input| place(input)).collect::<Option<_>>()?;
        let inputs: Vec<&str> = from.iter().map(|&i| stages[i].fingerprint.as_str()).collect();
        let params = Value::Object(resolved.values.clone());
        let fingerprint = fingerprint::stage(kind, &params, seed, &inputs);
        let inputs: Vec<&str> = from.iter().map(|&i| stages[i].rows_fingerprint.as_str()).collect();
        let rows_fingerprint = match &stage {
            Stage::Keyed(_) => fingerprint::keyed(kind),
            _ => fingerprint::rows(kind, &params, seed, &inputs),
        };
        stages.push(PlannedStage {
            id: spec.stages[position].id.clone(),
            kind,
            params: Params(resolved.values),
            from,
            stage,
            schema: draft.schema,
            fingerprint,
            rows_fingerprint,
        });
    }
    Some(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
[pipeline]
name = \"x\"
[parameters]
root = { help = \"a folder\" }
[[stage]]
use = \"meshes\"
root = \"${root}\"
[[stage]]
use = \"decode_mesh\"
[[stage]]
use = \"normalize\"
[[stage]]
use = \"voxelize\"
resolution = 16
[[stage]]
use = \"split\"
[[stage]]
use = \"parquet\"
from = [\"voxelize\", \"split\"]
";

    fn load(text: &str, set: &[&str]) -> Result<Plan, Vec<Diagnostic>> {
        let set = set.iter().map(|s| (*s).to_owned()).collect();
        let settings = Settings { set, ..Settings::default() };
        match Plan::from_text(Path::new("x.toml"), text, &settings) {
            Ok(plan) => Ok(plan),
            Err(Error::Pipeline { diagnostics }) => Err(diagnostics),
            Err(other) => panic!("{other}"),
        }
    }

    fn mistakes(text: &str, set: &[&str]) -> Vec<(usize, String)> {
        let diagnostics = load(text, set).map(|_| ()).expect_err("a mistake");
        diagnostics.into_iter().map(|d| (d.line, d.message)).collect()
    }

    #[test]
    fn a_good_pipeline_becomes_a_plan() {
        let plan = load(GOOD, &["root=/data"]).unwrap_or_else(|e| panic!("{e:?}"));
        let ids: Vec<_> = plan.stages.iter().map(|stage| stage.id.as_str()).collect();
        assert_eq!(ids, ["meshes", "decode_mesh", "normalize", "voxelize", "split", "parquet"]);
        assert_eq!(plan.stages[5].from, [3, 4]);
        assert_eq!(plan.stages[0].params.0["root"], "/data");
        let written = plan.stages[5].schema.as_ref().expect("of a sink");
        assert!(written.column("voxels").is_some() && written.column("split").is_some());
        assert_eq!(plan.readers(3), [4, 5]);
    }

    #[test]
    fn fingerprints_follow_parameters_downstream_only() {
        let prints = |set: &[&str]| -> Vec<String> {
            let plan = load(GOOD, set).unwrap_or_else(|e| panic!("{e:?}"));
            plan.stages.into_iter().map(|stage| stage.fingerprint).collect()
        };
        let (a, b) = (prints(&["root=/d"]), prints(&["root=/d", "voxelize.resolution=32"]));
        assert_eq!(a[..3], b[..3]);
        assert!(a[3..].iter().zip(&b[3..]).all(|(a, b)| a != b));
    }

    #[test]
    fn rows_do_not_depend_on_where_samples_are_read_from() {
        let prints = |set: &[&str]| -> Vec<(String, String)> {
            let plan = load(GOOD, set).unwrap_or_else(|e| panic!("{e:?}"));
            plan.stages.into_iter().map(|s| (s.fingerprint, s.rows_fingerprint)).collect()
        };
        let (a, b) = (prints(&["root=/d"]), prints(&["root=/e"]));
        assert!(a.iter().zip(&b).all(|(a, b)| a.0 != b.0 && a.1 == b.1));
        let c = prints(&["root=/e", "voxelize.resolution=32"]);
        assert!([3, 5].iter().all(|&i| b[i].1 != c[i].1));
    }

    #[test]
    fn rows_of_a_data_set_depend_on_what_a_split_says_and_not_on_why() {
        let prints = |set: &[&str]| -> Vec<(String, String)> {
            let plan = load(GOOD, set).unwrap_or_else(|e| panic!("{e:?}"));
            plan.stages.into_iter().map(|s| (s.fingerprint, s.rows_fingerprint)).collect()
        };
        let (a, b) = (prints(&["root=/d"]), prints(&["root=/d", "split.seed=9"]));
        assert!(a[4..].iter().zip(&b[4..]).all(|(a, b)| a.0 != b.0 && a.1 == b.1));
    }

    #[test]
    fn many_mistakes_are_told_at_once() {
        let text = "\
[pipeline]
name = \"x\"
sead = 3
[[stage]]
use = \"meshes\"
root = \"${rooot}\"
[[stage]]
use = \"voxelise\"
[[stage]]
use = \"voxelize\"
from = \"meshes\"
resolutoin = 32
[[stage]]
use = \"parquet\"
from = [\"voxelize\", \"spilt\"]
";
        let expected = [
            (3, "unknown key `sead` in [pipeline]"),
            (6, "there is no parameter `rooot`"),
            (8, "there is nothing called `voxelise` to use"),
            (11, "`voxelize` needs table mesh; its input has sample, from `meshes`"),
            (12, "`voxelize` has no parameter `resolutoin`"),
            (15, "there is no stage `spilt` to read from"),
        ];
        let found = mistakes(text, &[]);
        let found: Vec<_> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn wrong_values_are_shown_where_they_stand() {
        let wrong = GOOD.replace("resolution = 16", "resolution = \"big\"");
        let found = mistakes(&wrong, &["root=/d"]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, 14);
        let set =
            load(GOOD, &["root=/d", "voxelize.resolution=big"]).map(|_| ()).expect_err("wrong");
        assert_eq!(set[0].file, "--set");
        assert_eq!(mistakes(GOOD, &[]), [(4, "parameter `root` has no value".to_owned())]);
    }

    #[test]
    fn parts_must_fit_each_other() {
        let head = "[pipeline]\nname = \"x\"\n[[stage]]\nuse = \"synthetic\"\n";
        let after = |stages: &str| mistakes(&format!("{head}{stages}"), &[]).pop().expect("one").1;
        let keyed = "[[stage]]\nuse = \"split\"\n[[stage]]\nuse = \"normalize\"\n[[stage]]\nuse = \"parquet\"\n";
        assert_eq!(after(keyed), "what `split` says is known at the end; only a sink may take it");
        let only_keyed = "[[stage]]\nuse = \"split\"\n[[stage]]\nuse = \"parquet\"\n";
        assert_eq!(after(only_keyed), "`parquet` gets no rows, only what is said of them");
        let twice = "[[stage]]\nuse = \"normalize\"\n[[stage]]\nuse = \"parquet\"\n\
                     from = [\"synthetic\", \"normalize\"]\n";
        assert!(after(twice).starts_with("columns would stand twice in the input of `parquet`"));
        let loose = "[[stage]]\nuse = \"normalize\"\n";
        assert_eq!(after(loose), "the rows of `normalize` go nowhere");
        let source = "[[stage]]\nuse = \"meshes\"\nroot = \"x\"\nfrom = \"synthetic\"\n";
        assert_eq!(after(source), "`meshes` is a source and takes no input");
        let two = "[[stage]]\nuse = \"meshes\"\nroot = \"x\"\n[[stage]]\nuse = \"parquet\"\n\
                   from = [\"synthetic\", \"meshes\"]\n";
        assert_eq!(
            after(two),
            "`parquet` would join rows of different sources: `synthetic`, `meshes`"
        );
    }
}
