//! Runs a network on the weights and inputs of a case that PyTorch wrote, and gives its answers.

use std::collections::BTreeMap;

use burn::config::Config;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use voxflow_models::{
    AttentionVaeGan, AttentionVaeGanConfig, Gan, GanConfig, Generated, MultiViewVaeGan,
    MultiViewVaeGanConfig, Noise, PoseVaeGan, PoseVaeGanConfig, ReconstructionLoss, VaeGan,
    VaeGanConfig, Views, binary_cross_entropy, kl_divergence, load_state_dict, load_weights,
    named_weights, state_dict,
};

use crate::steps;

/// How the parts of a system are called in PyTorch.
const NAMES: [(&str, &str); 3] = [("encoder", "E"), ("generator", "G"), ("discriminator", "D")];

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, TensorData>;

/// What PyTorch was asked and answered.
pub(crate) struct Case {
    pub(crate) network: String,
    config: String,
    pub(crate) reconstruction: ReconstructionLoss,
    /// Training steps; 0 where the network was only asked once.
    pub(crate) steps: usize,
    /// Of grids every so many numbers were kept.
    pub(crate) stride: usize,
    pub(crate) tensors: Tensors,
}

impl Case {
    /// Reads a safetensors file.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let (_, header) = SafeTensors::read_metadata(bytes).expect("a safetensors file");
        let metadata = header.metadata().clone().expect("metadata");
        let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
        let name = &metadata["reconstruction"];
        let loss = ReconstructionLoss::ALL.iter().find(|(known, _)| known == name);
        Self {
            network: metadata["network"].clone(),
            config: metadata["config"].clone(),
            reconstruction: loss.expect("a known loss").1,
            steps: metadata.get("steps").map_or(0, |steps| steps.parse().expect("a number")),
            stride: metadata["stride"].parse().expect("a number"),
            tensors: file.tensors().into_iter().map(|(name, view)| (name, data(&view))).collect(),
        }
    }

    pub(crate) fn config<C: Config>(&self) -> C {
        C::load_binary(self.config.as_bytes()).expect("a configuration of this network")
    }

    fn weights(&self) -> Tensors {
        let all = self.tensors.iter();
        all.filter_map(|(name, data)| {
            Some((name.strip_prefix("weight.")?.to_owned(), data.clone()))
        })
        .collect()
    }

    pub(crate) fn input<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let data = self.tensors[&format!("input.{name}")].clone();
        Tensor::from_data(data.convert::<f32>(), device)
    }

    fn noise(&self, device: &Device) -> Noise {
        Noise { epsilon: self.input("epsilon", device), prior: Some(self.input("prior", device)) }
    }

    /// Numbers of how a case is trained.
    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        let data = self.tensors[&format!("setting.{name}")].clone();
        data.convert::<f64>().try_into_vec().expect("numbers")
    }

    pub(crate) fn views(&self) -> Views {
        let counts = self.tensors["input.counts"].clone().convert::<f32>();
        let counts = counts.try_into_vec::<f32>().expect("counts");
        Views::new(counts.into_iter().map(|count| count as usize).collect()).expect("views")
    }

    /// Our answers to the same inputs, under the same names.
    pub(crate) fn replay(&self) -> Tensors {
        if self.steps > 0 {
            return steps::replay(self);
        }
        match self.network.as_str() {
            "gan" => self.gan(),
            "vae_gan" => self.vae_gan(),
            "multi_view" => self.multi_view(),
            "pose" => self.pose(),
            "attention" => self.attention(),
            other => panic!("unknown network {other}"),
        }
    }

    fn gan(&self) -> Tensors {
        let [plain, training] = devices();
        let config: GanConfig = self.config();
        let model: Gan = self.loaded(config.init(&training, &mut zero));
        let mut answers = Answers::default();
        let still = model.valid();
        let grids = still.sample(self.input("codes", &plain));
        answers.evaluated(&grids, still.discriminator.forward(grids.clone()), None);

        let logits = model.forward(self.input("codes", &training));
        let verdict = model.discriminator.forward(sigmoid(logits.clone()));
        let loss = self.reconstruction.forward(logits.clone(), &self.input("target", &training))
            + fooled(&verdict, 1.0);
        answers.trained(&logits, verdict, &loss, None);
        answers.gradients(model, &loss)
    }

    fn vae_gan(&self) -> Tensors {
        let [plain, training] = devices();
        let config: VaeGanConfig = self.config();
        let model: VaeGan = self.loaded(config.init(&training, &mut zero));
        let mut answers = Answers::default();
        let still = model.valid();
        let images = self.input("images", &plain);
        let codes = still.encoder.forward(images.clone());
        let grids = still.reconstruct(images);
        answers.evaluated(&grids, still.discriminator.forward(grids.clone()), Some(codes));

        let generated = model.forward(self.input("images", &training), self.noise(&training));
        let divergence = kl_divergence(generated.mean.clone(), generated.log_variance.clone());
        let judge = |grids| model.discriminator.forward(grids);
        let loss = answers.learnt(self, generated, divergence, sigmoid, judge);
        answers.gradients(model, &loss)
    }

    fn multi_view(&self) -> Tensors {
        let [plain, training] = devices();
        let config: MultiViewVaeGanConfig = self.config();
        let (model, views) = (config.init(&training, &mut zero), self.views());
        let model: MultiViewVaeGan = self.loaded(model);
        let mut answers = Answers::default();
        let still = model.valid();
        let images = self.input("images", &plain);
        let codes = still.encoder.forward(images.clone());
        let grids = still.reconstruct(images, &views);
        answers.evaluated(&grids, still.discriminator.forward(grids.clone()), Some(codes));

        let images = self.input("images", &training);
        let generated = model.forward(images, &views, self.noise(&training));
        let divergence = model.divergence(&generated, &views);
        let judge = |grids| model.discriminator.forward(grids);
        let loss = answers.learnt(self, generated, divergence, sigmoid, judge);
        answers.gradients(model, &loss)
    }

    fn pose(&self) -> Tensors {
        let [plain, training] = devices();
        let config: PoseVaeGanConfig = self.config();
        let (model, views) = (config.init(&training, &mut zero), self.views());
        let model: PoseVaeGan = self.loaded(model);
        let mut answers = Answers::default();
        let still = model.valid();
        let (images, poses) = (self.input("images", &plain), self.input("poses", &plain));
        let codes = still.encoder.forward(images.clone(), poses.clone());
        let grids = still.reconstruct(images, poses, &views);
        answers.evaluated(&grids, still.discriminator.forward(grids.clone()), Some(codes));

        let (images, poses) = (self.input("images", &training), self.input("poses", &training));
        let generated = model.forward(images, poses, &views, self.noise(&training));
        let divergence = model.divergence(&generated, &views);
        let judge = |grids| model.discriminator.forward(grids);
        let occupancies = |logits| model.generator.occupancies(logits);
        let loss = answers.learnt(self, generated, divergence, occupancies, judge);
        answers.gradients(model, &loss)
    }

    fn attention(&self) -> Tensors {
        let [plain, training] = devices();
        let config: AttentionVaeGanConfig = self.config();
        let model: AttentionVaeGan = self.loaded(config.init(&training, &mut zero));
        let mut answers = Answers::default();
        let still = model.valid();
        let images = self.input("images", &plain);
        let codes = still.encoder.forward(images.clone(), None);
        let grids = still.reconstruct(images);
        answers.evaluated(&grids, still.discriminator.forward(grids.clone()), Some(codes));

        let images = self.input("images", &training);
        let generated = model.forward(images, self.noise(&training), None);
        let divergence = model.divergence(&generated);
        let judge = |grids| model.discriminator.forward(grids);
        let loss = answers.learnt(self, generated, divergence, sigmoid, judge);
        answers.gradients(model, &loss)
    }

    pub(crate) fn loaded<M: Module>(&self, model: M) -> M {
        load_state_dict(model, self.weights(), &NAMES).expect("the same tensors")
    }
}

