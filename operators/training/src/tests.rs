//! Training and evaluation as a whole, on a data set of boxes and cylinders.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;
use voxflow_contract::{
    BuildContext, CheckpointChoice, GoOn, Item, Outcome, Params, Purpose, Refusals, TaskError,
};

use crate::checkpoint::{decode_tensors, inspect_checkpoint, list, load};
use crate::device::{DeviceChoice, choose_device};
use crate::state_dict::{LayerNames, export_weights};
use crate::step_log;
use crate::testing::{Play, TinyData, play, task, tiny_params};

fn train(data: &TinyData, folder: &Path, more: &Value, resume: bool) -> Result<Outcome, TaskError> {
    let resume = resume.then_some(GoOn::LATEST);
    play("train", &tiny_params(more), data, folder, Play { resume, ..Play::default() })
}

/// Evaluates what was trained in `trained`.
fn evaluate(
    data: &TinyData,
    trained: &Path,
    folder: &Path,
    more: &Value,
) -> Result<Outcome, TaskError> {
    let mut params = json!({ "device": "cpu" });
    more.as_object().expect("a table").iter().for_each(|(k, v)| params[k] = v.clone());
    let params = Params(params.as_object().expect("a table").clone());
    let inputs = BTreeMap::from([("train".to_owned(), trained.to_owned())]);
    play("evaluate", &params, data, folder, Play { inputs, ..Play::default() })
}

fn losses(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(step_log::FILE)).expect("a log");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Names of the newest checkpoint's files and the hashes of their bytes.
fn newest_files(folder: &Path) -> BTreeMap<String, String> {
    let newest = list(folder).pop().expect("a checkpoint").path;
    let entries = fs::read_dir(newest).expect("a folder").flatten();
    entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = fs::read(entry.path()).expect("a file");
            (name, blake3::hash(&bytes).to_hex().to_string())
        })
        .collect()
}

#[test]
fn kinds_are_sorted_documented_and_their_examples_build() {
    assert!(crate::ALL.windows(2).all(|pair| pair[0].name() < pair[1].name()));
    for kind in crate::ALL {
        assert!(kind.summary().ends_with('.'));
        assert!(kind.manual().len() > 500);
        let example: Value = toml::from_str(kind.example()).expect("TOML");
        let mut stage = example["stage"][0].as_object().expect("a stage").clone();
        assert_eq!(stage["use"], kind.name());
        stage.retain(|key, _| !["id", "use", "from"].contains(&key.as_str()));
        let context = BuildContext { seed: 0, stage: kind.name().to_owned() };
        for params in [Params(stage), Params::default()] {
            assert!(kind.build(&params, &context).is_ok(), "{params:?} of {}", kind.name());
        }
        let properties = kind.parameters();
        let properties = properties.get("properties").and_then(Value::as_object).expect("some");
        let undocumented: Vec<_> =
            properties.iter().filter(|(_, p)| p.get("description").is_none()).collect();
        assert!(undocumented.is_empty(), "{undocumented:?}");
    }
}

#[test]
fn steps_lower_the_loss_on_four_samples() {
    let (data, folder) = (TinyData::new([4, 0, 0]), tempdir().expect("a folder"));
    train(
        &data,
        folder.path(),
        &json!({ "n_epochs": 30, "adversarial_weight": 0.0, "e_lr": 0.01, "g_lr": 0.01 }),
        false,
    )
    .expect("trained");
    let recon: Vec<f64> =
        losses(folder.path()).iter().map(|l| l["loss_recon"].as_f64().expect("f64")).collect();
    assert!(recon[1] < recon[0], "one step: {recon:?}");
    assert!(recon[29] < 0.5 * recon[0], "thirty steps: {recon:?}");
}

