//! Convolutions, their transposes and their gradients: one place that chooses how they are computed.
//!
//! Both ways are products of matrices whose columns are what the outputs see: on the CPU gathered as they
//! are needed ([`crate::cpu::convolution`]), on GPUs in parts of the batch ([`crate::gpu::convolution`]).

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::nn::conv::{Conv2d, Conv3d, ConvTranspose3d};
use burn::nn::{PaddingConfig2d, PaddingConfig3d};
use burn::tensor::{Device, Tensor};

use crate::cpu::batch_norm::channel_sums;
use crate::cpu::convolution as cpu;
use crate::cpu::window::Geometry;
use crate::flex;
use crate::gpu::convolution as gpu;

/// What `layer` makes of `input`.
///
/// # Shapes
/// - input: `[batch, channels_in, height, width]`
/// - result: `[batch, channels_out, ..]`
pub(crate) fn conv2d(layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    let PaddingConfig2d::Explicit(top, left, bottom, right) = layer.padding else {
        return layer.forward(input);
    };
    let is_plain = layer.groups == 1 && layer.dilation == [1; 2] && [top, left] == [bottom, right];
    if !is_plain {
        return layer.forward(input);
    }
    let (weight, [height, width]) = (layer.weight.val(), layer.stride);
    let sizes = Geometry::of(&input.dims(), &weight.dims(), [1, height, width], [0, top, left]);
    convolve(input, weight, layer.bias.as_ref().map(|bias| bias.val()), sizes)
}

/// What `layer` makes of `input`.
///
/// # Shapes
/// - input: `[batch, channels_in, depth, height, width]`
/// - result: `[batch, channels_out, ..]`
pub(crate) fn conv3d(layer: &Conv3d, input: Tensor<5>) -> Tensor<5> {
    let PaddingConfig3d::Explicit(depth, height, width) = layer.padding else {
        return layer.forward(input);
    };
    if layer.groups != 1 || layer.dilation != [1; 3] {
        return layer.forward(input);
    }
    let weight = layer.weight.val();
    let padding = [depth, height, width];
    let sizes = Geometry::of(&input.dims(), &weight.dims(), layer.stride, padding);
    convolve(input, weight, layer.bias.as_ref().map(|bias| bias.val()), sizes)
}

/// What `layer` makes of `input`.
///
/// # Shapes
/// - input: `[batch, channels_in, depth, height, width]`
/// - result: `[batch, channels_out, ..]`
pub(crate) fn transposed3d(layer: &ConvTranspose3d, input: Tensor<5>) -> Tensor<5> {
    if layer.groups != 1 || layer.dilation != [1; 3] || layer.padding_out != [0; 3] {
        return layer.forward(input);
    }
    let weight = layer.weight.val();
    let [batch, _, depth, height, width] = input.dims();
    let [_, channels, kernel @ ..] = weight.dims();
    let edges = [depth, height, width];
    let [depth, height, width] = std::array::from_fn(|axis| {
        (edges[axis] - 1) * layer.stride[axis] + kernel[axis] - 2 * layer.padding[axis]
    });
    let result = [batch, channels, depth, height, width];
    let sizes = Geometry::of(&result, &weight.dims(), layer.stride, layer.padding);
    let bias = offsets(layer.bias.as_ref().map(|bias| bias.val()), channels, &input.device());
    let [input, weight, bias] =
        [input.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(<Dispatch as ConvolutionOps>::convolve_back(input, weight, bias, sizes))
}

fn convolve<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<D>,
    bias: Option<Tensor<1>>,
    sizes: Geometry,
) -> Tensor<D> {
    let bias = offsets(bias, sizes.outputs, &input.device()).into_dispatch();
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ConvolutionOps>::convolve(input, weight, bias, sizes))
}

fn offsets(bias: Option<Tensor<1>>, channels: usize, device: &Device) -> Tensor<1> {
    bias.unwrap_or_else(|| Tensor::zeros([channels], device))
}

impl Geometry {
    /// Sizes of a convolution over `input` by `weight`, each with two or three edges.
    fn of(input: &[usize], weight: &[usize], stride: [usize; 3], padding: [usize; 3]) -> Self {
        let edges = |sizes: &[usize]| -> [usize; 3] {
            let edges = &sizes[2..];
            std::array::from_fn(|axis| (axis + edges.len()).checked_sub(3).map_or(1, |i| edges[i]))
        };
        let (edges_in, kernel) = (edges(input), edges(weight));
        let output = std::array::from_fn(|axis| {
            (edges_in[axis] + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1
        });
        Self {
            batch: input[0],
            inputs: input[1],
            input: edges_in,
            outputs: weight[0],
            output,
            kernel,
            stride,
            padding,
        }
    }
}

/// Sizes of a tensor of `rank`, which has no depth where it is 4.
fn shape(rank: usize, batch: usize, channels: usize, edges: [usize; 3]) -> Vec<usize> {
    [&[batch, channels], &edges[5 - rank..]].concat()
}

/// Convolutions as operations of a backend, with gradients.
#[backend_extension(Flex, Cube, Autodiff)]
pub(crate) trait ConvolutionOps: Backend {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self>;

