//! Networks answer what PyTorch answers: forwards, backwards, and what their statistics become.

mod replay;
mod steps;

use std::fs;
use std::path::Path;

use burn::tensor::TensorData;
use replay::{Case, Tensors};

/// Names of the files in `tests/data/torch`, which is how a missing one is found out.
const CASES: [&str; 20] = [
    "attention",
    "attention_reference",
    "gan",
    "multi_view_max",
    "multi_view_mean",
    "multi_view_reference",
    "pose_attention",
    "pose_concat",
    "pose_film",
    "pose_none",
    "pose_reference",
    "steps_attention",
    "steps_gan",
    "steps_multi_view",
    "steps_pose",
    "steps_vae_gan",
    "vae_gan",
    "vae_gan_paper",
    "vae_gan_paper_rectified",
    "vae_gan_scrambled",
];

/// Answers, of about 1, may differ by this.
const OF_ANSWERS: f32 = 1e-4;

/// Losses of training steps may differ by this share.
const OF_LOSSES: f32 = 1e-3;

/// Gradients may differ by this share of the tensor's largest.
const OF_GRADIENTS: f32 = 1e-3;

#[test]
fn all_files_are_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch");
    let mut found: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .filter_map(|name| name.strip_suffix(".safetensors").map(str::to_owned))
        .collect();
    found.sort();
    assert_eq!(found, CASES);
}

#[test]
fn networks_answer_what_pytorch_answers() {
    let mut wrong = Vec::new();
    for name in CASES.into_iter().filter(|name| !name.starts_with("steps_")) {
        let case = case(name);
        let found = case.replay();
        let mut compared = 0;
        for (key, expected) in &case.tensors {
            let Some(limit) = limit(key) else { continue };
            let ours = numbers(&found[key]);
            let expected = numbers(expected);
            let is_grid = key == "eval.grids" || key == "train.logits";
            let ours: Vec<_> =
                ours.into_iter().step_by(if is_grid { case.stride } else { 1 }).collect();
            let difference = largest_difference(&ours, &expected) / scale(key, &expected, &found);
            compared += 1;
            if difference.is_nan() || difference > limit {
                wrong.push(format!("{name}: {key} differs by {difference}"));
            }
        }
        assert!(compared > 20, "{name}: only {compared} tensors");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn ten_steps_have_the_losses_of_pytorch() {
    let mut wrong = Vec::new();
    for name in CASES.into_iter().filter(|name| name.starts_with("steps_")) {
        let case = case(name);
        let found = case.replay();
        let expected: Vec<_> =
            case.tensors.iter().filter(|(key, _)| key.starts_with("loss.")).collect();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (key, expected) in expected {
            let (ours, expected) = (numbers(&found[key]), numbers(expected));
            assert_eq!([ours.len(), expected.len()], [10; 2], "{name}: {key}");
            for (step, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
                let difference = (ours - expected).abs();
                if difference.is_nan() || difference > OF_LOSSES * expected.abs() {
                    wrong.push(format!("{name}: {key} of step {step} is {ours}, not {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn case(name: &str) -> Case {
    let path = format!("{}/tests/data/torch/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    Case::read(&fs::read(path).expect("a case"))
}

/// How much a tensor may differ; none where it is no answer.
fn limit(key: &str) -> Option<f32> {
    match key.split('.').next() {
        Some("eval" | "train" | "after") => Some(OF_ANSWERS),
        Some("grad") => Some(OF_GRADIENTS),
        _ => None,
    }
}

fn numbers(data: &TensorData) -> Vec<f32> {
    data.clone().try_into_vec::<f32>().expect("floats")
}

/// What a difference is a share of: for answers 1 or their largest, for gradients their largest.
///
/// The gradient of a bias before a normalisation is 0 but for rounding, and that is of the size of
/// the gradients of the weights beside it, so these count for a bias too.
fn scale(key: &str, expected: &[f32], found: &Tensors) -> f32 {
    if !key.starts_with("grad.") {
        return largest(expected).max(1.0);
    }
    let weights = key.strip_suffix("bias").and_then(|layer| found.get(&format!("{layer}weight")));
    let of_weights = weights.map_or(0.0, |weights| largest(&numbers(weights)));
    largest(expected).max(of_weights).max(f32::MIN_POSITIVE)
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |most, x| most.max(x.abs()))
}

fn largest_difference(ours: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(ours.len(), expected.len());
    let pairs = ours.iter().zip(expected);
    pairs
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |most, x| if x > most || x.is_nan() { x } else { most })
}
