//! `voxflow reconstruct`, `sample` and `interpolate`: what a trained network makes of pictures and
//! codes; and `weights`, the network itself.

use std::path::{Path, PathBuf};

use serde_json::Value;
use voxflow_formats::picture::{self, Picture};
use voxflow_training::{CheckpointChoice, DeviceChoice, Pose, Reconstructor, export_weights};

use super::shape_output::ShapeForm;
use crate::cli::{
    Device, GlobalArgs, InterpolateArgs, ReconstructArgs, SampleArgs, TrainedArgs, WeightsArgs,
};
use crate::commands::convert::read;
use crate::error::Error;
use crate::{output_file, run_folder, terminal};

/// Makes a shape of the pictures of one object.
///
/// # Errors
/// When there is no such network, a picture or pose is bad, or the disk fails.
pub fn reconstruct(args: &ReconstructArgs, global: &GlobalArgs) -> Result<(), Error> {
    let form = ShapeForm::of_file(&args.output)?;
    let pictures = args.images.iter().map(|path| read_picture(path));
    let pictures = pictures.collect::<Result<Vec<_>, _>>()?;
    let poses = args.poses.as_deref().map(read_poses).transpose()?.unwrap_or_default();
    let network = open(&args.trained, global)?;
    if network.wants_poses() && args.poses.is_none() {
        let message = format!("{} must be told where the cameras stood", network.model());
        let hint = "give a JSON list with the matrix camera_from_world of each picture";
        return Err(Error::argument("--poses", message, hint));
    }
    let code = network.code(&pictures, &poses).map_err(|e| unfit("IMAGE", &e))?;
    let threshold = args.trained.threshold.unwrap_or(network.threshold());
    let occupied = write_shape(&network, &code, form, threshold, &args.output)?;
    let said = format!(
        "{}: {occupied} ({}, epoch {}, threshold {threshold})\n",
        args.output.display(),
        network.model(),
        network.epoch()
    );
    terminal::print(&said)
}

/// Makes shapes of random codes.
///
/// # Errors
/// When there is no such network, or the disk fails.
pub fn sample(args: &SampleArgs, global: &GlobalArgs) -> Result<(), Error> {
    let form = ShapeForm::named(&args.form)?;
    let network = open(&args.trained, global)?;
    let codes = (0..u64::from(args.count)).map(|number| network.random_code(args.seed, number));
    write_all(&network, codes, form, &args.trained, &args.out)
}

/// Makes the shapes between two codes.
///
/// # Errors
/// When there is no such network, a picture is bad, or the disk fails.
pub fn interpolate(args: &InterpolateArgs, global: &GlobalArgs) -> Result<(), Error> {
    let form = ShapeForm::named(&args.form)?;
    let network = open(&args.trained, global)?;
    let ends: Vec<Vec<f32>> = if args.seeds.is_empty() {
        if network.wants_poses() {
            let message = format!("{} must be told where the cameras stood", network.model());
            return Err(Error::argument("FROM", message, "interpolate between --seeds instead"));
        }
        let code = |path: &PathBuf| {
            let code = network.code(&[read_picture(path)?], &[]);
            code.map_err(|e| unfit("FROM", &e))
        };
        args.images.iter().map(code).collect::<Result<_, _>>()?
    } else {
        args.seeds.iter().map(|&seed| network.random_code(seed, 0)).collect()
    };
    let [from, to] = ends.as_slice() else {
        return Err(Error::argument("FROM", "two ends are needed", "give two pictures or --seeds"));
    };
    let mix = |step: u32| {
        let share = step as f32 / (args.steps - 1) as f32;
        from.iter().zip(to).map(|(a, b)| a * (1.0 - share) + b * share).collect()
    };
    write_all(&network, (0..args.steps).map(mix), form, &args.trained, &args.out)
}

/// Writes the weights of a network as a PyTorch state dictionary.
///
/// # Errors
/// When there is no such network, or the disk fails.
pub fn weights(args: &WeightsArgs, global: &GlobalArgs) -> Result<(), Error> {
    let folder = checkpoints(&args.run, args.stage.as_deref(), global)?;
    let names = args.names.iter().cloned().collect();
    let exported = export_weights(&folder, checkpoint_choice(&args.checkpoint)?, &names);
    let exported = exported.map_err(|e| unfit("RUN", &e))?;
    output_file::write(&args.output, &exported.bytes)?;
    terminal::print(&format!(
        "{}: {} tensors ({}, epoch {})\n",
        args.output.display(),
        exported.tensors,
        exported.model,
        exported.epoch
    ))
}

fn write_all(
    network: &Reconstructor,
    codes: impl Iterator<Item = Vec<f32>>,
    form: ShapeForm,
    args: &TrainedArgs,
    folder: &Path,
) -> Result<(), Error> {
    let threshold = args.threshold.unwrap_or(network.threshold());
    let mut count = 0;
    for (number, code) in codes.enumerate() {
        let path = folder.join(format!("{number:04}.{}", form.extension()));
        write_shape(network, &code, form, threshold, &path)?;
        count += 1;
    }
    let (model, epoch, folder) = (network.model(), network.epoch(), folder.display());
    terminal::print(&format!("{count} shapes of {model}, epoch {epoch}, in {folder}\n"))
}

