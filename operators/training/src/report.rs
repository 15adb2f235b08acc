//! Reports for people: what a training or an evaluation found, as aligned text.

use std::fmt::Write;

use crate::checkpoint::EpochRecord;
use crate::metrics::IouTally;

/// Epochs of a training as a table: all of a short one, about twenty of a long one.
pub(crate) fn training_report(history: &[EpochRecord], device: &str, stopped: bool) -> String {
    let mut text = format!("Training, {device}.\n");
    if stopped {
        text +=
            "Stopped on request; the epoch at hand is lost, resume goes on after the last one.\n";
    }
    let Some(last) = history.last() else {
        return text + "No epoch was finished.\n";
    };
    let header = ["epoch", "step", "recon", "kl", "g", "d", "d_acc", "val IoU", "at"];
    let stride = history.len().div_ceil(20) as u64;
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(
        history
            .iter()
            .filter(|record| record.epoch.is_multiple_of(stride) || record.epoch == last.epoch)
            .map(epoch_cells),
    );
    text += &table(&rows);
    let iou = |record: &&EpochRecord| record.validation.map_or(-1.0, |v| v.iou);
    let best = history.iter().max_by(|a, b| iou(a).total_cmp(&iou(b)));
    if let Some((best, validation)) = best.and_then(|b| Some((b, b.validation?))) {
        let _ = writeln!(
            text,
            "Best by validation: epoch {}, IoU {:.4} at threshold {} over {} samples.",
            best.epoch, validation.iou, validation.threshold, validation.samples
        );
    }
    text
}

fn epoch_cells(record: &EpochRecord) -> Vec<String> {
    let loss = |name: &str| record.losses.get(name).map_or("-".to_owned(), |v| format!("{v:.4}"));
    let mut cells = vec![record.epoch.to_string(), record.step.to_string()];
    cells.extend(["loss_recon", "loss_kl", "loss_g", "loss_d", "d_acc"].map(loss));
    let validation = record.validation;
    cells.push(validation.map_or("-".to_owned(), |v| format!("{:.4}", v.iou)));
    cells.push(validation.map_or("-".to_owned(), |v| v.threshold.to_string()));
    cells
}

/// What was compared in an evaluation.
pub(crate) struct Compared<'a> {
    /// Which checkpoint, a sentence.
    pub(crate) checkpoint: String,
    /// Subjects and their figures; the first is the model.
    pub(crate) subjects: &'a [(&'static str, IouTally)],
    /// The threshold that validation chose for the model, where it is one of the tallies'.
    pub(crate) chosen: Option<f64>,
    /// Squared error and surfaces of each subject.
    pub(crate) surfaces: Vec<SurfaceRow>,
    /// Mean share of the true grids' voxels that are occupied.
    pub(crate) true_occupancy: f64,
    /// Further sentences: limits, mismatches.
    pub(crate) notes: Vec<String>,
}

/// Means over samples of one subject.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SurfaceRow {
    pub(crate) subject: &'static str,
    pub(crate) sse: f64,
    pub(crate) chamfer: Option<f64>,
    pub(crate) f_score: f64,
}

/// A set of grids beside the true ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImaginedRow {
    pub(crate) subject: &'static str,
    pub(crate) threshold: Option<f64>,
    pub(crate) grids: usize,
    pub(crate) coverage: f64,
    pub(crate) mmd: f64,
    pub(crate) occupied_share: f64,
    pub(crate) pieces: f64,
    pub(crate) largest_share: f64,
}

