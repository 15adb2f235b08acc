//! What is in a grid: size, place, how full it is.

use std::path::Path;

use voxflow_contract::VoxelGrid;
use voxflow_formats::binvox as format;

use super::facts::Facts;
use crate::commands::convert::read;
use crate::error::Error;
use crate::terminal_picture;

/// Looks at a binvox file.
pub(super) fn binvox(path: &Path) -> Result<Facts, Error> {
    let bytes = read(path)?;
    let grid = format::decode(&bytes).map_err(|e| Error::input("decode", path, e))?;
    let mut facts = Facts::new("binvox grid");
    facts.add("bytes", bytes.len());
    facts.add("dim", vec![grid.resolution; 3]);
    facts.add("translate", grid.translation.to_vec());
    match grid.uniform_scale() {
        Some(scale) => facts.add("scale", scale),
        None => facts.add("scale", format!("{:?}", grid.scale)),
    }
    occupancy(&mut facts, &grid);
    Ok(facts)
}

/// Adds how full a grid is, and its picture.
pub(super) fn occupancy(facts: &mut Facts, grid: &VoxelGrid) {
    let (occupied, cells) = (grid.occupied(), grid.resolution.pow(3));
    facts.add("occupied", occupied);
    facts.add("occupied_percent", (occupied as f64 * 1e4 / cells as f64).round() / 100.0);
    facts.picture = terminal_picture::grid_silhouettes(grid);
}
