//! `train`: teaches a network to reconstruct grids from pictures, or to imagine them.

use std::path::PathBuf;
use std::sync::Arc;

use voxflow_contract::{
    Batch, BuildContext, DataIndex, EpochPlan, Fault, Inputs, Item, Kind, ParamError, Params,
    Purpose, Refusals, Schedule, Schema, Session, SetupFault, Stage, Task, TaskContext, TaskError,
};

use crate::literature::ModelName;
use crate::prepare::{PictureForm, Preparation, View};
use crate::schedule::{BatchOrder, items};
use crate::train_params::TrainParams;
use crate::train_session::TrainSession;

/// The registry item of `train`.
pub(crate) struct TrainKind;

impl Kind for TrainKind {
    fn name(&self) -> &'static str {
        "train"
    }

    fn summary(&self) -> &'static str {
        "Trains a network to reconstruct grids from pictures, or to imagine them."
    }

    fn manual(&self) -> &'static str {
        "Reads a data set, learns from the rows of split `train`, measures on those of `val` after each \
         epoch, and leaves checkpoints in its folder. `model` names the network; `voxflow models` shows \
         the layers of each:\n\n\
         - `gan`, the 3D-GAN (Wu et al. 2016): learns from grids alone to imagine others.\n\
         - `vae_gan`, the 3D-VAE-GAN: reconstructs a grid from one picture.\n\
         - `multi_view_vae_gan`: from several pictures of an object, whose codes become one by \
         `combine_type`. All views of all objects of a batch are encoded at once and normalised as one \
         batch; the divergence is averaged over an object's views.\n\
         - `pose_vae_gan`: from several pictures and where their cameras stood: rotation and translation \
         of `camera_from_world`, 12 numbers a view.\n\
         - `attention_vae_gan`, the 3DAttnVAE-GAN: from one grey picture, to soft grids. Nothing in its \
         encoder normalises, so its rectified layers begin with the weights of He et al. 2015; with \
         PyTorch's own, as public code has them, codes hardly depend on pictures at the start.\n\n\
         Columns that are read: `voxels` and `resolution`, or `occupancy`; `images` but for `gan`; \
         `camera_from_world` for `pose_vae_gan`; `split`. Pictures are fitted whole into their frame, \
         channel-first in 0 to 1 over `background`.\n\n\
         Defaults are those of the network's public code, full size: set what is smaller for a CPU. \
         They differ by network; `profile = \"reference\"` has its defects too. The gradient of which \
         loss moves which part: the discriminator learns to tell true grids from imagined ones while \
         its accuracy is at most `d_thresh`; the encoder takes reconstruction and divergence; the \
         generator takes reconstruction and, weighed by `adversarial_weight`, what the discriminator \
         says of grids of random codes. Encoder and generator take theirs at the same weights. With \
         `adversarial = \"reference\"` generator and discriminator share the discriminator's loss. \
         Losses are taken on logits and averaged over the batch. Optimiser: Adam with epsilon 1e-8, \
         AdamW where `weight_decay` is above 0.\n\n\
         Weights, noise, soft labels, the order of rows and the choice of views are drawn on the \
         host from the pipeline's seed, each keyed by what it is for, its epoch and its place. So \
         every device starts from the same weights (or from those of a file, a PyTorch state dictionary: \
         `weights`, `weight_names`), and on the CPU the same run gives the same bytes, \
         whatever the number of threads and wherever it was interrupted. Rows are shuffled within a \
         window of row groups, so that a data set may be larger than memory; a last batch of one row \
         is left out.\n\n\
         Every epoch leaves a folder `epoch-0001`, ... with weights, their moving average if \
         `ema_decay` is above 0, and optimiser states as safetensors and a manifest with the hash of \
         each. The newest `keep_checkpoints` and the best by validation stay. Validation is the mean \
         intersection over union; for `gan`, of each validation grid with the nearest of 128 imagined \
         ones. A resumed run goes on from the newest whose hashes hold, or from the one that \
         `--resume=best` or `epoch:N` names: later ones are set aside then, in a folder \
         `.set-aside-1`, ... of the stage. With `--start-epoch N` its weights are those before epoch N, \
         whatever their number was. When network, parameters, seed \
         or data set are others than the checkpoint's it says so and stops. A run that is asked to stop \
         does so after the step at hand and writes nothing: the epoch is lost. A run that is not \
         resumed removes the checkpoints of an earlier one.\n\n\
         A loss that is not a number stops the run and names the step, or goes back to the newest \
         checkpoint at half the learning rates (`on_nan`). A collapse (validation grids nearly empty, \
         nearly full or in pieces, a discriminator that never steps or is never right) is told, or \
         treated alike (`on_collapse`).\n\n\
         Device: `auto` takes CUDA where it is built in and there is a driver, else a GPU by wgpu, \
         else the CPU. A software adapter is taken only for `wgpu` by name. With `devices = N` so many \
         of that kind share each batch: gradients add up on the first, normalisation sees one share at \
         a time. While the device computes the workers read, decode and resize what comes next; a run \
         says how long it waited for them (`feeding` in its JSON), and tells when that is more than a \
         tenth."
    }

    fn version(&self) -> u32 {
        4
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["dataset"])
    }

    fn output(&self) -> &'static str {
        "checkpoint"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"train\"\nuse = \"train\"\nfrom = \"dataset\"\n\
         model = \"vae_gan\"\ncube_len = 32\nimage_size = 64\nn_epochs = 16\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(TrainParams)
    }

    fn depends_on(&self, params: &Params) -> Vec<(String, PathBuf)> {
        let path = params.0.get("weights").and_then(|path| path.as_str()).unwrap_or_default();
        let path = (!path.is_empty()).then(|| ("weights".to_owned(), PathBuf::from(path)));
        path.into_iter().collect()
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params = TrainParams::read(params)?;
        let view =
            View::parse(&params.view).map_err(|message| vec![ParamError::new("view", message)])?;
        let preparation = preparation(&params, view, context.seed);
        Ok(Stage::Task(Arc::new(Train { params, preparation })))
    }
}

