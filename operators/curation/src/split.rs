//! `split`: which part of the data set a sample belongs to, exact per class, without leakage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, ContentHash, Fault, Inputs, Keyed, Kind, ParamError, Params, Schema,
    SplitPolicy, Stage, Values, key_values, tables,
};

use crate::largest_remainder::largest_remainder;

/// Names of the splits, in the order their quotas are filled.
pub const SPLITS: [&str; 3] = ["train", "val", "test"];

/// How far from 1 the ratios may sum: nine digits of a third are near enough.
const SUM_TOLERANCE: f64 = 1.000_001e-9;

/// What always lies in one split.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "String")]
pub enum GroupBy {
    /// All samples of equal content, so that no duplicate leaks from one split to another.
    #[default]
    Content,
    /// Each sample by itself; duplicates may leak.
    Sample,
    /// All samples that have the same value in this column.
    Column(String),
}

impl From<String> for GroupBy {
    fn from(text: String) -> Self {
        match text.as_str() {
            "content" => Self::Content,
            "sample" => Self::Sample,
            _ => Self::Column(text),
        }
    }
}

/// Parameters of `split`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitParams {
    /// Share of each class that is trained on, 0 to 1.
    #[serde(default = "default_train")]
    pub train: f64,
    /// Share of each class that is validated on while training, 0 to 1.
    #[serde(default = "default_val")]
    pub val: f64,
    /// Share of each class that is kept for the final measurement, 0 to 1.
    #[serde(default = "default_test")]
    pub test: f64,
    /// Seed of the order in which samples are dealt; the pipeline's when not given.
    #[serde(default)]
    pub seed: Option<u64>,
    /// What always lies in one split: samples of equal `content`, each `sample` by itself, or samples
    /// with the same value in the column of this name.
    #[serde(default)]
    #[schemars(with = "String", default = "default_group")]
    pub group: GroupBy,
}

fn default_group() -> String {
    "content".to_owned()
}

fn default_train() -> f64 {
    0.7
}

fn default_val() -> f64 {
    0.1
}

fn default_test() -> f64 {
    0.2
}

pub(crate) struct SplitKind;

impl Kind for SplitKind {
    fn name(&self) -> &'static str {
        "split"
    }

    fn summary(&self) -> &'static str {
        "Assigns every sample to train, val or test, in exact ratios per class and without leakage."
    }

    fn manual(&self) -> &'static str {
        "Takes the key columns of all samples, gives table `split`.\n\n\
         Samples of equal content form a group, and a group is never cut: duplicates lie in one \
         split, whatever they are called. A group belongs to the class of one of its samples, that \
         whose id has the least hash, so a file that lies in two classes counts in one of them. With `group = \"sample\"` every \
         sample is its own group and duplicates may leak. Any other `group` is the name of a column \
         of a stage that it reads from (text, whole numbers, hashes, grids): with `group = \"voxels\"` \
         shapes that give the same grid lie in one split, also when they come in different formats.\n\n\
         Quotas are per class and count groups: the largest-remainder method cuts the number of \
         groups of a class into train, val and test, ties going to the earlier. A class without \
         duplicates is thus split exactly by samples; one with duplicates is off by as many samples \
         as its groups have extra members. A class of one group goes to the split with the largest \
         ratio.\n\n\
         Within a class groups are dealt in the order of a hash of seed and group (equal hashes, \
         which do not happen, by group): the first to train, the next to val, the rest to test. The \
         hash of a group does not depend on other samples, so adding one sample moves few others, \
         only at the edges of the quotas. The order of the input does not matter.\n\n\
         Cost: one hash a group, a few hundred bytes of memory a sample."
    }

    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Inputs {
        Inputs::Key
    }

    fn output(&self) -> &'static str {
        "split"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"split\"\nuse = \"split\"\nfrom = \"objects\"\n\
         train = 0.8\nval = 0.1\ntest = 0.1\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(SplitParams)
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: SplitParams = params.parse()?;
        let errors = ratio_errors(&params);
        if !errors.is_empty() {
            return Err(errors);
        }
        let policy = SplitPolicy {
            ratios: [params.train, params.val, params.test],
            seed: params.seed.unwrap_or(context.seed),
            is_by_sample: params.group == GroupBy::Sample,
        };
        Ok(Stage::Keyed(Arc::new(Split { policy, group: params.group })))
    }
}

