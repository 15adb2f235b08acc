//! Official splits: samples that a list puts in a part, and what becomes of all others.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{Assignments, Coverage, Fault, SetupFault};

use crate::groups::{Group, Keys};
use crate::largest_remainder::apportion;

/// Samples that a message names at most.
const NAMED: usize = 5;

/// What becomes of samples that the official list does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unlisted {
    /// The run stops before it begins and says how many there are.
    #[default]
    Refuse,
    /// They are dealt, so that all of a class together come as near to its quotas as they can.
    Deal,
    /// They are trained on.
    Train,
    /// They are validated on.
    Val,
    /// They are kept for the final measurement.
    Test,
}

impl Unlisted {
    /// The part that all of them go to, if it is one.
    fn part(self) -> Option<u8> {
        match self {
            Self::Refuse | Self::Deal => None,
            Self::Train => Some(0),
            Self::Val => Some(1),
            Self::Test => Some(2),
        }
    }
}

/// What becomes of a run whose samples lack some that the official list names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// They are counted and told.
    #[default]
    Warn,
    /// The run stops before it begins.
    Refuse,
}

/// An official list, and what becomes of what it does not say.
pub(crate) struct Official {
    pub(crate) list: Arc<Assignments>,
    pub(crate) unlisted: Unlisted,
    pub(crate) absent: Absent,
}

impl Official {
    /// Compares the list with the samples there are.
    ///
    /// # Errors
    /// When some are not listed or absent, and that is not allowed.
    pub(crate) fn coverage(
        &self,
        samples: &mut dyn Iterator<Item = &str>,
    ) -> Result<Coverage, SetupFault> {
        let mut is_there = vec![false; self.list.len()];
        let (mut unlisted, mut first_unlisted) = (0, Vec::new());
        for sample in samples {
            match self.list.find(sample) {
                Some(position) => is_there[position] = true,
                None => {
                    unlisted += 1;
                    if first_unlisted.len() < NAMED {
                        first_unlisted.push(sample.to_owned());
                    }
                }
            }
        }
        let absent = || (0..self.list.len()).filter(|position| !is_there[*position]);
        let coverage = Coverage {
            listed: self.list.len() as u64,
            absent: absent().count() as u64,
            first_absent: absent().take(NAMED).map(|at| self.list.id(at).to_owned()).collect(),
            unlisted,
        };
        if unlisted > 0 && self.unlisted == Unlisted::Refuse {
            return Err(SetupFault::new(unlisted_message(unlisted, &first_unlisted)));
        }
        if coverage.absent > 0 && self.absent == Absent::Refuse {
            let (absent, named) = (coverage.absent, names(&coverage.first_absent));
            let message = format!("no source has {absent} samples of the official list: {named}");
            return Err(SetupFault::new(message));
        }
        Ok(coverage)
    }

    /// The part of each sample, in the order of the keys, if it is listed.
    ///
    /// # Errors
    /// When some are not and should be.
    pub(crate) fn parts(&self, keys: &Keys<'_>) -> Result<Vec<Option<u8>>, Fault> {
        let parts: Vec<_> = keys.samples.iter().map(|sample| self.list.part(sample)).collect();
        let unlisted = || keys.samples.iter().zip(&parts).filter(|(_, part)| part.is_none());
        if self.unlisted == Unlisted::Refuse && unlisted().next().is_some() {
            let first: Vec<String> =
                unlisted().take(NAMED).map(|(sample, _)| (*sample).to_owned()).collect();
            let message = unlisted_message(unlisted().count() as u64, &first);
            return Err(Fault::new("unlisted", message));
        }
        Ok(parts)
    }
}

fn unlisted_message(count: u64, first: &[String]) -> String {
    format!(
        "{count} samples are not in the official list: {}; list them, or say with `unlisted` where such \
         samples go: deal, train, val or test",
        names(first)
    )
}

fn names(first: &[String]) -> String {
    first.join(", ")
}

