//! The numbers of a network by name, for checkpoints, comparisons and counts; also as a PyTorch state
//! dictionary.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use crate::init::leaf;

/// Names end in this where a tensor is a running statistic, which no gradient moves.
const STATISTICS: [&str; 2] = ["running_mean", "running_var"];

/// Why named numbers are not those of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsError {
    /// The network has a tensor that was not given.
    Missing(String),
    /// A tensor was given that the network does not have.
    Unknown(String),
    /// A tensor has another shape in the network.
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the network.
        expected: Vec<usize>,
        /// Shape that was given.
        found: Vec<usize>,
    },
}

impl std::fmt::Display for WeightsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "there is no tensor `{name}`"),
            Self::Unknown(name) => write!(f, "the network has no tensor `{name}`"),
            Self::Shape { name, expected, found } => {
                write!(f, "tensor `{name}` should be {expected:?}, it is {found:?}")
            }
        }
    }
}

impl std::error::Error for WeightsError {}

/// All tensors of a network, parameters and running statistics, by their dotted path.
///
/// Running statistics are folded in by `valid` first: burn keeps the last update of each thread
/// apart, and a plain visit would miss it.
pub fn named_weights<M: Module>(module: &M) -> BTreeMap<String, TensorData> {
    let mut visitor = Collect { path: Vec::new(), found: BTreeMap::new() };
    module.valid().visit(&mut visitor);
    visitor.found
}

/// Puts named tensors into a network of the same shape, on the network's own device.
///
/// # Errors
/// When a tensor is missing, left over or of another shape.
pub fn load_weights<M: Module>(
    module: M,
    weights: BTreeMap<String, TensorData>,
) -> Result<M, WeightsError> {
    let mut mapper = Load { path: Vec::new(), weights, error: None };
    let module = module.map(&mut mapper);
    match (mapper.error, mapper.weights.into_keys().next()) {
        (Some(error), _) => Err(error),
        (None, Some(name)) => Err(WeightsError::Unknown(name)),
        (None, None) => Ok(module),
    }
}

/// Number of weights, biases, scales and offsets: what gradients move, running statistics not
/// counted. This is how papers count.
pub fn trainable_parameters<M: Module>(module: &M) -> usize {
    let mut visitor = Count { path: Vec::new(), count: 0 };
    module.visit(&mut visitor);
    visitor.count
}

/// All tensors of a network as a PyTorch state dictionary: the matrix of a linear layer is
/// transposed, and scale and offset of a normalisation are `weight` and `bias`. Layouts of
/// convolutions are the same in both.
///
/// `names` are pairs of how a name begins here and there, whole parts of it; the first that fits
/// counts. Names that none fits stay.
pub fn state_dict<M: Module>(module: &M, names: &[(&str, &str)]) -> BTreeMap<String, TensorData> {
    let mut weights = named_weights(module);
    let theirs = foreign_names(module, names).into_iter().filter_map(|(name, foreign)| {
        let data = weights.remove(&name)?;
        Some((foreign.name, if foreign.is_transposed { transposed(data) } else { data }))
    });
    theirs.collect()
}

/// Puts the tensors of a PyTorch state dictionary into a network; the reverse of [`state_dict`].
/// Counts of batches (`num_batches_tracked`) are passed over.
///
/// # Errors
/// When a tensor is missing, left over or of another shape; names and shapes are those of the network,
/// but for what is left over.
pub fn load_state_dict<M: Module>(
    module: M,
    mut state: BTreeMap<String, TensorData>,
    names: &[(&str, &str)],
) -> Result<M, WeightsError> {
    let mut weights = BTreeMap::new();
    for (name, foreign) in foreign_names(&module, names) {
        if let Some(data) = state.remove(&foreign.name) {
            let data = if foreign.is_transposed { transposed(data) } else { data };
            weights.insert(name, data);
        }
    }
    state.retain(|name, _| name.rsplit('.').next() != Some("num_batches_tracked"));
    match state.into_keys().next() {
        Some(name) => Err(WeightsError::Unknown(name)),
        None => load_weights(module, weights),
    }
}

/// How a tensor is called and laid out in PyTorch.
struct Foreign {
    name: String,
    is_transposed: bool,
}

struct ForeignNames<'a> {
    path: Vec<String>,
    /// Type of what holds each part of the path.
    holders: Vec<String>,
    names: &'a [(&'a str, &'a str)],
    found: BTreeMap<String, Foreign>,
}

fn foreign_names<M: Module>(module: &M, names: &[(&str, &str)]) -> BTreeMap<String, Foreign> {
    let found = BTreeMap::new();
    let mut visitor = ForeignNames { path: Vec::new(), holders: Vec::new(), names, found };
    module.visit(&mut visitor);
    visitor.found
}

impl ModuleVisitor for ForeignNames<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push(name.to_owned());
        self.holders.push(container_type.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
        self.holders.pop();
    }

    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<D>>) {
        let own = self.path.join(".");
        let holder = self.holders.last().map(String::as_str);
        let (layer, last) = own.rsplit_once('.').unwrap_or(("", &own));
        let last = match (holder, last) {
            (Some("Struct:BatchNorm"), "gamma") => "weight",
            (Some("Struct:BatchNorm"), "beta") => "bias",
            _ => last,
        };
        let is_transposed = holder == Some("Struct:Linear") && last == "weight";
        let name = if layer.is_empty() { last.to_owned() } else { format!("{layer}.{last}") };
        let renamed = self.names.iter().find_map(|(ours, theirs)| {
            let rest = name.strip_prefix(ours)?;
            (rest.is_empty() || rest.starts_with('.')).then(|| format!("{theirs}{rest}"))
        });
        let name = renamed.unwrap_or(name);
        self.found.insert(own, Foreign { name, is_transposed });
    }
}

