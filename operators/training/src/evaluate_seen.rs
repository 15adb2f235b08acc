//! Reconstructions beside baselines: intersection over union, squared error, surfaces.

use std::collections::BTreeMap;

use voxflow_contract::{Batch, MachineFault, TaskError};

use crate::evaluate::EvaluateParams;
use crate::evaluate_session::Trained;
use crate::imagined::pack;
use crate::learner::{bits_of, numbers_of, seen_of};
use crate::metrics::{IouTally, Measurement, iou_at, unpack_bits};
use crate::prepare::thumbnail;
use crate::reference::{EMPTY, MEAN_SHAPE, NEAREST_IMAGE, Reference};
use crate::report::{Compared, SurfaceRow, evaluation_report};
use crate::surface::{apart, squared_error};

/// The network and the baselines, in the order in which they are reported.
const SUBJECTS: [&str; 4] = ["model", MEAN_SHAPE, NEAREST_IMAGE, EMPTY];

/// Figures of reconstructions so far.
pub(crate) struct Reconstructions {
    tallies: Vec<(&'static str, IouTally)>,
    surfaces: BTreeMap<&'static str, SurfaceSums>,
    /// The threshold that validation chose, where it did.
    chosen: Option<f64>,
    /// Occupied share of the true grids, summed.
    true_occupancy: f64,
}

/// Sums over samples.
#[derive(Default)]
struct SurfaceSums {
    samples: u64,
    sse: f64,
    chamfer: f64,
    /// Samples whose surfaces have a distance: neither grid is empty.
    with_chamfer: u64,
    f_score: f64,
}

impl Reconstructions {
    pub(crate) fn new(params: &EvaluateParams, trained: &Trained) -> Self {
        Self {
            tallies: SUBJECTS.map(|name| (name, IouTally::new(&params.thresholds))).to_vec(),
            surfaces: BTreeMap::new(),
            chosen: trained.manifest.validation().map(|validation| validation.threshold),
            true_occupancy: 0.0,
        }
    }

    /// Reconstructs the objects of a batch and measures them.
    pub(crate) fn add(
        &mut self,
        trained: &Trained,
        reference: &Reference,
        batch: &Batch,
    ) -> Result<(), TaskError> {
        let fault = |e: voxflow_contract::BatchError| MachineFault::new(e.to_string());
        let Some(form) = trained.preparation.picture else { return Ok(()) };
        let device = &trained.chosen.device;
        let Some(seen) = seen_of(batch, Some(form), device)? else { return Ok(()) };
        let Some(codes) = trained.network.code(&seen) else { return Ok(()) };
        let numbers = numbers_of(trained.network.generate(codes))?;
        let images = batch.tensor_lists::<f32>("image").map_err(fault)?;
        let categories = batch.utf8("category").map_err(fault)?;
        let edge = trained.params.cube_len;
        let cells = edge.pow(3);
        for (i, truth) in bits_of(batch)?.into_iter().enumerate() {
            let first = &images.value(i)[..form.numbers()];
            let (category, thumbnail) = (categories.value(i), thumbnail(first, form));
            let soft = unpack_bits(truth, cells);
            self.true_occupancy += f64::from(soft.iter().sum::<f32>()) / cells as f64;
            for (at, name) in SUBJECTS.into_iter().enumerate() {
                let grid = match at {
                    0 => numbers[i * cells..(i + 1) * cells].to_vec(),
                    _ => reference.baseline(name, category, &thumbnail),
                };
                self.tallies[at].1.add(category, |t| iou_at(&grid, truth, t));
                self.surface(name, &grid, &soft, truth, edge);
            }
        }
        Ok(())
    }

    fn surface(&mut self, name: &'static str, grid: &[f32], soft: &[f32], truth: &[u8], n: usize) {
        let found = apart(&pack(grid, self.chosen.unwrap_or(0.5)), truth, n);
        let sums = self.surfaces.entry(name).or_default();
        sums.samples += 1;
        sums.sse += squared_error(grid, soft);
        sums.chamfer += found.chamfer.unwrap_or(0.0);
        sums.with_chamfer += u64::from(found.chamfer.is_some());
        sums.f_score += found.f_score;
    }

    /// All figures, and the report.
    pub(crate) fn finish(
        &self,
        checkpoint: String,
        reference: &Reference,
        notes: Vec<String>,
    ) -> (Vec<Measurement>, String) {
        let mut rows: Vec<Measurement> =
            self.tallies.iter().flat_map(|(name, tally)| tally.measurements(name)).collect();
        rows.extend(self.surfaces.iter().flat_map(|(name, sums)| sums.measurements(name)));
        let samples = self.tallies[0].1.samples();
        let true_occupancy = self.true_occupancy / samples.max(1) as f64;
        rows.push(Measurement {
            samples,
            ..Measurement::new("true_occupancy", "truth", "*", true_occupancy)
        });
        let mut all = vec![format!(
            "mean_shape is the mean training shape of the true class; nearest_image looks among {} \
             training samples.",
            reference.kept()
        )];
        all.extend(notes);
        let surfaces =
            SUBJECTS.iter().filter_map(|name| self.surfaces.get(name).map(|s| s.row(name)));
        let report = evaluation_report(&Compared {
            checkpoint,
            subjects: &self.tallies,
            chosen: self.chosen,
            surfaces: surfaces.collect(),
            true_occupancy,
            notes: all,
        });
        (rows, report)
    }
}

impl SurfaceSums {
    fn row(&self, subject: &'static str) -> SurfaceRow {
        let samples = self.samples.max(1) as f64;
        SurfaceRow {
            subject,
            sse: self.sse / samples,
            chamfer: (self.with_chamfer > 0).then(|| self.chamfer / self.with_chamfer as f64),
            f_score: self.f_score / samples,
        }
    }

    fn measurements(&self, subject: &'static str) -> Vec<Measurement> {
        let row = self.row(subject);
        let of = |name: &str, value, samples| Measurement {
            samples,
            ..Measurement::new(name, subject, "*", value)
        };
        let mut rows = vec![of("sse", row.sse, self.samples)];
        rows.extend(row.chamfer.map(|value| of("chamfer", value, self.with_chamfer)));
        rows.push(of("f_score", row.f_score, self.samples));
        rows
    }
}