fn ratio_errors(params: &SplitParams) -> Vec<ParamError> {
    let ratios = [("train", params.train), ("val", params.val), ("test", params.test)];
    let mut errors: Vec<_> = ratios
        .iter()
        .filter(|(_, ratio)| !(*ratio >= 0.0 && ratio.is_finite()))
        .map(|(key, _)| ParamError::new(key, "must be a number of at least 0"))
        .collect();
    let sum: f64 = ratios.iter().map(|(_, ratio)| ratio).sum();
    if errors.is_empty() && (sum - 1.0).abs() > SUM_TOLERANCE {
        let SplitParams { train, val, test, .. } = params;
        let message = format!("train + val + test must be 1, these are {train} + {val} + {test}");
        errors.push(ParamError::new("train", message));
    }
    errors
}

struct Split {
    policy: SplitPolicy,
    group: GroupBy,
}

/// Samples that always lie in one split: a run of [`Keys::by_key`]. Few bytes, and compared by numbers.
struct Group {
    /// Place of its class among all.
    class: u32,
    /// First bytes of its rank.
    rank: u64,
    /// Where its run begins.
    start: u32,
}

impl Keyed for Split {
    fn output(&self) -> Schema {
        tables::split()
    }

    fn split_policy(&self) -> Option<SplitPolicy> {
        (!matches!(self.group, GroupBy::Column(_))).then_some(self.policy)
    }

    fn columns(&self) -> Vec<String> {
        match &self.group {
            GroupBy::Column(name) => vec![name.clone()],
            GroupBy::Content | GroupBy::Sample => Vec::new(),
        }
    }

    fn assign(&self, keys: &Batch) -> Result<Batch, Fault> {
        let keys_of_rows = Keys::new(keys, &self.group)?;
        let groups = self.ranked_groups(&keys_of_rows);
        let mut split_of_row = vec![0u8; keys.rows()];
        for class in groups.chunk_by(|a, b| a.class == b.class) {
            let quotas = largest_remainder(class.len() as u64, self.policy.ratios);
            let dealt =
                (0..3u8).flat_map(|i| std::iter::repeat_n(i, quotas[usize::from(i)] as usize));
            for (group, split) in class.iter().zip(dealt) {
                let rows = keys_of_rows.rows_of(group);
                rows.iter().for_each(|&row| split_of_row[row as usize] = split);
            }
        }
        let all: Vec<usize> = (0..keys.rows()).collect();
        let mut values = key_values(keys, &all)?;
        values.push(Values::utf8(split_of_row.into_iter().map(|split| SPLITS[usize::from(split)])));
        Ok(Batch::new(tables::split(), values)?)
    }
}

/// Keys of all rows, and the rows in the order of their group keys: a few bytes a sample, since there
/// may be millions.
struct Keys<'a> {
    is_by_sample: bool,
    samples: Vec<&'a str>,
    categories: Vec<&'a str>,
    /// What groups are by, if not by sample.
    contents: Vec<&'a [u8]>,
    /// Row numbers by group key, then by sample.
    by_key: Vec<u32>,
}

impl<'a> Keys<'a> {
    fn new(keys: &'a Batch, group: &GroupBy) -> Result<Self, Fault> {
        let too_many = |_| Fault::new("too_many", "a split takes at most 2^32 samples");
        let rows = u32::try_from(keys.rows()).map_err(too_many)?;
        let column = if let GroupBy::Column(name) = group { name } else { "content" };
        let contents = keys.fixed_binary(column)?;
        let mut keys = Self {
            is_by_sample: *group == GroupBy::Sample,
            samples: keys.utf8("sample")?.values_iter().collect(),
            categories: keys.utf8("category")?.values_iter().collect(),
            contents: (0..keys.rows()).map(|row| contents.value(row)).collect(),
            by_key: (0..rows).collect(),
        };
        let mut by_key: Vec<(u64, u32)> =
            keys.by_key.iter().map(|&row| (first_bytes(keys.key(row)), row)).collect();
        by_key.sort_unstable_by(|(first_a, a), (first_b, b)| {
            let order = |row: u32| (keys.key(row), keys.samples[row as usize]);
            first_a.cmp(first_b).then_with(|| order(*a).cmp(&order(*b)))
        });
        keys.by_key = by_key.into_iter().map(|(_, row)| row).collect();
        Ok(keys)
    }

    fn key(&self, row: u32) -> &'a [u8] {
        if self.is_by_sample {
            return self.samples[row as usize].as_bytes();
        }
        self.contents[row as usize]
    }

    /// Rows of a group.
    fn rows_of(&self, group: &Group) -> &[u32] {
        let rest = &self.by_key[group.start as usize..];
        let key = self.key(rest[0]);
        let len = rest.iter().take_while(|row| self.key(**row) == key).count();
        &rest[..len]
    }

    /// Group key of a group.
    fn key_of(&self, group: &Group) -> &'a [u8] {
        self.key(self.by_key[group.start as usize])
    }

    /// Class of a group of these rows: that of the sample whose id has the least hash.
    fn category(&self, rows: &[u32]) -> &'a str {
        let hash = |row: &&u32| ContentHash::of(self.samples[**row as usize].as_bytes());
        let first = if let [row] = rows { Some(row) } else { rows.iter().min_by_key(hash) };
        first.map_or("", |row| self.categories[*row as usize])
    }
}

