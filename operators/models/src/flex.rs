//! Numbers of the CPU backend's tensors, as slices and vectors.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;

/// The numbers of a tensor that `to_contiguous` gave.
pub(crate) fn numbers(tensor: &FloatTensor<Flex>) -> &[f32] {
    tensor.as_slice::<f32>().expect("a tensor made contiguous, of 32-bit floats as all are here")
}

/// The numbers of a tensor, copied only where others hold them too.
pub(crate) fn into_numbers(tensor: FloatTensor<Flex>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("32-bit floats as all tensors are here")
}

/// A tensor of `numbers`.
pub(crate) fn tensor(numbers: Vec<f32>, sizes: Vec<usize>) -> FloatTensor<Flex> {
    <FloatTensor<Flex>>::from_data(TensorData::new(numbers, sizes))
}