/// Deals the groups of a class, which stand in their order: listed samples lie where the list says, the
/// rest of their group where the first of its listed parts is, and groups without any where `unlisted`
/// says, or where quotas are not met.
pub(crate) fn deal(
    keys: &Keys<'_>,
    class: &[Group],
    quotas: [u64; 3],
    listed: &[Option<u8>],
    unlisted: Unlisted,
    split_of_row: &mut [u8],
) {
    let part_of_row = |row: u32| listed.get(row as usize).copied().flatten();
    let pin = |group: &Group| keys.rows_of(group).iter().filter_map(|row| part_of_row(*row)).min();
    let pins: Vec<Option<u8>> = class.iter().map(pin).collect();
    let mut pinned = [0; 3];
    pins.iter().flatten().for_each(|part| pinned[usize::from(*part)] += 1);
    let room = room(quotas, pinned);
    let mut dealt = (0..3u8).flat_map(|i| std::iter::repeat_n(i, room[usize::from(i)] as usize));
    for (group, pin) in class.iter().zip(pins) {
        let part = pin.or(unlisted.part()).or_else(|| dealt.next()).unwrap_or_default();
        for &row in keys.rows_of(group) {
            split_of_row[row as usize] = part_of_row(row).unwrap_or(part);
        }
    }
}