/// What a network without eyes imagines, beside baselines.
pub(crate) fn imagined_report(
    checkpoint: &str,
    rows: &[ImaginedRow],
    objects: usize,
    true_share: f64,
    chosen: Option<f64>,
    notes: &[String],
) -> String {
    let mut text = format!("Evaluation of {checkpoint}.\n");
    if rows.is_empty() {
        return text + "The data set has no rows of split `test`: nothing was measured.\n";
    }
    let _ = writeln!(
        text,
        "Imagined grids beside {objects} test grids, of whose voxels {:.2} % are occupied. Coverage: \
         share of test grids that are the nearest of some grid of the set, more is better; MMD: mean of \
         1 - IoU of a test grid with the nearest of the set, less is better.\n",
        100.0 * true_share
    );
    let header = ["set", "at", "grids", "coverage", "MMD", "occupied", "pieces", "in the largest"];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    cells.extend(rows.iter().map(|row| {
        vec![
            row.subject.to_owned(),
            row.threshold.map_or("-".to_owned(), |t| t.to_string()),
            row.grids.to_string(),
            format!("{:.4}", row.coverage),
            format!("{:.4}", row.mmd),
            format!("{:.2} %", 100.0 * row.occupied_share),
            format!("{:.1}", row.pieces),
            format!("{:.2}", row.largest_share),
        ]
    }));
    text += &table(&cells);
    text += "\n";
    let of_model = |row: &&ImaginedRow| row.subject == "model";
    let at_chosen = rows.iter().filter(of_model).find(|row| row.threshold == chosen);
    if let Some(model) = at_chosen.or(rows.iter().find(of_model)) {
        let at = model.threshold.unwrap_or(0.5);
        let _ = writeln!(
            text,
            "Model at threshold {at}: coverage {:.4}, MMD {:.4}.",
            model.coverage, model.mmd
        );
        for row in rows.iter().filter(|row| !of_model(row)) {
            let word = |is: bool| if is { "ahead of" } else { "not ahead of" };
            let _ = writeln!(
                text,
                "  {} {} in coverage ({:+.4}), {} in MMD ({:+.4}).",
                word(model.coverage > row.coverage),
                row.subject,
                model.coverage - row.coverage,
                word(model.mmd < row.mmd).trim_end_matches(" of"),
                model.mmd - row.mmd
            );
        }
    }
    for note in notes {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// Model and baselines side by side: overall by threshold, per class, and who is ahead.
pub(crate) fn evaluation_report(compared: &Compared<'_>) -> String {
    let mut text = format!("Evaluation of {}.\n", compared.checkpoint);
    let Some((_, model)) = compared.subjects.first() else { return text };
    if model.samples() == 0 {
        return text + "The data set has no rows of split `test`: nothing was measured.\n";
    }
    let _ = writeln!(
        text,
        "Intersection over union on {} test samples of {} classes; a voxel is occupied where its \
         probability is at least the threshold.\n",
        model.samples(),
        model.classes().count()
    );
    text +=
        "Mean over samples, by threshold (in brackets: mean over classes, each counting alike):\n";
    text += &overall_table(compared.subjects, model.thresholds());
    text += "\nMean over the samples of each class, each subject at its best threshold:\n";
    text += &class_table(compared.subjects);
    text += "\n";
    text += &surface_table(compared);
    text += &empty_note(compared.subjects);
    text += &verdict(compared);
    for note in &compared.notes {
        let _ = writeln!(text, "{note}");
    }
    text
}

fn overall_table(subjects: &[(&'static str, IouTally)], thresholds: &[f64]) -> String {
    let mut rows = vec![vec!["subject".to_owned()]];
    rows[0].extend(thresholds.iter().map(|t| format!("at {t}")));
    for (subject, tally) in subjects {
        let mut row = vec![(*subject).to_owned()];
        row.extend((0..thresholds.len()).map(|i| {
            let (mean, classes) = (tally.mean(i), tally.mean_of_classes(i));
            format!("{:.4} ({:.4})", mean.unwrap_or(0.0), classes.unwrap_or(0.0))
        }));
        rows.push(row);
    }
    table(&rows)
}

fn class_table(subjects: &[(&'static str, IouTally)]) -> String {
    let mut rows = vec![vec!["class".to_owned(), "samples".to_owned()]];
    rows[0].extend(subjects.iter().map(|(subject, _)| (*subject).to_owned()));
    for (class, samples) in subjects[0].1.classes() {
        let mut row = vec![class.to_owned(), samples.to_string()];
        row.extend(subjects.iter().map(|(_, tally)| {
            let mean = tally.best().and_then(|best| tally.class_mean(class, best));
            mean.map_or("-".to_owned(), |mean| format!("{mean:.4}"))
        }));
        rows.push(row);
    }
    table(&rows)
}

fn surface_table(compared: &Compared<'_>) -> String {
    if compared.surfaces.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "Squared error of an object's occupancies, of whose true voxels {:.2} % are occupied; distance \
         of surfaces in edges of the grid, and F-score within one voxel, at the model's threshold:\n",
        100.0 * compared.true_occupancy
    );
    let mut rows = vec![["subject", "SSE", "chamfer", "F-score"].map(str::to_owned).to_vec()];
    rows.extend(compared.surfaces.iter().map(|row| {
        vec![
            row.subject.to_owned(),
            format!("{:.1}", row.sse),
            row.chamfer.map_or("-".to_owned(), |value| format!("{value:.4}")),
            format!("{:.4}", row.f_score),
        ]
    }));
    text += &table(&rows);
    text += "\n";
    text
}

fn empty_note(subjects: &[(&'static str, IouTally)]) -> String {
    let mut text = String::new();
    for (subject, tally) in subjects {
        let best = tally.best().unwrap_or(0);
        let empty = tally.both_empty(best);
        if empty > 0 {
            let _ =
                writeln!(text, "{subject}: {empty} samples count 1 because both grids are empty.");
        }
    }
    text
}

fn verdict(compared: &Compared<'_>) -> String {
    let best =
        |tally: &IouTally| Some((tally.thresholds()[tally.best()?], tally.mean(tally.best()?)?));
    let Some((_, model)) = compared.subjects.first() else { return String::new() };
    let index = compared.chosen.and_then(|t| model.thresholds().iter().position(|x| *x == t));
    let at = index.or(model.best()).unwrap_or(0);
    let (threshold, value) = (model.thresholds()[at], model.mean(at).unwrap_or(0.0));
    let how = if index.is_some() { "chosen on validation" } else { "its best" };
    let mut text = format!("Model at threshold {threshold} ({how}): {value:.4}.\n");
    for (subject, tally) in compared.subjects.iter().skip(1) {
        if let Some((threshold, baseline)) = best(tally) {
            let word = if value > baseline { "ahead of" } else { "not ahead of" };
            let _ = writeln!(
                text,
                "  {word} {subject} at its best threshold {threshold}: {baseline:.4} ({:+.4}).",
                value - baseline
            );
        }
    }
    text
}

/// Cells in columns: the first to the left, all others to the right.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            let width = widths[i];
            let padded =
                if i == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") };
            text += &padded;
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Iou;

    fn tally(values: [f64; 2]) -> IouTally {
        let mut tally = IouTally::new(&[0.3, 0.5]);
        for class in ["chair", "lamp"] {
            tally.add(class, |t| {
                let value = if t < 0.4 { values[0] } else { values[1] };
                Iou { value, both_empty: false }
            });
        }
        tally
    }

    #[test]
    fn an_evaluation_reads_like_this() {
        let subjects = [("model", tally([0.5, 0.75])), ("mean_shape", tally([0.7, 0.25]))];
        let compared = Compared {
            checkpoint: "epoch 3".to_owned(),
            subjects: &subjects,
            chosen: Some(0.5),
            surfaces: vec![SurfaceRow {
                subject: "model",
                sse: 12.0,
                chamfer: Some(0.25),
                f_score: 0.5,
            }],
            true_occupancy: 0.125,
            notes: vec!["A note.".to_owned()],
        };
        let expected = "\
Evaluation of epoch 3.
Intersection over union on 2 test samples of 2 classes; a voxel is occupied where its probability is at least the threshold.

Mean over samples, by threshold (in brackets: mean over classes, each counting alike):
  subject              at 0.3           at 0.5
  model       0.5000 (0.5000)  0.7500 (0.7500)
  mean_shape  0.7000 (0.7000)  0.2500 (0.2500)

Mean over the samples of each class, each subject at its best threshold:
  class  samples   model  mean_shape
  chair        1  0.7500      0.7000
  lamp         1  0.7500      0.7000

Squared error of an object's occupancies, of whose true voxels 12.50 % are occupied; distance of surfaces in edges of the grid, and F-score within one voxel, at the model's threshold:
  subject   SSE  chamfer  F-score
  model    12.0   0.2500   0.5000

Model at threshold 0.5 (chosen on validation): 0.7500.
  ahead of mean_shape at its best threshold 0.3: 0.7000 (+0.0500).
A note.
";
        assert_eq!(evaluation_report(&compared), expected);
    }

    #[test]
    fn a_training_without_an_epoch_says_so() {
        let text = training_report(&[], "computing on cpu: it was asked for", true);
        assert!(text.ends_with("No epoch was finished.\n"), "{text}");
    }
}
