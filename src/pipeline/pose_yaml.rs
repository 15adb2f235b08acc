//! `pose.yaml`, the configuration of the public multi-view 3D-VAE-GAN with poses (3D-Model-Generation-
//! from-2D-Sparse-Views), as a pipeline of ours.
//!
//! Every key of the file, of its command line and of its earlier form is either mapped or named with
//! the reason why it is not.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnostics::{Diagnostic, Source};
use super::flat_yaml::{self, Field, Scalar};
use super::plan::Plan;
use super::settings::Settings;
use crate::error::Error;

/// What the values of a key must be.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Number,
    Whole,
    Bool,
    Text,
}

/// What becomes of a key.
enum Goes {
    /// It is a parameter of `train`, by the name given.
    Train(&'static str, Takes),
    /// It is used somewhere else.
    Elsewhere(Takes),
    /// It is left out, for this reason.
    Left(&'static str),
}

use Goes::{Elsewhere, Left, Train};

/// Every key that is known.
const KEYS: [(&str, Goes); 39] = [
    ("n_epochs", Train("n_epochs", Takes::Whole)),
    ("batch_size", Train("batch_size", Takes::Whole)),
    ("g_lr", Train("g_lr", Takes::Number)),
    ("e_lr", Train("e_lr", Takes::Number)),
    ("d_lr", Train("d_lr", Takes::Number)),
    ("z_size", Train("z_size", Takes::Whole)),
    ("cube_len", Train("cube_len", Takes::Whole)),
    ("image_size", Train("image_size", Takes::Whole)),
    ("obj", Train("obj", Takes::Text)),
    ("num_views", Train("num_views", Takes::Whole)),
    ("combine_type", Train("combine_type", Takes::Text)),
    ("use_pose", Train("use_pose", Takes::Bool)),
    ("pose_fusion_type", Train("pose_fusion", Takes::Text)),
    ("recon_weight", Train("recon_weight", Takes::Number)),
    ("kl_weight_start", Train("kl_weight_start", Takes::Number)),
    ("kl_weight_end", Train("kl_weight_end", Takes::Number)),
    ("d_thresh", Train("d_thresh", Takes::Number)),
    ("soft_label", Train("soft_label", Takes::Bool)),
    ("lrsh", Train("lrsh", Takes::Bool)),
    ("z_dis", Train("z_dis", Takes::Text)),
    ("beta1", Elsewhere(Takes::Number)),
    ("beta2", Elsewhere(Takes::Number)),
    ("seed", Elsewhere(Takes::Whole)),
    ("apply_mask", Elsewhere(Takes::Bool)),
    ("experiment_name", Elsewhere(Takes::Text)),
    ("threshold", Left("`evaluate` measures at several thresholds, `reconstruct` has --threshold")),
    ("save_freq", Left("every epoch leaves a checkpoint; `keep_checkpoints` says how many stay")),
    ("vis_freq", Left("the report has the curves, `voxflow reconstruct` the shapes")),
    ("num_workers", Left("`run --workers`, which changes no result")),
    ("workers", Left("`run --workers`, which changes no result")),
    ("use_cuda", Left("`run --device`")),
    ("input_dir", Left("where samples come from: `pipeline import --root`")),
    ("output_dir", Left("runs lie under `--home`")),
    ("resume", Left("`run --resume`")),
    ("start_epoch", Left("`run --start-epoch`")),
    ("config", Left("it names this file")),
    ("mode", Left("the pipeline trains and evaluates")),
    ("bias", Left("the network with poses has no such switch")),
    ("pose_encoder_hidden", Left("the pose branch has the 128 and 64 outputs of public code")),
];

/// The text of a pipeline that does what a `pose.yaml` says, on procedural solids or on the meshes
/// below `root`.
///
/// # Errors
/// Everything in the file that is unknown, of another type, or not what a stage takes, with its line.
pub fn import(file: &Path, text: &str, root: Option<&Path>) -> Result<String, Error> {
    let source = Source::new(file, text);
    let wrong = |diagnostics| Error::Pipeline { diagnostics };
    let fields = flat_yaml::read(&source).map_err(wrong)?;
    let mistakes: Vec<_> = fields.iter().filter_map(|field| mistake(field, &source)).collect();
    if !mistakes.is_empty() {
        return Err(wrong(mistakes));
    }
    let pipeline = Import { fields: &fields, file, root }.text();
    let made = PathBuf::from(format!("pipeline made of {}", file.display()));
    match Plan::from_text(&made, &pipeline, &Settings::default()) {
        Ok(_) => Ok(pipeline),
        Err(Error::Pipeline { diagnostics }) => {
            let place = |diagnostic| at_its_key(diagnostic, &fields, &source);
            let mut placed: Vec<_> = diagnostics.into_iter().map(place).collect();
            placed.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
            Err(wrong(placed))
        }
        Err(other) => Err(other),
    }
}

/// What is wrong with a key or the type of its value.
fn mistake(field: &Field, source: &Source<'_>) -> Option<Diagnostic> {
    let Some((_, goes)) = KEYS.iter().find(|(key, _)| *key == field.key) else {
        let names = KEYS.iter().map(|(key, _)| *key);
        let message = format!("there is no key `{}` in pose.yaml", field.key);
        return Some(source.at(field.key_span.clone(), message).suggest(&field.key, names));
    };
    let (Train(_, takes) | Elsewhere(takes)) = goes else { return None };
    let (is_right, what) = match takes {
        Takes::Number => {
            let is_number = matches!(field.value, Scalar::Integer(_) | Scalar::Float(_));
            (is_number, "a number")
        }
        Takes::Whole => (matches!(field.value, Scalar::Integer(_)), "a whole number"),
        Takes::Bool => (matches!(field.value, Scalar::Bool(_)), "true or false"),
        Takes::Text => (matches!(field.value, Scalar::Text(_)), "a word"),
    };
    let span: Range<usize> = field.value_span.clone();
    (!is_right).then(|| source.at(span, format!("`{}` must be {what}", field.key)))
}

/// A mistake of the pipeline that was made, shown where the value came from.
fn at_its_key(diagnostic: Diagnostic, fields: &[Field], source: &Source<'_>) -> Diagnostic {
    let is_of = |field: &&Field| {
        let said = format!(" {}, line {}", field.key, field.line);
        diagnostic.source_line.contains(&said)
    };
    match fields.iter().find(is_of) {
        None => diagnostic,
        Some(field) => {
            let found = source.at(field.value_span.clone(), diagnostic.message);
            Diagnostic { help: diagnostic.help, ..found }
        }
    }
}

/// The comment that says where a line comes from.
fn origin(field: &Field) -> String {
    format!("  # {}, line {}", field.key, field.line)
}

struct Import<'a> {
    fields: &'a [Field],
    file: &'a Path,
    root: Option<&'a Path>,
}

impl Import<'_> {
    fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    fn text(&self) -> String {
        let mut text = self.head();
        text += &self.source();
        text += &self.preparation();
        text += &self.training();
        text
    }

