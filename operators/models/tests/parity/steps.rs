//! Trains a network for the steps of a case that PyTorch wrote, and gives the losses.
//!
//! Each step is "gradient of loss L for the parameters P": the discriminator's loss moves D unless it
//! tells too many grids rightly, and then what is left moves E and G from one backward pass.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use voxflow_models::{
    AdamRule, AttentionVaeGan, AttentionVaeGanConfig, Gan, GanConfig, Generated, MultiViewVaeGan,
    MultiViewVaeGanConfig, PoseVaeGan, PoseVaeGanConfig, VaeGan, VaeGanConfig, adam_step,
    binary_cross_entropy, kl_divergence,
};

use crate::replay::{Case, Tensors};

/// PyTorch's default.
const EPSILON: f64 = 1e-8;

/// Losses of all steps under the names that PyTorch's have.
pub(crate) fn replay(case: &Case) -> Tensors {
    let device = Device::flex().autodiff();
    let zero = &mut || 0.5;
    match case.network.as_str() {
        "gan" => train(case, case.loaded(case.config::<GanConfig>().init(&device, zero))),
        "vae_gan" => train(case, case.loaded(case.config::<VaeGanConfig>().init(&device, zero))),
        "multi_view" => {
            train(case, case.loaded(case.config::<MultiViewVaeGanConfig>().init(&device, zero)))
        }
        "pose" => train(case, case.loaded(case.config::<PoseVaeGanConfig>().init(&device, zero))),
        "attention" => {
            train(case, case.loaded(case.config::<AttentionVaeGanConfig>().init(&device, zero)))
        }
        other => panic!("unknown network {other}"),
    }
}

/// A network as the steps see it.
trait System: Module {
    /// Grids made up, as occupancies, and what there is to learn beside the discriminator's verdict.
    fn pass(&self, step: &Step<'_>) -> Pass;

    fn judge(&self, grids: Tensor<4>) -> Tensor<1>;
}

struct Pass {
    imagined: Tensor<4>,
    /// Made up anew where the generator learns from other codes than the discriminator.
    imagined_again: Option<Tensor<4>>,
    /// Reconstruction and divergence.
    seen: Option<[Tensor<1>; 2]>,
}

/// Inputs of one step.
struct Step<'a> {
    case: &'a Case,
    number: usize,
    device: Device,
}

impl Step<'_> {
    /// What is drawn anew in each step.
    fn drawn<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.case.input(&format!("{}.{name}", self.number), &self.device)
    }

    /// Of a batch, of which there are two by turns.
    fn of_batch<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.case.input(&format!("batch_{}.{name}", self.number % 2), &self.device)
    }

    fn noise(&self) -> voxflow_models::Noise {
        voxflow_models::Noise { epsilon: self.drawn("epsilon"), prior: Some(self.drawn("prior")) }
    }

    /// What an auto-encoder's pass gives.
    fn seen(
        &self,
        generated: Generated,
        divergence: Tensor<1>,
        occupancies: impl Fn(Tensor<4>) -> Tensor<4>,
    ) -> Pass {
        let grids = occupancies(generated.reconstructed);
        let target = self.of_batch("target");
        let reconstruction = self.case.reconstruction.of_occupancies(grids, &target);
        Pass {
            imagined: occupancies(generated.imagined.expect("grids of the prior")),
            imagined_again: None,
            seen: Some([reconstruction, divergence]),
        }
    }
}

impl System for Gan {
    fn pass(&self, step: &Step<'_>) -> Pass {
        Pass {
            imagined: sigmoid(self.forward(step.drawn("codes"))),
            imagined_again: Some(sigmoid(self.forward(step.drawn("codes_again")))),
            seen: None,
        }
    }

    fn judge(&self, grids: Tensor<4>) -> Tensor<1> {
        self.discriminator.forward(grids)
    }
}

impl System for VaeGan {
    fn pass(&self, step: &Step<'_>) -> Pass {
        let generated = self.forward(step.of_batch("images"), step.noise());
        let (mean, log_variance) = (generated.mean.clone(), generated.log_variance.clone());
        step.seen(generated, kl_divergence(mean, log_variance), sigmoid)
    }

    fn judge(&self, grids: Tensor<4>) -> Tensor<1> {
        self.discriminator.forward(grids)
    }
}

impl System for MultiViewVaeGan {
    fn pass(&self, step: &Step<'_>) -> Pass {
        let views = step.case.views();
        let generated = self.forward(step.of_batch("images"), &views, step.noise());
        let divergence = self.divergence(&generated, &views);
        step.seen(generated, divergence, sigmoid)
    }

    fn judge(&self, grids: Tensor<4>) -> Tensor<1> {
        self.discriminator.forward(grids)
    }
}

impl System for PoseVaeGan {
    fn pass(&self, step: &Step<'_>) -> Pass {
        let (views, poses) = (step.case.views(), step.of_batch("poses"));
        let generated = self.forward(step.of_batch("images"), poses, &views, step.noise());
        let divergence = self.divergence(&generated, &views);
        step.seen(generated, divergence, |logits| self.generator.occupancies(logits))
    }