/// Ours, under PyTorch's names.
#[derive(Default)]
struct Answers {
    found: Tensors,
}

impl Answers {
    fn keep<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
        self.found.insert(name.to_owned(), tensor.detach().into_data());
    }

    fn evaluated(
        &mut self,
        grids: &Tensor<4>,
        verdict: Tensor<1>,
        codes: Option<(Tensor<2>, Tensor<2>)>,
    ) {
        self.keep("eval.grids", grids.clone());
        self.keep("eval.verdict", verdict);
        if let Some((mean, log_variance)) = codes {
            self.keep("eval.mean", mean);
            self.keep("eval.log_variance", log_variance);
        }
    }

    fn trained(
        &mut self,
        logits: &Tensor<4>,
        verdict: Tensor<1>,
        loss: &Tensor<1>,
        codes: Option<(Tensor<2>, Tensor<2>)>,
    ) {
        self.keep("train.logits", logits.clone());
        self.keep("train.verdict", verdict);
        self.keep("train.loss", loss.clone());
        if let Some((mean, log_variance)) = codes {
            self.keep("train.mean", mean);
            self.keep("train.log_variance", log_variance);
        }
    }

    /// The loss that moves everything, as in PyTorch.
    fn learnt(
        &mut self,
        case: &Case,
        generated: Generated,
        divergence: Tensor<1>,
        occupancies: impl Fn(Tensor<4>) -> Tensor<4>,
        judge: impl Fn(Tensor<4>) -> Tensor<1>,
    ) -> Tensor<1> {
        let logits = generated.reconstructed;
        let grids = occupancies(logits.clone());
        let fakes = occupancies(generated.imagined.expect("grids of the prior"));
        let verdict = judge(grids.clone());
        let target = case.input("target", &grids.device());
        let loss = case.reconstruction.of_occupancies(grids, &target) + divergence;
        let loss = loss + fooled(&verdict, 1.0) + fooled(&judge(fakes), 0.25);
        let codes = (generated.mean, generated.log_variance);
        self.trained(&logits, verdict, &loss, Some(codes));
        loss
    }

    /// Adds gradients of all parameters and running statistics, and ends.
    fn gradients<M: Module>(mut self, model: M, loss: &Tensor<1>) -> Tensors {
        for (name, data) in state_dict(&model, &NAMES) {
            if name.contains("running") {
                self.found.insert(format!("after.{name}"), data);
            }
        }
        let mut visitor = CollectGradients {
            path: Vec::new(),
            gradients: loss.backward(),
            found: named_weights(&model),
        };
        model.visit(&mut visitor);
        // Gradients take the place of weights, so that they get names and layouts of PyTorch.
        let model = load_weights(model, visitor.found).expect("the same shapes");
        for (name, data) in state_dict(&model, &NAMES) {
            if !name.contains("running") {
                self.found.insert(format!("grad.{name}"), data);
            }
        }
        self.found
    }
}