/// A matrix with its axes swapped; anything else as it is, for its shape to be complained of.
fn transposed(data: TensorData) -> TensorData {
    let &[rows, columns] = data.shape().as_slice() else { return data };
    let data = data.convert::<f32>();
    let Ok(values) = data.try_to_vec::<f32>() else { return data };
    let swapped = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    TensorData::new(swapped.map(|at| values[at]).collect::<Vec<f32>>(), [columns, rows])
}

struct Collect {
    path: Vec<String>,
    found: BTreeMap<String, TensorData>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.insert(self.path.join("."), param.val().into_data());
    }
}

struct Count {
    path: Vec<String>,
    count: usize,
}

impl ModuleVisitor for Count {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.path.last().is_some_and(|name| STATISTICS.contains(&name.as_str())) {
            self.count += param.lazy_shape().num_elements();
        }
    }
}

struct Load {
    path: Vec<String>,
    weights: BTreeMap<String, TensorData>,
    error: Option<WeightsError>,
}

impl Load {
    fn take(&mut self, expected: &[usize]) -> Result<TensorData, WeightsError> {
        let name = self.path.join(".");
        let Some(data) = self.weights.remove(&name) else {
            return Err(WeightsError::Missing(name));
        };
        if data.shape().as_slice() == expected {
            return Ok(data);
        }
        let (expected, found) = (expected.to_vec(), data.shape().to_vec());
        Err(WeightsError::Shape { name, expected, found })
    }
}

impl ModuleMapper for Load {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let sizes: [usize; D] = param.lazy_shape().dims();
        match self.take(&sizes) {
            Ok(data) => Param::initialized(param.id, leaf(data, &param.lazy_device())),
            Err(error) => {
                self.error.get_or_insert(error);
                param
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{BatchNormConfig, LinearConfig};
    use burn::tensor::Device;

    #[test]
    fn weights_survive_a_round_trip_and_wrong_ones_are_named() {
        let device = Device::flex();
        let linear = LinearConfig::new(3, 2).init(&device);
        let weights = named_weights(&linear);
        assert_eq!(weights.keys().collect::<Vec<_>>(), ["bias", "weight"]);
        let other = LinearConfig::new(3, 2).init(&device);
        let loaded = load_weights(other, weights.clone()).expect("same shapes");
        assert_eq!(named_weights(&loaded), weights);

        let wider = LinearConfig::new(4, 2).init(&device);
        let error = load_weights(wider, weights.clone()).expect_err("another shape");
        assert_eq!(error.to_string(), "tensor `weight` should be [4, 2], it is [3, 2]");
        let mut more = weights.clone();
        more.insert("x".to_owned(), weights["bias"].clone());
        assert_eq!(load_weights(linear, more).err(), Some(WeightsError::Unknown("x".to_owned())));
    }

    #[derive(Module, Debug)]
    struct Pair {
        norm: burn::nn::BatchNorm,
        linear: burn::nn::Linear,
    }

    fn pair() -> Pair {
        let device = Device::flex();
        Pair {
            norm: BatchNormConfig::new(2).init(&device),
            linear: LinearConfig::new(3, 2).init(&device),
        }
    }

    #[test]
    fn a_state_dictionary_has_pytorchs_names_and_layouts() {
        let (ours, names) = (pair(), [("linear", "head.0"), ("lin", "never")]);
        let mut state = state_dict(&ours, &names);
        let expected = [
            ("head.0.bias", vec![2]),
            ("head.0.weight", vec![2, 3]),
            ("norm.bias", vec![2]),
            ("norm.running_mean", vec![2]),
            ("norm.running_var", vec![2]),
            ("norm.weight", vec![2]),
        ];
        let found: Vec<_> = state.iter().map(|(k, v)| (k.as_str(), v.shape().to_vec())).collect();
        assert_eq!(found, expected);

        let count = TensorData::new(vec![3_i64], [1]);
        state.insert("norm.num_batches_tracked".to_owned(), count);
        let loaded = load_state_dict(pair(), state.clone(), &names).expect("the same names");
        assert_eq!(named_weights(&loaded), named_weights(&ours));

        state.insert("x".to_owned(), state["norm.bias"].clone());
        let error = load_state_dict(pair(), state.clone(), &names).err();
        assert_eq!(error, Some(WeightsError::Unknown("x".to_owned())));
        state.remove("x");
        state.remove("norm.weight");
        let error = load_state_dict(pair(), state, &names).err();
        assert_eq!(error, Some(WeightsError::Missing("norm.gamma".to_owned())));
    }

    #[test]
    fn the_last_update_of_running_statistics_is_not_lost() {
        let device = Device::flex().autodiff();
        let norm = BatchNormConfig::new(1).init(&device);
        norm.forward(Tensor::<2>::from_floats([[1.0], [3.0]], &device));
        let mean = named_weights(&norm)["running_mean"].clone();
        assert_eq!(mean.try_to_vec::<f32>().expect("floats"), [0.2]);
        assert_eq!(trainable_parameters(&norm), 2);
    }
}