    fn judge(&self, grids: Tensor<4>) -> Tensor<1> {
        self.discriminator.forward(grids)
    }
}

impl System for AttentionVaeGan {
    fn pass(&self, step: &Step<'_>) -> Pass {
        let generated = self.forward(step.of_batch("images"), step.noise(), None);
        let divergence = self.divergence(&generated);
        step.seen(generated, divergence, sigmoid)
    }

    fn judge(&self, grids: Tensor<4>) -> Tensor<1> {
        self.discriminator.forward(grids)
    }
}

fn train<M: System>(case: &Case, mut model: M) -> Tensors {
    let rules: BTreeMap<&str, f64> =
        ["encoder", "generator", "discriminator"].into_iter().zip(case.numbers("rates")).collect();
    let mut adam = Adam { betas: case.numbers("betas"), ..Adam::default() };
    let mut losses: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    for number in 0..case.steps {
        let step = Step { case, number, device: Device::flex().autodiff() };
        let pass = model.pass(&step);
        let (loss, accuracy) = judged(&model, &step, pass.imagined.clone());
        let is_open = accuracy <= case.numbers("d_thresh")[0];
        let mut note = |name, value: f32| losses.entry(name).or_default().push(value);
        note("d", value(&loss));
        note("accuracy", accuracy as f32);
        note("d_stepped", f32::from(is_open));
        if is_open {
            model = adam.step(model, &loss, &rules, &["discriminator"]);
        }
        let verdict = model.judge(pass.imagined_again.unwrap_or(pass.imagined));
        let fooling = binary_cross_entropy(verdict.clone(), verdict.ones_like());
        note("g", value(&fooling));
        let mut total = fooling;
        let weights = case.numbers("weights");
        for (i, loss) in pass.seen.into_iter().flatten().enumerate() {
            note(["reconstruction", "divergence"][i], value(&loss));
            total = total + loss * weights[i];
        }
        model = adam.step(model, &total, &rules, &["encoder", "generator"]);
    }
    losses
        .into_iter()
        .map(|(name, values)| {
            let count = [values.len()];
            (format!("loss.{name}"), TensorData::new(values, count))
        })
        .collect()
}

/// The discriminator's loss, and the share of grids that it tells rightly.
fn judged<M: System>(model: &M, step: &Step<'_>, fakes: Tensor<4>) -> (Tensor<1>, f64) {
    let of_true = model.judge(step.of_batch("target"));
    let of_fakes = model.judge(fakes.detach());
    let share = |is_right: Tensor<1>| f64::from(value(&is_right.mean()));
    let accuracy = share(of_true.clone().greater_equal_elem(0.0).float())
        + share(of_fakes.clone().lower_equal_elem(0.0).float());
    let loss = binary_cross_entropy(of_true, step.drawn("true_labels"))
        + binary_cross_entropy(of_fakes, step.drawn("imagined_labels"));
    (loss, accuracy / 2.0)
}

fn value(loss: &Tensor<1>) -> f32 {
    loss.clone().into_scalar::<f32>()
}

/// Adam for parts of a network, each with a learning rate and a count of steps of its own.
#[derive(Default)]
struct Adam {
    betas: Vec<f64>,
    steps: BTreeMap<String, u64>,
    moments: BTreeMap<String, [Tensor<1>; 2]>,
}

impl Adam {
    fn step<M: Module>(
        &mut self,
        model: M,
        loss: &Tensor<1>,
        rates: &BTreeMap<&str, f64>,
        parts: &[&str],
    ) -> M {
        for part in parts {
            *self.steps.entry((*part).to_owned()).or_default() += 1;
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model.map(&mut Move { adam: self, gradients, rates, parts, path: Vec::new() })
    }
}

struct Move<'a> {
    adam: &'a mut Adam,
    gradients: GradientsParams,
    rates: &'a BTreeMap<&'a str, f64>,
    parts: &'a [&'a str],
    path: Vec<String>,
}

impl ModuleMapper for Move<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let part = self.path[0].as_str();
        if !self.parts.contains(&part) {
            return param;
        }
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let rule = AdamRule {
            rate: self.rates[part],
            betas: [self.adam.betas[0], self.adam.betas[1]],
            epsilon: EPSILON,
            steps: self.adam.steps[part],
        };
        let (id, tensor, mapper) = param.consume();
        let tensor = tensor.inner();
        let (sizes, count) = (tensor.dims(), tensor.shape().num_elements());
        let gradient = gradient.reshape([count]);
        let path = self.path.join(".");
        let zeros = || [gradient.zeros_like(), gradient.zeros_like()];
        let moments = self.adam.moments.remove(&path).unwrap_or_else(zeros);
        let (moved, moments) = adam_step(tensor.reshape([count]), gradient, moments, rule);
        self.adam.moments.insert(path, moments);
        let moved = Tensor::from_inner(moved.reshape(sizes)).require_grad();
        Param::from_mapped_value(id, moved, mapper)
    }
}