#[test]
fn a_resumed_run_gives_the_bytes_of_an_uninterrupted_one() {
    let data = TinyData::new([11, 3, 0]);
    let (whole, halves) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
    let more = |epochs: u64| json!({ "n_epochs": epochs, "adversarial_weight": 0.1 });
    let expected = train(&data, whole.path(), &more(4), false).expect("trained");
    train(&data, halves.path(), &more(2), false).expect("trained");
    let found = train(&data, halves.path(), &more(4), true).expect("resumed");
    assert_eq!(newest_files(whole.path()), newest_files(halves.path()));
    assert_eq!(losses(whole.path()), losses(halves.path()));
    assert_eq!(expected.metrics, found.metrics);
}

#[test]
fn a_checkpoint_of_before_a_parameter_is_resumed_where_its_default_holds() {
    let (data, folder) = (TinyData::new([8, 2, 0]), tempdir().expect("a folder"));
    let more = |epochs: u64, devices: u64| json!({ "n_epochs": epochs, "devices": devices });
    train(&data, folder.path(), &more(1, 1), false).expect("trained");
    let path = list(folder.path()).pop().expect("a checkpoint").path.join("manifest.json");
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
    let known = manifest["parameters"].as_object_mut().expect("a table");
    assert!(known.remove("devices").is_some());
    fs::write(&path, manifest.to_string()).expect("written");
    let fault = train(&data, folder.path(), &more(2, 2), true).expect_err("another number");
    assert!(fault.to_string().contains("`devices` (1 there, 2 here)"), "{fault}");
    train(&data, folder.path(), &more(2, 1), true).expect("resumed");
    assert_eq!(list(folder.path()).pop().expect("a checkpoint").manifest.epoch, 2);
}

#[test]
fn going_back_gives_the_bytes_of_an_undisturbed_run() {
    let (data, folder) = (TinyData::new([11, 3, 0]), tempdir().expect("a folder"));
    let params = tiny_params(&json!({ "keep_checkpoints": 9 }));
    let go_on = |from: &str, start_epoch| {
        let from = from.parse().expect("a choice");
        let resume = Some(GoOn { from, start_epoch });
        play("train", &params, &data, folder.path(), Play { resume, ..Play::default() })
    };
    let expected = play("train", &params, &data, folder.path(), Play::default()).expect("trained");
    // The manifest alone tells that one went back.
    let states = || {
        let mut files = newest_files(folder.path());
        assert!(files.remove("manifest.json").is_some() && files.len() == 2, "{files:?}");
        files
    };
    let (files, log) = (states(), losses(folder.path()));
    let found = go_on("epoch:2", None).expect("gone back");
    assert_eq!(states(), files);
    assert_eq!(losses(folder.path()), log);
    assert_eq!(found.metrics, expected.metrics);
    assert_eq!(
        found.went_on,
        ["from the checkpoint after epoch 2 (epoch:2); those after epoch 3, 4 set aside in \
          .set-aside-1"]
    );
    assert!(folder.path().join(".set-aside-1/epoch-0004/weights.safetensors").is_file());
    let again = go_on("best", None).expect("gone back");
    assert_eq!(states(), files);
    // Just going on adds nothing to what is remembered.
    assert_eq!(go_on("latest", None).expect("nothing left to do").went_on, again.went_on);
}

#[test]
fn a_checkpoint_that_is_not_there_is_refused_with_those_that_are() {
    let (data, folder) = (TinyData::new([6, 2, 0]), tempdir().expect("a folder"));
    let go_on = |from: &str, start_epoch| {
        let from = from.parse().expect("a choice");
        let how = Play { resume: Some(GoOn { from, start_epoch }), ..Play::default() };
        let params = tiny_params(&json!({ "n_epochs": 3, "keep_checkpoints": 9 }));
        play("train", &params, &data, folder.path(), how).expect_err("no such checkpoint")
    };
    for (from, start) in [("best", None), ("epoch:1", None), ("latest", Some(2))] {
        let message = go_on(from, start).to_string();
        assert!(message.starts_with("there is no checkpoint: "), "{message}");
    }
    let more = json!({ "n_epochs": 3, "keep_checkpoints": 9 });
    train(&data, folder.path(), &more, false).expect("trained");
    let message = go_on("epoch:7", None).to_string();
    assert_eq!(message, "there is no checkpoint epoch:7: kept are 1, 2, 3");
    let message = go_on("best", Some(4)).to_string();
    assert!(message.starts_with("epoch 4 to start with is beyond the last, 3"), "{message}");
    fs::write(folder.path().join("epoch-0002/weights.safetensors"), b"x").expect("damaged");
    assert!(go_on("epoch:2", None).to_string().starts_with("the checkpoint is damaged"));
    assert_eq!(list(folder.path()).len(), 3, "nothing was set aside");
}