/// A `train` stage with its parameters.
struct Train {
    params: TrainParams,
    preparation: Preparation,
}

/// How a network's rows are prepared.
pub(crate) fn preparation(params: &TrainParams, view: View, seed: u64) -> Preparation {
    let several = if params.min_views == 0 { params.num_views } else { params.min_views };
    Preparation {
        cube_len: params.cube_len,
        picture: picture_form(params),
        poses: params.model == ModelName::PoseVaeGan && params.use_pose,
        target: params.target,
        train_view: view,
        other_view: match view {
            View::Random => View::Fixed(0),
            fixed @ View::Fixed(_) => fixed,
        },
        num_views: params.num_views,
        min_views: several,
        seed,
    }
}

fn picture_form(params: &TrainParams) -> Option<PictureForm> {
    let background = params.background;
    let square = params.image_size;
    match params.model {
        ModelName::Gan => None,
        ModelName::VaeGan | ModelName::MultiViewVaeGan | ModelName::PoseVaeGan => {
            Some(PictureForm { channels: 3, height: square, width: square, background })
        }
        ModelName::AttentionVaeGan => Some(PictureForm {
            channels: 1,
            height: params.image_height,
            width: params.image_width,
            background,
        }),
    }
}

impl Train {
    fn course(&self, index: &Arc<DataIndex>) -> Result<Course, SetupFault> {
        let order = BatchOrder {
            seed: self.preparation.seed,
            batch_size: self.params.batch_size,
            window_groups: self.params.window_groups,
            category: self.params.obj.clone(),
        };
        Course::new(order, index.clone(), &self.params)
    }
}

impl Task for Train {
    fn check(&self, data: &Schema) -> Result<(), SetupFault> {
        self.preparation.check(data)
    }

    fn columns(&self) -> Vec<String> {
        self.preparation.columns()
    }

    fn prepare(&self, item: &Item, rows: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        self.preparation.rows(item, rows, refusals)
    }

    fn open(&self, context: TaskContext) -> Result<(Schedule, Box<dyn Session>), TaskError> {
        let course = self.course(&context.index)?;
        let session = TrainSession::open(&self.params, &self.preparation, &course, context)?;
        let epochs = session.epochs_done()..course.epochs;
        let plan: EpochPlan = Arc::new(move |epoch| course.items(epoch));
        Ok((Schedule { epochs, plan }, Box::new(session)))
    }
}

/// All steps of a run, known before it begins.
#[derive(Clone)]
pub(crate) struct Course {
    order: BatchOrder,
    index: Arc<DataIndex>,
    steps_per_epoch: u64,
    /// Epochs, the last of which may be cut short.
    pub(crate) epochs: u64,
    /// Steps of all epochs.
    pub(crate) steps: u64,
}

impl Course {
    fn new(
        order: BatchOrder,
        index: Arc<DataIndex>,
        params: &TrainParams,
    ) -> Result<Self, SetupFault> {
        let steps_per_epoch = order.training(&index, 0).len() as u64;
        if steps_per_epoch == 0 {
            let of_class = match order.category.as_str() {
                "" => String::new(),
                category => format!(" and class `{category}` (obj)"),
            };
            return Err(SetupFault::new(format!(
                "the data set has too few rows of split `train`{of_class}: nothing to learn from"
            )));
        }
        let all = params.n_epochs.saturating_mul(steps_per_epoch);
        let steps = params.max_steps.unwrap_or(u64::MAX).min(all);
        let epochs = steps.div_ceil(steps_per_epoch);
        Ok(Self { order, index, steps_per_epoch, epochs, steps })
    }

    /// Training items and then validation items of an epoch.
    fn items(&self, epoch: u64) -> Vec<Item> {
        let mut train = self.order.training(&self.index, epoch);
        let left = self.steps.saturating_sub(epoch.saturating_mul(self.steps_per_epoch));
        train.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let validate = self.order.in_order(&self.index, "val");
        items(epoch, vec![(Purpose::Train, train), (Purpose::Validate, validate)])
    }
}
