//! Kernels for GPUs, in CubeCL: one source for WGSL, SPIR-V and CUDA.
//!
//! Every sum is added up in an order that depends on sizes alone, so that the same device gives the same
//! bits again. Kernels are launched without checks of their places in memory: each looks itself where the
//! numbers end.

pub(crate) mod adam;
pub(crate) mod batch_norm;
pub(crate) mod convolution;
pub(crate) mod product;
mod tensors;
#[cfg(test)]
pub(crate) mod testing;