#[test]
fn epochs_are_counted_from_where_one_says() {
    let data = TinyData::new([8, 3, 0]);
    for (start, kept) in [(2_u64, vec![1, 2, 3]), (4, vec![1, 2, 3, 4])] {
        let folder = tempdir().expect("a folder");
        let more = |epochs: u64| json!({ "n_epochs": epochs, "keep_checkpoints": 9 });
        train(&data, folder.path(), &more(2), false).expect("trained");
        let weights = |epoch: u64| {
            let path = folder.path().join(format!("epoch-{epoch:04}/weights.safetensors"));
            fs::read(path).expect("weights")
        };
        let second = weights(2);
        let go_on = GoOn { from: "epoch:2".parse().expect("a choice"), start_epoch: Some(start) };
        let how = Play { resume: Some(go_on), ..Play::default() };
        let params = tiny_params(&more(kept.len() as u64));
        let outcome = play("train", &params, &data, folder.path(), how).expect("gone on");
        assert!(outcome.report.contains(&format!("counted as epoch {}", start - 1)));
        // The weights of the second epoch are now those of the epoch before the one to start with.
        assert_eq!(weights(start - 1), second);
        let epochs: Vec<_> = list(folder.path()).iter().map(|f| f.manifest.epoch).collect();
        assert_eq!(epochs, kept);
        let newest = list(folder.path()).pop().expect("one").manifest;
        let recorded: Vec<_> = newest.history.iter().map(|record| record.epoch).collect();
        assert_eq!(recorded, if start == 2 { vec![1, 2, 3] } else { vec![1, 3, 4] });
        assert_eq!(newest.went_on.len(), 1);
    }
}

#[test]
fn a_run_that_was_stopped_within_an_epoch_loses_that_epoch_only() {
    let data = TinyData::new([8, 2, 0]);
    let (whole, stopped) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
    train(&data, whole.path(), &json!({}), false).expect("trained");
    // Three batches an epoch: the fifth is the second of the second epoch.
    let how = Play { stop_after: Some(5), ..Play::default() };
    let outcome = play("train", &tiny_params(&json!({})), &data, stopped.path(), how).expect("run");
    assert!(outcome.report.contains("Stopped on request"), "{}", outcome.report);
    assert_eq!(list(stopped.path()).len(), 1);
    train(&data, stopped.path(), &json!({}), true).expect("resumed");
    assert_eq!(newest_files(whole.path()), newest_files(stopped.path()));
    assert_eq!(losses(whole.path()), losses(stopped.path()));
}