struct CollectGradients {
    path: Vec<String>,
    gradients: Gradients,
    found: Tensors,
}

impl ModuleVisitor for CollectGradients {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weights = param.val();
        let gradient = match weights.grad(&self.gradients) {
            Some(gradient) => gradient.into_data(),
            None => weights.zeros_like().into_data(),
        };
        self.found.insert(self.path.join("."), gradient);
    }
}

fn devices() -> [Device; 2] {
    [Device::flex(), Device::flex().autodiff()]
}

/// Weights come from the case.
fn zero() -> f64 {
    0.5
}

fn fooled(verdict: &Tensor<1>, label: f64) -> Tensor<1> {
    binary_cross_entropy(verdict.clone(), verdict.ones_like() * label)
}

fn data(view: &safetensors::tensor::TensorView<'_>) -> TensorData {
    let (bytes, shape) = (view.data(), view.shape().to_vec());
    match view.dtype() {
        Dtype::F32 => {
            let numbers =
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            TensorData::new(numbers.collect::<Vec<f32>>(), shape)
        }
        Dtype::F64 => {
            let numbers = bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
            TensorData::new(numbers.collect::<Vec<f64>>(), shape)
        }
        Dtype::U8 => {
            TensorData::new(bytes.iter().map(|&b| f32::from(b)).collect::<Vec<f32>>(), shape)
        }
        Dtype::I64 => {
            // Counts: small, and all in the first two bytes.
            let numbers =
                bytes.chunks_exact(8).map(|b| f32::from(u16::from_le_bytes([b[0], b[1]])));
            TensorData::new(numbers.collect::<Vec<f32>>(), shape)
        }
        other => panic!("no tensors of {other:?} are expected"),
    }
}
