//! Kernels for the CPU: what a training step spends its time in, on plain slices of numbers.
//!
//! They are vectorised for the machine at hand and spread over threads. Every result is added up in
//! an order that depends on sizes alone, so that it is the same bit for bit whatever the number of
//! threads.

pub(crate) mod adam;
pub(crate) mod batch_norm;
pub(crate) mod convolution;
mod product;
mod widest;
pub(crate) mod window;
