//! What is in a numpy array: shape, type, range.

use std::path::Path;

use voxflow_formats::npy;

use super::facts::Facts;
use super::grid::occupancy;
use crate::commands::convert::read;
use crate::error::Error;

/// Looks at an npy file.
pub(super) fn npy(path: &Path) -> Result<Facts, Error> {
    let bytes = read(path)?;
    let array = npy::decode(&bytes).map_err(|e| Error::input("decode", path, e))?;
    let mut facts = Facts::new("numpy array");
    facts.add("bytes", bytes.len());
    facts.add("shape", array.shape.clone());
    let numbers = array.data.to_f64();
    facts.add("type", array.data.type_name());
    let finite = || numbers.iter().copied().filter(|x| x.is_finite());
    if finite().next().is_some() {
        let count = finite().count();
        facts.add("min", finite().fold(f64::INFINITY, f64::min));
        facts.add("max", finite().fold(f64::NEG_INFINITY, f64::max));
        facts.add("mean", finite().sum::<f64>() / count as f64);
        facts.add("not_finite", numbers.len() - count);
    }
    if let Ok(grid) = array.to_grid(0.5) {
        occupancy(&mut facts, &grid);
    }
    Ok(facts)
}
