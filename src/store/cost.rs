//! `Cost`: what the rows of a stage have cost so far.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::timings::{Price, Timings};

/// Rows that a stage worked on, and how long it took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// Rows that came in.
    pub(crate) rows: u64,
    /// Busy time, summed over threads.
    pub(crate) nanos: u64,
    /// The same by sizes; files of earlier versions have none.
    #[serde(default)]
    pub(crate) timings: Timings,
    /// What it took to write its rows to the store.
    #[serde(default)]
    pub(crate) keeping: Timings,
    /// Of a stage that gives the first meshes of its source: how many triangles they have.
    #[serde(default)]
    pub(crate) meshes: MeshSums,
}

/// Meshes that were decoded, by the extension of their files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct MeshSums(BTreeMap<String, MeshSum>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MeshSum {
    files: u64,
    bytes: u64,
    triangles: u64,
}

impl Cost {
    /// What is written down in a file; nothing where there is none, or one of another version.
    pub(super) fn read(path: &Path) -> Self {
        fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Adds what more rows have cost.
    pub(crate) fn add(&mut self, more: &Self) {
        self.rows += more.rows;
        self.nanos += more.nanos;
        self.timings.merge(&more.timings);
        self.keeping.merge(&more.keeping);
        self.meshes.merge(&more.meshes);
    }

    /// What rows cost at the stage, as far as that was measured.
    pub(crate) fn price(&self) -> Option<Price> {
        self.timings.fit().or_else(|| Price::of_rows(self.rows, self.nanos))
    }
}

impl MeshSums {
    /// Adds a mesh.
    pub(crate) fn add(&mut self, path: Option<&str>, bytes: u64, triangles: u32) {
        let more = MeshSum { files: 1, bytes, triangles: triangles.into() };
        self.0.entry(extension(path).to_ascii_lowercase()).or_default().add(more);
    }

    /// Adds the meshes of others.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (extension, sum) in &other.0 {
            self.0.entry(extension.clone()).or_default().add(*sum);
        }
    }

    /// Triangles that a file of so many bytes is likely to have: as many for a byte as files of its
    /// kind had; where there were none, as all had.
    pub(crate) fn triangles(&self, path: Option<&str>, bytes: u64) -> u64 {
        let extension = extension(path);
        let known = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
        let sum = known.map(|(_, sum)| *sum).unwrap_or_else(|| {
            let mut all = MeshSum::default();
            self.0.values().for_each(|sum| all.add(*sum));
            all
        });
        let of = |part: u64, whole: u64| sum.triangles as f64 * part as f64 / whole as f64;
        match sum {
            MeshSum { files: 0, .. } => 0,
            MeshSum { bytes: 0, files, .. } => of(1, files) as u64,
            MeshSum { bytes: whole, .. } => of(bytes, whole) as u64,
        }
    }
}

impl MeshSum {
    fn add(&mut self, more: Self) {
        self.files += more.files;
        self.bytes += more.bytes;
        self.triangles += more.triangles;
    }
}

fn extension(path: Option<&str>) -> &str {
    let name = path.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Size;

    #[test]
    fn a_file_of_an_earlier_version_gives_the_mean_and_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cost.json");
        assert_eq!(Cost::read(&path), Cost::default());
        fs::write(&path, r#"{"rows":4,"nanos":8000000000}"#).expect("it can be written");
        let mut cost = Cost::read(&path);
        let size = Size { rows: 3, bytes: 1 << 20, triangles: 7 };
        assert_eq!(cost.price().expect("a mean").seconds(&size), 6.0);
        let mut more = Cost { rows: 3, nanos: 3_000_000_000, ..Cost::default() };
        more.timings.add(size, more.nanos);
        cost.add(&more);
        assert!((cost.price().expect("a fit").seconds(&size) - 3.0).abs() < 1e-9);
        fs::write(&path, serde_json::to_vec(&cost).expect("JSON")).expect("it can be written");
        let back = Cost::read(&path);
        assert_eq!((back.rows, back.nanos), (7, 11_000_000_000));
        assert!((back.price().expect("a fit").seconds(&size) - 3.0).abs() < 1e-9);
        fs::write(&path, r#"{"rows":4,"nanos":8,"later":1}"#).expect("it can be written");
        assert_eq!(Cost::read(&path), Cost::default(), "a later version is passed over");
    }

    #[test]
    fn triangles_are_told_from_the_bytes_of_files_of_the_same_format() {
        let mut sums = MeshSums::default();
        assert_eq!(sums.triangles(Some("a.off"), 1000), 0, "nothing is known");
        sums.add(Some("a.off"), 4000, 100);
        sums.add(Some("b.OFF"), 4000, 100);
        sums.add(Some("c.stl"), 5000, 1000);
        assert_eq!(sums.triangles(Some("x/d.off"), 40_000), 1000);
        assert_eq!(sums.triangles(Some("d.stl"), 50), 10);
        assert_eq!(sums.triangles(Some("d.ply"), 1300), 120, "as all of them");
        let mut of_no_file = MeshSums::default();
        of_no_file.add(None, 0, 300);
        of_no_file.add(None, 0, 500);
        assert_eq!(of_no_file.triangles(None, 0), 400);
        sums.merge(&of_no_file);
        assert_eq!(sums.triangles(None, 0), 400);
    }
}
