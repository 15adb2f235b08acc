//! What a network is made of, layer by layer, for printing: computed from its modules.

use burn::nn::conv::{Conv2d, Conv3d, ConvTranspose3d};
use burn::nn::pool::MaxPool2d;
use burn::nn::{BatchNorm, Linear, PaddingConfig2d, PaddingConfig3d};

use crate::weights::trainable_parameters;

/// One layer of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Dotted path, the same as in the names of its weights.
    pub name: String,
    /// What it does, with its sizes: `conv3d 1 -> 32, k4 s2 p1`.
    pub kind: String,
    /// Shape of what comes out of it for one sample, without the batch.
    pub output: Vec<usize>,
    /// Weights, biases, scales and offsets; running statistics are not counted.
    pub parameters: usize,
}

/// Follows the shape of one sample through layers and notes each.
#[derive(Debug)]
pub(crate) struct Trace {
    layers: Vec<Layer>,
    prefix: String,
    shape: Vec<usize>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { layers: Vec::new(), prefix: String::new(), shape: Vec::new() }
    }

    /// Starts a network called `name` with one sample of `shape`.
    pub(crate) fn begin(&mut self, name: &str, shape: &[usize]) -> &mut Self {
        self.prefix = format!("{name}.");
        self.shape = shape.to_vec();
        self
    }

    pub(crate) fn finish(self) -> Vec<Layer> {
        self.layers
    }

    /// Shape of the sample now.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Goes on with another shape; a layer of its own only where something is computed.
    pub(crate) fn reshape(&mut self, shape: &[usize]) -> &mut Self {
        self.shape = shape.to_vec();
        self
    }

    /// Notes a layer that leaves a sample of `shape`.
    pub(crate) fn note(
        &mut self,
        name: &str,
        kind: String,
        shape: Vec<usize>,
        parameters: usize,
    ) -> &mut Self {
        self.shape.clone_from(&shape);
        let name = format!("{}{name}", self.prefix);
        self.layers.push(Layer { name, kind, output: shape, parameters });
        self
    }

    pub(crate) fn conv2d(&mut self, name: &str, layer: &Conv2d) -> &mut Self {
        let [output, input, kernel, _] = layer.weight.lazy_shape().dims();
        let padding = match layer.padding {
            PaddingConfig2d::Explicit(top, ..) => top,
            _ => 0,
        };
        let (stride, edges) = (layer.stride[0], &self.shape[1..]);
        let after = edges.iter().map(|edge| (edge + 2 * padding - kernel) / stride + 1);
        let shape = std::iter::once(output).chain(after).collect();
        let kind = format!("conv2d {input} -> {output}, k{kernel} s{stride} p{padding}");
        self.note(name, kind, shape, trainable_parameters(layer))
    }

    pub(crate) fn conv3d(&mut self, name: &str, layer: &Conv3d) -> &mut Self {
        let [output, input, kernel, _, _] = layer.weight.lazy_shape().dims();
        let padding = match layer.padding {
            PaddingConfig3d::Explicit(front, ..) => front,
            _ => 0,
        };
        let (stride, edges) = (layer.stride[0], &self.shape[1..]);
        let after = edges.iter().map(|edge| (edge + 2 * padding - kernel) / stride + 1);
        let shape = std::iter::once(output).chain(after).collect();
        let kind = format!("conv3d {input} -> {output}, k{kernel} s{stride} p{padding}");
        self.note(name, kind, shape, trainable_parameters(layer))
    }

    pub(crate) fn transposed3d(&mut self, name: &str, layer: &ConvTranspose3d) -> &mut Self {
        let [input, output, kernel, _, _] = layer.weight.lazy_shape().dims();
        let (stride, padding, edges) = (layer.stride[0], layer.padding[0], &self.shape[1..]);
        let after = edges.iter().map(|edge| (edge - 1) * stride + kernel - 2 * padding);
        let shape = std::iter::once(output).chain(after).collect();
        let kind = format!("transposed conv3d {input} -> {output}, k{kernel} s{stride} p{padding}");
        self.note(name, kind, shape, trainable_parameters(layer))
    }

    /// A normalisation with the activation after it, which may be nothing.
    pub(crate) fn norm(&mut self, name: &str, layer: &BatchNorm, activation: &str) -> &mut Self {
        let kind = match activation {
            "" => "batch norm".to_owned(),
            _ => format!("batch norm, {activation}"),
        };
        let shape = self.shape.clone();
        self.note(name, kind, shape, trainable_parameters(layer))
    }

    /// A linear layer over the last axis, with the activation after it, which may be nothing.
    pub(crate) fn linear(&mut self, name: &str, layer: &Linear, activation: &str) -> &mut Self {
        let [input, output] = layer.weight.lazy_shape().dims();
        let comma = if activation.is_empty() { "" } else { ", " };
        let kind = format!("linear {input} -> {output}{comma}{activation}");
        let mut shape = self.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = output;
        }
        self.note(name, kind, shape, trainable_parameters(layer))
    }

    pub(crate) fn pool2d(&mut self, name: &str, layer: &MaxPool2d, activation: &str) -> &mut Self {
        let (kernel, stride) = (layer.kernel_size[0], layer.stride[0]);
        let mut shape = self.shape.clone();
        shape[1..].iter_mut().for_each(|edge| *edge = (*edge - kernel) / stride + 1);
        self.note(name, format!("max pool k{kernel} s{stride}, {activation}"), shape, 0)
    }

    /// All numbers of the sample in one row.
    pub(crate) fn flatten(&mut self) -> &mut Self {
        self.shape = vec![self.shape.iter().product()];
        self
    }
}

/// Checks, in tests, that layers are those of a module: the same number of parameters.
#[cfg(test)]
pub(crate) fn check_layers<M: burn::module::Module>(layers: &[Layer], module: &M) {
    let sum: usize = layers.iter().map(|layer| layer.parameters).sum();
    assert_eq!(sum, trainable_parameters(module), "{layers:#?}");
    let names: std::collections::BTreeSet<_> = layers.iter().map(|layer| &layer.name).collect();
    assert_eq!(names.len(), layers.len(), "{layers:#?}");
    let weights = crate::weights::named_weights(module);
    let weighty: Vec<_> = layers.iter().filter(|layer| layer.parameters > 0).collect();
    for name in weights.keys() {
        let is_named = weighty.iter().any(|layer| name.starts_with(&layer.name));
        assert!(is_named, "no layer has {name}");
    }
}
