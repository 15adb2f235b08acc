//! `train`: teaches a 3D-VAE-GAN to reconstruct a grid from one picture.

use std::sync::Arc;

use voxflow_contract::{
    Batch, BuildContext, DataIndex, EpochPlan, Fault, Inputs, Item, Kind, ParamError, Params,
    Purpose, Refusals, Schedule, Schema, Session, SetupFault, Stage, Task, TaskContext, TaskError,
};

use crate::prepare::{Preparation, View};
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
        "Trains a 3D-VAE-GAN to reconstruct an occupancy grid from one picture or several."
    }

    fn manual(&self) -> &'static str {
        "Reads a data set with columns `images`, `voxels`, `resolution` and `split`, learns from the \
         rows of split `train`, measures on those of `val` after each epoch, and leaves checkpoints \
         in its folder.\n\n\
         The model is the 3D-VAE-GAN of Wu et al. 2016 in the layers of public code: five \
         convolutions encode a picture, five transposed ones make a grid of the code, five judge \
         grids. With `num_views` above 1 it is the MV-3D-VAE-GAN: the views of all objects of a batch \
         are encoded at once, normalised as one batch, and the codes of an object's views become one \
         by `combine_type`; the divergence is averaged over views. Known defects are mended (profile \
         `fixed`): pictures are channel-first in 0 to 1 over a stated background, losses are taken on \
         logits and averaged over the batch, codes of pictures and of the prior pass the generator as \
         one batch, encoder and generator take \
         gradients at the same weights. Optimiser: Adam with epsilon 1e-8. The defaults are a small \
         network that learns on a CPU in minutes; the sizes of the literature are named at each \
         parameter.\n\n\
         Weights, noise, soft labels, the order of rows and the choice of views are drawn on the \
         host from the pipeline's seed, each keyed by what it is for, its epoch and its place. So \
         every device starts from the same weights, and on the CPU the same run gives the same bytes, \
         whatever the number of threads and wherever it was interrupted. Rows are shuffled within a \
         window of row groups, so that a data set may be larger than memory; a last batch of one row \
         is left out.\n\n\
         Every epoch leaves a folder `epoch-0001`, ... with weights and optimiser states as \
         safetensors and a manifest with the hash of each. The newest `keep_checkpoints` and the best \
         by validation stay. A resumed run goes on from the newest whose hashes hold; when model, \
         parameters, seed or data set are others than the checkpoint's it says so and stops. A run \
         that is asked to stop does so after the step at hand and writes nothing: the epoch is lost. \
         A run that is not resumed removes the checkpoints of an earlier one.\n\n\
         A loss that is not a number stops the run and names the step. A sample without the view that \
         is asked for, with a picture that cannot be decoded or with a grid of another edge is an \
         error.\n\n\
         Device: `auto` takes CUDA where it is built in and there is a driver, else a GPU by wgpu, \
         else the CPU. A software adapter is taken only for `wgpu` by name."
    }

    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["dataset"])
    }

    fn output(&self) -> &'static str {
        "checkpoint"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"train\"\nuse = \"train\"\nfrom = \"dataset\"\n\
         cube_len = 32\nimage_size = 64\nepochs = 16\nlr_half_life = 6.0\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(TrainParams)
    }

    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: TrainParams = params.parse()?;
        params.check()?;
        let view =
            View::parse(&params.view).map_err(|message| vec![ParamError::new("view", message)])?;
        Ok(Stage::Task(Arc::new(Train { params, view, seed: context.seed })))
    }
}

/// A `train` stage with its parameters.
struct Train {
    params: TrainParams,
    view: View,
    seed: u64,
}

impl Train {
    fn preparation(&self) -> Preparation {
        Preparation {
            cube_len: self.params.cube_len,
            image_size: self.params.image_size,
            background: self.params.background,
            train_view: self.view,
            other_view: match self.view {
                View::Random => View::Fixed(0),
                fixed @ View::Fixed(_) => fixed,
            },
            num_views: self.params.num_views,
            seed: self.seed,
        }
    }

    fn course(&self, index: &Arc<DataIndex>) -> Result<Course, SetupFault> {
        let order = BatchOrder {
            seed: self.seed,
            batch_size: self.params.batch_size,
            window_groups: self.params.window_groups,
        };
        Course::new(order, index.clone(), self.params.epochs, self.params.max_steps)
    }
}

impl Task for Train {
    fn check(&self, data: &Schema) -> Result<(), SetupFault> {
        self.preparation().check(data)
    }

    fn columns(&self) -> Vec<String> {
        Preparation::columns()
    }

    fn prepare(&self, item: &Item, rows: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        self.preparation().pictures(item, rows, refusals)
    }

    fn open(&self, context: TaskContext) -> Result<(Schedule, Box<dyn Session>), TaskError> {
        let course = self.course(&context.index)?;
        let session = TrainSession::open(&self.params, self.seed, &course, context)?;
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
        epochs: u64,
        max_steps: Option<u64>,
    ) -> Result<Self, SetupFault> {
        let steps_per_epoch = order.training(&index, 0).len() as u64;
        if steps_per_epoch == 0 {
            return Err(SetupFault::new(
                "the data set has fewer than 2 rows of split `train`: nothing to learn from",
            ));
        }
        let steps = max_steps.unwrap_or(u64::MAX).min(epochs.saturating_mul(steps_per_epoch));
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
