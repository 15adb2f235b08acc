//! Kernels for GPUs, in CubeCL: one source for WGSL, SPIR-V and CUDA.

pub(crate) mod convolution;
