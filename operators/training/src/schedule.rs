//! Which rows are read in which order: seeded, without holding more than a window of the data set.

use voxflow_contract::{DataIndex, Item, Purpose, Random};

/// How the rows of a data set become batches.
#[derive(Debug, Clone)]
pub struct BatchOrder {
    /// Seed of the order.
    pub seed: u64,
    /// Rows in a batch.
    pub batch_size: usize,
    /// Row groups that are mixed with each other: what must fit in memory.
    pub window_groups: usize,
    /// The one class that is read; empty for all.
    pub category: String,
}

impl BatchOrder {
    /// The batches of training rows of one epoch.
    ///
    /// Groups of rows that lie together on disk are put in random order, and rows are shuffled
    /// inside a window of groups: every row comes once an epoch, reading stays sequential within a
    /// group, and never more than a window needs to be in memory. The order depends on seed and
    /// epoch only. A last batch of a single row is left out: normalisation over one row is none.
    pub fn training(&self, index: &DataIndex, epoch: u64) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = index
            .groups
            .iter()
            .map(|group| group.clone().filter(|&row| self.is_read(index, row, "train")).collect())
            .filter(|rows: &Vec<usize>| !rows.is_empty())
            .collect();
        let mut random = Random::new(self.seed, &["train/order", &epoch.to_string()]);
        random.shuffle(&mut groups);
        let mut order = Vec::new();
        for window in groups.chunks(self.window_groups.max(1)) {
            let mut rows = window.concat();
            random.shuffle(&mut rows);
            order.extend(rows);
        }
        let mut batches = in_batches(&order, self.batch_size);
        if self.batch_size > 1 && batches.last().is_some_and(|batch| batch.len() < 2) {
            batches.pop();
        }
        batches
    }

    fn is_read(&self, index: &DataIndex, row: usize, split: &str) -> bool {
        let row = &index.rows[row];
        row.split == split && (self.category.is_empty() || row.category == self.category)
    }

    /// Batches of all rows of a split, in the order of the data set.
    pub fn in_order(&self, index: &DataIndex, split: &str) -> Vec<Vec<usize>> {
        let rows: Vec<usize> =
            (0..index.rows.len()).filter(|&row| self.is_read(index, row, split)).collect();
        in_batches(&rows, self.batch_size)
    }
}

fn in_batches(rows: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    rows.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
}

/// Numbers batches through, those of one purpose after those of another.
pub fn items(epoch: u64, parts: Vec<(Purpose, Vec<Vec<usize>>)>) -> Vec<Item> {
    parts
        .into_iter()
        .flat_map(|(purpose, batches)| batches.into_iter().map(move |rows| (purpose, rows)))
        .enumerate()
        .map(|(sequence, (purpose, rows))| Item { epoch, sequence: sequence as u64, purpose, rows })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{IndexedRow, tables};

    fn index(train: usize, val: usize, group: usize) -> DataIndex {
        let row = |split: &str, i: usize| IndexedRow {
            sample: format!("{split}{i}"),
            category: "c".to_owned(),
            split: split.to_owned(),
        };
        let rows: Vec<_> =
            (0..train).map(|i| row("train", i)).chain((0..val).map(|i| row("val", i))).collect();
        let groups =
            (0..rows.len()).step_by(group).map(|s| s..(s + group).min(rows.len())).collect();
        DataIndex { rows, groups, schema: tables::key(), digest: String::new() }
    }

    fn order(batch_size: usize, window_groups: usize) -> BatchOrder {
        BatchOrder { seed: 5, batch_size, window_groups, category: String::new() }
    }

    #[test]
    fn every_training_row_comes_once_an_epoch_and_epochs_differ() {
        let index = index(23, 4, 4);
        let epoch = |e| order(4, 2).training(&index, e).concat();
        let mut rows = epoch(0);
        rows.sort_unstable();
        assert_eq!(rows, (0..23).collect::<Vec<_>>());
        assert_eq!(epoch(0), epoch(0));
        assert_ne!(epoch(0), epoch(1));
    }

    #[test]
    fn rows_do_not_leave_their_window() {
        let batches = order(8, 2).training(&index(32, 0, 4), 3);
        for batch in batches {
            let mut groups: Vec<_> = batch.iter().map(|row| row / 4).collect();
            groups.sort_unstable();
            groups.dedup();
            assert_eq!(groups.len(), 2);
        }
    }

    #[test]
    fn a_last_batch_of_one_row_is_left_out() {
        let sizes = |train| {
            let batches = order(4, 1).training(&index(train, 0, 4), 0);
            batches.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(9), [4, 4]);
        assert_eq!(sizes(10), [4, 4, 2]);
    }

    #[test]
    fn items_are_numbered_through() {
        let order = order(2, 1);
        let index = index(3, 3, 8);
        let parts = vec![
            (Purpose::Train, order.training(&index, 7)),
            (Purpose::Validate, order.in_order(&index, "val")),
        ];
        let items = items(7, parts);
        let shape: Vec<_> = items.iter().map(|i| (i.sequence, i.purpose, i.rows.len())).collect();
        use Purpose::{Train, Validate};
        assert_eq!(shape, [(0, Train, 2), (1, Validate, 2), (2, Validate, 1)]);
        assert_eq!(items[2].rows, [5]);
    }
}
