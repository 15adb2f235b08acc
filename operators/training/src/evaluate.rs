//! `evaluate`: how well a trained network reconstructs or imagines test objects, beside baselines.

use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voxflow_contract::{
    Batch, BuildContext, CheckpointChoice, EpochPlan, Fault, Inputs, Item, Kind, ParamError,
    Params, Purpose, Refusals, Schedule, Schema, Session, SetupFault, Stage, Task, TaskContext,
    TaskError,
};

use crate::device::DeviceChoice;
use crate::evaluate_session::EvaluateSession;
use crate::prepare::{Preparation, View};
use crate::schedule::{BatchOrder, items};
use crate::train_params::check_thresholds;

/// Parameters of `evaluate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateParams {
    /// View of a test object that the network and the nearest picture look at, as `fixed:K`, K from 0;
    /// empty for the one that validation looked at.
    pub view: String,
    /// Views of a test object that the network looks at together: the first, and others that follow it
    /// evenly spaced. 0 for as many as it was trained with.
    pub num_views: usize,
    /// Which checkpoint: `best` by validation, `latest`, or `epoch:N`.
    pub checkpoint: CheckpointChoice,
    /// Occupancy thresholds.
    pub thresholds: Vec<f64>,
    /// Rows in a batch.
    pub batch_size: usize,
    /// Training samples that the nearest picture is looked for among: all, or as many drawn at
    /// random. Each takes the bits of its grid and 256 bytes a view.
    pub reference_samples: usize,
    /// Grids that a network without eyes imagines for each test object.
    pub imagined_per_object: usize,
    /// Where to compute: `auto`, `cpu`, `wgpu`, `vulkan` or `cuda`.
    pub device: DeviceChoice,
}

impl Default for EvaluateParams {
    fn default() -> Self {
        Self {
            view: String::new(),
            num_views: 0,
            checkpoint: CheckpointChoice::Best,
            thresholds: vec![0.2, 0.3, 0.4, 0.5],
            batch_size: 32,
            reference_samples: 20_000,
            imagined_per_object: 5,
            device: DeviceChoice::Auto,
        }
    }
}

impl EvaluateParams {
    /// Everything that is out of range.
    ///
    /// # Errors
    /// All of it.
    pub fn check(&self) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let mut need = |key: &str, holds: bool, message: &str| {
            if !holds {
                errors.push(ParamError::new(key, message));
            }
        };
        need("num_views", self.num_views <= 256, "must be at most 256");
        let is_fixed = matches!(View::parse(&self.view), Ok(View::Fixed(_)));
        need("view", is_fixed || self.view.is_empty(), "must be \"fixed:K\"");
        let imagined = (1..=100).contains(&self.imagined_per_object);
        need("imagined_per_object", imagined, "must be 1 to 100");
        need("batch_size", (1..=4096).contains(&self.batch_size), "must be 1 to 4096");
        need("reference_samples", self.reference_samples >= 1, "must be at least 1");
        errors.extend(check_thresholds(&self.thresholds));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// The registry item of `evaluate`.
pub(crate) struct EvaluateKind;

impl Kind for EvaluateKind {
    fn name(&self) -> &'static str {
        "evaluate"
    }

