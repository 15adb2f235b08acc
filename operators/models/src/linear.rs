//! Layers that connect everything with everything.
//!
//! Their products are of few rows, as many as a batch holds, and of sums over thousands. burn's kernels for
//! GPUs leave most of the device idle there; ours share such sums out ([`crate::gpu::product`]).

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, Dispatch, Flex, backend_extension};
use burn::nn::Linear;
use burn::tensor::Tensor;

use crate::gpu::product as gpu;

/// What `layer` makes of `input`.
///
/// # Shapes
/// - input: `[batch, inputs]`
/// - result: `[batch, outputs]`
pub(crate) fn linear(layer: &Linear, input: Tensor<2>) -> Tensor<2> {
    let (input, weight) = (input.into_dispatch(), layer.weight.val().into_dispatch());
    let product = Tensor::from_dispatch(<Dispatch as ProductOps>::product(input, weight));
    match &layer.bias {
        Some(bias) => product + bias.val().unsqueeze(),
        None => product,
    }
}

/// The product of two matrices as an operation of a backend.
#[backend_extension(Flex, Cube, Autodiff)]
pub(crate) trait ProductOps: Backend {
    fn product(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl ProductOps for Flex {
    fn product(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(left, right)
    }
}

impl ProductOps for Cube {
    fn product(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        gpu::product(left, right)
    }
}

impl<B: ProductOps, C: CheckpointStrategy> ProductOps for Autodiff<B, C> {
    fn product(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        let kind = WayBack.prepare::<C>([left.node(), right.node()]).compute_bound().stateful();
        let [left, right] = [left, right].map(|tensor| tensor.into_primitive());
        match kind {
            OpsKind::UnTracked(operation) => operation.finish(B::product(left, right)),
            OpsKind::Tracked(operation) => {
                let product = B::product(left.clone(), right.clone());
                operation.finish((left, right), product)
            }
        }
    }
}

#[derive(Debug)]
struct WayBack;

impl<B: ProductOps> Backward<B, 2> for WayBack {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let ((left, right), [of_left, of_right]) = (ops.state, ops.parents);
        if let Some(node) = of_left {
            let found = B::product(gradient.clone(), B::float_transpose(right));
            grads.register::<B>(node.id, found);
        }
        if let Some(node) = of_right {
            grads.register::<B>(node.id, B::product(B::float_transpose(left), gradient));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing;
    use burn::nn::LinearConfig;
    use burn::tensor::{Device, TensorData};

    fn is_burns(device: &Device) {
        for [batch, inputs, outputs] in [[3, 5, 2], [33, 1700, 7], [1, 40, 300]] {
            let layer = LinearConfig::new(inputs, outputs).init(device);
            let wave = |i: usize| (i as f32 * 0.77).sin();
            let numbers: Vec<f32> = (0..batch * inputs).map(wave).collect();
            let data = TensorData::new(numbers, [batch, inputs]);
            let input = Tensor::<2>::from_data(data, device).require_grad();
            let (weight, bias) = (layer.weight.val(), layer.bias.as_ref().expect("a bias").val());
            let results = |output: Tensor<2>| {
                let back = output.clone().square().sum().backward();
                let of = |tensor: &Tensor<2>| tensor.grad(&back).expect("a gradient").flatten(0, 1);
                let of_bias = bias.grad(&back).expect("a gradient");
                [output.inner().flatten(0, 1), of(&input), of(&weight), of_bias]
            };
            let ours = results(linear(&layer, input.clone()));
            for (ours, burns) in ours.into_iter().zip(results(layer.forward(input.clone()))) {
                let largest = burns.clone().abs().max().into_scalar::<f32>().max(1.0);
                let worst = (ours - burns).abs().max().into_scalar::<f32>();
                assert!(worst < 1e-5 * largest, "{batch} {inputs} {outputs}: {worst}");
            }
        }
    }

    #[test]
    fn it_has_burns_answers_and_gradients() {
        is_burns(&Device::flex().autodiff());
    }

    #[test]
    fn on_a_gpu_it_has_burns_answers_and_gradients() {
        let Some(device) = testing::device() else { return };
        is_burns(&device.autodiff());
    }
}