    fn convolve_back(
        output: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self>;
}

/// What the gradients need beside.
pub(crate) trait ConvolutionGradients: Backend {
    fn of_weight(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self>;

    /// Sums by channel.
    fn of_bias(gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl ConvolutionOps for Flex {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self> {
        let rank = input.shape().num_dims();
        let [input, weight, bias] = [input, weight, bias].map(|tensor| tensor.to_contiguous());
        let [input, weight, bias] = [&input, &weight, &bias].map(flex::numbers);
        let result = cpu::convolve(input, weight, bias, &sizes);
        flex::tensor(result, shape(rank, sizes.batch, sizes.outputs, sizes.output))
    }

    fn convolve_back(
        output: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self> {
        let rank = output.shape().num_dims();
        let [output, weight, bias] = [output, weight, bias].map(|tensor| tensor.to_contiguous());
        let [output, weight, bias] = [&output, &weight, &bias].map(flex::numbers);
        let result = cpu::convolve_back(output, weight, bias, &sizes);
        flex::tensor(result, shape(rank, sizes.batch, sizes.inputs, sizes.input))
    }
}

impl ConvolutionGradients for Flex {
    fn of_weight(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self> {
        let rank = input.shape().num_dims();
        let [input, gradient] = [input, gradient].map(|tensor| tensor.to_contiguous());
        let [input, gradient] = [&input, &gradient].map(flex::numbers);
        let result = cpu::weight_gradient(input, gradient, &sizes);
        flex::tensor(result, shape(rank, sizes.outputs, sizes.inputs, sizes.kernel))
    }

    fn of_bias(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let gradient = gradient.to_contiguous();
        let sizes = gradient.shape();
        let len = sizes[2..].iter().product();
        let sums = channel_sums(flex::numbers(&gradient), sizes[1], len);
        flex::tensor(sums, vec![sizes[1]])
    }
}

impl ConvolutionOps for Cube {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self> {
        let result = shape(input.rank(), sizes.batch, sizes.outputs, sizes.output);
        gpu::convolve([input, weight, bias], &sizes, result)
    }

    fn convolve_back(
        output: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self> {
        let result = shape(output.rank(), sizes.batch, sizes.inputs, sizes.input);
        gpu::convolve_back([output, weight, bias], &sizes, result)
    }
}

impl ConvolutionGradients for Cube {
    fn of_weight(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self> {
        let result = shape(input.rank(), sizes.outputs, sizes.inputs, sizes.kernel);
        gpu::weight_gradient([input, gradient], &sizes, result)
    }

    fn of_bias(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        gpu::channel_sums(gradient)
    }
}

impl<B: ConvolutionOps + ConvolutionGradients, C: CheckpointStrategy> ConvolutionOps
    for Autodiff<B, C>
{
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        let kind = Forwards.prepare::<C>(nodes).compute_bound().stateful();
        let [input, weight, bias] = [input, weight, bias].map(|tensor| tensor.into_primitive());
        match kind {
            OpsKind::UnTracked(operation) => {
                operation.finish(B::convolve(input, weight, bias, sizes))
            }
            OpsKind::Tracked(operation) => {
                let output = B::convolve(input.clone(), weight.clone(), bias, sizes);
                operation.finish((input, weight, sizes), output)
            }
        }
    }

    fn convolve_back(
        output: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sizes: Geometry,
    ) -> FloatTensor<Self> {
        let nodes = [output.node(), weight.node(), bias.node()];
        let kind = Backwards.prepare::<C>(nodes).compute_bound().stateful();
        let [output, weight, bias] = [output, weight, bias].map(|tensor| tensor.into_primitive());
        match kind {
            OpsKind::UnTracked(operation) => {
                operation.finish(B::convolve_back(output, weight, bias, sizes))
            }
            OpsKind::Tracked(operation) => {
                let input = B::convolve_back(output.clone(), weight.clone(), bias, sizes);
                operation.finish((output, weight, sizes), input)
            }
        }
    }
}

/// The way back from a convolution.
#[derive(Debug)]
struct Forwards;

impl<B: ConvolutionOps + ConvolutionGradients> Backward<B, 3> for Forwards {
    type State = (FloatTensor<B>, FloatTensor<B>, Geometry);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let ((input, weight, sizes), [of_input, of_weight, of_bias]) = (ops.state, ops.parents);
        if let Some(node) = of_input {
            let none = no_offsets::<B>(&gradient, sizes.inputs);
            let found = B::convolve_back(gradient.clone(), weight, none, sizes);
            grads.register::<B>(node.id, found);
        }
        if let Some(node) = of_weight {
            grads.register::<B>(node.id, B::of_weight(input, gradient.clone(), sizes));
        }
        if let Some(node) = of_bias {
            grads.register::<B>(node.id, B::of_bias(gradient));
        }
    }
}

/// The way back from a transposed convolution.
#[derive(Debug)]
struct Backwards;

impl<B: ConvolutionOps + ConvolutionGradients> Backward<B, 3> for Backwards {
    type State = (FloatTensor<B>, FloatTensor<B>, Geometry);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let ((output, weight, sizes), [of_output, of_weight, of_bias]) = (ops.state, ops.parents);
        if let Some(node) = of_output {
            let none = no_offsets::<B>(&gradient, sizes.outputs);
            let found = B::convolve(gradient.clone(), weight, none, sizes);
            grads.register::<B>(node.id, found);
        }
        if let Some(node) = of_weight {
            grads.register::<B>(node.id, B::of_weight(gradient.clone(), output, sizes));
        }
        if let Some(node) = of_bias {
            grads.register::<B>(node.id, B::of_bias(gradient));
        }
    }
}

fn no_offsets<B: Backend>(like: &FloatTensor<B>, channels: usize) -> FloatTensor<B> {
    B::float_zeros(vec![channels].into(), &like.device(), like.dtype().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing;
    use burn::module::Param;
    use burn::nn::conv::{Conv2dConfig, Conv3dConfig, ConvTranspose3dConfig};

    fn random<const D: usize>(sizes: [usize; D], start: f64, device: &Device) -> Tensor<D> {
        let mut state = start;
        let values: Vec<f32> = (0..sizes.iter().product())
            .map(|_| {
                state = (state + 0.618_033_988_75) % 1.0;
                (state - 0.5) as f32
            })
            .collect();
        let data = burn::tensor::TensorData::new(values, sizes);
        Tensor::from_data(data, device).require_grad()
    }

    /// Output, and the gradients of input, weight and bias.
    fn results<const D: usize>(
        [input, weight]: [&Tensor<D>; 2],
        bias: &Param<Tensor<1>>,
        output: Tensor<D>,
    ) -> [Vec<f32>; 4] {
        let gradients = output.clone().square().sum().backward();
        let of = |tensor: &Tensor<D>| tensor.grad(&gradients).expect("a gradient").into_data();
        let of_bias = bias.val().grad(&gradients).expect("a gradient").into_data();
        [output.detach().into_data(), of(input), of(weight), of_bias]
            .map(|data| data.try_into_vec::<f32>().expect("floats"))
    }

    fn assert_close(ours: &[Vec<f32>; 4], burns: &[Vec<f32>; 4]) {
        for (ours, burns) in ours.iter().zip(burns) {
            assert_eq!(ours.len(), burns.len());
            let largest = burns.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            for (a, b) in ours.iter().zip(burns) {
                assert!((a - b).abs() < 1e-5 * largest, "{a} {b}");
            }
        }
    }

    fn pictures_are_burns(device: &Device) {
        for [kernel, stride, padding] in [[5, 2, 2], [3, 1, 1], [11, 4, 5], [2, 3, 0]] {
            let layer = Conv2dConfig::new([3, 7], [kernel; 2])
                .with_stride([stride; 2])
                .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
                .init(device);
            let (input, weight) = (random([2, 3, 13, 18], 0.4, device), layer.weight.val());
            let bias = layer.bias.as_ref().expect("a bias");
            let of = |output| results([&input, &weight], bias, output);
            assert_close(&of(conv2d(&layer, input.clone())), &of(layer.forward(input.clone())));
        }
    }

    fn grids_are_burns(device: &Device) {
        for ([inputs, outputs], edges) in [([1, 5], [8, 6, 10]), ([4, 3], [8, 20, 16])] {
            let layer = Conv3dConfig::new([inputs, outputs], [4; 3])
                .with_stride([2; 3])
                .with_padding(PaddingConfig3d::Explicit(1, 1, 1))
                .init(device);
            let [depth, height, width] = edges;
            let sizes = [3, inputs, depth, height, width];
            let (input, weight) = (random(sizes, 0.4, device), layer.weight.val());
            let bias = layer.bias.as_ref().expect("a bias");
            let of = |output| results([&input, &weight], bias, output);
            assert_close(&of(conv3d(&layer, input.clone())), &of(layer.forward(input.clone())));

            let layer = ConvTranspose3dConfig::new([inputs, outputs], [4; 3])
                .with_stride([2; 3])
                .with_padding([1; 3])
                .init(device);
            let sizes = [3, inputs, depth / 2, height / 2, width / 2];
            let (input, weight) = (random(sizes, 0.4, device), layer.weight.val());
            let bias = layer.bias.as_ref().expect("a bias");
            let of = |output| results([&input, &weight], bias, output);
            assert_close(
                &of(transposed3d(&layer, input.clone())),
                &of(layer.forward(input.clone())),
            );
        }
    }

    #[test]
    fn pictures_have_burns_answers_and_gradients() {
        pictures_are_burns(&Device::flex().autodiff());
    }

    #[test]
    fn grids_have_burns_answers_and_gradients() {
        grids_are_burns(&Device::flex().autodiff());
    }

    #[test]
    fn on_a_gpu_both_have_burns_answers_and_gradients() {
        let Some(device) = testing::device().map(Device::autodiff) else { return };
        pictures_are_burns(&device);
        grids_are_burns(&device);
    }
}
