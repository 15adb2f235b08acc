//! `evaluate`: how well a trained model reconstructs test objects, beside baselines.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voxflow_contract::{
    Batch, BuildContext, EpochPlan, Fault, Inputs, Item, Kind, ParamError, Params, Purpose,
    Refusals, Schedule, Schema, Session, SetupFault, Stage, Task, TaskContext, TaskError,
};
use voxflow_models::CUBE_LENS;

use crate::device::DeviceChoice;
use crate::evaluate_session::EvaluateSession;
use crate::prepare::{Preparation, View};
use crate::schedule::{BatchOrder, items};
use crate::train_params::check_thresholds;

/// Which checkpoint is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointChoice {
    /// The one with the best validation; the newest when none was validated.
    #[default]
    Best,
    /// The newest.
    Latest,
}

/// Parameters of `evaluate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateParams {
    /// Edge of the grids in voxels: 16, 32 or 64; what the model was trained with.
    pub cube_len: usize,
    /// Edge in pixels to which pictures are resized; what the model was trained with.
    pub image_size: usize,
    /// What pictures are laid over: red, green, blue; what the model was trained with.
    pub background: [u8; 3],
    /// View of a test object that model and nearest picture look at, as `fixed:K`, K from 0.
    pub view: String,
    /// Views of a test object that the model looks at together: `view` is the first, the others follow
    /// it evenly spaced. As many as it was trained with.
    pub num_views: usize,
    /// Which checkpoint: `best` by validation, or `latest`.
    pub checkpoint: CheckpointChoice,
    /// Occupancy thresholds.
    pub thresholds: Vec<f64>,
    /// Rows in a batch.
    pub batch_size: usize,
    /// Training samples that the nearest picture is looked for among: all, or as many drawn at
    /// random. Each takes the bits of its grid and 256 bytes a view.
    pub reference_samples: usize,
    /// Where to compute: `auto`, `cpu`, `wgpu`, `vulkan` or `cuda`.
    pub device: DeviceChoice,
}

impl Default for EvaluateParams {
    fn default() -> Self {
        Self {
            cube_len: 32,
            image_size: 64,
            background: [255; 3],
            view: "fixed:0".to_owned(),
            num_views: 1,
            checkpoint: CheckpointChoice::Best,
            thresholds: vec![0.2, 0.3, 0.4, 0.5],
            batch_size: 32,
            reference_samples: 20_000,
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
        need("cube_len", CUBE_LENS.contains(&self.cube_len), "must be 16, 32 or 64");
        need("image_size", (8..=1024).contains(&self.image_size), "must be 8 to 1024 pixels");
        need("num_views", (1..=256).contains(&self.num_views), "must be 1 to 256");
        let is_fixed = matches!(View::parse(&self.view), Ok(View::Fixed(_)));
        need("view", is_fixed, "must be \"fixed:K\"");
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
        "Measures a trained model on test objects, beside the mean shape and the nearest picture."
    }

    fn manual(&self) -> &'static str {
        "Reads a data set and the folder of a `train` stage, and measures intersection over union on \
         the rows of split `test`. A voxel is occupied where its probability is at least the \
         threshold; two empty grids count 1 and are counted apart. Figures are means over samples, \
         means over the samples of each class, and means over classes.\n\n\
         Beside the `model` stand three baselines that know nothing of networks. `mean_shape` is the \
         mean of the training grids of the object's TRUE class, which no model is told: a model that \
         is not ahead of it has learnt classes at best. `nearest_image` is the grid of the training \
         object one of whose pictures is nearest, by squared difference of grey thumbnails of 16 by 16 \
         pixels. `empty` is no voxel at all. Baselines are measured at every threshold too; the report \
         compares the model, at the threshold that validation chose, with each baseline at the one \
         that is best for it on the test rows.\n\n\
         The test object is seen from `num_views` views, `view` and those that follow it evenly spaced; \
         `nearest_image` compares the first of them. Sizes, number of views and background must be those the model was \
         trained with; others are refused by name. An evaluation on another data set than the \
         model's is allowed and noted.\n\n\
         Memory: the mean shapes take 8 bytes a voxel and class. The pictures to be compared with take \
         the bits of a grid and 256 bytes a view for each training sample, at most \
         `reference_samples` of them: 7 KiB at 32^3 and 12 views, 140 MiB for 20,000. Time for the \
         nearest picture grows with test samples times kept views."
    }

    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["dataset", "checkpoint"])
    }

    fn output(&self) -> &'static str {
        "metric"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"evaluate\"\nuse = \"evaluate\"\nfrom = [\"dataset\", \"train\"]\n\
         cube_len = 32\nimage_size = 64\nthresholds = [0.2, 0.3, 0.4, 0.5]\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(EvaluateParams)
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: EvaluateParams = params.parse()?;
        params.check()?;
        let view =
            View::parse(&params.view).map_err(|message| vec![ParamError::new("view", message)])?;
        Ok(Stage::Task(Arc::new(Evaluate { params, view, seed: context.seed })))
    }
}

/// An `evaluate` stage with its parameters.
struct Evaluate {
    params: EvaluateParams,
    view: View,
    seed: u64,
}

impl Evaluate {
    fn preparation(&self) -> Preparation {
        Preparation {
            cube_len: self.params.cube_len,
            image_size: self.params.image_size,
            background: self.params.background,
            train_view: self.view,
            other_view: self.view,
            num_views: self.params.num_views,
            seed: self.seed,
        }
    }
}

impl Task for Evaluate {
    fn check(&self, data: &Schema) -> Result<(), SetupFault> {
        self.preparation().check(data)
    }

    fn columns(&self) -> Vec<String> {
        Preparation::columns()
    }

    fn prepare(&self, item: &Item, rows: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        match item.purpose {
            Purpose::Reference => self.preparation().thumbnails(rows, refusals),
            Purpose::Train | Purpose::Validate => self.preparation().pictures(item, rows, refusals),
        }
    }

    fn open(&self, context: TaskContext) -> Result<(Schedule, Box<dyn Session>), TaskError> {
        let order =
            BatchOrder { seed: self.seed, batch_size: self.params.batch_size, window_groups: 1 };
        let index = context.index.clone();
        let parts = vec![
            (Purpose::Reference, order.in_order(&index, "train")),
            (Purpose::Validate, order.in_order(&index, "test")),
        ];
        let all = items(0, parts);
        let session = EvaluateSession::open(&self.params, self.seed, all.len(), context)?;
        let plan: EpochPlan = Arc::new(move |_| all.clone());
        Ok((Schedule { epochs: 0..1, plan }, Box::new(session)))
    }
}