    /// Comments, name, seed.
    fn head(&self) -> String {
        let file = self.file.file_name().unwrap_or_default().to_string_lossy();
        let mut text =
            format!("# Made of {file} by `voxflow pipeline import`; comments say which key a line");
        text += " comes from.\n# What is not said is as public code has it.\n";
        let left = self.fields.iter().filter_map(|field| Some((field, self.left(field)?)));
        let left: Vec<_> = left.collect();
        if !left.is_empty() {
            text += "#\n# Not taken over:\n";
        }
        for (field, reason) in left {
            let _ = writeln!(text, "#   {} (line {}): {reason}", field.key, field.line);
        }
        let (name, from) = match self.field("experiment_name") {
            Some(Field { value: Scalar::Text(name), .. }) => {
                (name.clone(), self.field("experiment_name").map(origin))
            }
            _ => (self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), None),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let name: String = name.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        let name = name.to_ascii_lowercase();
        let name = toml_text(&name);
        let _ = writeln!(text, "\n[pipeline]\nname = {name}{}", from.unwrap_or_default());
        text += &self.line("seed", "seed");
        text
    }

    /// Why a key is left out, where it is.
    fn left(&self, field: &Field) -> Option<&'static str> {
        if field.key == "apply_mask" && field.value == Scalar::Bool(false) {
            return Some("views are drawn, so that nothing stands behind an object to be kept");
        }
        KEYS.iter().find(|(key, _)| *key == field.key).and_then(|(_, goes)| match goes {
            Left(reason) => Some(*reason),
            Train(..) | Elsewhere(_) => None,
        })
    }

    fn source(&self) -> String {
        let Some(root) = self.root else {
            let classes = match self.field("obj") {
                Some(field @ Field { value: Scalar::Text(class), .. }) => {
                    format!("classes = [{}]{}\n", toml_text(class), origin(field))
                }
                _ => String::new(),
            };
            return format!(
                "\n[parameters]\ncount = {{ default = 480, help = \"objects\" }}\n\n# Procedural \
                 solids: the file says nothing of samples. `--root` of the import reads meshes.\n\
                 [[stage]]\nid = \"solids\"\nuse = \"synthetic\"\ncount = \"${{count}}\"\n{classes}"
            );
        };
        let root = toml_text(&root.to_string_lossy());
        format!(
            "\n[parameters]\nroot = {{ default = {root}, help = \"folder of meshes, <class>/…\" }}\n\n\
             [[stage]]\nuse = \"meshes\"\nroot = \"${{root}}\"\n\n[[stage]]\nuse = \"decode_mesh\"\n"
        )
    }

    fn preparation(&self) -> String {
        let or =
            |made: String, default: &str| if made.is_empty() { default.to_owned() } else { made };
        let resolution = or(self.line("resolution", "cube_len"), "resolution = 32\n");
        let size = or(self.line("size", "image_size"), "size = 224\n");
        format!(
            "\n[[stage]]\nuse = \"normalize\"\n\n\
             [[stage]]\nid = \"voxels\"\nuse = \"voxelize\"\nfrom = \"normalize\"\n{resolution}\
             fill = \"solid\"\n\n\
             [[stage]]\nid = \"views\"\nuse = \"render_views\"\nfrom = \"normalize\"\n{size}\n\
             [[stage]]\nid = \"poses\"\nuse = \"extract_poses\"\nfrom = \"views\"\n\n\
             [[stage]]\nuse = \"split\"\nfrom = [\"voxels\", \"poses\"]\n\n\
             [[stage]]\nid = \"dataset\"\nuse = \"parquet\"\n\
             from = [\"voxels\", \"views\", \"poses\", \"split\"]\n"
        )
    }

    fn training(&self) -> String {
        let mut text =
            "\n[[stage]]\nuse = \"train\"\nfrom = \"dataset\"\nmodel = \"pose_vae_gan\"\n"
                .to_owned();
        for (key, goes) in &KEYS {
            if let Train(parameter, _) = goes {
                text += &self.line(parameter, key);
            }
        }
        if let Some(field @ Field { value: Scalar::Integer(epochs), .. }) = self.field("n_epochs") {
            text += "# Public code lets the divergence gain weight over 0.7 of the epochs.\n";
            let epochs = toml::Value::Float(0.7 * *epochs as f64);
            let _ = writeln!(text, "kl_epochs = {epochs}{}", origin(field));
        }
        let betas = ["beta1", "beta2"].map(|key| self.field(key));
        let from: Vec<_> = betas.into_iter().flatten().map(origin).collect();
        if !from.is_empty() {
            text += "# Public code has 0.5 and 0.999, whatever its file says.\n";
            let [first, second] = [(betas[0], 0.5), (betas[1], 0.999)]
                .map(|(field, default)| field.map_or(default, |field| number(&field.value)));
            let [first, second] = [first, second].map(toml::Value::Float);
            let _ = writeln!(text, "beta = [{first}, {second}]{}", from.concat());
        }
        if let Some(field @ Field { value: Scalar::Bool(true), .. }) = self.field("apply_mask") {
            text += "# What the mask leaves out is black.\n";
            let _ = writeln!(text, "background = [0, 0, 0]{}", origin(field));
        }
        text + "\n[[stage]]\nuse = \"evaluate\"\nfrom = [\"dataset\", \"train\"]\n"
    }

    /// The line of a parameter that takes a key's value; empty where the key does not stand there.
    fn line(&self, parameter: &str, key: &str) -> String {
        let Some(field) = self.field(key) else { return String::new() };
        let value = match &field.value {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Integer(value) => value.to_string(),
            Scalar::Float(value) => toml::Value::Float(*value).to_string(),
            Scalar::Text(value) => toml_text(value),
        };
        format!("{parameter} = {value}{}\n", origin(field))
    }
}

