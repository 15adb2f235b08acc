//! Grids that a network imagines beside true ones: coverage, minimum matching distance, pieces.

use burn::tensor::{Tensor, TensorData};
use voxflow_contract::{Batch, MachineFault, Random};

use crate::evaluate::EvaluateParams;
use crate::evaluate_session::Trained;
use crate::imagined::{Grids, compare, noise, occupied_share, pack, pieces};
use crate::learner::{bits_of, numbers_of};
use crate::metrics::Measurement;
use crate::reference::Reference;
use crate::report::{ImaginedRow, imagined_report};
use crate::train_session::imagined_codes;

/// Grids of a set that are looked at piece by piece.
const PIECED: usize = 256;

/// True grids so far, and what they are to be compared with.
pub(crate) struct Imagined {
    truth: Grids,
    thresholds: Vec<f64>,
    per_object: usize,
    batch_size: usize,
}

impl Imagined {
    pub(crate) fn new(params: &EvaluateParams) -> Self {
        Self {
            truth: Vec::new(),
            thresholds: params.thresholds.clone(),
            per_object: params.imagined_per_object,
            batch_size: params.batch_size,
        }
    }

    /// Takes in the true grids of a batch.
    pub(crate) fn add(&mut self, batch: &Batch) -> Result<(), MachineFault> {
        self.truth.extend(bits_of(batch)?.into_iter().map(<[u8]>::to_vec));
        Ok(())
    }

    /// Imagines grids, compares them and the baselines with the true ones, and reports.
    pub(crate) fn finish(
        &self,
        checkpoint: &str,
        trained: &Trained,
        reference: &Reference,
        notes: &[String],
    ) -> Result<(Vec<Measurement>, String), MachineFault> {
        let edge = trained.params.cube_len;
        let count = self.per_object * self.truth.len();
        let occupancies = self.imagine(trained, count)?;
        let cells = edge.pow(3);
        let mut rows = Vec::new();
        for &threshold in &self.thresholds {
            let grids: Grids =
                occupancies.chunks_exact(cells).map(|g| pack(g, threshold)).collect();
            rows.extend(self.row("model", Some(threshold), &grids, edge));
        }
        for (name, grids) in baselines(reference, count, cells, trained.seed) {
            rows.extend(self.row(name, None, &grids, edge));
        }
        let chosen = trained.manifest.validation().map(|validation| validation.threshold);
        let samples = self.truth.len() as u64;
        let measurements = rows.iter().flat_map(|row| measurements(row, samples)).collect();
        let true_share = occupied_share(&self.truth);
        let report =
            imagined_report(checkpoint, &rows, self.truth.len(), true_share, chosen, notes);
        Ok((measurements, report))
    }

    fn imagine(&self, trained: &Trained, count: usize) -> Result<Vec<f32>, MachineFault> {
        let z_size = trained.params.z_size;
        let codes = imagined_codes(&trained.params, trained.seed, "evaluate/imagined", count);
        let mut numbers = Vec::new();
        for codes in codes.chunks(z_size * self.batch_size) {
            let data = TensorData::new(codes.to_vec(), [codes.len() / z_size, z_size]);
            let codes = Tensor::from_data(data, &trained.chosen.device);
            numbers.extend(numbers_of(trained.network.generate(codes))?);
        }
        Ok(numbers)
    }

    fn row(
        &self,
        subject: &'static str,
        threshold: Option<f64>,
        grids: &[Vec<u8>],
        edge: usize,
    ) -> Option<ImaginedRow> {
        let found = compare(grids, &self.truth)?;
        let looked = &grids[..grids.len().min(PIECED)];
        let pieces: Vec<_> = looked.iter().map(|grid| pieces(grid, edge)).collect();
        let mean = |of: &dyn Fn(&(usize, f64)) -> f64| {
            pieces.iter().map(of).sum::<f64>() / pieces.len().max(1) as f64
        };
        Some(ImaginedRow {
            subject,
            threshold,
            grids: grids.len(),
            coverage: found.coverage,
            mmd: found.mmd,
            occupied_share: occupied_share(grids),
            pieces: mean(&|(count, _)| *count as f64),
            largest_share: mean(&|(_, share)| *share),
        })
    }
}

/// What is as good as guessing, and what is as good as it gets.
fn baselines(
    reference: &Reference,
    count: usize,
    cells: usize,
    seed: u64,
) -> [(&'static str, Grids); 3] {
    let classes: Vec<(&str, u64)> = reference.classes().collect();
    let total: u64 = classes.iter().map(|(_, samples)| samples).sum();
    let shapes: Vec<Vec<u8>> = reference.grids().map(<[u8]>::to_vec).collect();
    let mut random = Random::new(seed, &["evaluate/noise"]);
    let share = occupied_share(&shapes);
    let mut means = Grids::new();
    for (class, samples) in &classes {
        let of_class = (count as u64 * samples).div_ceil(total.max(1)) as usize;
        let mean = pack(&reference.mean_shape(class), 0.5);
        means.extend(std::iter::repeat_n(mean, of_class));
    }
    let mut order: Vec<usize> = (0..shapes.len()).collect();
    random.shuffle(&mut order);
    let training = order.iter().cycle().take(if shapes.is_empty() { 0 } else { count });
    let training = training.map(|&i| shapes[i].clone()).collect();
    [
        ("random_noise", noise(count, cells, share, &mut random)),
        ("mean_shape", means),
        ("training_shapes", training),
    ]
}

fn measurements(row: &ImaginedRow, samples: u64) -> Vec<Measurement> {
    let figures = [
        ("coverage", row.coverage),
        ("mmd", row.mmd),
        ("occupied_share", row.occupied_share),
        ("pieces", row.pieces),
        ("largest_piece_share", row.largest_share),
    ];
    let of = |(name, value): (&str, f64)| Measurement {
        threshold: row.threshold,
        samples,
        ..Measurement::new(name, row.subject, "*", value)
    };
    figures.map(of).to_vec()
}
