//! Tensors and units: what all kernels need.

use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Units that work together.
pub(super) const UNITS: u32 = 256;
/// Most cubes in one direction that a power of two counts and every device has.
pub(super) const MOST_CUBES: u32 = 1 << 15;

/// A tensor on the same device, with whatever its memory held.
///
/// # Panics
/// When it has more numbers than kernels count: 2^32, which are 16 GiB.
pub(super) fn empty(like: &CubeTensor, shape: Vec<usize>) -> CubeTensor {
    let count = shape.iter().product::<usize>();
    assert!(count <= u32::MAX as usize, "a tensor of {shape:?} has too many numbers for a GPU");
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, shape.into(), like.dtype)
}

pub(super) fn reshaped(tensor: CubeTensor, shape: Vec<usize>) -> CubeTensor {
    CubeBackend::float_reshape(tensor, shape.into())
}

/// A unit for each of `count` numbers, and some more: along x, then along y.
pub(super) fn units(count: usize) -> (CubeCount, CubeDim) {
    let cubes = count.div_ceil(UNITS as usize) as u32;
    let across = cubes.clamp(1, MOST_CUBES);
    (CubeCount::Static(across, cubes.div_ceil(across), 1), CubeDim::new_1d(UNITS))
}

/// The number of a unit of [`units`].
#[cube]
pub(super) fn unit() -> usize {
    ((CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X) * CUBE_DIM_X + UNIT_POS_X) as usize
}
