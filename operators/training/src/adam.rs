//! Adam (Kingma and Ba 2015) with its state in the open, so that a checkpoint can hold it by name;
//! with weight decay beside the gradient (AdamW, Loshchilov and Hutter 2019) and a bound on the
//! gradient's norm.
//!
//! burn's own optimiser gives its state only as an archive whose loader asks for the machine's
//! default device; a run that was put on the CPU would wake a GPU. The arithmetic is the same.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use voxflow_models::{AdamRule, adam_step};

/// What is added to the root of the second moment: PyTorch's default, not burn's 1e-5.
pub(crate) const EPSILON: f64 = 1e-8;

/// One Adam optimiser, for the parameters of one module.
pub(crate) struct Adam {
    rate: f64,
    betas: [f64; 2],
    /// Share of each weight that a step takes off it, times the learning rate.
    weight_decay: f64,
    /// Largest norm of a gradient, beyond which it is scaled down; 0 for none.
    clip_norm: f64,
    /// Steps taken so far.
    steps: u64,
    /// First and second moment of each parameter, flat, by dotted path.
    moments: BTreeMap<String, [Tensor<1>; 2]>,
}

impl Adam {
    /// An optimiser that has not stepped.
    pub(crate) fn new(rate: f64, betas: [f64; 2]) -> Self {
        let moments = BTreeMap::new();
        Self { rate, betas, weight_decay: 0.0, clip_norm: 0.0, steps: 0, moments }
    }

    /// The same with weight decay and a bound on the norm of the gradient, each none where 0.
    #[must_use]
    pub(crate) fn with(self, weight_decay: f64, clip_norm: f64) -> Self {
        Self { weight_decay, clip_norm, ..self }
    }

    /// Moves the parameters of `module` that have a gradient in `gradients`, at `share` of the
    /// learning rate.
    pub(crate) fn step<M: Module>(
        &mut self,
        module: M,
        gradients: GradientsParams,
        share: f64,
    ) -> M {
        self.steps += 1;
        let rate = self.rate * share;
        let scale = (self.clip_norm > 0.0).then(|| clipping(&module, &gradients, self.clip_norm));
        let scale = scale.flatten();
        module.map(&mut Step { adam: self, gradients, rate, scale, path: Vec::new() })
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// The moments by name, `moment_1` and `moment_2` after the parameter's path.
    pub(crate) fn state(&self) -> BTreeMap<String, TensorData> {
        let named = |(path, moments): (&String, &[Tensor<1>; 2])| {
            [1, 2].map(|i| (format!("{path}.moment_{i}"), moments[i - 1].clone().into_data()))
        };
        self.moments.iter().flat_map(named).collect()
    }

    /// Takes over what [`Adam::state`] gave; moments without their partner are left out.
    pub(crate) fn load(
        &mut self,
        steps: u64,
        mut state: BTreeMap<String, TensorData>,
        device: &Device,
    ) {
        let paths: Vec<String> = state
            .keys()
            .filter_map(|name| Some(name.strip_suffix(".moment_1")?.to_owned()))
            .collect();
        self.steps = steps;
        self.moments = paths
            .into_iter()
            .filter_map(|path| {
                let mut take = |i| state.remove(&format!("{path}.moment_{i}"));
                let moments = [take(1)?, take(2)?].map(|data| Tensor::from_data(data, device));
                Some((path, moments))
            })
            .collect();
    }

    /// One flat parameter after a step along its flat gradient.
    fn moved(
        &mut self,
        path: String,
        weights: Tensor<1>,
        gradient: Tensor<1>,
        rate: f64,
    ) -> Tensor<1> {
        let rule = AdamRule { rate, betas: self.betas, epsilon: EPSILON, steps: self.steps };
        let zeros = || [gradient.zeros_like(), gradient.zeros_like()];
        let moments = self.moments.remove(&path).unwrap_or_else(zeros);
        let (moved, moments) = adam_step(weights, gradient, moments, rule);
        self.moments.insert(path, moments);
        moved
    }
}

/// What all gradients are multiplied by, `[1]`, so that their norm together is at most `most`.
fn clipping<M: Module>(module: &M, gradients: &GradientsParams, most: f64) -> Option<Tensor<1>> {
    let mut norm = SquaredNorm { gradients, sum: None };
    module.visit(&mut norm);
    // As in PyTorch: a millionth keeps a norm of 0 from dividing.
    norm.sum.map(|sum| ((sum.sqrt() + 1e-6).recip() * most).clamp_max(1.0))
}

struct SquaredNorm<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let own = gradient.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + own,
                None => own,
            });
        }
    }
}