/// The first bytes of a key: they tell most apart, and numbers are compared fast.
fn first_bytes(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = key.len().min(8);
    first[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(first)
}

impl Split {
    /// All groups, class by class, in the order they are dealt: by rank, then by group key.
    fn ranked_groups(&self, keys: &Keys<'_>) -> Vec<Group> {
        let classes: BTreeSet<&str> = keys.categories.iter().copied().collect();
        let classes: BTreeMap<&str, u32> = classes.into_iter().zip(0..).collect();
        let mut groups = Vec::new();
        let (mut start, mut last) = (0, ("", classes.get("").copied().unwrap_or_default()));
        for run in keys.by_key.chunk_by(|&a, &b| keys.key(a) == keys.key(b)) {
            let category = keys.category(run);
            if category != last.0 {
                last = (category, classes[category]);
            }
            let rank = first_bytes(self.policy.rank(keys.key(run[0])).as_bytes());
            groups.push(Group { class: last.1, rank, start });
            start += run.len() as u32;
        }
        groups.sort_unstable_by(|a, b| {
            let whole = |group| {
                let key = keys.key_of(group);
                (self.policy.rank(key), key)
            };
            (a.class, a.rank).cmp(&(b.class, b.rank)).then_with(|| whole(a).cmp(&whole(b)))
        });
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const CONTEXT: u64 = 7;

    fn build(params: serde_json::Value) -> Result<Arc<dyn Keyed>, Vec<ParamError>> {
        let serde_json::Value::Object(params) = params else { panic!("parameters are a table") };
        let params = Params(params);
        let context = BuildContext { seed: CONTEXT, stage: "split".to_owned() };
        match SplitKind.build(&params, &context)? {
            Stage::Keyed(keyed) => Ok(keyed),
            _ => panic!("split is a keyed stage"),
        }
    }

    /// Rows of (sample, category, content).
    fn keys(rows: &[(String, String, String)]) -> Batch {
        let hashes = rows.iter().map(|row| *ContentHash::of(row.2.as_bytes()).as_bytes());
        let values = vec![
            Values::utf8(rows.iter().map(|row| &row.0)),
            Values::utf8(rows.iter().map(|row| &row.1)),
            Values::fixed_binary(ContentHash::LEN, hashes),
        ];
        Batch::new(tables::key(), values).expect("a key batch")
    }

    fn unlike(class: &str, count: usize) -> Vec<(String, String, String)> {
        (0..count)
            .map(|i| (format!("{class}/{i:05}"), class.to_owned(), format!("{class}{i}")))
            .collect()
    }

    fn assign(params: serde_json::Value, rows: &[(String, String, String)]) -> Vec<String> {
        let batch = build(params).expect("good parameters").assign(&keys(rows)).expect("a split");
        assert_eq!(batch.schema(), &tables::split());
        let splits = batch.utf8("split").expect("split");
        (0..batch.rows()).map(|row| splits.value(row).to_owned()).collect()
    }

    fn counts(splits: &[String]) -> [usize; 3] {
        SPLITS.map(|name| splits.iter().filter(|split| *split == name).count())
    }

    #[test]
    fn every_class_is_split_exactly() {
        for (n, expected) in [(1, [1, 0, 0]), (3, [2, 0, 1]), (10, [7, 1, 2]), (99, [69, 10, 20])] {
            let rows = [unlike("chair", n), unlike("table", 10)].concat();
            let splits = assign(json!({}), &rows);
            assert_eq!(counts(&splits[..n]), expected, "{n}");
            assert_eq!(counts(&splits[n..]), [7, 1, 2]);
        }
        assert!(assign(json!({}), &[]).is_empty());
    }

    #[test]
    fn seeds_change_who_is_where_but_not_how_many() {
        let rows = unlike("chair", 100);
        let (default, same, other) = (
            assign(json!({}), &rows),
            assign(json!({"seed": CONTEXT}), &rows),
            assign(json!({"seed": 8}), &rows),
        );
        assert_eq!(default, same);
        assert_ne!(default, other);
        assert_eq!(counts(&default), counts(&other));
    }

    #[test]
    fn the_order_of_the_input_does_not_matter() {
        let rows = [unlike("chair", 50), unlike("sofa", 31)].concat();
        let mut backwards = rows.clone();
        backwards.reverse();
        let mut splits = assign(json!({}), &backwards);
        splits.reverse();
        assert_eq!(splits, assign(json!({}), &rows));
    }

    #[test]
    fn duplicates_stay_together_even_across_classes() {
        let mut rows = [unlike("chair", 40), unlike("stool", 40)].concat();
        for i in 0..40 {
            rows[40 + i].2 = rows[i].2.clone();
        }
        let splits = assign(json!({}), &rows);
        assert_eq!(splits[..40], splits[40..]);
        let is_least = |i: &usize| {
            let hash = |row: usize| ContentHash::of(rows[row].0.as_bytes());
            hash(*i) < hash(40 + *i)
        };
        let chairs: Vec<usize> = (0..40).filter(is_least).collect();
        assert!((1..40).contains(&chairs.len()), "groups of both classes");
        let of_chairs: Vec<_> = chairs.iter().map(|i| splits[*i].clone()).collect();
        let quotas = largest_remainder(chairs.len() as u64, [0.7, 0.1, 0.2]);
        assert_eq!(counts(&of_chairs).map(|n| n as u64), quotas);
        let apart = assign(json!({"group": "sample"}), &rows);
        assert_ne!(apart[..40], apart[40..]);
    }

    #[test]
    fn one_more_sample_moves_few_others() {
        let rows = unlike("chair", 1000);
        let before = assign(json!({}), &rows[..999]);
        let after = assign(json!({}), &rows);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(moved <= 2, "{moved} samples moved");
    }

    #[test]
    fn wrong_ratios_are_refused() {
        let message = |params| build(params).err().expect("an error")[0].clone();
        let sum = message(json!({"train": 0.8}));
        assert_eq!(sum.message, "train + val + test must be 1, these are 0.8 + 0.1 + 0.2");
        let negative = message(json!({"train": 1.1, "val": -0.3}));
        assert_eq!(negative.key, "val");
        assert!(
            build(json!({"train": 0.333333333, "val": 0.333333333, "test": 0.333333333})).is_ok()
        );
        assert!(build(json!({"train": 1.0, "val": 0, "test": 0})).is_ok());
        assert_eq!(message(json!({"group": 3})).key, "group");
    }

    #[test]
    fn groups_of_a_column_are_whole() {
        let by_shape = build(json!({"group": "shape"})).expect("good parameters");
        assert_eq!(by_shape.columns(), ["shape"]);
        let rows = unlike("chair", 60);
        let shapes = (0..60u8).map(|i| [i / 3; 32]);
        let column = voxflow_contract::Column::new(
            "shape",
            voxflow_contract::ColumnType::FixedBinary(32),
            "Hash of a shape.",
        );
        let shapes = Batch::new(
            Schema::new("shape", 1, vec![column]),
            vec![Values::fixed_binary(32, shapes)],
        );
        let keys = keys(&rows).beside(&shapes.expect("a batch")).expect("as many rows");
        let said = by_shape.assign(&keys).expect("a split");
        let splits: Vec<_> = said.utf8("split").expect("split").values_iter().collect();
        assert!(splits.chunks(3).all(|group| group.iter().all(|split| *split == group[0])));
        assert_eq!(splits.iter().filter(|split| **split == "train").count(), 42);
    }

    proptest! {
        #[test]
        fn groups_are_whole_and_quotas_exact(
            picks in prop::collection::vec((0u8..3, 0u8..30), 0..120),
            seed in any::<u32>(),
        ) {
            let rows: Vec<_> = picks
                .iter()
                .enumerate()
                .map(|(i, (class, content))| (format!("s{i:03}"), format!("c{class}"), format!("{content}")))
                .collect();
            let splits = assign(json!({"seed": seed}), &rows);
            let mut split_of = BTreeMap::new();
            let mut class_of = BTreeMap::new();
            for (row, split) in rows.iter().zip(&splits) {
                prop_assert_eq!(split_of.entry(&row.2).or_insert(split), &split);
                let hash = ContentHash::of(row.0.as_bytes());
                let least = class_of.entry(&row.2).or_insert((hash, &row.1));
                *least = (*least).min((hash, &row.1));
            }
            for class in ["c0", "c1", "c2"] {
                let of_class: Vec<String> = class_of
                    .iter()
                    .filter(|(_, (_, c))| *c == class)
                    .map(|(content, _)| split_of[*content].clone())
                    .collect();
                let quotas = largest_remainder(of_class.len() as u64, [0.7, 0.1, 0.2]);
                prop_assert_eq!(counts(&of_class), quotas.map(|q| q as usize));
            }
        }
    }
}
