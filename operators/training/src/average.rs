//! The moving average of a network's weights, which is steadier than the weights themselves
//! (Polyak and Juditsky 1992; Karras et al. 2018 for generators).

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};

/// Averages of the trainable weights of one network.
pub(crate) struct Average {
    decay: f64,
    /// Steps that were followed. The first ones decay faster, so that the random weights of the
    /// beginning do not linger.
    steps: u64,
    /// Flat, by dotted path.
    weights: BTreeMap<String, Tensor<1>>,
}

impl Average {
    /// An average that has followed nothing.
    pub(crate) fn new(decay: f64) -> Self {
        Self { decay, steps: 0, weights: BTreeMap::new() }
    }

    /// Moves towards the weights there are now.
    pub(crate) fn follow<M: Module>(&mut self, module: &M) {
        self.steps += 1;
        let decay = self.decay.min((self.steps as f64) / (self.steps as f64 + 9.0));
        module.visit(&mut Follow { average: self, decay, path: Vec::new() });
    }

    /// A network with the averages in the places of its weights.
    pub(crate) fn put_into<M: Module>(&self, module: M) -> M {
        module.map(&mut PutIn { average: self, path: Vec::new() })
    }

    /// Takes over averages by the paths of their weights, as they were after so many steps.
    pub(crate) fn load(
        &mut self,
        steps: u64,
        state: BTreeMap<String, TensorData>,
        device: &Device,
    ) {
        self.steps = steps;
        let load = |(path, data): (String, TensorData)| {
            let numbers = data.try_into_vec::<f32>().unwrap_or_default();
            let count = numbers.len();
            (path, Tensor::from_data(TensorData::new(numbers, [count]), device))
        };
        self.weights = state.into_iter().map(load).collect();
    }
}

struct Follow<'a> {
    average: &'a mut Average,
    decay: f64,
    path: Vec<String>,
}

impl ModuleVisitor for Follow<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        let tensor = param.val().inner();
        let count = tensor.shape().num_elements();
        let now = tensor.reshape([count]);
        let path = self.path.join(".");
        let average = match self.average.weights.remove(&path) {
            Some(before) => before * self.decay + now * (1.0 - self.decay),
            None => now,
        };
        self.average.weights.insert(path, average);
    }
}

struct PutIn<'a> {
    average: &'a Average,
    path: Vec<String>,
}

impl ModuleMapper for PutIn<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(average) = self.average.weights.get(&self.path.join(".")) else { return param };
        let (id, tensor, mapper) = param.consume();
        let put = Tensor::from_inner(average.clone().reshape(tensor.dims())).require_grad();
        Param::from_mapped_value(id, put, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use voxflow_models::named_weights;

    #[test]
    fn an_average_lies_between_what_it_followed() {
        let device = Device::flex().autodiff();
        let first = LinearConfig::new(2, 1).with_bias(false).init(&device);
        let second = LinearConfig::new(2, 1).with_bias(false).init(&device);
        let mut average = Average::new(0.5);
        average.follow(&first);
        average.follow(&second);
        let numbers = |data: &TensorData| data.clone().try_into_vec::<f32>().expect("floats");
        let weights = [&first, &second].map(|l| numbers(&named_weights(l)["weight"]));
        let averaged = named_weights(&average.put_into(first.clone()));
        let found = numbers(&averaged["weight"]);
        // The second step decays by 2 / 11.
        for (i, &value) in found.iter().enumerate() {
            let expected = weights[0][i] * 2.0 / 11.0 + weights[1][i] * 9.0 / 11.0;
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
        let mut other = Average::new(0.5);
        other.load(2, averaged, &device.inner());
        average.follow(&second);
        other.follow(&second);
        let weight =
            |average: &Average| numbers(&named_weights(&average.put_into(first.clone()))["weight"]);
        assert_eq!(weight(&other), weight(&average));
    }
}
