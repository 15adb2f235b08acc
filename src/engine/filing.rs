//! `Filing`: which samples of a table lie in which of its files, kept up to date edit by edit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use voxflow_contract::{FilePolicy, OutputFile};

use super::samples::{Samples, edit_places};

/// The samples of one part of a table, in the order of their ids, and the files they lie in.
pub(crate) struct Filing {
    policy: FilePolicy,
    /// Name of the part, which is that of its folder.
    folder: String,
    /// Slots of the samples.
    slots: Vec<u32>,
    /// What says where files end, for each.
    hashes: Vec<u64>,
    files: Vec<Filed>,
    /// Whether `files` are those of `slots`.
    is_cut: bool,
}

/// A file, and the samples in it.
#[derive(Debug, Clone)]
struct Filed {
    rows: Range<usize>,
    first: u32,
    last: u32,
    /// What it is; none where it has to be written.
    output: Option<OutputFile>,
}

impl Filing {
    /// These samples, of none of which a file is known.
    pub(crate) fn new(
        policy: FilePolicy,
        folder: String,
        slots: Vec<u32>,
        samples: &Samples,
    ) -> Self {
        let hashes = slots.iter().map(|slot| FilePolicy::hash(samples.id(*slot))).collect();
        let files = Vec::new();
        let mut filing = Self { policy, folder, slots, hashes, files, is_cut: false };
        filing.file(&BTreeSet::new(), samples);
        filing
    }

    /// Takes in files that are there, by their paths.
    pub(crate) fn know(&mut self, outputs: &[OutputFile]) {
        let by_path: BTreeMap<&str, &OutputFile> =
            outputs.iter().map(|output| (output.path.as_str(), output)).collect();
        for (number, file) in self.files.iter_mut().enumerate() {
            let path = FilePolicy::path(&self.folder, number);
            file.output = by_path.get(path.as_str()).map(|output| (*output).clone());
        }
    }

    /// Name of the part.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// Takes samples out, and puts others in. Slots that went have still the id they had.
    pub(crate) fn edit(&mut self, gone: &[u32], came: &[u32], samples: &Samples) {
        let place = |slot: &u32| {
            let id = samples.id(*slot);
            self.slots.binary_search_by(|known| samples.id(*known).cmp(id))
        };
        let mut places: Vec<(usize, Option<u32>)> =
            gone.iter().filter_map(|slot| Some((place(slot).ok()?, None))).collect();
        places.extend(came.iter().map(|slot| (place(slot).unwrap_or_else(|p| p), Some(*slot))));
        if places.is_empty() {
            return;
        }
        self.is_cut = false;
        // What is put in at a place comes before what is taken out there, in the order of ids.
        let id = |slot: &Option<u32>| slot.map(|slot| samples.id(slot));
        places.sort_by(|(a, x), (b, y)| {
            (a, x.is_none()).cmp(&(b, y.is_none())).then_with(|| id(x).cmp(&id(y)))
        });
        edit_places(&mut self.slots, &places);
        let hash = |slot: Option<u32>| slot.map(|slot| FilePolicy::hash(samples.id(slot)));
        let hashes: Vec<_> = places.iter().map(|(place, slot)| (*place, hash(*slot))).collect();
        edit_places(&mut self.hashes, &hashes);
    }

    /// Cuts the samples into files anew; one of the same samples as before, none of them in `dirty`, is
    /// the one it was.
    pub(crate) fn file(&mut self, dirty: &BTreeSet<u32>, samples: &Samples) {
        let place = |slot: &u32| {
            let id = samples.id(*slot);
            self.slots.binary_search_by(|known| samples.id(*known).cmp(id)).ok()
        };
        let dirty: BTreeSet<usize> = dirty.iter().filter_map(place).collect();
        if self.is_cut {
            for file in &mut self.files {
                if dirty.range(file.rows.clone()).next().is_some() {
                    file.output = None;
                }
            }
            return;
        }
        self.is_cut = true;
        let known: BTreeMap<(u32, u32, usize), OutputFile> = std::mem::take(&mut self.files)
            .into_iter()
            .filter_map(|file| Some(((file.first, file.last, file.rows.len()), file.output?)))
            .collect();
        for rows in self.policy.cut(&self.hashes) {
            let slots = &self.slots[rows.clone()];
            let (Some(&first), Some(&last)) = (slots.first(), slots.last()) else { continue };
            let is_clean = dirty.range(rows.clone()).next().is_none();
            let output = known.get(&(first, last, rows.len())).filter(|_| is_clean);
            let mut output = output.cloned();
            if let Some(output) = &mut output {
                output.path = FilePolicy::path(&self.folder, self.files.len());
            }
            self.files.push(Filed { rows, first, last, output });
        }
    }

    /// The files that have to be written: number, path and samples of each.
    pub(crate) fn missing(&self) -> Vec<(usize, String, &[u32])> {
        let missing = self.files.iter().enumerate().filter(|(_, file)| file.output.is_none());
        let described = |(number, file): (usize, &Filed)| {
            (number, FilePolicy::path(&self.folder, number), &self.slots[file.rows.clone()])
        };
        missing.map(described).collect()
    }

    /// Takes in a file that was written.
    pub(crate) fn written(&mut self, number: usize, output: OutputFile) {
        self.files[number].output = Some(output);
    }

    /// All files that are there.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &OutputFile> {
        self.files.iter().filter_map(|file| file.output.as_ref())
    }

    /// Number of samples.
    pub(crate) fn rows(&self) -> u64 {
        self.slots.len() as u64
    }
}