/// How many of the groups that are not pinned go to each part: what the quotas lack, and where other
/// parts have more than their quota, less than that in the same proportions.
///
/// No part that is not full by what is pinned gets more than its quota, so the parts are as near to
/// their quotas, summed up, as they can be.
fn room(quotas: [u64; 3], pinned: [u64; 3]) -> [u64; 3] {
    let lacking = std::array::from_fn(|i| u128::from(quotas[i].saturating_sub(pinned[i])));
    let free = quotas.iter().sum::<u64>() - pinned.iter().sum::<u64>();
    apportion(free, lacking)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::split::SplitKind;
    use crate::testing::{Row, batch, splits_of, unlike};
    use proptest::prelude::*;
    use serde_json::json;
    use voxflow_contract::{
        AssignmentList, BuildContext, Keyed, Kind, ParamError, Params, SplitLists, Stage,
    };

    fn list(listed: &[(String, u8)]) -> Arc<Assignments> {
        let mut list = AssignmentList::default();
        listed.iter().for_each(|(sample, part)| list.push(sample, *part, 0));
        Arc::new(list.finish().expect("each sample once"))
    }

    fn build(
        mut params: serde_json::Value,
        listed: &[(String, u8)],
    ) -> Result<Arc<dyn Keyed>, Vec<ParamError>> {
        params["official"] = "splits.csv".into();
        let serde_json::Value::Object(params) = params else { panic!("parameters are a table") };
        let context = BuildContext { seed: 7, stage: "split".to_owned() };
        let lists = SplitLists::from([("official".to_owned(), list(listed))]);
        match SplitKind.build_with(&Params(params), &context, &lists)? {
            Stage::Keyed(keyed) => Ok(keyed),
            _ => panic!("split is a keyed stage"),
        }
    }

    fn assign(params: serde_json::Value, rows: &[Row], listed: &[(String, u8)]) -> Vec<u8> {
        splits_of(build(params, listed).expect("good parameters").as_ref(), rows)
    }

    fn pinned(rows: &[Row], splits: &[u8]) -> Vec<(String, u8)> {
        rows.iter().zip(splits).map(|(row, split)| (row.0.clone(), *split)).collect()
    }

    fn counts(splits: &[u8]) -> [u64; 3] {
        [0, 1, 2].map(|part| splits.iter().filter(|split| **split == part).count() as u64)
    }

    #[test]
    fn what_is_listed_lies_where_the_list_says() {
        let rows = unlike("chair", 4);
        let listed = pinned(&rows, &[2, 2, 1, 0]);
        assert_eq!(assign(json!({}), &rows, &listed), [2, 2, 1, 0]);
        let few = &listed[..2];
        assert_eq!(assign(json!({"unlisted": "train"}), &rows, few), [2, 2, 0, 0]);
        assert_eq!(assign(json!({"unlisted": "val"}), &rows, few), [2, 2, 1, 1]);
        assert_eq!(assign(json!({"unlisted": "test"}), &rows, few), [2, 2, 2, 2]);
    }

    #[test]
    fn new_samples_fill_what_quotas_lack_and_move_nothing() {
        let rows = unlike("chair", 10);
        let first = [0, 0, 0, 0, 0, 0, 0, 1, 2, 2];
        let more = unlike("chair", 20);
        let after = assign(json!({"unlisted": "deal"}), &more, &pinned(&rows, &first));
        assert_eq!(after[..10], first);
        assert_eq!(counts(&after), [14, 2, 4]);
        // Ten of twenty are tested on already: the others share what is left, as quotas are.
        let after = assign(json!({"unlisted": "deal"}), &more, &pinned(&rows, &[2; 10]));
        assert_eq!(counts(&after), [9, 1, 10]);
    }

    #[test]
    fn room_is_what_quotas_lack() {
        assert_eq!(room([7, 1, 2], [0, 0, 0]), [7, 1, 2]);
        assert_eq!(room([7, 1, 2], [3, 1, 1]), [4, 0, 1]);
        assert_eq!(room([7, 1, 2], [0, 3, 0]), [5, 0, 2]);
        assert_eq!(room([7, 1, 2], [7, 3, 0]), [0, 0, 0]);
        assert_eq!(room([1, 1, 1], [0, 2, 0]), [1, 0, 0], "ties go to the earlier part");
        assert_eq!(room([0, 0, 0], [0, 0, 0]), [0, 0, 0]);
    }

    #[test]
    fn duplicates_of_listed_samples_lie_with_them_and_the_list_wins() {
        let mut rows = unlike("chair", 6);
        (1..4).for_each(|i| rows[i].2 = rows[0].2.clone());
        let listed = [(rows[0].0.clone(), 2), (rows[4].0.clone(), 1)];
        let splits = assign(json!({"unlisted": "train"}), &rows, &listed);
        assert_eq!(splits, [2, 2, 2, 2, 1, 0]);
        // In two parts, as the list says; the others lie in the first of these.
        let listed = [(rows[0].0.clone(), 2), (rows[1].0.clone(), 1)];
        let splits = assign(json!({"unlisted": "train"}), &rows, &listed);
        assert_eq!(splits, [2, 1, 1, 1, 0, 0]);
        let apart = assign(json!({"unlisted": "train", "group": "sample"}), &rows, &listed);
        assert_eq!(apart, [2, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn unlisted_and_absent_samples_are_counted_or_refused() {
        let rows = unlike("chair", 8);
        let ids: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
        let mut listed = pinned(&rows[..1], &[0]);
        listed.extend(["gone/1", "gone/2"].map(|id| (id.to_owned(), 1)));
        let cover = |params| {
            let keyed = build(params, &listed).expect("good parameters");
            keyed.coverage(&mut ids.iter().copied())
        };
        let fault = cover(json!({})).expect_err("seven are not listed").message;
        let told = "7 samples are not in the official list: chair/00001, chair/00002, chair/00003, \
                    chair/00004, chair/00005; list them";
        assert!(fault.starts_with(told), "{fault}");
        let coverage = cover(json!({"unlisted": "deal"})).expect("allowed").expect("a list");
        assert_eq!((coverage.listed, coverage.absent, coverage.unlisted), (3, 2, 7));
        assert_eq!(coverage.first_absent, ["gone/1", "gone/2"]);
        let fault = cover(json!({"unlisted": "deal", "absent": "refuse"})).expect_err("absent");
        assert_eq!(fault.message, "no source has 2 samples of the official list: gone/1, gone/2");
        let keyed = build(json!({}), &listed).expect("good parameters");
        assert_eq!(keyed.assign(&batch(&rows)).expect_err("unlisted").code, "unlisted");
        assert!(keyed.split_policy().is_none(), "keys alone do not say where a sample lies");
    }

    #[test]
    fn parameters_of_a_list_need_one() {
        let context = BuildContext { seed: 7, stage: "split".to_owned() };
        for (key, value) in [("unlisted", "deal"), ("absent", "warn")] {
            let params = Params(serde_json::Map::from_iter([(key.to_owned(), value.into())]));
            let error = SplitKind.build(&params, &context).err().expect("no list")[0].clone();
            assert_eq!((error.key.as_str(), error.message.as_str()), (key, "needs `official`"));
        }
        let wrong = build(json!({"unlisted": "drop"}), &[]).err().expect("no such word");
        assert_eq!(wrong[0].key, "unlisted");
        let none = build(json!({}), &[]).err().expect("an empty list");
        assert_eq!(
            (none[0].key.as_str(), none[0].message.as_str()),
            ("official", "lists no sample")
        );
    }

    /// Rows of three classes with duplicates, and which of them are listed where.
    fn listed_rows() -> impl Strategy<Value = (Vec<Row>, Vec<(String, u8)>)> {
        let pick = (0u8..3, 0u8..40, prop::option::of(0u8..3));
        prop::collection::vec(pick, 0..100).prop_map(|picks| {
            let rows: Vec<Row> = picks
                .iter()
                .enumerate()
                .map(|(i, (class, content, _))| {
                    (format!("s{i:03}"), format!("c{class}"), format!("{content}"))
                })
                .collect();
            let parts = picks.iter().map(|(.., part)| *part);
            let listed =
                rows.iter().zip(parts).filter_map(|(row, part)| Some((row.0.clone(), part?)));
            let listed = listed.collect();
            (rows, listed)
        })
    }

    proptest! {
        #[test]
        fn the_list_wins_quotas_are_near_and_order_does_not_matter((rows, listed) in listed_rows()) {
            prop_assume!(!listed.is_empty());
            let params = || json!({"unlisted": "deal", "group": "sample"});
            let splits = assign(params(), &rows, &listed);
            let of_list: BTreeMap<&str, u8> = listed.iter().map(|(s, p)| (s.as_str(), *p)).collect();
            for class in ["c0", "c1", "c2"] {
                let of_class = || rows.iter().zip(&splits).filter(|(row, _)| row.1 == class);
                let all: Vec<u8> = of_class().map(|(_, split)| *split).collect();
                let pins: Vec<u8> = of_class().filter_map(|(row, _)| of_list.get(row.0.as_str()).copied()).collect();
                let quotas = crate::largest_remainder(all.len() as u64, [0.7, 0.1, 0.2]);
                let (all, pins) = (counts(&all), counts(&pins));
                for part in 0..3 {
                    // Above its quota only by what the list puts there.
                    prop_assert!(all[part] <= quotas[part].max(pins[part]), "{all:?} {quotas:?} {pins:?}");
                    prop_assert!(all[part] >= pins[part]);
                }
            }
            for (row, split) in rows.iter().zip(&splits) {
                prop_assert!(of_list.get(row.0.as_str()).is_none_or(|part| part == split));
            }
            let (mut backwards, mut reversed) = (rows.clone(), listed.clone());
            backwards.reverse();
            reversed.reverse();
            let mut again = assign(params(), &backwards, &reversed);
            again.reverse();
            prop_assert_eq!(&again, &splits);
        }

        #[test]
        fn the_split_of_an_earlier_run_stays_whatever_comes((rows, _) in listed_rows(), kept in 0usize..100) {
            let kept = kept.min(rows.len());
            prop_assume!(kept > 0);
            let context = BuildContext { seed: 7, stage: "split".to_owned() };
            let Ok(Stage::Keyed(first)) = SplitKind.build(&Params::default(), &context) else { panic!("keyed") };
            let before = splits_of(first.as_ref(), &rows[..kept]);
            let pins = pinned(&rows[..kept], &before);
            let after = assign(json!({"unlisted": "deal"}), &rows, &pins);
            prop_assert_eq!(&after[..kept], &before[..]);
            // Nothing leaks: a group lies where its pinned members do, and those lay together.
            let mut of_content = BTreeMap::new();
            for (row, split) in rows.iter().zip(&after) {
                prop_assert_eq!(of_content.entry(&row.2).or_insert(split), &split);
            }
            let same = assign(json!({}), &rows[..kept], &pins);
            prop_assert_eq!(same, before);
        }
    }
}
