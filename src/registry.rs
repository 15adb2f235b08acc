//! The registry: everything a stage can be, from the lists of all families.

use voxflow_contract::{Inputs, Kind};

/// A family of kinds: one crate under `operators/`.
pub struct Family {
    /// Name of the family and of its folder.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Its kinds, sorted by name.
    pub kinds: &'static [&'static dyn Kind],
}

/// All families, in the order rows pass them.
pub const FAMILIES: &[Family] = &[
    Family { name: "sources", summary: "Where rows begin.", kinds: voxflow_sources::ALL },
    Family {
        name: "geometry",
        summary: "Meshes, grids, views and poses, sample by sample.",
        kinds: voxflow_geometry::ALL,
    },
    Family {
        name: "curation",
        summary: "What needs to know all samples.",
        kinds: voxflow_curation::ALL,
    },
    Family {
        name: "external",
        summary: "Programs of somebody else.",
        kinds: voxflow_external::ALL,
    },
    Family { name: "sinks", summary: "Where rows end.", kinds: voxflow_sinks::ALL },
    #[cfg(feature = "train")]
    Family {
        name: "training",
        summary: "Stages that read a committed data set.",
        kinds: voxflow_training::ALL,
    },
];

/// Kinds of the cargo feature `train`, for builds without it.
pub const OF_FEATURE_TRAIN: [&str; 2] = ["evaluate", "train"];

/// All kinds, family by family.
pub fn kinds() -> Vec<&'static dyn Kind> {
    FAMILIES.iter().flat_map(|family| family.kinds.iter().copied()).collect()
}

/// Names of all kinds, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = kinds().into_iter().map(Kind::name).collect();
    names.sort_unstable();
    names
}

/// The kind called `name`.
pub fn find(name: &str) -> Option<&'static dyn Kind> {
    kinds().into_iter().find(|kind| kind.name() == name)
}

/// Names of the sources: the layouts that can be read.
pub fn layouts() -> Vec<&'static str> {
    voxflow_sources::ALL.iter().map(|kind| kind.name()).collect()
}

/// Whether `name` is known, but not in this build.
pub fn is_left_out(name: &str) -> bool {
    !cfg!(feature = "train") && OF_FEATURE_TRAIN.contains(&name)
}

/// What part a kind plays, as far as it can be said before it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Rows begin here.
    Source,
    /// Sample by sample.
    Operator,
    /// After all samples are known.
    Keyed,
    /// Rows end here.
    Sink,
    /// Reads a committed data set.
    Task,
}

/// The part `kind` plays.
pub fn role(kind: &dyn Kind) -> Role {
    match (kind.inputs(), kind.output()) {
        (Inputs::None, _) => Role::Source,
        (_, "dataset") => Role::Sink,
        (_, "checkpoint" | "metric") => Role::Task,
        (Inputs::Key, _) => Role::Keyed,
        _ => Role::Operator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{BuildContext, Params, Stage, tables};

    #[test]
    fn names_are_unique_and_families_sorted() {
        let names = names();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        for family in FAMILIES {
            assert!(family.kinds.windows(2).all(|pair| pair[0].name() < pair[1].name()));
            assert!(family.summary.ends_with('.'));
        }
    }

    #[test]
    fn every_kind_names_tables_there_are() {
        for kind in kinds() {
            let special = ["dataset", "checkpoint", "metric", "rows"];
            let known = |table: &str| special.contains(&table) || tables::find(table).is_some();
            assert!(known(kind.output()), "{} gives {}", kind.name(), kind.output());
            if let Inputs::Tables(tables) = kind.inputs() {
                assert!(
                    tables.iter().all(|table| known(table)),
                    "{} takes {tables:?}",
                    kind.name()
                );
            }
        }
    }

    #[test]
    fn every_example_builds_and_plays_its_part() {
        for kind in kinds() {
            let example: toml::Table = kind.example().parse().expect("TOML");
            let stage = example["stage"].as_array().expect("stages").iter();
            let stage =
                stage.filter_map(|s| s.as_table()).find(|s| s["use"].as_str() == Some(kind.name()));
            let mut stage = stage.expect("the kind itself").clone();
            stage.retain(|key, _| !["id", "use", "from"].contains(&key));
            let params = serde_json::to_value(stage).expect("JSON");
            let params = Params(params.as_object().expect("a table").clone());
            let context = BuildContext { seed: 0, stage: "x".to_owned() };
            let built = kind.build(&params, &context);
            let part = match built.unwrap_or_else(|e| panic!("{}: {e:?}", kind.name())) {
                Stage::Source(_) => Role::Source,
                Stage::Operator(_) => Role::Operator,
                Stage::Keyed(_) => Role::Keyed,
                Stage::Sink(_) => Role::Sink,
                Stage::Task(_) => Role::Task,
            };
            assert_eq!(part, role(kind), "{}", kind.name());
        }
    }
}