#[test]
fn a_checkpoint_of_another_run_is_not_gone_on_from() {
    let (data, folder) = (TinyData::new([6, 2, 0]), tempdir().expect("a folder"));
    train(&data, folder.path(), &json!({ "n_epochs": 1 }), false).expect("trained");
    let message = |data: &TinyData, more: Value| {
        train(data, folder.path(), &more, true).expect_err("another run").to_string()
    };
    let other = message(&data, json!({ "z_size": 9, "e_lr": 0.5 }));
    assert!(other.contains("`z_size` (8 there, 9 here)"), "{other}");
    assert!(other.contains("`e_lr`"), "{other}");
    let other = message(&TinyData::new([7, 2, 0]), json!({}));
    assert!(other.contains("the data set"), "{other}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let (data, folder) = (TinyData::new([6, 2, 0]), tempdir().expect("a folder"));
    train(&data, folder.path(), &json!({ "n_epochs": 2 }), false).expect("trained");
    let expected = newest_files(folder.path());
    fs::write(folder.path().join("epoch-0002/weights.safetensors"), b"x").expect("damaged");
    let summary = inspect_checkpoint(folder.path());
    assert!(summary.is_err());
    train(&data, folder.path(), &json!({ "n_epochs": 2 }), true).expect("resumed");
    assert_eq!(newest_files(folder.path()), expected);
}

#[test]
fn so_many_steps_and_no_more() {
    let (data, folder) = (TinyData::new([9, 2, 0]), tempdir().expect("a folder"));
    train(&data, folder.path(), &json!({ "n_epochs": 9, "max_steps": 5 }), false).expect("trained");
    assert_eq!(losses(folder.path()).len(), 5);
    assert_eq!(list(folder.path()).last().expect("one").manifest.step, 5);
}

#[test]
fn a_loss_that_is_no_number_names_the_step() {
    let (data, folder) = (TinyData::new([8, 0, 0]), tempdir().expect("a folder"));
    let more = json!({ "recon_loss": "sse", "e_lr": 1.0, "g_lr": 1.0,
                       "recon_weight": 1e300, "n_epochs": 20 });
    let message = train(&data, folder.path(), &more, false).expect_err("diverged").to_string();
    assert!(message.contains("at step "), "{message}");
}

#[test]
fn an_evaluation_compares_with_baselines() {
    let data = TinyData::new([24, 4, 6]);
    let (trained, evaluated) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
    train(&data, trained.path(), &json!({ "n_epochs": 3 }), false).expect("trained");
    let outcome = evaluate(&data, trained.path(), evaluated.path(), &json!({})).expect("evaluated");
    for line in ["6 test samples of 2 classes", "mean_shape", "nearest_image", "empty", "chamfer"] {
        assert!(outcome.report.contains(line), "{}", outcome.report);
    }
    let metrics = outcome.metrics.expect("metrics");
    // Four subjects, four thresholds, three figures overall and one for each of two classes; squared
    // error, distance (none of empty grids) and F-score of each; and the true share.
    assert_eq!(metrics.rows(), 4 * 4 * 5 + 4 * 3 - 1 + 1);
    let other = json!({ "checkpoint": "epoch:2" });
    let outcome = evaluate(&data, trained.path(), evaluated.path(), &other).expect("evaluated");
    assert!(outcome.report.contains("epoch 2 (asked for)"), "{}", outcome.report);
    let missing = json!({ "checkpoint": "epoch:9" });
    let fault = evaluate(&data, trained.path(), evaluated.path(), &missing).expect_err("epoch 9");
    assert!(fault.to_string().starts_with("there is no checkpoint epoch:9"), "{fault}");
    let views = json!({ "num_views": 2 });
    let fault = evaluate(&data, trained.path(), evaluated.path(), &views).expect_err("two views");
    assert_eq!(fault.to_string(), "num_views is 2, vae_gan looks at one view at most");
}

#[test]
fn several_views_are_learnt_from_together_and_a_resumed_run_is_the_same() {
    let data = TinyData::new([12, 4, 6]);
    for combine_type in ["mean", "max"] {
        let (whole, halves) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
        let more = |epochs: u64| {
            json!({ "n_epochs": epochs, "model": "multi_view_vae_gan", "num_views": 3,
                    "combine_type": combine_type,
                    "adversarial_weight": 0.1, "e_lr": 0.01, "g_lr": 0.01 })
        };
        train(&data, whole.path(), &more(4), false).expect("trained");
        train(&data, halves.path(), &more(2), false).expect("trained");
        train(&data, halves.path(), &more(4), true).expect("resumed");
        assert_eq!(newest_files(whole.path()), newest_files(halves.path()));
        let losses = losses(whole.path());
        let recon = |i: usize| losses[i]["loss_recon"].as_f64().expect("a number");
        assert!(recon(losses.len() - 1) < recon(0), "{losses:?}");

        // As many views as in training, or as many as one likes.
        for more in [json!({}), json!({ "num_views": 1 })] {
            let evaluated = tempdir().expect("a folder");
            let outcome =
                evaluate(&data, whole.path(), evaluated.path(), &more).expect("evaluated");
            assert!(outcome.report.contains("6 test samples of 2 classes"), "{}", outcome.report);
        }
    }
}

/// Parameters of a network that trains in milliseconds, for each of the kinds.
fn kinds() -> [(&'static str, Value); 6] {
    let pose = json!({ "model": "pose_vae_gan", "num_views": 2, "min_views": 1,
                       "adversarial_weight": 0.1, "e_lr": 0.01, "g_lr": 0.01 });
    let attention = json!({
        "model": "attention_vae_gan", "image_height": 32, "image_width": 32,
        "encoder_channels": [4, 4, 6], "heads": [2, 2], "hidden": [8, 8, 6], "target": "voxels",
        "adversarial_weight": 0.1, "e_lr": 0.01, "g_lr": 0.01, "weight_decay": 0.01,
    });
    let mut reference = attention.clone();
    reference["profile"] = json!("reference");
    reference["recon_weight"] = json!(1.0);
    let averaged = json!({ "ema_decay": 0.9, "clip_norm": 1.0, "e_lr": 0.01, "g_lr": 0.01 });
    let gan = json!({ "model": "gan", "adversarial_weight": 1.0, "g_lr": 0.01 });
    [
        ("gan", gan),
        ("vae_gan, averaged", averaged),
        ("pose_vae_gan", pose.clone()),
        ("pose_vae_gan, reference", {
            let mut pose = pose;
            pose["profile"] = json!("reference");
            pose
        }),
        ("attention_vae_gan", attention),
        ("attention_vae_gan, reference", reference),
    ]
}

#[test]
fn every_network_learns_resumes_and_is_evaluated() {
    let data = TinyData::new([12, 4, 6]);
    for (name, mut params) in kinds() {
        let (whole, halves) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
        let mut run = |folder: &Path, epochs: u64, resume: bool| {
            params["n_epochs"] = json!(epochs);
            train(&data, folder, &params, resume).expect(name)
        };
        run(whole.path(), 4, false);
        run(halves.path(), 2, false);
        run(halves.path(), 4, true);
        assert_eq!(newest_files(whole.path()), newest_files(halves.path()), "{name}");
        let losses = losses(whole.path());
        if let Some(last) = losses.last().and_then(|l| l["loss_recon"].as_f64()) {
            let first = losses[0]["loss_recon"].as_f64().expect("a number");
            assert!(last < first, "{name}: {losses:?}");
        }
        assert!(losses.iter().all(|l| l["loss_d"].as_f64().is_some_and(|v| v > 0.0)), "{name}");
        let evaluated = tempdir().expect("a folder");
        let outcome = evaluate(&data, whole.path(), evaluated.path(), &json!({})).expect(name);
        let line = if name == "gan" { "random_noise" } else { "6 test samples of 2 classes" };
        assert!(outcome.report.contains(line), "{name}: {}", outcome.report);
    }
}

#[test]
fn a_gan_needs_neither_pictures_nor_poses() {
    let task = task("train", &tiny_params(&json!({ "model": "gan", "adversarial_weight": 1.0 })));
    let columns = task.columns();
    assert_eq!(columns, ["sample", "category", "content", "voxels", "resolution", "split"]);
}

#[test]
fn one_class_is_learnt_alone() {
    let (data, folder) = (TinyData::new([12, 2, 0]), tempdir().expect("a folder"));
    train(&data, folder.path(), &json!({ "obj": "box", "n_epochs": 1 }), false).expect("trained");
    let newest = list(folder.path()).pop().expect("a checkpoint").manifest;
    assert_eq!(newest.history[0].samples, 6);
    let fault = train(&data, folder.path(), &json!({ "obj": "lamp" }), false).expect_err("no lamp");
    assert!(fault.to_string().contains("class `lamp` (obj)"), "{fault}");
}

#[test]
fn training_ends_when_validation_is_not_better_any_more() {
    let (data, folder) = (TinyData::new([8, 2, 0]), tempdir().expect("a folder"));
    let still = json!({ "e_lr": 1e-12, "g_lr": 1e-12, "n_epochs": 30, "early_stop_epochs": 3 });
    let outcome = train(&data, folder.path(), &still, false).expect("trained");
    assert!(outcome.report.contains("Ended early"), "{}", outcome.report);
    assert!(list(folder.path()).last().expect("one").manifest.epoch < 30);
}

#[test]
fn a_run_that_diverges_goes_back_three_times() {
    let (data, folder) = (TinyData::new([8, 2, 0]), tempdir().expect("a folder"));
    let wild = json!({ "recon_loss": "sse", "e_lr": 1.0, "g_lr": 1.0, "recon_weight": 1e300,
                       "n_epochs": 40, "on_nan": "roll_back" });
    let message = train(&data, folder.path(), &wild, false).expect_err("diverged").to_string();
    assert!(message.contains("after 3 times of going back"), "{message}");
}

#[test]
fn a_batch_is_made_up_from_the_next_samples() {
    let data = TinyData::new([10, 0, 0]);
    let folder = tempdir().expect("a folder");
    let how = Play { refused: vec!["train001".to_owned()], ..Play::default() };
    let params = tiny_params(&json!({ "n_epochs": 1 }));
    play("train", &params, &data, folder.path(), how).expect("trained");
    // Nine of ten, in batches of four: two whole ones, and one row that is left out.
    let newest = list(folder.path()).pop().expect("a checkpoint").manifest;
    assert_eq!((newest.step, newest.history[0].samples), (2, 8));
}

#[test]
fn a_sample_with_too_few_views_is_refused() {
    let data = TinyData::new([1, 0, 0]);
    let task =
        task("train", &tiny_params(&json!({ "model": "multi_view_vae_gan", "num_views": 4 })));
    let rows = data.rows.project(&task.columns().iter().map(String::as_str).collect::<Vec<_>>());
    let item = Item { epoch: 0, sequence: 0, purpose: Purpose::Train, rows: vec![0] };
    let mut refusals = Refusals::default();
    let one = rows.expect("columns").slice(0, 1);
    let kept = task.prepare(&item, &one, &mut refusals).expect("prepared");
    assert!(kept.is_empty());
    let (_, fault) = refusals.into_rows().remove(0);
    assert_eq!((fault.code, fault.message.as_str()), ("view", "it has 3 views, num_views is 4"));
}

#[test]
fn an_evaluation_without_a_checkpoint_says_what_to_do() {
    let (data, folder) = (TinyData::new([2, 0, 2]), tempdir().expect("a folder"));
    let inputs = BTreeMap::from([("train".to_owned(), folder.path().to_owned())]);
    let params = json!({ "device": "cpu" });
    let params = Params(params.as_object().expect("a table").clone());
    let how = Play { inputs, ..Play::default() };
    let fault = play("evaluate", &params, &data, folder.path(), how).expect_err("no checkpoint");
    assert!(fault.to_string().starts_with("no stage it reads from has a checkpoint"), "{fault}");
}

#[test]
fn grids_of_another_edge_are_refused_before_anything_is_read() {
    let data = TinyData::new([2, 0, 0]);
    let task = task("train", &tiny_params(&json!({ "cube_len": 32 })));
    let fault = task.check(data.rows.schema()).expect_err("another edge");
    assert!(fault.message.contains("set cube_len"), "{fault}");
}

/// The tensors of a state dictionary that gradients move.
fn parameters(bytes: &[u8]) -> BTreeMap<String, Vec<f32>> {
    let tensors = decode_tensors(bytes, |name| !name.contains(".running_")).expect("tensors");
    let numbers = |data: burn::tensor::TensorData| data.try_into_vec().expect("numbers");
    tensors.into_iter().map(|(name, data)| (name, numbers(data))).collect()
}

#[test]
fn a_training_begins_from_an_exported_state_dictionary() {
    let data = TinyData::new([8, 2, 0]);
    let (first, second) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
    train(&data, first.path(), &json!({ "n_epochs": 2 }), false).expect("trained");
    let letters = [("encoder", "E"), ("generator", "G"), ("discriminator", "D")];
    let names: LayerNames = letters.map(|(here, there)| (here.into(), there.into())).into();
    let export = |folder: &Path| {
        export_weights(folder, CheckpointChoice::Latest, &names).expect("a checkpoint")
    };
    let exported = export(first.path());
    assert_eq!((exported.model.as_str(), exported.epoch), ("vae_gan", 2));
    let file = first.path().join("state.safetensors");
    fs::write(&file, &exported.bytes).expect("written");
    // At such rates nothing moves.
    let mut more = json!({
        "n_epochs": 1, "e_lr": 1e-12, "g_lr": 1e-12, "d_lr": 1e-12,
        "weights": file, "weight_names": names,
    });
    train(&data, second.path(), &more, false).expect("trained");
    let (before, after) = (parameters(&exported.bytes), parameters(&export(second.path()).bytes));
    assert!(before.len() > 20 && before.keys().eq(after.keys()), "{:?}", before.keys());
    for (name, before) in &before {
        assert!(name.starts_with(['E', 'G', 'D']), "{name}");
        let moved = before.iter().zip(&after[name]).map(|(a, b)| (a - b).abs());
        assert!(moved.fold(0.0_f32, f32::max) < 1e-6, "{name}");
    }
    more["weight_names"] = json!({});
    let fault = train(&data, second.path(), &more, false).expect_err("other names").to_string();
    assert!(fault.contains("weight_names says") && fault.contains("state.safetensors"), "{fault}");
}

#[test]
fn a_batch_shared_by_two_devices_trains_and_is_resumed_to_the_same_bytes() {
    let data = TinyData::new([11, 3, 0]);
    let (whole, halves) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
    let more = |epochs: u64| json!({ "n_epochs": epochs, "devices": 2, "e_lr": 0.01, "g_lr": 0.01, "warmup_steps": 0 });
    train(&data, whole.path(), &more(4), false).expect("trained");
    train(&data, halves.path(), &more(2), false).expect("trained");
    train(&data, halves.path(), &more(4), true).expect("resumed");
    assert_eq!(newest_files(whole.path()), newest_files(halves.path()));
    let recon = |line: &Value| line["loss_recon"].as_f64().expect("a number");
    let log = losses(whole.path());
    assert!(recon(&log[log.len() - 1]) < 0.8 * recon(&log[0]), "{log:?}");
}

#[test]
fn the_first_steps_on_wgpu_are_those_on_the_cpu() {
    if let Err(fault) = choose_device(DeviceChoice::Wgpu) {
        #[expect(clippy::disallowed_methods, reason = "a switch for machines that must have one")]
        let required = std::env::var("VOXFLOW_REQUIRE_WGPU").is_ok_and(|v| v == "1");
        assert!(!required, "VOXFLOW_REQUIRE_WGPU=1 and {fault}");
        eprintln!("SKIPPED, NOT TESTED: {fault}");
        return;
    }
    let data = TinyData::new([8, 2, 0]);
    let run = |device: &str| {
        let folder = tempdir().expect("a folder");
        let more =
            json!({ "device": device, "max_steps": 10, "n_epochs": 5, "adversarial_weight": 0.1 });
        train(&data, folder.path(), &more, false).expect("trained");
        let newest = list(folder.path()).pop().expect("a checkpoint");
        assert_eq!(newest.manifest.device, device);
        load(&newest.path).expect("loaded");
        losses(folder.path())
    };
    let (cpu, wgpu) = (run("cpu"), run("wgpu"));
    assert_eq!((cpu.len(), wgpu.len()), (10, 10));
    let mut worst = 0.0_f64;
    for (cpu, wgpu) in cpu.iter().zip(wgpu) {
        for name in ["loss_d", "loss_g", "loss_recon", "loss_kl"] {
            let [a, b] = [&cpu[name], &wgpu[name]].map(|v| v.as_f64().expect("a number"));
            worst = worst.max((a - b).abs() / a.abs().max(1e-6));
            assert!(worst <= 1e-3, "{name}: {a} on cpu, {b} on wgpu");
        }
    }
    eprintln!("losses of ten steps agree to {worst:.1e} relative");
}
