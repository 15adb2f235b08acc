//! What is in a numpy array: shape, type, range.

use std::path::Path;

use voxflow_formats::npy::{self, NpyData};

use super::facts::Facts;
use super::grid::occupancy;
use crate::commands::convert::{grid_of_array, read};
use crate::error::Error;

/// Looks at an npy file.
pub(super) fn npy(path: &Path) -> Result<Facts, Error> {
    let bytes = read(path)?;
    let array = npy::decode(&bytes).map_err(|e| Error::input("decode", path, e))?;
    let mut facts = Facts::new("numpy array");
    facts.add("bytes", bytes.len());
    facts.add("shape", array.shape.clone());
    let (name, numbers) = numbers(&array.data);
    facts.add("type", name);
    let finite = || numbers.iter().copied().filter(|x| x.is_finite());
    if finite().next().is_some() {
        let count = finite().count();
        facts.add("min", finite().fold(f64::INFINITY, f64::min));
        facts.add("max", finite().fold(f64::NEG_INFINITY, f64::max));
        facts.add("mean", finite().sum::<f64>() / count as f64);
        facts.add("not_finite", numbers.len() - count);
    }
    if let Some(grid) = grid_of_array(&array) {
        occupancy(&mut facts, &grid);
    }
    Ok(facts)
}

fn numbers(data: &NpyData) -> (&'static str, Vec<f64>) {
    match data {
        NpyData::Bool(values) => ("bool", values.iter().map(|x| f64::from(u8::from(*x))).collect()),
        NpyData::U8(values) => ("u8", values.iter().map(|x| f64::from(*x)).collect()),
        NpyData::U16(values) => ("u16", values.iter().map(|x| f64::from(*x)).collect()),
        NpyData::U32(values) => ("u32", values.iter().map(|x| f64::from(*x)).collect()),
        NpyData::F32(values) => ("f32", values.iter().map(|x| f64::from(*x)).collect()),
        NpyData::F64(values) => ("f64", values.clone()),
        _ => ("other", Vec::new()),
    }
}
