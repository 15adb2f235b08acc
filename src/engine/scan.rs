//! Scanning: what there is to do, cut into parts, before the first row is read.

use std::collections::BTreeMap;
use std::ops::Range;

use voxflow_contract::{Entry, Stage};

use super::entries::Entries;
use super::fault::EngineFault;
use super::graph::Graph;

/// Rows of a part at most.
const MAX_PART_ROWS: usize = 1024;
/// Bytes in flight that a part aims at: large enough to be worth a message, small enough to share.
const PART_BYTES: u64 = 4 << 20;
/// Rows that a part has even when they are more bytes: each part is a file that is synced, and each
/// of its columns costs a compressor.
const FEW_ROWS: usize = 16;
/// Bytes in flight up to which a part has so few rows.
const FEW_ROWS_BYTES: u64 = 32 << 20;
/// A mesh file of n bytes is held as bytes, as vertices and triangles, and as what is made of them.
const EXPANSION: u64 = 3;

/// Some consecutive samples of a source: the unit that is claimed, moved and committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which entries of the scan.
    pub entries: Range<usize>,
    /// Bytes that are reserved while the part is in flight.
    pub charge: u64,
    /// Changes when a sample of the part changes.
    pub digest: String,
}

/// What a source's scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// All samples, sorted by id.
    pub entries: Entries,
    /// The same samples in parts.
    pub parts: Vec<Part>,
    /// Changes when any sample changes.
    pub digest: String,
}

impl Scan {
    /// Cuts entries into parts; the cuts depend on sizes alone, never on workers.
    pub fn new(entries: &[Entry], bytes_per_row: u64) -> Self {
        let mut parts = Vec::new();
        let mut start = 0;
        while start < entries.len() {
            let (end, charge) = cut(entries, start, bytes_per_row);
            let digest = digest(&entries[start..end]);
            parts.push(Part { entries: start..end, charge, digest });
            start = end;
        }
        parts.shrink_to_fit();
        Self { entries: Entries::new(entries), parts, digest: digest(entries) }
    }

    /// The file of a sample, where it has one.
    pub fn path_of(&self, sample: &str) -> Option<&str> {
        self.entries.path_of(sample)
    }
}

fn cut(entries: &[Entry], start: usize, bytes_per_row: u64) -> (usize, u64) {
    let (mut end, mut charge) = (start, 0u64);
    while end < entries.len() && end - start < MAX_PART_ROWS {
        let row = entries[end].bytes.saturating_mul(EXPANSION).saturating_add(bytes_per_row);
        let aim = if end - start < FEW_ROWS { FEW_ROWS_BYTES } else { PART_BYTES };
        if end > start && charge.saturating_add(row) > aim {
            break;
        }
        charge = charge.saturating_add(row);
        end += 1;
    }
    (end, charge)
}

fn digest(entries: &[Entry]) -> String {
    let mut hasher = blake3::Hasher::new();
    for entry in entries {
        for text in [entry.sample.as_str(), &entry.category, &entry.stamp] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
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
        let entries = source.scan().map_err(|fault| EngineFault::setup(&node.id, fault))?;
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].sample >= pair[1].sample) {
            let message = format!("source {} lists {} out of order", node.kind, pair[1].sample);
            return Err(EngineFault::Bug(message));
        }
        scans.insert(root, Scan::new(&entries, graph.bytes_per_row(root)));
    }
    Ok(scans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::SampleId;

    fn entries(sizes: &[u64]) -> Vec<Entry> {
        let entry = |(i, &bytes): (usize, &u64)| Entry {
            sample: SampleId::new(format!("s{i:04}")).expect("an id"),
            category: "c".to_owned(),
            path: Some(format!("{i}.off")),
            bytes,
            stamp: bytes.to_string(),
        };
        sizes.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn parts_cover_all_entries_in_order() {
        let scan = Scan::new(&entries(&[10; 3000]), 0);
        assert_eq!(scan.parts.len(), 3);
        assert_eq!(scan.parts[1].entries, 1024..2048);
        assert_eq!(scan.parts[2].entries, 2048..3000);
    }

    #[test]
    fn a_giant_is_a_part_of_its_own() {
        let scan = Scan::new(&entries(&[10, 100 << 20, 10]), 0);
        let ranges: Vec<_> = scan.parts.iter().map(|part| part.entries.clone()).collect();
        assert_eq!(ranges, [0..1, 1..2, 2..3]);
    }

    #[test]
    fn large_rows_come_in_few_a_part() {
        let rows = |bytes: u64| {
            let scan = Scan::new(&entries(&[0; 100]), bytes);
            scan.parts.iter().map(|part| part.entries.len()).collect::<Vec<_>>()
        };
        assert_eq!(rows(1 << 20), [16, 16, 16, 16, 16, 16, 4]);
        assert_eq!(rows(3 << 20)[..2], [10, 10]);
        assert_eq!(rows(64 << 10), [64, 36]);
    }

    #[test]
    fn a_changed_sample_changes_its_part_only() {
        let (a, b) = (Scan::new(&entries(&[10; 2000]), 0), {
            let mut changed = entries(&[10; 2000]);
            changed[3].stamp = "new".to_owned();
            Scan::new(&changed, 0)
        });
        assert_ne!(a.parts[0].digest, b.parts[0].digest);
        assert_eq!(a.parts[1].digest, b.parts[1].digest);
        assert_ne!(a.digest, b.digest);
        assert_eq!(a.path_of("s0003"), Some("3.off"));
    }
}