struct Step<'a> {
    adam: &'a mut Adam,
    gradients: GradientsParams,
    rate: f64,
    scale: Option<Tensor<1>>,
    path: Vec<String>,
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let (id, tensor, mapper) = param.consume();
        let tensor = tensor.inner();
        let (sizes, count) = (tensor.dims(), tensor.shape().num_elements());
        let mut weights = tensor.reshape([count]);
        let mut gradient = gradient.reshape([count]);
        if let Some(scale) = &self.scale {
            gradient = gradient * scale.clone();
        }
        if self.adam.weight_decay > 0.0 {
            weights = weights * (1.0 - self.rate * self.adam.weight_decay);
        }
        let moved = self.adam.moved(self.path.join("."), weights, gradient, self.rate);
        let moved = Tensor::from_inner(moved.reshape(sizes)).require_grad();
        Param::from_mapped_value(id, moved, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::{AdamConfig, AdamWConfig};
    use voxflow_models::named_weights;

    fn gradients(linear: &Linear, device: &Device) -> GradientsParams {
        let x = Tensor::<2>::from_floats([[0.3, -1.0, 2.0], [1.0, 0.5, -0.2]], device);
        GradientsParams::from_grads((linear.forward(x) - 1.0).square().mean().backward(), linear)
    }

    fn numbers(linear: &Linear) -> Vec<f32> {
        named_weights(linear)
            .into_values()
            .flat_map(|d| d.try_into_vec::<f32>().expect("f32"))
            .collect()
    }

    /// Five steps of ours and of `theirs` from the same weights.
    fn compare(mut adam: Adam, mut theirs: impl FnMut(Linear, GradientsParams) -> Linear) {
        let device = Device::flex().autodiff();
        let mut ours = LinearConfig::new(3, 2).init(&device);
        let mut other = ours.clone();
        for _ in 0..5 {
            let (a, b) = (gradients(&ours, &device), gradients(&other, &device));
            ours = adam.step(ours, a, 1.0);
            other = theirs(other, b);
        }
        for (a, b) in numbers(&ours).into_iter().zip(numbers(&other)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn steps_are_those_of_burn_with_the_epsilon_of_pytorch() {
        let config = AdamConfig::new().with_beta_1(0.5).with_beta_2(0.9).with_epsilon(1e-8);
        let mut optimizer = config.init();
        compare(Adam::new(1e-2, [0.5, 0.9]), |linear, g| optimizer.step(1e-2, linear, g));
    }

    #[test]
    fn weights_decay_beside_the_gradient() {
        let config = AdamWConfig::new().with_beta_1(0.9).with_beta_2(0.98).with_epsilon(1e-8);
        let mut optimizer = config.with_weight_decay(0.2).init();
        let adam = Adam::new(1e-2, [0.9, 0.98]).with(0.2, 0.0);
        compare(adam, |linear, g| optimizer.step(1e-2, linear, g));
    }

    #[test]
    fn a_long_gradient_is_cut_to_the_norm() {
        let device = Device::flex().autodiff();
        let linear = LinearConfig::new(3, 2).init(&device);
        let found = gradients(&linear, &device);
        let scale = |most| {
            let scale = clipping(&linear, &found, most).expect("a gradient");
            scale.into_scalar::<f32>()
        };
        let squares = |g: Vec<f32>| g.iter().map(|x| x * x).sum::<f32>();
        let weight = found.get::<2>(linear.weight.id).expect("a gradient").into_data();
        let bias = linear.bias.as_ref().expect("a bias").id;
        let bias = found.get::<1>(bias).expect("a gradient").into_data();
        let parts = [weight, bias].map(|d| squares(d.try_into_vec::<f32>().expect("floats")));
        let norm = parts.iter().sum::<f32>().sqrt();
        assert!((scale(f64::from(norm) / 2.0) - 0.5).abs() < 1e-4);
        assert_eq!(scale(f64::from(norm) * 2.0), 1.0);
    }

    #[test]
    fn state_that_is_taken_over_goes_on_alike() {
        let device = Device::flex().autodiff();
        let mut adam = Adam::new(1e-2, [0.5, 0.5]);
        let linear = LinearConfig::new(3, 2).init(&device);
        let g = gradients(&linear, &device);
        let linear = adam.step(linear, g, 1.0);
        let mut other = Adam::new(1e-2, [0.5, 0.5]);
        other.load(adam.steps(), adam.state(), &device.clone().inner());
        let (a, b) = (gradients(&linear, &device), gradients(&linear, &device));
        let (first, second) = (adam.step(linear.clone(), a, 0.5), other.step(linear, b, 0.5));
        assert_eq!(numbers(&first), numbers(&second));
        assert_eq!(adam.state(), other.state());
    }
}