    fn summary(&self) -> &'static str {
        "Measures a trained network on test objects, beside the mean shape and the nearest picture."
    }

    fn manual(&self) -> &'static str {
        "Reads a data set and the folder of a `train` stage, and measures on the rows of split `test`. \
         Sizes, form of pictures, background and class are those the network was trained with; its \
         checkpoint states them. An evaluation on another data set than the network's is allowed and \
         noted.\n\n\
         A network that sees reconstructs each test object from `num_views` views. Measured are: `iou`, \
         intersection over union, where a voxel is occupied from the threshold on; two empty grids \
         count 1 and are counted apart. `sse`, the squared error of occupancies summed over an object's \
         voxels, beside `true_occupancy`, the mean share of true voxels that are occupied. `chamfer` and \
         `f_score` of the surfaces, the cells one of whose six neighbours is empty: mean distance to \
         the nearest cell of the other surface, both ways summed, in edges of the grid; and the \
         harmonic mean of the shares of cells within one cell of the other surface. Figures are means \
         over samples; of `iou` also over the samples of each class, and over classes.\n\n\
         Beside the `model` stand three baselines that know nothing of networks. `mean_shape` is the \
         mean of the training grids of the object's TRUE class, which no model is told: a model that \
         is not ahead of it has learnt classes at best. `nearest_image` is the grid of the training \
         object one of whose pictures is nearest to the first view, by squared difference of grey \
         thumbnails of 16 by 16 pixels. `empty` is no voxel at all. IoU is measured at every threshold; \
         the report compares the model, at the threshold that validation chose, with each baseline at \
         the one that is best for it on the test rows. Surfaces are compared at the model's threshold.\
         \n\n\
         A network without eyes (`gan`) imagines `imagined_per_object` grids for each test object. \
         `coverage` is the share of test grids that are the nearest of some imagined grid, `mmd` the \
         mean over test grids of 1 less the IoU with the nearest imagined one (Achlioptas et al. 2018); \
         beside them stand the share of occupied voxels, the number of connected pieces and the share \
         of voxels in the largest. Baselines: `random_noise`, voxels occupied by chance as often as in \
         training; `mean_shape`, the mean training shape of each class at 0.5, as often as the class \
         occurs; `training_shapes`, true shapes, which is as good as it gets.\n\n\
         Memory: the mean shapes take 8 bytes a voxel and class. Training shapes and the pictures to be \
         compared with take the bits of a grid and 256 bytes a view for each training sample, at most \
         `reference_samples` of them: 7 KiB at 32^3 and 12 views, 140 MiB for 20,000. Time for the \
         nearest picture grows with test samples times kept views."
    }

    fn version(&self) -> u32 {
        3
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["dataset", "checkpoint"])
    }

    fn output(&self) -> &'static str {
        "metric"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"evaluate\"\nuse = \"evaluate\"\nfrom = [\"dataset\", \"train\"]\n\
         thresholds = [0.2, 0.3, 0.4, 0.5]\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(EvaluateParams)
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: EvaluateParams = params.parse()?;
        params.check()?;
        let seed = context.seed;
        Ok(Stage::Task(Arc::new(Evaluate { params, seed, preparation: Mutex::default() })))
    }
}

/// An `evaluate` stage with its parameters.
struct Evaluate {
    params: EvaluateParams,
    seed: u64,
    /// How rows are prepared, known once the checkpoint was opened.
    preparation: Mutex<Option<Arc<Preparation>>>,
}

impl Evaluate {
    fn preparation(&self) -> Option<Arc<Preparation>> {
        self.preparation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Task for Evaluate {
    fn check(&self, data: &Schema) -> Result<(), SetupFault> {
        let has = |name: &str| data.column(name).is_some();
        match has("split") && (has("voxels") || has("occupancy")) {
            true => Ok(()),
            false => Err(SetupFault::new(
                "the data set needs columns `split` and `voxels` or `occupancy`: make it with \
                 `voxelize` and `split` before the sink",
            )),
        }
    }

    fn columns(&self) -> Vec<String> {
        self.preparation().map(|preparation| preparation.columns()).unwrap_or_default()
    }

    fn prepare(&self, item: &Item, rows: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let Some(preparation) = self.preparation() else {
            return Err(Fault::new("task", "the evaluation was not opened"));
        };
        match item.purpose {
            Purpose::Reference => preparation.thumbnails(rows, refusals),
            Purpose::Train | Purpose::Validate => preparation.rows(item, rows, refusals),
        }
    }

    fn open(&self, context: TaskContext) -> Result<(Schedule, Box<dyn Session>), TaskError> {
        let index = context.index.clone();
        let mut session = EvaluateSession::open(&self.params, self.seed, context)?;
        let preparation = session.preparation().clone();
        preparation.check(&index.schema)?;
        *self.preparation.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new(preparation));
        let order = BatchOrder {
            seed: self.seed,
            batch_size: self.params.batch_size,
            window_groups: 1,
            category: session.category().to_owned(),
        };
        let parts = vec![
            (Purpose::Reference, order.in_order(&index, "train")),
            (Purpose::Validate, order.in_order(&index, "test")),
        ];
        let all = items(0, parts);
        session.expect(all.len());
        let plan: EpochPlan = Arc::new(move |_| all.clone());
        Ok((Schedule { epochs: 0..1, plan }, Box::new(session)))
    }
}