fn number(value: &Scalar) -> f64 {
    match value {
        Scalar::Integer(whole) => *whole as f64,
        Scalar::Float(number) => *number,
        Scalar::Bool(_) | Scalar::Text(_) => f64::NAN,
    }
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys and values of the public file, in another order.
    const POSE: &str = "\
# a comment
n_epochs: 500
batch_size: 6
g_lr: 0.0001
e_lr: 0.0001
d_lr: 0.00001
beta1: 0.5
beta2: 0.999
z_size: 128
cube_len: 32
image_size: 224
obj: chair
num_views: 4
combine_type: mean
use_pose: true
apply_mask: true
recon_weight: 50.0
kl_weight_start: 0.0001
kl_weight_end: 0.01
save_freq: 50
vis_freq: 50
seed: 42
num_workers: 4
";

    fn made(text: &str, root: Option<&Path>) -> Result<Plan, String> {
        let pipeline = import(Path::new("config/pose.yaml"), text, root).map_err(told)?;
        Plan::from_text(Path::new("pose.toml"), &pipeline, &Settings::default()).map_err(told)
    }

    fn told(error: Error) -> String {
        let Error::Pipeline { diagnostics } = error else { return error.to_string() };
        let line = |d: &Diagnostic| format!("{}:{} {}", d.file, d.line, d.message);
        diagnostics.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_public_file_becomes_the_pipeline_that_it_describes() {
        let plan = made(POSE, None).expect("a plan");
        assert_eq!((plan.name.as_str(), plan.seed), ("pose", 42));
        let of = |id: &str| &plan.stages.iter().find(|s| s.id == id).expect("a stage").params.0;
        let train = serde_json::json!({
            "model": "pose_vae_gan", "n_epochs": 500, "batch_size": 6, "g_lr": 1e-4, "e_lr": 1e-4,
            "d_lr": 1e-5, "z_size": 128, "cube_len": 32, "image_size": 224, "obj": "chair",
            "num_views": 4, "combine_type": "mean", "use_pose": true, "recon_weight": 50.0,
            "kl_weight_start": 1e-4, "kl_weight_end": 0.01, "kl_epochs": 350.0,
            "beta": [0.5, 0.999], "background": [0, 0, 0],
        });
        assert_eq!(serde_json::Value::Object(of("train").clone()), train);
        assert_eq!(of("voxels")["resolution"], 32);
        assert_eq!(of("views")["size"], 224);
        assert_eq!(of("solids")["classes"], serde_json::json!(["chair"]));
        let text = import(Path::new("pose.yaml"), POSE, None).expect("a pipeline");
        assert!(text.contains("\nd_lr = 0.00001  # d_lr, line 6\n"), "{text}");
        for left in ["save_freq (line 20)", "vis_freq (line 21)", "num_workers (line 23)"] {
            assert!(text.contains(&format!("\n#   {left}: ")), "{text}");
        }
        let keys = POSE.lines().filter_map(|line| line.split_once(": "));
        for (key, _) in keys {
            assert!(
                text.contains(&format!("# {key}, line")) || text.contains(&format!("#   {key} (")),
                "{key}: {text}"
            );
        }
    }

    #[test]
    fn meshes_can_be_learnt_from_and_a_file_may_say_little() {
        let plan = made("experiment_name: My run 2\n", Some(Path::new("data/meshes")));
        let plan = plan.expect("a plan");
        assert_eq!(plan.name, "my-run-2");
        assert_eq!(plan.stages[0].kind.name(), "meshes");
        assert_eq!(plan.stages[0].params.0["root"], "data/meshes");
        assert!(made("", None).is_ok());
    }

    #[test]
    fn what_is_not_known_or_cannot_be_is_told_with_its_line() {
        let error = made("n_epoch: 5\nbatch_size: six\nuse_pose: 1\nz_size: 1.5\n", None);
        assert_eq!(
            error.err().expect("mistakes"),
            "config/pose.yaml:1 there is no key `n_epoch` in pose.yaml\n\
             config/pose.yaml:2 `batch_size` must be a whole number\n\
             config/pose.yaml:3 `use_pose` must be true or false\n\
             config/pose.yaml:4 `z_size` must be a whole number"
        );
        // A value that a stage does not take is shown at its key, not in the pipeline that was made.
        let error = made("seed: 1\nbatch_size: 0\nobj: teapot\n", None).err().expect("mistakes");
        assert!(error.contains("config/pose.yaml:2 "), "{error}");
        assert!(error.contains("config/pose.yaml:3 "), "{error}");
    }

    #[test]
    fn keys_are_listed_once() {
        let mut names: Vec<_> = KEYS.iter().map(|(key, _)| *key).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }
}
