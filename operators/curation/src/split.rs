//! `split`: which part of the data set a sample belongs to, exact per class, without leakage.

use std::sync::Arc;

use voxflow_contract::{
    Batch, BuildContext, Coverage, Fault, Inputs, Keyed, Kind, MoveLimit, PARTS, ParamError,
    Params, Schema, SetupFault, SplitLists, SplitPolicy, Stage, Values, key_values, tables,
};

use crate::groups::Keys;
use crate::largest_remainder::largest_remainder;
use crate::official::{Official, Unlisted, deal};
use crate::split_params::{GroupBy, SplitParams, ratio_errors};

/// Names of the splits, in the order their quotas are filled.
pub const SPLITS: [&str; 3] = PARTS;
/// The parameter that names the official list.
const OFFICIAL: &str = "official";

pub(crate) struct SplitKind;

impl Kind for SplitKind {
    fn name(&self) -> &'static str {
        "split"
    }

    fn summary(&self) -> &'static str {
        "Assigns every sample to train, val or test: in exact ratios per class without leakage, or as a list says."
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
         Official splits: `official` names a list of samples and the part each belongs to, by their exact \
         ids: a CSV whose header has `sample` and `split`, JSON lines with these two members, a Parquet \
         table with these columns, or the folder of a data set of an earlier run (`train/`, `val/`, \
         `test/`). What it says counts, not its name or form. A broken line, a part that is none of the \
         three and a sample that is listed in two parts are told before anything is read, by file and line. \
         Samples that are not listed stop the run too, unless `unlisted` says where they go: to `train`, \
         `val` or `test`, or by `deal` to what the quotas of all samples of their class lack (a part that \
         the list fills beyond its quota gets none, and the others share what is left). Listed samples \
         that no source has are counted and told, or refused with `absent = \"refuse\"`.\n\n\
         The list wins over groups: when it puts samples of equal content in two parts, they lie there, and \
         the run counts that as a leak. Samples that are not listed lie with the listed ones of their \
         group, in the first of these parts.\n\n\
         To keep the split of an earlier run while samples come, let the first run deal, then give its data \
         set as the list: `official = \".voxflow/runs/RUN/dataset\"`, `unlisted = \"deal\"`. No sample of \
         that run moves.\n\n\
         Every run says how many samples lie in another split than in the data set before (of the last run \
         of the same pipeline that ended), and with `max_moved` it ends before it replaces \
         anything when these are more.\n\n\
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

    fn split_lists(&self, params: &Params) -> Vec<(String, String)> {
        let official = params.0.get(OFFICIAL).and_then(|value| value.as_str());
        official.map(|path| (OFFICIAL.to_owned(), path.to_owned())).into_iter().collect()
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        self.build_with(params, context, &SplitLists::new())
    }

    fn build_with(
        &self,
        params: &Params,
        context: &BuildContext,
        lists: &SplitLists,
    ) -> Result<Stage, Vec<ParamError>> {
        let params: SplitParams = params.parse()?;
        let mut errors = ratio_errors(&params);
        let official = official(&params, lists, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let policy = SplitPolicy {
            ratios: [params.train, params.val, params.test],
            seed: params.seed.unwrap_or(context.seed),
            is_by_sample: params.group == GroupBy::Sample,
        };
        let max_moved = params.max_moved.map(|max| max.0);
        Ok(Stage::Keyed(Arc::new(Split { policy, group: params.group, official, max_moved })))
    }
}

/// The official list, if there is to be one.
fn official(
    params: &SplitParams,
    lists: &SplitLists,
    errors: &mut Vec<ParamError>,
) -> Option<Official> {
    if params.official.is_none() {
        let given = [("unlisted", params.unlisted.is_some()), ("absent", params.absent.is_some())];
        let without = given.iter().filter(|(_, is_given)| *is_given);
        errors.extend(without.map(|(key, _)| ParamError::new(key, "needs `official`")));
        return None;
    }
    match lists.get(OFFICIAL) {
        Some(list) if !list.is_empty() => Some(Official {
            list: Arc::clone(list),
            unlisted: params.unlisted.unwrap_or_default(),
            absent: params.absent.unwrap_or_default(),
        }),
        list => {
            let message = list.map_or("was not read", |_| "lists no sample");
            errors.push(ParamError::new(OFFICIAL, message));
            None
        }
    }
}

struct Split {
    policy: SplitPolicy,
    group: GroupBy,
    official: Option<Official>,
    max_moved: Option<MoveLimit>,
}

impl Keyed for Split {
    fn output(&self) -> Schema {
        tables::split()
    }

    fn split_policy(&self) -> Option<SplitPolicy> {
        let is_by_keys = !matches!(self.group, GroupBy::Column(_)) && self.official.is_none();
        is_by_keys.then_some(self.policy)
    }

    fn coverage(
        &self,
        samples: &mut dyn Iterator<Item = &str>,
    ) -> Result<Option<Coverage>, SetupFault> {
        self.official.as_ref().map(|official| official.coverage(samples)).transpose()
    }

    fn move_limit(&self) -> Option<MoveLimit> {
        self.max_moved
    }

    fn columns(&self) -> Vec<String> {
        match &self.group {
            GroupBy::Column(name) => vec![name.clone()],
            GroupBy::Content | GroupBy::Sample => Vec::new(),
        }
    }

    fn assign(&self, keys: &Batch) -> Result<Batch, Fault> {
        let keys_of_rows = Keys::new(keys, &self.group)?;
        let listed = match &self.official {
            Some(official) => official.parts(&keys_of_rows)?,
            None => Vec::new(),
        };
        let unlisted = self.official.as_ref().map_or(Unlisted::Deal, |official| official.unlisted);
        let groups = keys_of_rows.ranked_groups(&self.policy);
        let mut split_of_row = vec![0u8; keys.rows()];
        for class in groups.chunk_by(|a, b| a.class == b.class) {
            let quotas = largest_remainder(class.len() as u64, self.policy.ratios);
            deal(&keys_of_rows, class, quotas, &listed, unlisted, &mut split_of_row);
        }
        let all: Vec<usize> = (0..keys.rows()).collect();
        let mut values = key_values(keys, &all)?;
        values.push(Values::utf8(split_of_row.into_iter().map(|split| SPLITS[usize::from(split)])));
        Ok(Batch::new(tables::split(), values)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{Row, batch as keys, unlike};
    use proptest::prelude::*;
    use serde_json::json;
    use voxflow_contract::ContentHash;

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

    fn assign(params: serde_json::Value, rows: &[Row]) -> Vec<String> {
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
    fn a_limit_of_moves_is_a_number_or_a_share() {
        let limit = |value| build(json!({"max_moved": value})).map(|keyed| keyed.move_limit());
        assert_eq!(limit(json!(3)).expect("a number"), Some(MoveLimit::Samples(3)));
        assert_eq!(limit(json!("0.5%")).expect("a share"), Some(MoveLimit::Percent(0.5)));
        assert_eq!(limit(json!("12")).expect("a number"), Some(MoveLimit::Samples(12)));
        for wrong in [json!("x%"), json!("101%"), json!(-1), json!(0.5), json!(true)] {
            let error = limit(wrong.clone()).expect_err("no limit")[0].clone();
            assert_eq!(error.key, "max_moved", "{wrong}: {error:?}");
        }
        let half = MoveLimit::Percent(0.5);
        assert!(half.allows(5, 1000) && !half.allows(6, 1000) && half.allows(0, 0));
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