/// Writes the shape of a code; says how much of it there is.
fn write_shape(
    network: &Reconstructor,
    code: &[f32],
    form: ShapeForm,
    threshold: f64,
    path: &Path,
) -> Result<String, Error> {
    let device = |e: voxflow_contract::MachineFault| Error::Device { message: e.to_string() };
    let probabilities = network.grid(code).map_err(device)?;
    let occupied = probabilities.iter().filter(|p| f64::from(**p) >= threshold).count();
    let n = network.cube_len();
    let bytes = form.encode(n, probabilities, threshold, path)?;
    output_file::write(path, &bytes)?;
    Ok(format!("{n}^3 voxels, {} occupied", terminal::thousands(occupied as u64)))
}

fn open(args: &TrainedArgs, global: &GlobalArgs) -> Result<Reconstructor, Error> {
    let choice = checkpoint_choice(&args.checkpoint)?;
    let device = match args.device {
        Device::Auto => DeviceChoice::Auto,
        Device::Cpu => DeviceChoice::Cpu,
        Device::Wgpu => DeviceChoice::Wgpu,
        Device::Vulkan => DeviceChoice::Vulkan,
        Device::Cuda => DeviceChoice::Cuda,
    };
    let folder = checkpoints(&args.run, args.stage.as_deref(), global)?;
    Reconstructor::open(&folder, choice, device).map_err(|e| unfit("RUN", &e))
}

fn checkpoint_choice(text: &str) -> Result<CheckpointChoice, Error> {
    text.parse().map_err(|message: String| {
        Error::argument("--checkpoint", message, "`voxflow inspect` lists those of a folder")
    })
}

/// The folder of checkpoints: the one that is named, or that of the run's stage.
fn checkpoints(named: &Path, stage: Option<&str>, global: &GlobalArgs) -> Result<PathBuf, Error> {
    if has_checkpoints(named) {
        return Ok(named.to_owned());
    }
    let run = run_folder::locate(&global.home, named.to_str())?;
    if let Some(stage) = stage {
        return Ok(run.join(stage));
    }
    let entries = std::fs::read_dir(&run).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| has_checkpoints(path)).collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let message = format!("no stage of the run has a checkpoint: {}", run.display());
            Err(Error::argument("RUN", message, "train first, for one epoch at least"))
        }
        several => {
            let names: Vec<_> =
                several.iter().filter_map(|path| path.file_name()?.to_str()).collect();
            let hint = format!("choose one with --stage: {}", names.join(", "));
            Err(Error::argument("RUN", "several stages of the run have checkpoints", hint))
        }
    }
}

fn has_checkpoints(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.any(|name| name.starts_with("epoch-"))
}

fn unfit(argument: &str, error: &voxflow_training::TaskError) -> Error {
    Error::argument(argument, error.to_string(), "")
}

fn read_picture(path: &Path) -> Result<Picture, Error> {
    picture::decode(&read(path)?).map_err(|e| Error::input("decode", path, e))
}

/// The matrices `camera_from_world` of a JSON list, each 3x4 or 4x4, nested or flat.
fn read_poses(path: &Path) -> Result<Vec<Pose>, Error> {
    let value: Value =
        serde_json::from_slice(&read(path)?).map_err(|e| Error::input("decode", path, e))?;
    let all = value.as_array().ok_or_else(|| Error::input("decode", path, "it is no JSON list"))?;
    let pose = |(number, entry): (usize, &Value)| {
        pose_of(entry).ok_or_else(|| {
            let message = format!("entry {number} is no matrix of 3x4 or 4x4 finite numbers");
            Error::input("decode", path, message)
        })
    };
    all.iter().enumerate().map(pose).collect()
}

fn pose_of(entry: &Value) -> Option<Pose> {
    fn flatten(value: &Value, numbers: &mut Vec<f32>) -> Option<()> {
        match value {
            Value::Array(entries) => entries.iter().try_for_each(|entry| flatten(entry, numbers)),
            other => {
                numbers.push(other.as_f64().filter(|number| number.is_finite())? as f32);
                Some(())
            }
        }
    }
    let mut numbers = Vec::new();
    flatten(entry, &mut numbers)?;
    if numbers.len() != 12 && numbers.len() != 16 {
        return None;
    }
    let rotation = |i: usize| numbers[4 * (i / 3) + i % 3];
    Some(std::array::from_fn(|i| if i < 9 { rotation(i) } else { numbers[4 * (i - 9) + 3] }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn poses_are_read_nested_or_flat() {
        let rows = [[1.0, 2.0, 3.0, 10.0], [4.0, 5.0, 6.0, 11.0], [7.0, 8.0, 9.0, 12.0]];
        let expected: Pose = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        assert_eq!(pose_of(&json!(rows)), Some(expected));
        assert_eq!(pose_of(&json!(rows.concat())), Some(expected));
        let square = [rows.concat(), vec![0.0, 0.0, 0.0, 1.0]].concat();
        assert_eq!(pose_of(&json!(square)), Some(expected));
        assert_eq!(pose_of(&json!([1, 2, 3])), None);
        assert_eq!(pose_of(&json!([[1, 2, 3, "x"]])), None);
    }
}
