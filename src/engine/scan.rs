//! Scanning: which samples there are, before the first row is read.

use std::collections::BTreeMap;

use voxflow_contract::{Listing, Stage};

use super::entries::Entries;
use super::fault::EngineFault;
use super::graph::Graph;

/// What a source's scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// All samples, sorted by id.
    pub entries: Entries,
}

impl Scan {
    /// What a source listed.
    pub fn new(listing: Listing) -> Self {
        Self { entries: listing.into() }
    }

    /// Changes when any sample changes.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let all = &self.entries;
        for i in 0..all.len() {
            for text in [all.sample(i), all.category(i), all.stamp(i)] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The file of a sample, where it has one.
    pub fn path_of(&self, sample: &str) -> Option<&str> {
        self.entries.path_of(sample)
    }
}

/// Scans every source of a graph.
///
/// # Errors
/// When a source has nothing to give or does not list its samples sorted, each once.
pub fn scan_sources(graph: &Graph) -> Result<BTreeMap<usize, Scan>, EngineFault> {
    let mut scans = BTreeMap::new();
    for root in graph.sources() {
        let node = &graph.nodes[root];
        let Stage::Source(source) = &node.stage else { continue };
        let listing = source.list().map_err(|fault| EngineFault::setup(&node.id, fault))?;
        if let Some(sample) = listing.first_out_of_order() {
            let message = format!("source {} lists {sample} out of order", node.kind);
            return Err(EngineFault::Bug(message));
        }
        scans.insert(root, Scan::new(listing));
    }
    Ok(scans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{Entry, SampleId};

    #[test]
    fn a_changed_sample_changes_the_digest() {
        let entry = |stamp: &str| {
            let entry = Entry {
                sample: SampleId::new("s").expect("an id"),
                category: "c".to_owned(),
                path: Some("s.off".to_owned()),
                bytes: 1,
                stamp: stamp.to_owned(),
            };
            Scan::new(Listing::of(&[entry]))
        };
        let (old, new) = (entry("old"), entry("new"));
        assert_ne!(old.digest(), new.digest());
        assert_eq!(old.path_of("s"), Some("s.off"));
    }
}
